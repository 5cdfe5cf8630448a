//! Credentials that are fetched when they are first needed and again before they expire.

use super::super::errors::as_store_error;
use crate::error::Result;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use object_store::CredentialProvider;
use std::fmt;
use std::sync::Arc;

/// Temporary credentials are fetched again when they end sooner than this …
const REFRESH_BEFORE: TimeDelta = TimeDelta::minutes(5);
/// … or, when that fails, are used until this long before their end.
const USED_UNTIL: TimeDelta = TimeDelta::seconds(20);

/// A credential and when it ends.
pub(in crate::storage) struct Fetched<T> {
    pub credential: Arc<T>,
    pub expires: Option<DateTime<Utc>>,
}

impl<T> Clone for Fetched<T> {
    fn clone(&self) -> Self {
        Self {
            credential: self.credential.clone(),
            expires: self.expires,
        }
    }
}

impl<T> Fetched<T> {
    fn lasts(&self, margin: TimeDelta) -> bool {
        self.expires.is_none_or(|end| Utc::now() + margin < end)
    }
}

/// Where credentials are fetched.
pub(in crate::storage) trait Fetch<T>: Send + Sync {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<T>>>;
}

/// The credentials of a store, shared by all of its requests.
pub(in crate::storage) struct Cached<T> {
    source: Box<dyn Fetch<T>>,
    // One request fetches, the others wait for what it gets.
    last: tokio::sync::Mutex<Option<Fetched<T>>>,
}

impl<T: Send + Sync> Cached<T> {
    pub fn new(source: impl Fetch<T> + 'static) -> Self {
        Self {
            source: Box::new(source),
            last: Default::default(),
        }
    }

    pub async fn current(&self) -> Result<Fetched<T>> {
        let mut last = self.last.lock().await;
        if let Some(fresh) = last.as_ref().filter(|l| l.lasts(REFRESH_BEFORE)) {
            return Ok(fresh.clone());
        }
        match (self.source.fetch().await, last.as_ref()) {
            (Ok(fetched), _) => Ok(last.insert(fetched).clone()),
            (Err(_), Some(old)) if old.lasts(USED_UNTIL) => Ok(old.clone()),
            (Err(e), _) => Err(e),
        }
    }
}

impl<T> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cached(******)")
    }
}

#[async_trait::async_trait]
impl<T: fmt::Debug + Send + Sync + 'static> CredentialProvider for Cached<T> {
    type Credential = T;

    async fn get_credential(&self) -> object_store::Result<Arc<T>> {
        let fetched = self.current().await.map_err(as_store_error)?;
        Ok(fetched.credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::storage::store::wait;
    use parking_lot::Mutex;

    /// Gives what lasts so many seconds, or fails.
    struct Script(Mutex<Vec<Option<i64>>>);

    impl Fetch<i64> for Script {
        fn fetch(&self) -> BoxFuture<'_, Result<Fetched<i64>>> {
            let next = self.0.lock().pop().flatten();
            Box::pin(async move {
                let seconds = next.ok_or_else(|| Error::storage("no"))?;
                let expires = Some(Utc::now() + TimeDelta::seconds(seconds));
                Ok(Fetched {
                    credential: Arc::new(seconds),
                    expires,
                })
            })
        }
    }

    #[test]
    fn credentials_are_fetched_again_before_they_end() {
        // Popped from the end.
        let script = vec![Some(4000), None, None, Some(100), Some(3000)];
        let cached = Cached::new(Script(Mutex::new(script)));
        let next = || wait(cached.current()).unwrap().map(|f| *f.credential);
        assert_eq!(next().unwrap(), 3000);
        assert_eq!(next().unwrap(), 3000);
        let short = Cached::new(Script(Mutex::new(vec![Some(4000), None, Some(100)])));
        let next = || wait(short.current()).unwrap().map(|f| *f.credential);
        assert_eq!(next().unwrap(), 100);
        // It ends in less than five minutes: asked again, refused, and still used.
        assert_eq!(next().unwrap(), 100);
        assert_eq!(next().unwrap(), 4000);
        let never = Cached::new(Script(Mutex::new(vec![None])));
        assert!(wait(never.current()).unwrap().is_err());
    }
}
