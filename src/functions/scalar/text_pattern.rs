//! Patterns of dates for other rooms: the names of partitions, timestamps in text files.

use super::calendar::Zone;
use super::datetime_pattern::Pattern;
use crate::error::Result;

/// A way to write and read points in time, in the letters of Joda and Java: `yyyy-MM-dd HH:mm:ss`.
#[derive(Debug, Clone)]
pub struct DatePattern(Pattern);

impl DatePattern {
    /// # Errors
    /// When a letter stands for nothing.
    pub fn new(text: &str) -> Result<Self> {
        Pattern::joda(text).map(Self)
    }

    /// The text of a point in time, in microseconds since 1970.
    pub fn write(&self, micros: i64) -> String {
        let mut out = String::new();
        self.0.write(micros, &Zone::UTC, &mut out);
        out
    }

    /// The point in time that a text names, in microseconds since 1970.
    ///
    /// # Errors
    /// When the text does not fit.
    pub fn read(&self, text: &str) -> Result<i64> {
        self.0.read(text)
    }
}
