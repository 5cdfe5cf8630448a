//! Files on their way into a folder: written, but not to be seen before they are published.
//!
//! ```text
//! on a disk             written below HOME/data,                    published by a rename
//! in a store, small     one object below HOME/data,                 published by a move
//! in a store, large     a multipart upload to its last name,        published by completing the upload
//!                       noted in HOME/upload-N.json
//! ```
//!
//! `HOME` is a folder of the statement's own with a name that listings leave out. An upload that is not completed cannot be
//! seen by anybody, so publishing large files moves no bytes. Publishing may be repeated, by whoever reads the manifest. An
//! upload whose process ended before it was noted is found by listing (`uploads.rs`), by the statement's id in its name; one of a
//! single file by who names that.
//!
//! Partitions of a table may be elsewhere than below its folder, on another disk or in another bucket even. Their files wait
//! where they shall be, in a home there, and a note in `HOME` tells where that is: `HOME/elsewhere-N.json`.

use super::elsewhere::{self, Place, Placement, home_elsewhere};
use super::folder::Folder;
use super::store::{spawn, wait};
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, ObjectStoreExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Stores take 10,000 parts: after so many they become larger.
const PARTS_OF_ONE_SIZE: usize = 1000;
/// Parts of one file that are being sent.
const PARTS_AHEAD: usize = 2;
/// Parts of all files that are being sent.
static SENDING: Semaphore = Semaphore::const_new(8);
/// Bytes of small files that are being sent.
const SENDING_BYTES: usize = 16 << 20;
/// Files that are published at the same time.
const PUBLISHING: usize = 64;
/// Where files wait, below the statement's folder.
const DATA: &str = "data";
/// What the notes of uploads are called.
const UPLOAD: &str = "upload-";

/// A file that was written and waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Where it shall be, below the root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The upload to complete; without one the file waits under `HOME/data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

/// A multipart upload of which all parts were sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: String,
    /// What the store calls each part, in order.
    pub parts: Vec<String>,
}

/// What is noted of an upload before its first part is sent, so that somebody else can abort it.
#[derive(Debug, Serialize, Deserialize)]
struct UploadNote {
    path: String,
    id: String,
}

/// The files of one statement.
#[derive(Debug)]
pub struct StagedFiles {
    root: Folder,
    /// The statement's own folder, below the root.
    home: String,
    /// The name of the only file, whatever its writer calls it.
    only: Option<String>,
    /// Bytes of a part. Files that are smaller need no upload.
    part_bytes: usize,
    placement: Option<Arc<dyn Placement>>,
    /// Files below other roots, by these.
    elsewhere: Mutex<BTreeMap<String, Arc<StagedFiles>>>,
    /// Files that were begun, here and elsewhere.
    begun: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<StagedFile>,
    /// The last small file: when it stays the only one, it needs no place to wait.
    small: Option<(String, Bytes)>,
    /// Small files on their way to where they wait, and their bytes.
    sending: VecDeque<(JoinHandle<Result<()>>, usize)>,
    sending_bytes: usize,
    notes: usize,
}

impl State {
    /// Waits for the oldest small file that is being sent.
    fn receive(&mut self) -> Result<()> {
        let Some((sending, size)) = self.sending.pop_front() else {
            return Ok(());
        };
        self.sending_bytes = self.sending_bytes.saturating_sub(size);
        wait(sending)?.map_err(|e| Error::internal(format!("a file that was being sent: {e}")))?
    }
}

impl StagedFiles {
    /// Files that shall be below `root` and wait in `home` below it. When there is to be one file only, `only` is its name.
    /// Uploads have parts of `part_bytes`.
    pub fn new(root: Folder, home: String, only: Option<String>, part_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            root,
            home,
            only,
            part_bytes,
            placement: None,
            elsewhere: Mutex::default(),
            begun: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// Files of which `placement` knows whether they shall be below `root`.
    pub fn placed(root: Folder, home: String, placement: Arc<dyn Placement>, part_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            root,
            home,
            only: None,
            part_bytes,
            placement: Some(placement),
            elsewhere: Mutex::default(),
            begun: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// The files below another root, where a home is noted for them.
    pub fn elsewhere(&self, root: &Folder) -> Result<Arc<Self>> {
        let location = root.shown("");
        let mut all = self.elsewhere.lock();
        if let Some(files) = all.get(&location) {
            return Ok(files.clone());
        }
        elsewhere::note(&self.root, &self.home, all.len() + 1, location.clone())?;
        let files = Arc::new(Self {
            root: root.clone(),
            home: home_elsewhere(&self.home),
            only: None,
            part_bytes: self.part_bytes,
            placement: None,
            elsewhere: Mutex::default(),
            begun: self.begun.clone(),
            state: Mutex::default(),
        });
        all.insert(location, files.clone());
        Ok(files)
    }

    /// The files below other roots.
    pub fn all_elsewhere(&self) -> Vec<Arc<Self>> {
        self.elsewhere.lock().values().cloned().collect()
    }

    /// The folder that the files shall be below.
    pub fn root(&self) -> &Folder {
        &self.root
    }

    /// The same files after their home was moved, with all that is in it, to be published below another root.
    pub fn moved(files: &Self, root: Folder, home: String) -> Result<Arc<Self>> {
        let moved = Self::new(root, home, None, files.part_bytes);
        moved.state.lock().files = files.seal()?;
        Ok(moved)
    }

    /// Opens a file that shall be at `path` below the root. Folders on the way are made.
    pub fn create(self: &Arc<Self>, path: &str) -> Result<FileWriter> {
        let path = path.trim_start_matches('/');
        let Some(placement) = &self.placement else {
            return self.create_here(self.only.as_deref().unwrap_or(path).to_string());
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let path = |folder: String| match folder.is_empty() {
            true => name.to_string(),
            false => format!("{folder}/{name}"),
        };
        match placement.place(folder)? {
            Place::Below(folder) => self.create_here(path(folder)),
            Place::Elsewhere(root, folder) => self.elsewhere(&root)?.create_here(path(folder)),
        }
    }

    fn create_here(self: &Arc<Self>, path: String) -> Result<FileWriter> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let shown = self.root.shown(&path);
        let to = match self.root.local() {
            Some(root) => {
                let place = root.join(self.waiting(&path));
                let named = |e: std::io::Error| Error::storage(format!("{}: {e}", place.display()));
                place.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(named)?;
                let file = File::create_new(&place).map_err(named)?;
                To::Disk { file, place }
            }
            None => To::Store {
                buffer: vec![],
                upload: None,
            },
        };
        Ok(FileWriter {
            files: self.clone(),
            path,
            shown,
            size: 0,
            to,
        })
    }

    /// Where a file waits, below the root.
    fn waiting(&self, path: &str) -> String {
        waiting(&self.home, path)
    }

    /// Whether files are on this machine's disk.
    pub fn is_local(&self) -> bool {
        self.root.local().is_some()
    }

    /// The folder on this machine's disk where files wait, if it is there.
    pub fn local_data(&self) -> Option<PathBuf> {
        Some(self.root.local()?.join(&self.home).join(DATA))
    }

    /// The folders that files were written for, each once: those below the root by their paths, others in full.
    pub fn folders(&self) -> Vec<String> {
        let mut folders = self.folders_here();
        for files in self.all_elsewhere() {
            folders.extend(files.folders_here().iter().map(|folder| files.root.shown(folder)));
        }
        folders
    }

    fn folders_here(&self) -> Vec<String> {
        let state = self.state.lock();
        let paths = state
            .files
            .iter()
            .map(|f| &f.path)
            .chain(state.small.as_ref().map(|(path, _)| path));
        let mut folders: Vec<String> = paths
            .map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_string())
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// How many files were written.
    pub fn count(&self) -> usize {
        let elsewhere: usize = self.all_elsewhere().iter().map(|files| files.count()).sum();
        let state = self.state.lock();
        elsewhere + state.files.len() + usize::from(state.small.is_some())
    }

    /// Publishes the only file in one step; only where [`count`](Self::count) says one.
    ///
    /// # Errors
    /// When it cannot be published, and then it is not.
    pub fn publish_only(&self, replace: bool) -> Result<()> {
        if let Some(files) = self.all_elsewhere().iter().find(|files| files.count() > 0) {
            return files.publish_only(replace);
        }
        let (small, files) = {
            let mut state = self.state.lock();
            (state.small.take(), std::mem::take(&mut state.files))
        };
        match (small, files.as_slice()) {
            (Some((path, content)), []) if replace => self.root.write(&path, content),
            (Some((path, content)), []) => match self.root.create(&path, content)? {
                true => Ok(()),
                false => Err(Error::conflict(format!("{} is there already", self.root.shown(&path)))),
            },
            (None, [_]) => {
                publish(&self.root, &self.home, &files)?;
                // Its upload is no more, and need not be aborted.
                let notes = (1..=self.state.lock().notes).map(|n| self.note_path(n));
                // The file is there: what is left of the notes is nobody's concern but of those who tidy up.
                let _ = self.root.delete(&notes.collect::<Vec<_>>());
                Ok(())
            }
            _ => Err(Error::internal("one file is published in one step, not several")),
        }
    }

    /// All files below the root, each in the place where it waits: what a manifest says.
    pub fn seal(&self) -> Result<Vec<StagedFile>> {
        let mut state = self.state.lock();
        if let Some((path, content)) = state.small.take() {
            self.send(&mut state, path, content)?;
        }
        while !state.sending.is_empty() {
            state.receive()?;
        }
        let mut files = state.files.clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// A small file is done. The first waits in memory until another comes; others are sent while the writer goes on.
    fn keep_small(&self, path: String, content: Bytes) -> Result<()> {
        let mut state = self.state.lock();
        let before = match state.small.take() {
            None if self.begun.load(Ordering::Relaxed) == 1 => {
                state.small = Some((path, content));
                return Ok(());
            }
            before => before,
        };
        for (path, content) in before.into_iter().chain([(path, content)]) {
            self.send(&mut state, path, content)?;
        }
        Ok(())
    }

    /// Sends a small file to where it waits.
    fn send(&self, state: &mut State, path: String, content: Bytes) -> Result<()> {
        let size = content.len();
        while state.sending_bytes + size > SENDING_BYTES && !state.sending.is_empty() {
            state.receive()?;
        }
        let (root, to) = (self.root.clone(), self.waiting(&path));
        let sending = async move { root.put(&to, content).await };
        state.sending.push_back((spawn(sending)?, size));
        state.sending_bytes += size;
        state.files.push(StagedFile {
            path,
            size: size as u64,
            upload: None,
        });
        Ok(())
    }

    /// Notes an upload so that it can be aborted by somebody who knows the folder only.
    fn note(&self, path: &str, id: &str) -> Result<()> {
        let number = {
            let mut state = self.state.lock();
            state.notes += 1;
            state.notes
        };
        let note = UploadNote {
            path: path.into(),
            id: id.into(),
        };
        let text = serde_json::to_vec(&note).map_err(|e| Error::internal(format!("note of an upload: {e}")))?;
        self.root.write(&self.note_path(number), text.into())
    }

    fn note_path(&self, number: usize) -> String {
        format!("{}/{UPLOAD}{number:05}.json", self.home)
    }

    /// Publishes all files, and removes what is left of the write.
    pub fn publish(&self) -> Result<()> {
        publish(&self.root, &self.home, &self.seal()?)?;
        self.discard()
    }

    /// Removes all that was written.
    pub fn discard(&self) -> Result<()> {
        self.all_elsewhere().iter().for_each(|files| files.wait_for_sending());
        self.wait_for_sending();
        discard(&self.root, &self.home)
    }

    fn wait_for_sending(&self) {
        let mut state = self.state.lock();
        while !state.sending.is_empty() {
            // What was not sent need not be removed.
            let _ = state.receive();
        }
    }
}

fn waiting(home: &str, path: &str) -> String {
    format!("{home}/{DATA}/{path}")
}

/// Makes files visible that wait in `home` below `root`. Those that are visible stay so.
///
/// # Errors
/// `Storage`, naming the file, when one is neither waiting nor published.
pub fn publish(root: &Folder, home: &str, files: &[StagedFile]) -> Result<()> {
    let (uploaded, waiting_files): (Vec<_>, Vec<_>) = files.iter().partition(|f| f.upload.is_some());
    let moves: Vec<(String, String)> = waiting_files
        .iter()
        .map(|f| (waiting(home, &f.path), f.path.clone()))
        .collect();
    if let Some(root) = root.local() {
        make_folders(root, &moves)?;
    }
    root.rename(&moves)?;
    let complete = |file: &&StagedFile| complete(root.clone(), (*file).clone());
    wait(
        stream::iter(uploaded.iter().map(complete))
            .buffer_unordered(PUBLISHING)
            .try_collect::<Vec<_>>(),
    )??;
    Ok(())
}

/// Makes the folders that files are moved to.
fn make_folders(root: &std::path::Path, moves: &[(String, String)]) -> Result<()> {
    for (_, to) in moves {
        let path = root.join(to);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.map_err(|e| Error::storage(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}

async fn complete(root: Folder, file: StagedFile) -> Result<()> {
    let (Some(upload), Some(uploads)) = (&file.upload, root.store.uploads.clone()) else {
        return Err(Error::internal("a store without uploads has none to complete"));
    };
    let key = root.key(&file.path);
    let parts = upload.parts.iter().map(|id| PartId { content_id: id.clone() });
    let done = uploads.complete_multipart(&key, &upload.id, parts.collect()).await;
    let Err(error) = done else { return Ok(()) };
    // It may have been completed before: by this request, whose reply was lost, or by somebody else.
    match root.store.objects.head(&key).await {
        Ok(meta) if meta.size == file.size => Ok(()),
        Ok(_) | Err(object_store::Error::NotFound { .. }) => {
            Err(super::list::store_error(&root.shown(&file.path), error))
        }
        Err(_) => Err(root.unknown(&file.path, error)),
    }
}

/// Removes what is in `home` below `root`, and aborts the uploads that are noted there. The same in the other folders that
/// are noted there.
pub fn discard(root: &Folder, home: &str) -> Result<()> {
    let all = root.list(home)?;
    let is_note = |path: &str| {
        let upload = path.rsplit('/').next().is_some_and(|name| name.starts_with(UPLOAD));
        upload || elsewhere::is_note(path)
    };
    let notes: Vec<String> = all
        .iter()
        .map(|o| o.path.clone())
        .filter(|path| is_note(path))
        .collect();
    for note in &notes {
        if elsewhere::is_note(note) {
            elsewhere::discard_noted(root, home, note)?;
            continue;
        }
        if let Some(content) = root.read(note)?
            && let Ok(note) = serde_json::from_slice::<UploadNote>(&content)
            && !is_completed(root, home, &note)?
        {
            root.abort_upload(&note.path, &note.id)?;
        }
    }
    // The notes last: a removal that is interrupted can be repeated.
    let (notes, others): (Vec<_>, Vec<_>) = all.into_iter().map(|o| o.path).partition(|path| is_note(path));
    root.delete(&others)?;
    root.delete(&notes)?;
    if let Some(local) = root.local() {
        let _ = std::fs::remove_dir_all(local.join(home));
    }
    Ok(())
}

/// The ids of the uploads that are noted in `home` below `root`.
pub fn noted_uploads(root: &Folder, home: &str) -> Result<Vec<String>> {
    let mut ids = vec![];
    for object in root.list(home)? {
        if let Some(content) = root.read(&object.path)?
            && let Ok(note) = serde_json::from_slice::<UploadNote>(&content)
        {
            ids.push(note.id);
        }
    }
    Ok(ids)
}

/// Whether an upload of a write was completed: the names of its files carry its id and are used once. A single file has the
/// name that was asked for, which tells nothing.
fn is_completed(root: &Folder, home: &str, note: &UploadNote) -> Result<bool> {
    let id = home.rsplit(['/', '-']).next().unwrap_or(home);
    Ok(note.path.contains(id) && root.head(&note.path)?.is_some())
}

/// A file being written.
#[derive(Debug)]
pub struct FileWriter {
    files: Arc<StagedFiles>,
    path: String,
    shown: String,
    size: u64,
    to: To,
}

#[derive(Debug)]
enum To {
    Disk {
        file: File,
        place: PathBuf,
    },
    Store {
        buffer: Vec<u8>,
        upload: Option<OpenUpload>,
    },
}

/// An upload of which parts are being sent.
struct OpenUpload {
    uploads: Arc<dyn MultipartStore>,
    key: Path,
    id: MultipartId,
    sending: VecDeque<JoinHandle<object_store::Result<PartId>>>,
    parts: Vec<String>,
}

impl std::fmt::Debug for OpenUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenUpload({}, {} parts)", self.key, self.parts.len())
    }
}

impl FileWriter {
    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file's location once it is published.
    pub fn location(&self) -> &str {
        &self.shown
    }

    /// Ends the file and waits until it is safe. Gives its bytes. Nothing can be written after it.
    pub fn finish(&mut self) -> Result<u64> {
        let named = |e: std::io::Error| Error::storage(format!("{}: {e}", self.shown));
        let path = self.path.clone();
        let upload = match &mut self.to {
            To::Disk { file, place } => {
                file.sync_all()
                    .map_err(|e| Error::storage(format!("{}: {e}", place.display())))?;
                None
            }
            To::Store { buffer, upload: None } => {
                self.files.keep_small(path, std::mem::take(buffer).into())?;
                return Ok(self.size);
            }
            To::Store {
                buffer,
                upload: Some(upload),
            } => {
                if !buffer.is_empty() {
                    upload.send(std::mem::take(buffer).into()).map_err(named)?;
                }
                while !upload.sending.is_empty() {
                    upload.receive().map_err(named)?;
                }
                Some(Upload {
                    id: upload.id.clone(),
                    parts: std::mem::take(&mut upload.parts),
                })
            }
        };
        self.files.state.lock().files.push(StagedFile {
            path,
            size: self.size,
            upload,
        });
        Ok(self.size)
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let before = self.size;
        let written = match &mut self.to {
            To::Disk { file, place } => file.write_all(bytes).map_err(|e| {
                let text = format!("{}: writing {} bytes after {before}: {e}", place.display(), bytes.len());
                std::io::Error::new(e.kind(), text)
            }),
            To::Store { buffer, upload } => {
                buffer.extend_from_slice(bytes);
                let sent = upload.as_ref().map_or(0, OpenUpload::begun);
                let part = self.files.part_bytes * (1 + sent / PARTS_OF_ONE_SIZE);
                match (buffer.len() >= part, &self.files.root.store.uploads) {
                    (true, Some(uploads)) => {
                        let upload = match upload {
                            Some(upload) => upload,
                            none => none.insert(OpenUpload::begin(&self.files, &self.path, uploads)?),
                        };
                        upload.send(std::mem::take(buffer).into())
                    }
                    // A store without uploads gets the file in one piece.
                    _ => Ok(()),
                }
            }
        };
        self.size += bytes.len() as u64;
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl OpenUpload {
    fn begin(files: &StagedFiles, path: &str, uploads: &Arc<dyn MultipartStore>) -> std::io::Result<Self> {
        let key = files.root.key(path);
        let id = wait(uploads.create_multipart(&key)).map_err(std::io::Error::other)??;
        if let Err(e) = files.note(path, &id) {
            let _ = wait(uploads.abort_multipart(&key, &id));
            return Err(std::io::Error::other(e));
        }
        Ok(Self {
            uploads: uploads.clone(),
            key,
            id,
            sending: VecDeque::new(),
            parts: vec![],
        })
    }

    /// Parts that were sent or are being sent.
    fn begun(&self) -> usize {
        self.parts.len() + self.sending.len()
    }

    fn send(&mut self, part: Bytes) -> std::io::Result<()> {
        if self.sending.len() >= PARTS_AHEAD {
            self.receive()?;
        }
        let (uploads, key, id, number) = (self.uploads.clone(), self.key.clone(), self.id.clone(), self.begun());
        let sending = async move {
            // The semaphore is never closed, so there is always a permit to come.
            let _permit = SENDING.acquire().await;
            uploads.put_part(&key, &id, number, part.into()).await
        };
        self.sending.push_back(spawn(sending).map_err(std::io::Error::other)?);
        Ok(())
    }

    /// Waits for the oldest part.
    fn receive(&mut self) -> std::io::Result<()> {
        if let Some(oldest) = self.sending.pop_front() {
            let part = wait(oldest)
                .map_err(std::io::Error::other)?
                .map_err(std::io::Error::other)??;
            self.parts.push(part.content_id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Folder) -> Vec<String> {
        root.list("").unwrap().into_iter().map(|o| o.path).collect()
    }

    #[test]
    fn files_large_and_small_are_seen_when_published() {
        let root = Folder::parse("memory://staged/t").unwrap();
        let files = StagedFiles::new(root.clone(), "_txn/1".into(), None, 1 << 20);
        let large = vec![7u8; (2 << 20) + 5];
        for (name, content) in [("p=1/a", &b"small"[..]), ("b", &large), ("c", b"")] {
            let mut writer = files.create(name).unwrap();
            content
                .chunks(1 << 20)
                .for_each(|piece| writer.write_all(piece).unwrap());
            assert_eq!(writer.finish().unwrap(), content.len() as u64);
        }
        assert_eq!(files.folders(), ["", "p=1"]);
        let staged = files.seal().unwrap();
        assert_eq!(
            names(&root),
            ["_txn/1/data/c", "_txn/1/data/p=1/a", "_txn/1/upload-00001.json"]
        );
        publish(&root, "_txn/1", &staged).unwrap();
        publish(&root, "_txn/1", &staged).unwrap();
        discard(&root, "_txn/1").unwrap();
        assert_eq!(names(&root), ["b", "c", "p=1/a"]);
        assert_eq!(root.read("b").unwrap().unwrap(), large);
    }

    #[test]
    fn what_is_discarded_leaves_nothing() {
        let root = Folder::parse("memory://staged/discarded").unwrap();
        let files = StagedFiles::new(root.clone(), "_txn/1".into(), None, 1 << 20);
        let mut writer = files.create("large").unwrap();
        writer.write_all(&vec![7u8; 1 << 20]).unwrap();
        drop(writer);
        assert_eq!(names(&root).len(), 1);
        files.discard().unwrap();
        assert_eq!(names(&root).len(), 0);
    }

    #[test]
    fn the_only_file_goes_to_its_place_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for root in [dir.path().to_str().unwrap(), "memory://staged/only"] {
            let root = Folder::parse(root).unwrap();
            let files = StagedFiles::new(root.clone(), ".x".into(), Some("out.csv".into()), 1 << 20);
            let mut writer = files.create("whatever").unwrap();
            writer.write_all(b"1").unwrap();
            writer.finish().unwrap();
            files.publish_only(true).unwrap();
            files.discard().unwrap();
            assert_eq!(names(&root), ["out.csv"]);
        }
    }
}
