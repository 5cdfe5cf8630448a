//! Bytes of remote files on the local disk, where the setting `data_cache_dir` names a folder.
//!
//! ```text
//! FOLDER/data (0700) / SHA-256 of the file's identity (0700) / START-END (0600)
//!
//! extent:  CRC-32 of the rest of the head │ identity │ start │ end │ CRC-32 of each block ║ block │ block │ …
//! ```
//!
//! The identity is that of [`super::identity`]: another version of a file is another file, and one that may still change unnoticed
//! is not kept. Names and contents tell neither locations nor credentials. What is read of a file at once is an extent; it appears by
//! one rename and is never changed, so processes need not know of each other. What is damaged, cut short, gone or not to be
//! written counts as not there: the store has it all.

use super::ObjectFile;
use super::identity::{hexadecimal, identity};
use super::read::read_at;
use super::store::settings;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that have a checksum together.
const BLOCK: u64 = 256 << 10;
/// Checksum, identity, start, end.
const HEAD: usize = 4 + 32 + 8 + 8;
/// An extent may take this part of the cache at most, and when so much was written it is looked how much there is.
const PART: u64 = 8;

/// The extents of one file.
pub(super) struct Extents {
    folder: PathBuf,
    identity: [u8; 32],
    places: Arc<Places>,
}

/// Ends of extents by their starts.
type Places = BTreeMap<u64, u64>;

/// What folders had when they were last listed.
static LISTED: LazyLock<Mutex<HashMap<PathBuf, Arc<Places>>>> = LazyLock::new(Default::default);
/// Folders of which that is remembered.
const MOST_LISTED: usize = 10_000;

/// A part of an extent.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    extent: Range<u64>,
    path: PathBuf,
    identity: [u8; 32],
    /// The bytes of the file that are wanted of it.
    pub range: Range<u64>,
}

impl Extents {
    /// What the disk had of the file when its folder was last listed, when the setting is made.
    pub fn of(file: &ObjectFile) -> Option<Self> {
        let (root, _) = root()?;
        let identity = identity(file)?;
        let folder = root.join(hexadecimal(&identity));
        let known = LISTED.lock().get(&folder).cloned();
        let mut extents = Self {
            folder,
            identity,
            places: Arc::default(),
        };
        match known {
            Some(places) => extents.places = places,
            None => extents.list(),
        }
        Some(extents)
    }

    /// Lists the folder again, to find what has come since.
    pub fn list(&mut self) {
        let mut places = Places::new();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if let Some(extent) = parse_name(&entry.file_name().to_string_lossy()) {
                let end = places.entry(extent.start).or_default();
                *end = extent.end.max(*end);
            }
        }
        self.places = Arc::new(places);
        let mut listed = LISTED.lock();
        if listed.len() >= MOST_LISTED {
            listed.clear();
        }
        listed.insert(self.folder.clone(), self.places.clone());
    }

    /// The consecutive pieces that have all bytes of `range`.
    pub fn find(&self, range: &Range<u64>) -> Option<Vec<Piece>> {
        let (mut at, mut pieces) = (range.start, vec![]);
        while at < range.end {
            let (&start, &end) = self.places.range(..=at).next_back()?;
            let extent = start..end;
            let until = range.end.min(end);
            if until <= at {
                return None;
            }
            pieces.push(Piece {
                path: self.folder.join(name(&extent)),
                extent,
                identity: self.identity,
                range: at..until,
            });
            at = until;
        }
        Some(pieces)
    }
}

impl Piece {
    /// The bytes, if they are there and unharmed. Marks the extent as used; a damaged one goes, to make way for what is fetched
    /// instead.
    pub fn read(&self) -> Option<Bytes> {
        let bytes = self.read_checked();
        if bytes.is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
        bytes
    }

    fn read_checked(&self) -> Option<Bytes> {
        let file = File::open(&self.path).ok()?;
        let length = self.extent.end.checked_sub(self.extent.start)?;
        let head_length = head_length(length)?;
        if file.metadata().ok()?.len() != head_length as u64 + length {
            return None;
        }
        let head = read_at(&file, 0, head_length).ok()?;
        let whole = crc32fast::hash(head.get(4..)?).to_le_bytes() == *head.get(..4)?;
        if !whole || head.get(4..HEAD)? != names(&self.identity, &self.extent) {
            return None;
        }
        let first = (self.range.start - self.extent.start) / BLOCK;
        let last = (self.range.end - self.extent.start).div_ceil(BLOCK);
        let blocks = first * BLOCK..(last * BLOCK).min(length);
        let wanted = usize::try_from(blocks.end - blocks.start).ok()?;
        let bytes = read_at(&file, head_length as u64 + blocks.start, wanted).ok()?;
        let sums = head.get(HEAD + first as usize * 4..)?.chunks_exact(4);
        let mut checked = bytes.chunks(BLOCK as usize).zip(sums);
        if !checked.all(|(block, sum)| crc32fast::hash(block).to_le_bytes() == *sum) {
            return None;
        }
        let _ = file.set_modified(SystemTime::now());
        let start = (self.range.start - self.extent.start - blocks.start) as usize;
        let end = (self.range.end - self.extent.start - blocks.start) as usize;
        Some(Bytes::from(bytes).slice(start..end))
    }
}

/// Whether what is read is to be kept on disk.
pub(super) fn is_on() -> bool {
    settings().data_cache_dir.is_some()
}

/// Extents being written, and a signal when one is done.
static WRITING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
/// How long the end of a process waits for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until what was read is on disk, if it is to be kept there.
pub fn finish_keeping() {
    let mut writing = WRITING.0.lock();
    let end = Instant::now() + PATIENCE;
    while *writing > 0 && !WRITING.1.wait_until(&mut writing, end).timed_out() {}
}

/// Counts as writing as long as it lives.
struct Writing;

impl Writing {
    fn start() -> Self {
        *WRITING.0.lock() += 1;
        Self
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        *WRITING.0.lock() -= 1;
        WRITING.1.notify_all();
    }
}

/// Keeps the bytes of a file from `start` on; goes on when nobody waits for it any more.
pub(super) fn keep_aside(file: ObjectFile, start: u64, bytes: Bytes) -> tokio::task::JoinHandle<()> {
    let writing = Writing::start();
    tokio::task::spawn_blocking(move || {
        keep(&file, start, &bytes);
        drop(writing);
    })
}

/// Keeps the bytes of a file from `start` on.
fn keep(file: &ObjectFile, start: u64, bytes: &[u8]) {
    static WRITTEN: AtomicU64 = AtomicU64::new(u64::MAX);
    let Some((root, most)) = root() else { return };
    let Some(identity) = identity(file).filter(|_| bytes.len() as u64 <= most / PART) else {
        return;
    };
    let folder = root.join(hexadecimal(&identity));
    if write(&folder, &identity, start, bytes).is_err() {
        return;
    }
    let before = WRITTEN.fetch_add(bytes.len() as u64, Relaxed);
    // The first time, or the next part is full.
    if before == u64::MAX || before % (most / PART).max(1) + bytes.len() as u64 >= most / PART {
        let _ = make_room(&root, most);
    }
}

fn write(folder: &Path, identity: &[u8; 32], start: u64, bytes: &[u8]) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let extent = start..start + bytes.len() as u64;
    let mut head = names(identity, &extent);
    for block in bytes.chunks(BLOCK as usize) {
        head.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
    }
    // A temporary file is for its owner alone.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(&crc32fast::hash(&head).to_le_bytes())?;
    temporary.write_all(&head)?;
    temporary.write_all(bytes)?;
    temporary.persist(folder.join(name(&extent)))?;
    Ok(())
}

/// The folder, and how many bytes it may have. One that others can look into, or own, is not used.
fn root() -> Option<(PathBuf, u64)> {
    /// The folder that was looked at last and is ours.
    static OURS: Mutex<Option<PathBuf>> = Mutex::new(None);
    let settings = settings();
    let root = Path::new(&settings.data_cache_dir?).join("data");
    let mut ours = OURS.lock();
    if ours.as_ref() != Some(&root) {
        DirBuilder::new().recursive(true).mode(0o700).create(&root).ok()?;
        let about = std::fs::symlink_metadata(&root).ok()?;
        // What is made here belongs to whom we are.
        let made = tempfile::NamedTempFile::new_in(&root).ok()?.as_file().metadata().ok()?;
        if !about.is_dir() || about.mode() & 0o077 != 0 || about.uid() != made.uid() {
            return None;
        }
        *ours = Some(root.clone());
    }
    Some((root, settings.data_cache_size))
}

/// The part of the head that says of what file and range the extent is.
fn names(identity: &[u8; 32], extent: &Range<u64>) -> Vec<u8> {
    [&identity[..], &extent.start.to_le_bytes(), &extent.end.to_le_bytes()].concat()
}

fn head_length(length: u64) -> Option<usize> {
    usize::try_from(length.div_ceil(BLOCK))
        .ok()?
        .checked_mul(4)?
        .checked_add(HEAD)
}

fn name(extent: &Range<u64>) -> String {
    format!("{:016x}-{:016x}", extent.start, extent.end)
}

fn parse_name(name: &str) -> Option<Range<u64>> {
    let (start, end) = name.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?).filter(|extent| extent.start < extent.end)
}

/// Removes what was not used for the longest time until a quarter of `most` is free, if there is more.
fn make_room(root: &Path, most: u64) -> std::io::Result<()> {
    let mut extents: Vec<(SystemTime, u64, PathBuf)> = vec![];
    for folder in std::fs::read_dir(root)?.flatten() {
        for entry in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            if let Ok(about) = entry.metadata() {
                extents.push((about.modified()?, about.len(), entry.path()));
            }
        }
    }
    let mut bytes: u64 = extents.iter().map(|(_, bytes, _)| bytes).sum();
    if bytes <= most {
        return Ok(());
    }
    extents.sort();
    for (_, length, path) in extents {
        if bytes <= most / 4 * 3 {
            break;
        }
        // Another process may have been faster.
        let _ = std::fs::remove_file(&path);
        // Fails as long as something is in it.
        let _ = path.parent().map(std::fs::remove_dir);
        bytes -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init, reason = "extents are given in lists, also of one")]

    use super::*;

    const IDENTITY: [u8; 32] = [7; 32];

    fn bytes(range: Range<u64>) -> Vec<u8> {
        range.map(|i| (i * 31 % 251) as u8).collect()
    }

    fn extents(folder: &Path, places: &[Range<u64>]) -> Extents {
        for extent in places {
            write(folder, &IDENTITY, extent.start, &bytes(extent.clone())).unwrap();
        }
        let mut extents = Extents {
            folder: folder.into(),
            identity: IDENTITY,
            places: Arc::default(),
        };
        extents.list();
        extents
    }

    fn read(extents: &Extents, range: Range<u64>) -> Option<Vec<u8>> {
        let pieces = extents.find(&range)?;
        let parts: Option<Vec<Bytes>> = pieces.iter().map(Piece::read).collect();
        Some(parts?.concat())
    }

    #[test]
    fn what_others_have_added_is_found_by_listing_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut extents = extents(folder.path(), &[10..20]);
        write(folder.path(), &IDENTITY, 20, &bytes(20..30)).unwrap();
        assert!(extents.find(&(15..25)).is_none());
        extents.list();
        assert_eq!(read(&extents, 15..25), Some(bytes(15..25)));
    }

    #[test]
    fn ranges_are_found_across_extents_and_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let extents = extents(
            folder.path(),
            &[
                100..3 * BLOCK + 5,
                3 * BLOCK + 5..3 * BLOCK + 50,
                4 * BLOCK..4 * BLOCK + 1,
            ],
        );
        for range in [
            100..101,
            BLOCK + 99..BLOCK + 101,
            2 * BLOCK..3 * BLOCK + 40,
            100..3 * BLOCK + 50,
            4 * BLOCK..4 * BLOCK + 1,
        ] {
            assert_eq!(read(&extents, range.clone()), Some(bytes(range)));
        }
        for range in [99..101, 3 * BLOCK + 49..3 * BLOCK + 51, 3 * BLOCK..4 * BLOCK + 1] {
            assert!(extents.find(&range).is_none());
        }
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let extents = extents(folder.path(), &[0..BLOCK + 100]);
        let path = folder.path().join(name(&(0..BLOCK + 100)));
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 3, 4, 36, 44, 52, HEAD + 8, HEAD + 8 + 50_000] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read(&extents, 40_000..60_000), None, "byte {at}");
        }
        for length in [0, 3, HEAD, HEAD + 10, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&extents, 0..10), None, "{length} bytes");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read(&extents, 0..10), Some(bytes(0..10)));
        // A file under the name of another extent, and one of another file.
        std::fs::rename(&path, folder.path().join(name(&(1..BLOCK + 101)))).unwrap();
        let moved = Extents {
            places: Arc::new([(1, BLOCK + 101)].into()),
            ..extents
        };
        assert_eq!(read(&moved, 1..10), None);
        assert!(!folder.path().join(name(&(1..BLOCK + 101))).exists());
        std::fs::write(&path, &whole).unwrap();
        let other = Extents {
            identity: [8; 32],
            places: Arc::new([(0, BLOCK + 100)].into()),
            ..moved
        };
        assert_eq!(read(&other, 0..10), None);
    }

    #[test]
    fn what_was_used_longest_ago_goes() {
        let root = tempfile::tempdir().unwrap();
        let folders = [root.path().join("a"), root.path().join("b")];
        for (i, folder) in folders.iter().enumerate() {
            for j in 0..5u64 {
                write(folder, &IDENTITY, j * 1000, &[0; 1000]).unwrap();
                let file = File::open(folder.join(name(&(j * 1000..j * 1000 + 1000)))).unwrap();
                let time = std::time::Duration::from_secs(1000 + i as u64 * 10 + j);
                file.set_modified(SystemTime::UNIX_EPOCH + time).unwrap();
            }
        }
        let all = || folders.iter().flat_map(std::fs::read_dir).flatten().count();
        make_room(root.path(), 20_000).unwrap();
        assert_eq!(all(), 10);
        make_room(root.path(), 8_000).unwrap();
        assert_eq!(all(), 5);
        assert!(!folders[0].exists() && folders[1].join(name(&(0..1000))).exists());
    }
}
