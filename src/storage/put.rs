//! Small files that appear as a whole.

use super::list::store_error;
use super::location::Location;
use super::store::wait;
use crate::error::{Error, Result};
use object_store::ObjectStoreExt;

/// Writes a file, which appears with all its bytes or not at all; one of that name is replaced.
pub fn put_file(location: &str, bytes: Vec<u8>) -> Result<()> {
    let location = Location::parse(location)?;
    if location.is_pattern() {
        return Err(Error::plan(format!(
            "\"{}\" has wildcards where one file is needed",
            location.text
        )));
    }
    let put = wait(location.store.objects.put(&location.base_path, bytes.into()))?;
    put.map(|_| ()).map_err(|e| store_error(&location.text, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_files_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/x.txt");
        for text in ["one", "two"] {
            put_file(path.to_str().unwrap(), text.into()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert!(put_file(dir.path().join("*").to_str().unwrap(), vec![]).is_err());
    }
}
