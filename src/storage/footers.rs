//! Footers of remote files on the local disk, where the setting `metadata_cache_dir` names a folder.
//!
//! ```text
//! IDENTITY.footer:   CRC-32 of the rest │ identity (32 bytes) │ footer
//! ```
//!
//! The identity is that of [`super::identity`]: another version of a file is another file. Files appear by one rename. What is
//! damaged, or cannot be read or written, counts as not there: the store has it all.

use super::ObjectFile;
use super::identity::{hexadecimal, identity};
use super::store::settings;
use bytes::Bytes;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// Bytes of all footers; when they are more, the oldest go.
const MOST: u64 = 512 << 20;
/// Footers written between two looks at how many bytes there are.
const BETWEEN_LOOKS: usize = 256;
/// Checksum and identity.
const HEAD: usize = 4 + 32;
const EXTENSION: &str = "footer";

/// The footer of a remote file, if this disk has it.
pub fn cached_footer(file: &ObjectFile) -> Option<Bytes> {
    let (path, identity) = place(file)?;
    let bytes = Bytes::from(std::fs::read(path).ok()?);
    let checksum = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let whole = crc32fast::hash(bytes.get(4..)?) == checksum;
    (whole && bytes.get(4..HEAD)? == identity).then(|| bytes.slice(HEAD..))
}

/// Keeps the footer of a remote file.
pub fn cache_footer(file: &ObjectFile, footer: &[u8]) {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let Some((path, identity)) = place(file) else { return };
    let Some(folder) = path.parent() else { return };
    let rest = [&identity, footer].concat();
    let write = || -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(&crc32fast::hash(&rest).to_le_bytes())?;
        temporary.write_all(&rest)?;
        temporary.persist(&path)?;
        Ok(())
    };
    if write().is_ok() && WRITTEN.fetch_add(1, Ordering::Relaxed).is_multiple_of(BETWEEN_LOOKS) {
        let _ = make_room(folder, MOST);
    }
}

/// Where the footer is, when footers are kept, and the file's identity.
fn place(file: &ObjectFile) -> Option<(PathBuf, [u8; 32])> {
    let folder = settings().metadata_cache_dir?;
    let identity = identity(file)?;
    let path = Path::new(&folder)
        .join(hexadecimal(&identity))
        .with_extension(EXTENSION);
    Some((path, identity))
}

/// Removes the oldest footers until a quarter of `most` is free.
fn make_room(folder: &Path, most: u64) -> std::io::Result<()> {
    let mut footers: Vec<(SystemTime, u64, PathBuf)> = vec![];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|e| e == EXTENSION)
            && let Ok(about) = entry.metadata()
        {
            footers.push((about.modified()?, about.len(), path));
        }
    }
    let mut bytes: u64 = footers.iter().map(|(_, bytes, _)| bytes).sum();
    if bytes <= most {
        return Ok(());
    }
    footers.sort();
    for (_, length, path) in footers {
        if bytes <= most / 4 * 3 {
            break;
        }
        std::fs::remove_file(path)?;
        bytes -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_footers_go() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..10u64 {
            let path = folder.path().join(format!("{i}.footer"));
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - i))
                .unwrap();
        }
        std::fs::write(folder.path().join("other"), [0; 5000]).unwrap();
        make_room(folder.path(), 1000).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 11);
        make_room(folder.path(), 800).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 7);
        assert!(folder.path().join("0.footer").exists() && !folder.path().join("9.footer").exists());
    }
}
