//! Listings folder by folder: for tables whose folders stand for partitions.

use super::ObjectFile;
use super::list::walk;
use super::location::Location;
use super::store::wait;
use crate::error::Result;
use futures::stream::{self, StreamExt, TryStreamExt};

/// Folders listed at the same time.
const LISTINGS_IN_FLIGHT: usize = 32;

/// The files below a folder, sorted by name. `visit` is asked about each folder, by its path below the location, whether to
/// go in; one request is sent for each that is gone into (one per thousand names, where the store pages). Nothing there
/// gives an empty list.
pub fn walk_folders(location: &Location, visit: &(dyn Fn(&str) -> bool + Send + Sync)) -> Result<Vec<ObjectFile>> {
    let mut files = wait(walk(location, visit))??;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// The files below each of several folders, which need not be there, many requests at the same time.
pub fn list_each(locations: &[Location]) -> Result<Vec<Vec<ObjectFile>>> {
    let all = |_: &str| true;
    wait(async {
        let listings = locations.iter().map(|location| walk(location, &all));
        let mut found: Vec<Vec<ObjectFile>> = stream::iter(listings)
            .buffered(LISTINGS_IN_FLIGHT)
            .try_collect()
            .await?;
        for files in &mut found {
            files.sort_by(|a, b| a.location.cmp(&b.location));
        }
        Ok(found)
    })?
}
