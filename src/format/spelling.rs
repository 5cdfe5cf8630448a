//! How values are spelled in a text format where it differs from the usual: formats of dates, encodings.

use super::registry::{FormatOption, Options};
use crate::error::{Error, Result};
use crate::functions::scalar::TimePattern;
use std::borrow::Cow;
use std::sync::Arc;

/// Spellings of one table's values. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spelling {
    /// Whole numbers are dates in days and timestamps in milliseconds since 1970 (Hive's OpenCSVSerde).
    pub epochs: bool,
    /// Text is in ISO 8859-1 and not in UTF-8.
    pub latin1: bool,
    /// What is not UTF-8 is read as U+FFFD.
    pub replace: bool,
    /// Tried in order, before the usual spelling.
    timestamps: Arc<[TimeFormat]>,
    dates: Arc<[TimeFormat]>,
}

#[derive(Debug, Clone, PartialEq)]
enum TimeFormat {
    /// Milliseconds since 1970.
    Millis,
    Pattern(TimePattern),
}

impl Spelling {
    /// From the options `timestamp_format`, `date_format`, `encoding` and `invalid_utf8` in the format's table of options.
    ///
    /// # Errors
    /// For a format with letters that mean nothing, and for other encodings.
    pub fn of(table: &[FormatOption], options: &Options) -> Result<Self> {
        let formats = |name| time_formats(options.get(table, name).unwrap_or_default());
        let mut spelling = Self {
            timestamps: formats("timestamp_format")?,
            dates: formats("date_format")?,
            ..Default::default()
        };
        let encoding = options.get(table, "encoding").unwrap_or("utf-8").to_lowercase();
        spelling.latin1 = match encoding.replace(['-', '_'], "").as_str() {
            "utf8" | "ascii" | "usascii" => false,
            "iso88591" | "latin1" => true,
            _ => {
                return Err(Error::unsupported(format!("text in the encoding \"{encoding}\""))
                    .with_hint("utf-8 and iso-8859-1 are read"));
            }
        };
        spelling.replace = match options.get(table, "invalid_utf8").map(str::to_lowercase).as_deref() {
            None | Some("fail") => false,
            Some("replace") => true,
            Some(other) => {
                return Err(Error::plan(format!(
                    "option invalid_utf8 is fail or replace, found \"{other}\""
                )));
            }
        };
        Ok(spelling)
    }

    /// A text that is not plain ASCII; `None` when it is not in the encoding.
    pub fn decode<'a>(&self, text: &'a [u8]) -> Option<Cow<'a, str>> {
        match self.latin1 {
            true => Some(text.iter().map(|b| char::from(*b)).collect()),
            false if self.replace => Some(String::from_utf8_lossy(text)),
            false => std::str::from_utf8(text).ok().map(Cow::Borrowed),
        }
    }

    /// Microseconds since 1970, when one of the timestamp formats fits.
    pub fn timestamp(&self, text: &[u8]) -> Option<i64> {
        read_time(&self.timestamps, text)
    }

    /// The same of the date formats.
    pub fn date(&self, text: &[u8]) -> Option<i64> {
        read_time(&self.dates, text)
    }
}

fn read_time(formats: &[TimeFormat], text: &[u8]) -> Option<i64> {
    if formats.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    formats.iter().find_map(|format| match format {
        TimeFormat::Millis => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let digits = fraction.bytes().all(|b| b.is_ascii_digit());
            (digits.then(|| whole.parse::<i64>().ok())??).checked_mul(1000)
        }
        TimeFormat::Pattern(pattern) => pattern.read(text).ok(),
    })
}

/// Formats separated by commas outside of quotes: `millis`, `%Y-%m-%d`, `yyyy-MM-dd'T'HH:mm:ss`.
fn time_formats(text: &str) -> Result<Arc<[TimeFormat]>> {
    let (mut parts, mut part, mut quoted) = (vec![], String::new(), false);
    for c in text.chars() {
        quoted ^= c == '\'';
        match c {
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    let parts = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty());
    let format = |part: &str| {
        Ok(match part {
            "millis" => TimeFormat::Millis,
            pattern if pattern.contains('%') => TimeFormat::Pattern(TimePattern::mysql(pattern)?),
            pattern => TimeFormat::Pattern(TimePattern::joda(pattern)?),
        })
    };
    parts.map(format).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[FormatOption] = &[
        &["timestamp_format"],
        &["date_format"],
        &["encoding"],
        &["invalid_utf8"],
    ];

    fn spelling(pairs: &[(&str, &str)]) -> Result<Spelling> {
        Spelling::of(TABLE, &Options::new(pairs.iter().copied()))
    }

    #[test]
    fn the_first_format_that_fits_wins() {
        let s = spelling(&[("timestamp_format", "millis, yyyy-MM-dd'T,'HH:mm:ss, %d/%m/%Y")]).unwrap();
        assert_eq!(s.timestamp(b"1500"), Some(1_500_000));
        assert_eq!(s.timestamp(b"1970-01-01T,00:00:02"), Some(2_000_000));
        assert_eq!(s.timestamp(b"02/01/1970"), Some(86_400_000_000));
        assert_eq!(s.timestamp(b"x"), None);
        assert!(spelling(&[("timestamp_format", "bogus")]).is_err());
    }

    #[test]
    fn encodings_are_known_or_refused() {
        assert_eq!(
            spelling(&[("encoding", "ISO-8859-1")])
                .unwrap()
                .decode(b"\xE9")
                .as_deref(),
            Some("é")
        );
        assert_eq!(spelling(&[]).unwrap().decode(b"\xE9"), None);
        assert_eq!(
            spelling(&[("invalid_utf8", "replace")])
                .unwrap()
                .decode(b"a\xE9")
                .as_deref(),
            Some("a\u{FFFD}")
        );
        assert!(spelling(&[("encoding", "GBK")]).unwrap_err().message().contains("gbk"));
    }
}
