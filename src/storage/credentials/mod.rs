//! Who we are to a store: where keys and tokens come from, and how they stay fresh.
//!
//! Everything secret is a [`Secret`] from where it is read to where it is handed to a client.

#[cfg(feature = "s3")]
pub(super) mod aws;
mod cached;
#[cfg(feature = "s3")]
mod code;
mod environment;
#[cfg(feature = "s3")]
mod fetch;
#[cfg(feature = "gcs")]
pub(super) mod google;
#[cfg(feature = "gcs")]
pub(super) mod google_file;
#[cfg(feature = "s3")]
mod profile;
mod request;
#[cfg(feature = "s3")]
mod sso;

pub(super) use environment::Environment;
#[cfg(any(feature = "s3", feature = "gcs"))]
pub(super) use request::{answer_by, element};

use std::fmt;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever sends it to where it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// An identifier that may be shown in part: its last four characters, of a short one none.
pub(super) fn shortened(id: &str) -> String {
    let tail: Vec<char> = id.chars().rev().take(4).collect();
    match id.chars().count() > 8 {
        true => format!("…{}", tail.into_iter().rev().collect::<String>()),
        false => "…".to_string(),
    }
}
