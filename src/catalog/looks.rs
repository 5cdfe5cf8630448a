//! What looks into files found, kept for the process.
//!
//! ```text
//! found ─▶ young ──(full)──▶ old ──(young is full again)──▶ forgotten
//!            ▲────(used)───────┘
//! ```

use crate::error::Result;
use crate::format::{FileFormat, FileInfo, FormatEntry, Options};
use crate::storage::{ObjectFile, fetch, is_remote};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::resolve::in_parallel;

/// Identity of a file and of how it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LookKey {
    file: ObjectFile,
    format: &'static str,
    options: Arc<str>,
    sample: bool,
}

/// Bytes of each of the two generations: some 10,000 footers of ten columns.
const GENERATION: usize = 64 << 20;
/// Remote files that are looked at at the same time: what a look takes is waiting.
const LOOKS_IN_FLIGHT: usize = 64;
/// Bytes of a remote text in which its columns are found, most of the time.
const BEGINNING: u64 = 1 << 20;

static LOOKS: LazyLock<Mutex<Looks>> = LazyLock::new(Default::default);

#[derive(Debug, Default)]
struct Looks {
    young: HashMap<LookKey, Arc<FileInfo>>,
    old: HashMap<LookKey, Arc<FileInfo>>,
    bytes_young: usize,
}

impl Looks {
    fn get(&mut self, key: &LookKey) -> Option<Arc<FileInfo>> {
        if let Some(info) = self.young.get(key) {
            return Some(info.clone());
        }
        let info = self.old.remove(key)?;
        self.put(key.clone(), info.clone());
        Some(info)
    }

    fn put(&mut self, key: LookKey, info: Arc<FileInfo>) {
        let bytes = info.memory + key.file.location.len() + size_of::<(LookKey, FileInfo)>();
        if self.bytes_young + bytes > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.bytes_young = 0;
        }
        self.bytes_young += bytes;
        self.young.insert(key, info);
    }
}

/// What `FileFormat::inspect` says about each file, in order; files not seen before are looked at by several threads.
pub(super) fn inspect_all(
    entry: &FormatEntry,
    format: &Arc<dyn FileFormat>,
    options: &Options,
    files: &[ObjectFile],
    sample: bool,
    threads: usize,
) -> Result<Vec<Arc<FileInfo>>> {
    let options: Arc<str> = format!("{options:?}").into();
    let key = |file: &ObjectFile| LookKey {
        file: file.clone(),
        format: entry.name(),
        options: options.clone(),
        sample,
    };
    let mut infos: Vec<Option<Arc<FileInfo>>> = {
        let mut known = LOOKS.lock();
        files.iter().map(|f| known.get(&key(f))).collect()
    };
    let missing: Vec<(usize, &ObjectFile)> = files.iter().enumerate().filter(|(i, _)| infos[*i].is_none()).collect();
    let threads = match missing.iter().any(|(_, file)| is_remote(file)) {
        true => threads.max(LOOKS_IN_FLIGHT),
        false => threads,
    };
    let found = in_parallel(&missing, threads, |(_, file)| {
        // Text is looked at several times, from its beginning.
        let beginning = (sample && entry.name() != "PARQUET").then_some(0..file.size.min(BEGINNING));
        let _beginning = fetch(file, beginning.as_slice())?;
        format.inspect(file, sample).map(Arc::new)
    })?;
    let mut known = LOOKS.lock();
    for ((i, file), info) in missing.into_iter().zip(found) {
        known.put(key(file), info.clone());
        infos[i] = Some(info);
    }
    Ok(infos.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_by_its_bytes() {
        let mut looks = Looks::default();
        let key = |i: usize| LookKey {
            file: ObjectFile {
                location: format!("s3://b/{i}").into(),
                size: 1,
                modified: 2,
                etag: None,
            },
            format: "PARQUET",
            options: "".into(),
            sample: false,
        };
        let info = || {
            Arc::new(FileInfo {
                memory: 1 << 20,
                ..Default::default()
            })
        };
        for i in 0..1000 {
            looks.put(key(i), info());
            assert!(looks.get(&key(0)).is_some(), "what is used stays");
            assert!(looks.young.len() + looks.old.len() <= 2 * (GENERATION >> 20) + 1);
        }
        assert!(looks.get(&key(999)).is_some() && looks.get(&key(998)).is_some());
        assert!(looks.get(&key(1)).is_none());
    }
}
