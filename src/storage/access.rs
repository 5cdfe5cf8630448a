//! What a location over HTTP says besides where a file is: a user and a password (`https://user:password@host/x.csv`), or
//! parameters, which may be a signature (`https://host/x.csv?X-Amz-Signature=…`).
//!
//! Nothing of it is shown. From where the location is read on, it is called `https://…@host/x.csv`, in errors, plans, `$path`
//! and wherever else, and this process alone knows what that stands for.

use crate::error::{Error, Result, without_secrets};
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// What stands for the secrets of a location; a number follows when one file is named with several.
const MARK: char = '…';

/// Secrets by how their locations are shown.
static KNOWN: LazyLock<RwLock<HashMap<String, Access>>> = LazyLock::new(Default::default);
/// Locations with secrets, as they were written.
static WRITTEN: LazyLock<RwLock<HashSet<String>>> = LazyLock::new(Default::default);

/// The secrets of a location.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// With escapes, as it was written.
    pub query: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
}

/// A location over HTTP.
pub(super) struct Address {
    /// How it may be shown, and what its secrets are known by.
    pub shown: String,
    /// Without anything secret.
    pub plain: url::Url,
}

impl Address {
    /// # Errors
    /// When the text is no URL, or stands for secrets that this process does not know.
    pub fn read(text: &str) -> Result<Self> {
        let (known, text) = match unmarked(text) {
            Some(plain) if KNOWN.read().contains_key(text) => (Some(text), plain),
            Some(_) => {
                return Err(
                    Error::plan(format!("the credentials of {} are not known", without_secrets(text)))
                        .with_hint("write the location with its credentials again"),
                );
            }
            None => (None, text.to_string()),
        };
        let mut url = url::Url::parse(&text).map_err(|e| Error::plan(format!("not a location: {e}")))?;
        let decoded = |text: &str| percent_decoded(text);
        let access = Access {
            query: url.query().filter(|q| !q.is_empty()).map(str::to_string),
            user: Some(decoded(url.username())).filter(|user| !user.is_empty()),
            password: url.password().map(decoded),
        };
        url.set_query(None);
        url.set_fragment(None);
        // Only addresses without a host have no place for them.
        let _ = (url.set_username(""), url.set_password(None));
        let none = access.query.is_none() && access.user.is_none() && access.password.is_none();
        let shown = match known {
            Some(shown) => shown.to_string(),
            None if none => url.to_string(),
            None => {
                WRITTEN.write().insert(text);
                remember(&url, access)
            }
        };
        Ok(Self { shown, plain: url })
    }

    /// Whether there are secrets.
    pub fn has_secrets(&self) -> bool {
        unmarked(&self.shown).is_some()
    }
}

/// The text without the mark, when it has one.
fn unmarked(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (number, rest) = rest.strip_prefix(MARK)?.split_once('@')?;
    number
        .chars()
        .all(|c| c.is_ascii_digit())
        .then(|| format!("{scheme}://{rest}"))
}

/// The name under which secrets are known from now on.
fn remember(url: &url::Url, access: Access) -> String {
    let plain = url.to_string();
    let (scheme, rest) = plain.split_once("://").unwrap_or(("", &plain));
    let mut known = KNOWN.write();
    let mut number = 1;
    loop {
        let suffix = if number == 1 { String::new() } else { number.to_string() };
        let shown = format!("{scheme}://{MARK}{suffix}@{rest}");
        match known.get(&shown) {
            Some(other) if *other != access => number += 1,
            _ => {
                known.insert(shown.clone(), access);
                return shown;
            }
        }
    }
}

/// The secrets of a location by how it is shown.
pub(super) fn access(shown: &str) -> Option<Access> {
    KNOWN.read().get(shown).cloned()
}

/// A location as it may be kept and shown while this process lives. One without secrets stays as it is.
pub fn shown_location(text: &str) -> Result<String> {
    let web = ["http://", "https://"].iter().any(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    match web && (without_secrets(text) != text) {
        true => Ok(Address::read(text)?.shown),
        false => super::absolute_path(text),
    }
}

/// Whether a location with secrets that was read in this process is part of a text.
pub fn has_secret_location(text: &str) -> bool {
    WRITTEN.read().iter().any(|location| text.contains(location))
}

fn percent_decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_a_name_that_shows_nothing() {
        let one = Address::read("https://me:p%40ss+1@access.test/a%20b.csv?x=1#y").unwrap();
        assert_eq!(one.shown, "https://…@access.test/a%20b.csv");
        assert_eq!(one.plain.as_str(), "https://access.test/a%20b.csv");
        let secrets = access(&one.shown).unwrap();
        assert_eq!(secrets.user.as_deref(), Some("me"));
        assert_eq!(secrets.password.as_deref(), Some("p@ss+1"));
        assert_eq!(secrets.query.as_deref(), Some("x=1"));
        let again = Address::read(&one.shown).unwrap();
        assert!(again.has_secrets() && again.shown == one.shown && again.plain == one.plain);
        let other = Address::read("https://access.test/a%20b.csv?x=2").unwrap();
        assert_eq!(other.shown, "https://…2@access.test/a%20b.csv");
        let same = Address::read("https://access.test/a%20b.csv?x=2").unwrap();
        assert_eq!(same.shown, other.shown);
        let plain = Address::read("https://access.test/a%20b.csv").unwrap();
        assert!(!plain.has_secrets());
        assert_eq!(plain.shown, "https://access.test/a%20b.csv");
        let error = Address::read("https://…7@access.test/x").err().unwrap();
        assert!(error.message().contains("are not known"), "{error}");
    }
}
