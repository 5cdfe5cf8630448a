//! The environment as credentials see it, so that tests can have one of their own.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// Variables by name; their values are not shown.
#[derive(Clone, Default)]
pub(in crate::storage) struct Environment(HashMap<String, String>);

impl Environment {
    /// The one of this process. Values that are not UTF-8 are left out, because no store could use them.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect())
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The first of several variables that is set.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether a variable says yes.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| ["1", "true", "yes", "on"].contains(&v.to_ascii_lowercase().as_str()))
    }

    /// A path below the user's home; a leading `~/` in what variables say means the same.
    pub fn home(&self, path: &str) -> PathBuf {
        PathBuf::from(self.get("HOME").unwrap_or("/")).join(path)
    }

    /// The file that a variable names, or one below the home.
    pub fn file(&self, variable: &str, default: &str) -> PathBuf {
        match self.get(variable) {
            Some(path) => path
                .strip_prefix("~/")
                .map_or_else(|| path.into(), |rest| self.home(rest)),
            None => self.home(default),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}
