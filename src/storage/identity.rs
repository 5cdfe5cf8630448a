//! Which bytes a remote file stands for, so that what was read of it can be kept.

use super::location::Location;
use super::{ObjectFile, is_remote};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds after which a time of change, which stores give in whole seconds, tells two versions apart: RFC 9110 §8.8.2.2
/// asks for one second, and clocks differ.
const SETTLED: i64 = 60_000_000;

/// Whether bytes of the file may be kept for who sees the same file in a listing: it has a tag, or was not changed for a while.
pub(super) fn is_settled(file: &ObjectFile) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    file.etag.is_some() || i64::try_from(now.as_micros()).is_ok_and(|now| now.saturating_sub(file.modified) > SETTLED)
}

/// The hash of endpoint, location, size, time and tag of a remote file whose bytes may be kept: another version of a file is
/// another file, and locations, which may have a signature, are not told.
pub(super) fn identity(file: &ObjectFile) -> Option<[u8; 32]> {
    if !is_remote(file) || !is_settled(file) {
        return None;
    }
    let store = Location::exact(&file.location).ok()?.store;
    let endpoint = store.account.as_ref().map_or("", |account| &account.endpoint);
    let tag = file.etag.as_deref().unwrap_or_default();
    let identity = format!("{endpoint}\n{}\n{}\n{}\n{tag}", file.location, file.size, file.modified);
    Some(Sha256::digest(identity.as_bytes()).into())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_a_tag_or_is_a_minute_old() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let file = |ago: i64, tag: Option<&str>| ObjectFile {
            location: "memory://b/x".into(),
            size: 1,
            modified: now - ago * 1_000_000,
            etag: tag.map(Into::into),
        };
        for (ago, tag, settled) in [
            (0, Some("1"), true),
            (0, None, false),
            (50, None, false),
            (-100, None, false),
            (70, None, true),
        ] {
            assert_eq!(is_settled(&file(ago, tag)), settled, "{ago} {tag:?}");
            assert_eq!(identity(&file(ago, tag)).is_some(), settled);
        }
        assert_ne!(identity(&file(70, None)), identity(&file(71, None)));
        assert_ne!(identity(&file(70, None)), identity(&file(70, Some("1"))));
    }
}
