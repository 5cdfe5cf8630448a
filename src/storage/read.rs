//! Bytes of files. Local files are read by position from descriptors that stay open; other stores through their client.

use super::ObjectFile;
use super::fetch::fetch;
use crate::error::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, LazyLock};

/// Descriptors kept open; more are closed all at once.
const OPEN_FILES: usize = 128;

/// The bytes `range` of a file.
///
/// # Errors
/// `Storage`, naming the file, when it cannot be read or is not the file that was listed any more.
pub fn read_range(file: &ObjectFile, range: Range<u64>) -> Result<Bytes> {
    match is_local(&file.location) {
        true => read_local(file, &*open(file)?, range),
        false => read_remote(file, &[range])?
            .pop()
            .ok_or_else(|| Error::internal("one range gives one buffer")),
    }
}

/// The bytes of several ranges of a file. Stores that answer requests get near ranges in one; a local disk answers each
/// by itself, because a system call costs less than copying and holding what lies between.
pub fn read_ranges(file: &ObjectFile, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    if !is_local(&file.location) {
        return read_remote(file, ranges);
    }
    let open = open(file)?;
    ranges.iter().map(|r| read_local(file, &open, r.clone())).collect()
}

/// The whole file.
pub fn read_all(file: &ObjectFile) -> Result<Bytes> {
    read_range(file, 0..file.size)
}

/// Closes the descriptors of files at or below `prefix`: for a writer that replaced them.
pub fn forget_open_files(prefix: &str) {
    OPEN.lock().retain(|location, _| !location.starts_with(prefix));
}

pub(super) fn is_local(location: &str) -> bool {
    !location.contains("://")
}

static OPEN: LazyLock<Mutex<HashMap<Arc<str>, Arc<File>>>> = LazyLock::new(Default::default);

/// An open descriptor of the very file that was listed.
pub(super) fn open(file: &ObjectFile) -> Result<Arc<File>> {
    let cached = OPEN.lock().get(&file.location).cloned();
    if let Some(open) = cached
        && is_as_listed(file, &open).is_ok()
    {
        return Ok(open);
    }
    super::guard::check_local(&file.location)?;
    let open = File::open(file.location.as_ref()).map_err(|e| io_error(file, e))?;
    is_as_listed(file, &open)?;
    let open = Arc::new(open);
    let mut all = OPEN.lock();
    if all.len() >= OPEN_FILES {
        all.clear();
    }
    all.insert(file.location.clone(), open.clone());
    Ok(open)
}

fn is_as_listed(file: &ObjectFile, open: &File) -> Result<()> {
    let now = open.metadata().map_err(|e| io_error(file, e))?;
    let modified = now
        .mtime()
        .saturating_mul(1_000_000)
        .saturating_add(now.mtime_nsec() / 1000);
    if now.len() == file.size && modified == file.modified {
        return Ok(());
    }
    Err(changed(
        file,
        format!("it had {} bytes, now it has {}", file.size, now.len()),
    ))
}

pub(super) fn changed(file: &ObjectFile, what: impl std::fmt::Display) -> Error {
    Error::storage(format!("{} changed while it was read: {what}", file.location)).with_hint("run the statement again")
}

fn io_error(file: &ObjectFile, e: std::io::Error) -> Error {
    Error::storage(format!("{}: {e}", file.location))
}

fn read_local(file: &ObjectFile, open: &File, range: Range<u64>) -> Result<Bytes> {
    if range.start > range.end || range.end > file.size {
        return Err(outside(file, &range));
    }
    let length = (range.end - range.start) as usize;
    let bytes = read_at(open, range.start, length).map_err(|e| match e.kind() {
        ErrorKind::OutOfMemory => Error::resources(format!("{}: no memory for {length} bytes", file.location)),
        ErrorKind::UnexpectedEof => changed(file, format!("it ends before byte {}", range.end)),
        _ => io_error(file, e),
    })?;
    Ok(bytes.into())
}

/// `length` bytes of a file from `start` on, in memory that is not zeroed first.
pub(super) fn read_at(open: &File, start: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut buffer: Vec<u8> = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| ErrorKind::OutOfMemory)?;
    while buffer.len() < length {
        let at = start + buffer.len() as u64;
        match rustix::io::pread(open, spare_capacity(&mut buffer), at) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    buffer.truncate(length);
    Ok(buffer)
}

/// What is under way already, and the rest in as few requests as are good.
fn read_remote(file: &ObjectFile, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    if let Some(range) = ranges.iter().find(|r| r.start > r.end || r.end > file.size) {
        return Err(outside(file, range));
    }
    let fetches = fetch(file, ranges)?;
    let bytes = |range: &Range<u64>| match fetches.iter().find(|f| f.covers(range)) {
        Some(fetch) => fetch.bytes(range.clone()),
        // Only ranges without bytes are asked of nobody.
        None => Ok(Bytes::new()),
    };
    ranges.iter().map(bytes).collect()
}

fn outside(file: &ObjectFile, range: &Range<u64>) -> Error {
    Error::bad_file(format!(
        "{}: bytes {}..{} are wanted, the file has {}",
        file.location, range.start, range.end, file.size
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::list;
    use crate::storage::location::Location;
    use crate::storage::store::wait;
    use object_store::ObjectStoreExt;
    use std::io::Write;

    fn listed(path: &std::path::Path) -> ObjectFile {
        list(&Location::parse(path.to_str().unwrap()).unwrap())
            .unwrap()
            .remove(0)
    }

    #[test]
    fn ranges_are_read_by_position() {
        let mut temp = tempfile::NamedTempFile::new().unwrap();
        temp.write_all(b"0123456789").unwrap();
        let file = listed(temp.path());
        assert_eq!(read_range(&file, 2..5).unwrap(), "234");
        assert_eq!(read_range(&file, 10..10).unwrap(), "");
        assert_eq!(read_ranges(&file, &[0..1, 9..10]).unwrap(), ["0", "9"]);
        assert_eq!(read_all(&file).unwrap().len(), 10);
        assert!(read_range(&file, 5..11).is_err());
    }

    #[test]
    fn a_file_that_changed_is_an_error_that_names_it() {
        let mut temp = tempfile::NamedTempFile::new().unwrap();
        temp.write_all(b"0123456789").unwrap();
        let file = listed(temp.path());
        read_range(&file, 0..1).unwrap();
        temp.as_file().set_len(4).unwrap();
        let error = read_range(&file, 0..10).unwrap_err();
        assert!(error.message().contains(temp.path().to_str().unwrap()), "{error}");
        assert!(error.message().contains("changed"), "{error}");
    }

    #[test]
    fn other_stores_are_read_through_their_client() {
        let location = Location::parse("memory://bucket/read/x.txt").unwrap();
        wait(location.store.objects.put(&location.base_path, "hello".into()))
            .unwrap()
            .unwrap();
        let file = list(&Location::parse("memory://bucket/read").unwrap())
            .unwrap()
            .remove(0);
        assert_eq!(&*file.location, "memory://bucket/read/x.txt");
        assert_eq!(read_range(&file, 1..3).unwrap(), "el");
        assert_eq!(read_ranges(&file, &[0..1, 4..5]).unwrap(), ["h", "o"]);
        wait(location.store.objects.put(&location.base_path, "other".into()))
            .unwrap()
            .unwrap();
        assert!(read_all(&file).unwrap_err().message().contains("changed"));
    }
}
