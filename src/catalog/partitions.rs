//! Hive partitions: `key=value` folders and the columns they stand for.

use crate::error::{Error, Result};
use crate::format::parse_value;
use crate::types::{DataType, ScalarValue, type_name};
use crate::vector::display::ValueFormatter;

/// The value of a partition whose key is NULL or empty.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The `key=value` folders of a file's location, in order, decoded. `None` stands for NULL.
pub fn partition_keys(location: &str) -> Vec<(String, Option<String>)> {
    let folders = location.rsplit_once('/').map_or("", |(folders, _)| folders);
    let key_value = |folder: &str| {
        let (key, value) = folder.split_once('=')?;
        let plain = !key.is_empty() && !key.contains(['*', '?', ':']);
        plain.then(|| {
            (
                decode(key),
                (value != NULL_PARTITION && !value.is_empty()).then(|| decode(value)),
            )
        })
    };
    folders.split('/').filter_map(key_value).collect()
}

/// The folder for a value: `key=value`, percent-encoded as Hive and Spark do.
pub fn partition_folder(key: &str, value: Option<&str>) -> String {
    match value {
        None | Some("") => format!("{}={NULL_PARTITION}", encode(key)),
        Some(value) => format!("{}={}", encode(key), encode(value)),
    }
}

/// A partition value as a value of its column's type.
///
/// # Errors
/// Naming the file, when the text is no value of the type.
pub fn partition_value(location: &str, key: &str, text: Option<&str>, data_type: &DataType) -> Result<ScalarValue> {
    let Some(text) = text else { return Ok(ScalarValue::Null) };
    let value = parse_value(text, data_type).map_err(|e| e.context(format!("partition column \"{key}\"")))?;
    value.ok_or_else(|| {
        Error::bad_file(format!(
            "{location}: partition \"{key}={text}\" is not a value of type {}",
            type_name(data_type)
        ))
    })
}

/// The text of a value as it stands in a folder's name, not yet encoded; `None` for NULL.
pub fn partition_text(value: &ScalarValue) -> Option<String> {
    if let ScalarValue::String(text) = value {
        return Some(text.to_string());
    }
    let array = value.to_array(&value.data_type(), 1).ok()?;
    let formatter = ValueFormatter::new(array.as_ref());
    let mut text = String::new();
    formatter.write(0, &mut text);
    (!formatter.is_null(0)).then_some(text)
}

/// `%2F` is a slash. What is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |b: &u8| (*b as char).to_digit(16);
        match (first, after) {
            (b'%', [high, low, tail @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push((hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0)) as u8);
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Hive's set of characters that cannot be in a folder's name.
fn encode(text: &str) -> String {
    let escaped = |c: char| c.is_ascii_control() || "\"#%'*/:=?\\{}[]^".contains(c);
    let mut out = String::new();
    for c in text.chars() {
        match escaped(c) {
            true => out.push_str(&format!("%{:02X}", c as u32)),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_values() {
        let keys = partition_keys("/lake/y=2020/p=a b%2Fc%3Ad/n=__HIVE_DEFAULT_PARTITION__/part-a=b.parquet");
        assert_eq!(
            keys,
            [
                ("y".to_string(), Some("2020".to_string())),
                ("p".to_string(), Some("a b/c:d".to_string())),
                ("n".to_string(), None)
            ]
        );
        assert_eq!(partition_folder("p", Some("a b/c:d=e%")), "p=a b%2Fc%3Ad%3De%25");
        assert_eq!(partition_folder("p", None), "p=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%41"), "%zzA");
        assert_eq!(
            partition_value("f", "y", Some("2020"), &DataType::Int32).unwrap(),
            ScalarValue::Int32(2020)
        );
        assert!(partition_value("f", "y", Some("x"), &DataType::Int32).is_err());
    }
}
