//! The one error type, sorted by who must act.

use std::fmt;

/// Shorthand used by the whole crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act when the error appears, and therefore which exit code it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not SQL: the author of the query.
    Syntax,
    /// The text is SQL but names or types do not fit: the author of the query.
    Plan,
    /// Known SQL that this engine does not run yet: the author of the query, or us.
    Unsupported,
    /// A value could not be computed (division by zero, overflow, bad cast): whoever owns the data.
    Execution,
    /// A memory, spill or size limit was reached: whoever set it.
    ResourcesExhausted,
    /// A file, folder or object store did not do what was asked: whoever runs the storage.
    Storage,
    /// A file's content is malformed: whoever wrote the file.
    BadFile,
    /// Somebody else changed the same target: run the statement again.
    Conflict,
    /// A guard rail stands in the way, such as `--read-only`: whoever set it.
    Refused,
    /// The user cancelled the query.
    Cancelled,
    /// A broken invariant of ours: us.
    Internal,
}

/// A position in SQL text, lines and columns from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

/// A range in SQL text: from `start` up to and including the character before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: Position,
    pub end: Position,
}

/// What was found, what was expected, where, and what to try.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    span: Option<Span>,
    hint: Option<String>,
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
        pub fn $name(message: impl Into<String>) -> Self {
            Self::new(ErrorKind::$kind, message)
        }
    )*};
}

impl Error {
    /// An error of the given kind without position or hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: without_secrets(&message.into()),
            span: None,
            hint: None,
        }))
    }

    constructors! {
        syntax => Syntax, plan => Plan, unsupported => Unsupported, execution => Execution,
        resources => ResourcesExhausted, storage => Storage, bad_file => BadFile, conflict => Conflict,
        refused => Refused, internal => Internal,
    }

    /// The user's own wish to stop.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the query was cancelled")
    }

    /// The error that a reader of ours put into one of the standard library's; any other says that a file is malformed.
    pub fn of_reader(e: std::io::Error) -> Self {
        e.downcast::<Self>().unwrap_or_else(|e| Self::bad_file(e.to_string()))
    }

    /// Adds the place in the SQL text, unless a deeper cause already gave one.
    pub fn with_span(mut self, span: Span) -> Self {
        if span != Span::default() {
            self.0.span.get_or_insert(span);
        }
        self
    }

    /// Adds a sentence that says what to try, unless a deeper cause already gave one.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| without_secrets(&hint.into()));
        self
    }

    /// Adds `did you mean …` when one of `candidates` is close to `name`.
    pub fn with_nearest<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(name, candidates) {
            Some(best) => self.with_hint(format!("did you mean \"{best}\"?")),
            None => self,
        }
    }

    /// Puts `context: ` before the message, to say where in the data the error arose.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = without_secrets(&format!("{context}: {}", self.0.message));
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        match e {
            A::DivideByZero => Self::execution("division by zero"),
            A::ArithmeticOverflow(m) => Self::execution(format!("arithmetic overflow: {m}")),
            A::CastError(m) | A::ParseError(m) | A::ComputeError(m) | A::InvalidArgumentError(m) => Self::execution(m),
            other => Self::execution(other.to_string()),
        }
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(e: parquet::errors::ParquetError) -> Self {
        Self::bad_file(format!("Parquet: {e}"))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::storage(e.to_string())
    }
}

impl From<object_store::Error> for Error {
    fn from(e: object_store::Error) -> Self {
        Self::storage(e.to_string())
    }
}

/// A text with the URLs in it shortened to what is no secret: user, password and parameters are left out. Errors are made
/// with it, so that none gives away what somebody wrote into a location.
pub fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for secret in secrets(text) {
        out.push_str(text.get(rest..secret.start).unwrap_or_default());
        if text.get(secret.clone()).is_some_and(|t| t.starts_with('?')) {
            out.push_str("?…");
        }
        rest = secret.end;
    }
    out.push_str(text.get(rest..).unwrap_or_default());
    out
}

/// A text of the same length with `*` for each character of the secrets in its URLs.
pub fn masked(text: &str) -> String {
    let secrets = secrets(text);
    let hidden = |at: usize| secrets.iter().any(|s| s.contains(&at));
    match secrets.is_empty() {
        true => text.to_string(),
        false => text
            .char_indices()
            .map(|(at, c)| if hidden(at) && c != '\n' { '*' } else { c })
            .collect(),
    }
}

/// Where the URLs of a text have a user, a password, or parameters with their `?`.
fn secrets(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = vec![];
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let after = text.get(start..).unwrap_or_default();
        let end = after
            .find(|c: char| c.is_whitespace() || "\"'`)>,;".contains(c))
            .unwrap_or(after.len());
        let url = after.get(..end).unwrap_or_default();
        let scheme = text.get(..at).unwrap_or_default();
        let web = scheme.ends_with("http") || scheme.ends_with("https");
        let host = url.get(..url.find(['/', '?']).unwrap_or(url.len())).unwrap_or_default();
        // A container of Azure stands before an @, too, and is no secret; a password follows a colon.
        if let Some((user, _)) = host.rsplit_once('@').filter(|(user, _)| web || user.contains(':')) {
            found.push(start..start + user.len() + 1);
        }
        if let Some(query) = url.find('?').filter(|_| web) {
            found.push(start + query..start + end);
        }
    }
    found
}

/// The candidate closest to `name` when it is close enough to be a likely slip of the finger.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&name, &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= 1 + name.len().min(c.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_urls_are_left_out() {
        let shown = |text| without_secrets(text);
        assert_eq!(shown("x https://u:p@h:1/a?sig=1 y"), "x https://h:1/a?… y");
        assert_eq!(shown("\"http://h/a?b\", https://u@h"), "\"http://h/a?…\", https://h");
        assert_eq!(shown("s3://b/what?.csv"), "s3://b/what?.csv");
        assert_eq!(shown("s3://key:secret@b/x"), "s3://b/x");
        assert_eq!(
            shown("abfss://c@a.dfs.core.windows.net/x"),
            "abfss://c@a.dfs.core.windows.net/x"
        );
        assert_eq!(shown("/local/path"), "/local/path");
        assert_eq!(masked("ü 'https://u:p@h/a?b' x"), "ü 'https://****h/a**' x");
        let error = Error::storage("https://u:p@h/x")
            .context("s3://k:s@b")
            .with_hint("https://h/?q");
        assert_eq!(error.to_string(), "s3://b: https://h/x\nhint: https://h/?…");
    }

    #[test]
    fn the_nearest_name_is_one_slip_away() {
        assert_eq!(
            nearest("fare_amuont", ["fare_amount", "tip_amount"]),
            Some("fare_amount")
        );
        assert_eq!(nearest("zone", ["fare_amount"]), None);
    }
}
