//! SQL spellings of types, both ways.

use super::{DataType, INTERVAL_DAY, INTERVAL_MONTH, TIMESTAMP, array_of, decimal_type, map_of, row_of, timestamp_tz};
use crate::error::{Error, Result};
use arrow::datatypes::{IntervalUnit, TimeUnit};

/// The Trino spelling of a type: what `typeof` and error messages show.
pub fn type_name(t: &DataType) -> String {
    use DataType::*;
    match t {
        Null => "unknown".into(),
        Boolean => "boolean".into(),
        Int8 => "tinyint".into(),
        Int16 => "smallint".into(),
        Int32 => "integer".into(),
        Int64 => "bigint".into(),
        Float32 => "real".into(),
        Float64 => "double".into(),
        Decimal64(p, s) | Decimal128(p, s) => format!("decimal({p},{s})"),
        Utf8View | Utf8 | LargeUtf8 => "varchar".into(),
        BinaryView | Binary | LargeBinary => "varbinary".into(),
        Date32 => "date".into(),
        Time64(_) => "time".into(),
        Timestamp(_, None) => "timestamp".into(),
        Timestamp(_, Some(_)) => "timestamp with time zone".into(),
        Interval(IntervalUnit::YearMonth) => "interval year to month".into(),
        Duration(TimeUnit::Microsecond) => "interval day to second".into(),
        List(f) => format!("array({})", type_name(f.data_type())),
        Map(f, _) => match f.data_type() {
            Struct(kv) if kv.len() == 2 => {
                format!(
                    "map({}, {})",
                    type_name(kv[0].data_type()),
                    type_name(kv[1].data_type())
                )
            }
            other => format!("map({other})"),
        },
        Struct(fields) => {
            let inner: Vec<String> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), type_name(f.data_type())))
                .collect();
            format!("row({})", inner.join(", "))
        }
        Dictionary(_, v) => type_name(v),
        other => other.to_string(),
    }
}

/// Reads a Trino or Hive spelling: `decimal(10,2)`, `array<int>`, `map(varchar, bigint)`, `row(a int)`, `struct<a:int>`.
pub fn parse_type(text: &str) -> Result<DataType> {
    let mut parser = TypeParser { text, rest: text };
    let t = parser.parse()?;
    match parser.rest.trim() {
        "" => Ok(t),
        rest => Err(Error::plan(format!("unexpected \"{rest}\" in type \"{text}\""))),
    }
}

struct TypeParser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl TypeParser<'_> {
    fn parse(&mut self) -> Result<DataType> {
        let name = self.word();
        Ok(match name.as_str() {
            "boolean" | "bool" => DataType::Boolean,
            "tinyint" => DataType::Int8,
            "smallint" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" | "long" => DataType::Int64,
            "real" | "float" => DataType::Float32,
            "double" => {
                self.keyword("precision");
                DataType::Float64
            }
            "decimal" | "numeric" | "dec" => self.decimal()?,
            "string" | "text" => DataType::Utf8View,
            "varchar" | "char" | "character" => {
                self.numbers()?;
                DataType::Utf8View
            }
            "binary" | "varbinary" | "bytes" => DataType::BinaryView,
            "date" => DataType::Date32,
            "time" => {
                self.numbers()?;
                DataType::Time64(TimeUnit::Microsecond)
            }
            "timestamp" => self.timestamp()?,
            "interval" => {
                let from = self.word();
                while !self.word().is_empty() {}
                if matches!(from.as_str(), "year" | "month") {
                    INTERVAL_MONTH
                } else {
                    INTERVAL_DAY
                }
            }
            "unknown" | "null" => DataType::Null,
            "array" => array_of(
                self.arguments()?
                    .pop()
                    .map(|(_, t)| t)
                    .ok_or_else(|| self.error("array needs a type"))?,
            ),
            "map" => match self.arguments()?.as_slice() {
                [(_, k), (_, v)] => map_of(k.clone(), v.clone()),
                _ => return Err(self.error("map needs a key and a value type")),
            },
            "row" | "struct" => row_of(
                self.arguments()?
                    .into_iter()
                    .enumerate()
                    .map(|(i, (n, t))| (n.unwrap_or_else(|| format!("field{i}")), t))
                    .collect(),
            ),
            _ => {
                let known = [
                    "boolean",
                    "tinyint",
                    "smallint",
                    "integer",
                    "bigint",
                    "real",
                    "double",
                    "decimal",
                    "varchar",
                    "string",
                    "varbinary",
                    "binary",
                    "date",
                    "time",
                    "timestamp",
                    "array",
                    "map",
                    "row",
                    "struct",
                ];
                return Err(self
                    .error(&format!("unknown type \"{name}\""))
                    .with_nearest(&name, known));
            }
        })
    }

    fn error(&self, message: &str) -> Error {
        Error::plan(format!("{message} in type \"{}\"", self.text))
    }

    fn decimal(&mut self) -> Result<DataType> {
        let (p, s) = match self.numbers()?.as_slice() {
            [] => (38, 0),
            [p] => (*p, 0),
            [p, s, ..] => (*p, *s),
        };
        if !(1..=38).contains(&p) || s > p {
            return Err(self.error(&format!(
                "decimal({p},{s}) is not possible: 1 <= precision <= 38 and scale <= precision"
            )));
        }
        Ok(decimal_type(p as u8, s as i8))
    }

    fn timestamp(&mut self) -> Result<DataType> {
        self.numbers()?;
        if self.keyword("with") {
            self.keyword("local");
            if self.keyword("time") && self.keyword("zone") {
                return Ok(timestamp_tz("UTC"));
            }
            return Err(self.error("expected \"with time zone\""));
        }
        if self.keyword("without") {
            self.keyword("time");
            self.keyword("zone");
        }
        Ok(TIMESTAMP)
    }

    /// The next word in lower case, possibly quoted; empty when something else follows.
    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        for quote in ['"', '`'] {
            if let Some((inside, after)) = self.rest.strip_prefix(quote).and_then(|r| r.split_once(quote)) {
                self.rest = after;
                return inside.to_string();
            }
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
            .unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.rest = after;
        word.to_lowercase()
    }

    fn keyword(&mut self, expected: &str) -> bool {
        let before = self.rest;
        let found = self.word() == expected;
        if !found {
            self.rest = before;
        }
        found
    }

    fn symbol(&mut self, symbols: &[char]) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(symbols) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// `(10, 2)` or nothing.
    fn numbers(&mut self) -> Result<Vec<i32>> {
        let mut numbers = vec![];
        if !self.symbol(&['(']) {
            return Ok(numbers);
        }
        while !self.symbol(&[')']) {
            let word = self.word();
            numbers.push(
                word.parse()
                    .map_err(|_| self.error(&format!("expected a number, found \"{word}\"")))?,
            );
            self.symbol(&[',']);
        }
        Ok(numbers)
    }

    /// `(type, name type, name: type)` in parentheses or angle brackets.
    fn arguments(&mut self) -> Result<Vec<(Option<String>, DataType)>> {
        if !self.symbol(&['(', '<']) {
            return Err(self.error("expected ( or <"));
        }
        let mut arguments = vec![];
        while !self.symbol(&[')', '>']) {
            let before = self.rest;
            let name = self.word();
            let colon = self.symbol(&[':']);
            let next = self.rest.trim_start().chars().next();
            let named = colon || matches!(next, Some(c) if c.is_alphabetic() || c == '"' || c == '`');
            if named && !(name == "double" || name == "timestamp" || name == "interval") || colon {
                arguments.push((Some(name), self.parse()?));
            } else {
                self.rest = before;
                arguments.push((None, self.parse()?));
            }
            if !self.symbol(&[',']) && !self.rest.trim_start().starts_with([')', '>']) {
                return Err(self.error("expected , or a closing bracket"));
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for (text, shown) in [
            ("struct<a:int,b:array<string>>", "row(a integer, b array(varchar))"),
            ("map(varchar, decimal(10, 2))", "map(varchar, decimal(10,2))"),
            ("row(x int, y double)", "row(x integer, y double)"),
            ("timestamp(3) with time zone", "timestamp with time zone"),
            ("array(double)", "array(double)"),
        ] {
            assert_eq!(type_name(&parse_type(text).unwrap()), shown);
        }
        assert!(parse_type("decimal(40,2)").is_err());
        assert!(parse_type("bigitn").unwrap_err().hint().unwrap().contains("bigint"));
    }
}
