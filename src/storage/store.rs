//! The stores behind the schemes, each made once, and the runtime that their `async` calls run on.

use super::clients;
use super::location::Scheme;
use super::uploads::ListUploads;
use super::wire::counted;
use crate::config::StoreSettings;
use crate::error::{Error, Result};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, OnceLock};

/// Where objects are kept: a disk, a bucket, a host. What can be done with one depends on its kind.
pub(crate) struct Store {
    /// What precedes the slash before a path: `s3://bucket`; empty for a local disk.
    pub(crate) url: String,
    pub(super) scheme: Scheme,
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// For uploads in parts that become visible when they are completed; a local disk has none.
    pub(crate) uploads: Option<Arc<dyn MultipartStore>>,
    /// Tells which uploads are open, where a store can.
    pub(super) listing: Option<Arc<dyn ListUploads>>,
    /// Who we are there, for stores that ask.
    pub(super) account: Option<Account>,
}

/// Where a store is reached and as whom.
pub(super) struct Account {
    /// `https://s3.eu-west-1.amazonaws.com`
    pub endpoint: String,
    pub region: Option<String>,
    /// Where the credentials come from, in words.
    pub from: String,
    /// What gives the credentials, when it can tell about them without giving them away.
    pub credentials: Option<Arc<dyn Describe>>,
}

/// Credentials that tell about themselves.
pub(super) trait Describe: Send + Sync {
    /// The shortened key, and when it ends.
    fn describe(&self) -> futures::future::BoxFuture<'_, Result<(String, Option<String>)>>;
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Clients may hold secrets; the name says all that a reader needs.
        write!(f, "Store({})", self.url)
    }
}

impl Store {
    pub(super) fn new(
        url: impl Into<String>,
        scheme: Scheme,
        objects: Arc<dyn ObjectStore>,
        uploads: Option<Arc<dyn MultipartStore>>,
    ) -> Arc<Self> {
        let url = url.into();
        Arc::new(Self {
            url,
            scheme,
            objects,
            uploads,
            listing: None,
            account: None,
        })
    }

    /// The same with what lists its uploads.
    pub(super) fn with_listing(mut self: Arc<Self>, listing: Arc<dyn ListUploads>) -> Arc<Self> {
        if let Some(store) = Arc::get_mut(&mut self) {
            store.listing = Some(listing);
        }
        self
    }

    /// The same with what a client knows about who it is.
    pub(super) fn with_account(mut self: Arc<Self>, account: Account) -> Arc<Self> {
        if let Some(store) = Arc::get_mut(&mut self) {
            store.account = Some(account);
        }
        self
    }

    /// The canonical spelling of the location of a path in this store.
    pub(crate) fn location_of(&self, path: &object_store::path::Path) -> String {
        match self.scheme {
            Scheme::Local => format!("/{path}"),
            _ if path.is_root() => self.url.clone(),
            Scheme::Http => self.http_location_of(path),
            _ => format!("{}/{path}", self.url),
        }
    }
}

impl Store {
    /// The path with the escapes that URLs need.
    fn http_location_of(&self, path: &object_store::path::Path) -> String {
        let Ok(mut url) = url::Url::parse(&self.url) else {
            return format!("{}/{path}", self.url);
        };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(path.parts().map(|p| p.as_ref().to_string()));
        }
        url.into()
    }
}

/// Stores by what precedes the slash before a path.
static STORES: LazyLock<RwLock<HashMap<String, Arc<Store>>>> = LazyLock::new(Default::default);
/// The same, put there by a caller.
static REGISTERED: LazyLock<RwLock<HashMap<String, Arc<Store>>>> = LazyLock::new(Default::default);

static SETTINGS: LazyLock<RwLock<StoreSettings>> = LazyLock::new(Default::default);

/// Sets how stores are reached from now on, in the whole process. Stores in use are made anew when something changed.
pub fn configure(settings: &StoreSettings) {
    if *SETTINGS.read() == *settings {
        return;
    }
    let mut current = SETTINGS.write();
    *current = settings.clone();
    STORES.write().retain(|_, store| store.scheme == Scheme::Memory);
}

/// How stores are reached.
pub(super) fn settings() -> StoreSettings {
    SETTINGS.read().clone()
}

/// Puts a store of the caller's own behind all locations that start with `prefix`: a scheme and what stands before the
/// next slash, such as `s3://bucket` or `mine://x`. A store that was registered for it before is replaced.
///
/// `uploads` is for writing: parts are uploaded and become visible at once when the upload is completed. Without it only
/// single requests write.
///
/// # Errors
/// `Plan` when the prefix is not of that form, or would hide the local disk.
pub fn register_store(
    prefix: &str,
    objects: Arc<dyn ObjectStore>,
    uploads: Option<Arc<dyn MultipartStore>>,
) -> Result<()> {
    let url = registered_url(prefix)?;
    let store = Store::new(url.clone(), Scheme::Registered, objects, uploads);
    REGISTERED.write().insert(url, store);
    Ok(())
}

/// Says how the uploads are listed that are open in a store of the caller's own, so that those which a process that died
/// left behind can be aborted.
///
/// # Errors
/// `Plan` when no such store is registered.
pub fn register_upload_listing(prefix: &str, listing: Arc<dyn ListUploads>) -> Result<()> {
    let url = registered_url(prefix)?;
    let mut all = REGISTERED.write();
    let Some(store) = all.get(&url) else {
        return Err(Error::plan(format!("no store is registered for {prefix}")));
    };
    let store = Store::new(
        url.clone(),
        Scheme::Registered,
        store.objects.clone(),
        store.uploads.clone(),
    );
    all.insert(url, store.with_listing(listing));
    Ok(())
}

/// The canonical spelling of a prefix that a caller may register a store for.
fn registered_url(prefix: &str) -> Result<String> {
    let wrong = || Error::plan(format!("\"{prefix}\" is not a scheme and a name, such as s3://bucket"));
    let (scheme, name) = prefix.trim_end_matches('/').split_once("://").ok_or_else(wrong)?;
    let fits = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !fits || name.is_empty() || name.contains('/') || scheme.eq_ignore_ascii_case("file") {
        return Err(wrong());
    }
    Ok(format!("{}://{name}", Scheme::canonical(&scheme.to_lowercase())))
}

/// The store that a caller registered for a canonical prefix.
pub(super) fn registered(url: &str) -> Option<Arc<Store>> {
    REGISTERED.read().get(url).cloned()
}

/// The store of the local disk.
pub(super) fn local() -> Arc<Store> {
    static LOCAL: LazyLock<Arc<Store>> = LazyLock::new(|| {
        Store::new(
            "",
            Scheme::Local,
            Arc::new(LocalFileSystem::new().with_fsync(true)),
            None,
        )
    });
    LOCAL.clone()
}

/// The store for a scheme and what stands between it and the path: a bucket, a container, a host. Made at first use. `url` is
/// what it is known by: that of a file over HTTP that has credentials in its location is one of its own.
///
/// # Errors
/// `Storage` when its client cannot be made: credentials or settings that do not fit each other.
pub(super) fn remote(scheme: Scheme, url: &str, name: &str) -> Result<Arc<Store>> {
    if let Some(store) = STORES.read().get(url) {
        return Ok(store.clone());
    }
    let store = make(scheme, url, name).map_err(|e| e.context(url))?;
    Ok(STORES.write().entry(url.to_string()).or_insert(store).clone())
}

/// The one match on schemes.
fn make(scheme: Scheme, url: &str, name: &str) -> Result<Arc<Store>> {
    match scheme {
        Scheme::Local => Ok(local()),
        Scheme::Memory => {
            let memory = Arc::new(InMemory::new());
            Ok(Store::new(url, scheme, memory.clone(), Some(memory)))
        }
        Scheme::S3 => clients::s3(url, name, &settings()),
        Scheme::Gcs => clients::gcs(url, name, &settings()),
        Scheme::Azure => clients::azure(url, name, &settings()),
        Scheme::Http => clients::http(url, name, &settings()),
        Scheme::Registered => Err(Error::storage("no store is registered for it")),
    }
}

/// The runtime of all requests. Only remote stores and listings use it, and only then is it started.
pub(super) fn runtime() -> Result<&'static tokio::runtime::Runtime> {
    static RUNTIME: OnceLock<std::io::Result<tokio::runtime::Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(io_threads())
            .max_blocking_threads(8)
            .thread_name("lakebed-io")
            .enable_all()
            .build()
    });
    runtime
        .as_ref()
        .map_err(|e| Error::storage(format!("cannot start the threads for reading: {e}")))
}

/// One thread takes in a gigabyte per second or more, and half of that with decryption; the cores are needed for decoding.
fn io_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 4).clamp(1, 8))
}

/// Runs a future beside the workers.
pub(super) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<tokio::task::JoinHandle<T>> {
    Ok(runtime()?.spawn(future))
}

/// Runs a store's future to its end. Must not be called from a thread of the runtime itself, which only this room has.
pub(super) fn wait<F: Future>(future: F) -> Result<F::Output> {
    Ok(runtime()?.block_on(counted(future)))
}
