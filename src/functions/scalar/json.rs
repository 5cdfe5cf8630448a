//! JSON in text. Paths are `$.name`, `$["name"]` and `$[0]`, which counts from 0. Text that is not JSON gives NULL.

use super::typing::{BIGINT, BOOLEAN, DOUBLE, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, array_of};
use crate::vector::Column;
use arrow::array::{BooleanArray, Float64Array, StringViewArray};
use arrow::datatypes::Int64Type;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Levels of JSON that is put in order.
const MAX_DEPTH: usize = 128;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function(
        "json_extract_scalar",
        |t, _| exactly(t, &[STRING, STRING], STRING),
        |a| extracted(a, |raw, out| Ok(scalar_text(raw).map(|text| out.push_str(&text)))),
    )
    .doc(
        "json_extract_scalar(json, path)",
        "The text, number or boolean at a path, as text; NULL for arrays and objects.",
        "SELECT json_extract_scalar('{\"a\": [1, \"x\"]}', '$.a[1]')",
        "x",
    ),
    function(
        "json_extract",
        |t, _| exactly(t, &[STRING, STRING], STRING),
        |a| extracted(a, |raw, out| Ok(Some(push_compact(raw, out)))),
    )
    .doc(
        "json_extract(json, path)",
        "The JSON at a path.",
        "SELECT json_extract('{\"a\": [1, 2]}', '$.a')",
        "[1,2]",
    ),
    function(
        "get_json_object",
        |t, _| exactly(t, &[STRING, STRING], STRING),
        |a| {
            extracted(a, |raw, out| {
                if raw == "null" {
                    return Ok(None);
                }
                match scalar_text(raw) {
                    Some(text) => out.push_str(&text),
                    None => push_compact(raw, out),
                }
                Ok(Some(()))
            })
        },
    )
    .doc(
        "get_json_object(json, path)",
        "What is at a path: text without quotes, anything else as JSON.",
        "SELECT get_json_object('{\"a\": {\"b\": \"x\"}}', '$.a.b')",
        "x",
    ),
    function("json_parse", |t, _| exactly(t, &[STRING], STRING), json_parse)
        .aliases(&["parse_json"])
        .doc(
            "json_parse(string)",
            "The JSON in a text, keys in order, without white space; an error when it is not JSON.",
            "SELECT json_parse('{\"b\": 1, \"a\": 2}')",
            "{\"a\":2,\"b\":1}",
        ),
    function(
        "json_format",
        |t, _| exactly(t, &[STRING], STRING),
        |a| {
            let json = a.strings_of(0)?;
            a.strings(|row, out| Ok(Some(push_compact(json.get(row), out))))
        },
    )
    .doc(
        "json_format(json)",
        "The text of JSON.",
        "SELECT json_format('[1, 2]')",
        "[1,2]",
    ),
    function(
        "json_size",
        |t, _| exactly(t, &[STRING, STRING], BIGINT),
        |a| {
            let (json, path) = (a.strings_of(0)?, Paths::of(a)?);
            a.primitives::<Int64Type>(|row| path.with(row, |path| find(json.get(row), path).map(size_of)))
        },
    )
    .doc(
        "json_size(json, path)",
        "How many elements or members are at a path; 0 for scalars.",
        "SELECT json_size('{\"a\": [1, 2]}', '$.a')",
        "2",
    ),
    function(
        "json_array_length",
        |t, _| exactly(t, &[STRING], BIGINT),
        |a| {
            let json = a.strings_of(0)?;
            a.primitives::<Int64Type>(|row| Ok(items(json.get(row)).map(|items| items.len() as i64)))
        },
    )
    .doc(
        "json_array_length(json)",
        "How many elements a JSON array has; NULL when it is not one.",
        "SELECT json_array_length('[1, 2, 3]')",
        "3",
    ),
    function(
        "json_array_get",
        |t, _| exactly(t, &[STRING, BIGINT], STRING),
        |a| {
            let (json, index) = (a.strings_of(0)?, a.integers_of(1)?);
            a.strings(|row, out| {
                let items = items(json.get(row)).unwrap_or_default();
                let index = match index.get(row) {
                    from_end @ ..0 => from_end.saturating_add(items.len() as i64),
                    index => index,
                };
                let item = usize::try_from(index).ok().and_then(|i| items.get(i));
                Ok(item.map(|item| push_compact(item.get(), out)))
            })
        },
    )
    .doc(
        "json_array_get(json, index)",
        "The element of a JSON array, from 0, or from the end when negative.",
        "SELECT json_array_get('[1, [2, 3]]', 1)",
        "[2,3]",
    ),
    function("json_array_contains", |t, _| contains_type(t), json_array_contains).doc(
        "json_array_contains(json, x)",
        "Whether a JSON array has an element equal to x.",
        "SELECT json_array_contains('[1, 2]', 2)",
        "true",
    ),
    function(
        "is_json_scalar",
        |t, _| exactly(t, &[STRING], BOOLEAN),
        |a| {
            let json = a.strings_of(0)?;
            a.booleans(|row| {
                let json = json.get(row);
                serde_json::from_str::<IgnoredAny>(json)
                    .map(|_| Some(!json.trim_start().starts_with(['{', '['])))
                    .map_err(|e| not_json(json, &e))
            })
        },
    )
    .doc(
        "is_json_scalar(json)",
        "Whether JSON is neither array nor object.",
        "SELECT is_json_scalar('[1]')",
        "false",
    ),
    function(
        "json_object_keys",
        |t, _| exactly(t, &[STRING], array_of(STRING)),
        |a| {
            let json = a.strings_of(0)?;
            a.string_lists(|row, out| {
                let Ok(Value::Object(members)) = serde_json::from_str(json.get(row)) else {
                    return Ok(None);
                };
                members.keys().try_for_each(|key| out.try_append_value(key))?;
                Ok(Some(()))
            })
        },
    )
    .doc(
        "json_object_keys(json)",
        "The keys of a JSON object.",
        "SELECT json_object_keys('{\"a\": 1, \"b\": 2}')",
        "[a, b]",
    ),
];

fn not_json(text: &str, error: &serde_json::Error) -> Error {
    let shown: String = text.chars().take(60).collect();
    Error::execution(format!("\"{shown}\" is not JSON: {error}"))
}

// ---- Paths ----

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

/// Reads `$.a["b"][0]`.
fn parse_path(path: &str) -> Result<Vec<Step>> {
    let fail = |what: &str| Error::execution(format!("JSON path \"{path}\": {what}"));
    let mut rest = path.strip_prefix('$').ok_or_else(|| fail("expected $ at the start"))?;
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() || name == "*" {
                return Err(fail("expected a name after the point"));
            }
            steps.push(Step::Member(name.to_string()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = parse_bracket(after).ok_or_else(|| fail("expected an index or a quoted name in []"))?;
            steps.push(step);
            rest = after;
        } else {
            return Err(fail("expected . or [ between steps"));
        }
    }
    Ok(steps)
}

/// `0]…` or `"name"]…`.
fn parse_bracket(text: &str) -> Option<(Step, &str)> {
    for quote in ['"', '\''] {
        if let Some(after) = text.strip_prefix(quote) {
            let (name, after) = after.split_once(quote)?;
            return Some((Step::Member(name.to_string()), after.strip_prefix(']')?));
        }
    }
    let (index, after) = text.split_once(']')?;
    let step = match index.trim().parse() {
        Ok(index) => Step::Element(index),
        Err(_) if index.starts_with(|c: char| c.is_alphabetic() || c == '_') => Step::Member(index.to_string()),
        Err(_) => return None,
    };
    Some((step, after))
}

/// The path in argument 1, read once when it is constant.
enum Paths {
    Constant(Vec<Step>),
    Varying(super::arguments::Values<StringViewArray>),
}

impl Paths {
    fn of(a: &Arguments) -> Result<Self> {
        Ok(match a.constant_string(1)? {
            Some(path) => Self::Constant(parse_path(&path)?),
            None => Self::Varying(a.strings_of(1)?),
        })
    }

    fn with<R>(&self, row: usize, f: impl FnOnce(&[Step]) -> R) -> Result<R> {
        match self {
            Self::Constant(path) => Ok(f(path)),
            Self::Varying(paths) => Ok(f(&parse_path(paths.get(row))?)),
        }
    }
}

// ---- Finding without building a tree ----

/// Reads JSON and keeps the text at a path; everything else is skipped.
struct Seek<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&RawValue>::deserialize(deserializer).map(Some),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<str>>()? {
            match self.0.split_first() {
                Some((Step::Member(name), rest)) if found.is_none() && *name == key => {
                    found = map.next_value_seed(Seek(rest))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = match self.0.split_first() {
            Some((Step::Element(index), rest)) => Some((*index, rest)),
            _ => None,
        };
        let (mut found, mut at) = (None, 0);
        loop {
            match wanted {
                Some((index, rest)) if index == at => match seq.next_element_seed(Seek(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                },
                _ => {
                    if seq.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(found);
                    }
                }
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// The text of the JSON at a path.
fn find<'j>(json: &'j str, path: &[Step]) -> Option<&'j str> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = Seek(path).deserialize(&mut deserializer).ok()??;
    deserializer.end().ok()?;
    Some(found.get())
}

fn extracted(a: &Arguments, f: impl Fn(&str, &mut String) -> Result<Option<()>>) -> Result<Column> {
    let (json, path) = (a.strings_of(0)?, Paths::of(a)?);
    a.strings(|row, out| match path.with(row, |path| find(json.get(row), path))? {
        Some(raw) => f(raw, out),
        None => Ok(None),
    })
}

/// The text of a scalar: strings without quotes; `None` for null, arrays and objects.
fn scalar_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Copies JSON without the white space between its parts.
pub(crate) fn push_compact(raw: &str, out: &mut String) {
    let (mut quoted, mut escaped) = (false, false);
    for c in raw.chars() {
        if quoted || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
}

fn json_parse(a: &Arguments) -> Result<Column> {
    let json = a.strings_of(0)?;
    a.strings(|row, out| {
        let json = json.get(row);
        push_sorted(json, 0, out).map_err(|e| not_json(json, &e))?;
        Ok(Some(()))
    })
}

/// Copies JSON with the members of objects by name, the last of each; numbers keep their digits.
fn push_sorted(json: &str, depth: usize, out: &mut String) -> Result<(), serde_json::Error> {
    // Each level is read again inside, so that depth costs time, too.
    if depth > MAX_DEPTH {
        return Err(serde::de::Error::custom(format!("more than {MAX_DEPTH} levels")));
    }
    let raw: &RawValue = serde_json::from_str(json)?;
    let raw = raw.get();
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw)?;
            out.push('{');
            for (i, (name, value)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                push_sorted(value.get(), depth + 1, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw)?;
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_sorted(item.get(), depth + 1, out)?;
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&serde_json::from_str::<Value>(raw)?.to_string()),
        _ => out.push_str(raw),
    }
    Ok(())
}

/// The elements of a JSON array.
fn items(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

fn size_of(raw: &str) -> i64 {
    let size = match raw.as_bytes().first() {
        Some(b'[') => items(raw).map(|items| items.len()),
        Some(b'{') => serde_json::from_str::<HashMap<String, IgnoredAny>>(raw)
            .ok()
            .map(|members| members.len()),
        _ => None,
    };
    size.unwrap_or_default() as i64
}

fn contains_type(found: &[DataType]) -> Option<Signature> {
    overload(
        found,
        &[
            (&[STRING, STRING], BOOLEAN),
            (&[STRING, BOOLEAN], BOOLEAN),
            (&[STRING, BIGINT], BOOLEAN),
            (&[STRING, DOUBLE], BOOLEAN),
        ],
    )
}

fn json_array_contains(a: &Arguments) -> Result<Column> {
    let json = a.strings_of(0)?;
    let any = |row: usize, equal: &dyn Fn(&str) -> bool| -> Result<Option<bool>> {
        Ok(items(json.get(row)).map(|items| items.iter().any(|item| equal(item.get()))))
    };
    match a.column(1)?.data_type() {
        DataType::Boolean => {
            let wanted = a.read::<BooleanArray>(1)?;
            a.booleans(|row| any(row, &|item| item.parse() == Ok(wanted.get(row))))
        }
        DataType::Int64 => {
            let wanted = a.integers_of(1)?;
            a.booleans(|row| any(row, &|item| item.parse() == Ok(wanted.get(row))))
        }
        DataType::Float64 => {
            let wanted = a.read::<Float64Array>(1)?;
            a.booleans(|row| any(row, &|item| item.parse() == Ok(wanted.get(row))))
        }
        _ => {
            let wanted = a.strings_of(1)?;
            let text = |item: &str| serde_json::from_str::<String>(item).ok();
            a.booleans(|row| any(row, &|item| text(item).as_deref() == Some(wanted.get(row))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{Boolean, Int64, Null};

    const ORDER: &str = r#"{"id": 7, "price": 1.10, "name": "a \"b\" é", "tags": ["x", {"y z": null}], "id": 8}"#;

    #[test]
    fn paths() {
        let scalar = |path: &str| call("json_extract_scalar", &[text(ORDER), text(path)]);
        assert_eq!(scalar("$.id"), text("7"));
        assert_eq!(scalar("$.price"), text("1.10"));
        assert_eq!(scalar("$['name']"), text("a \"b\" é"));
        assert_eq!(scalar("$.tags[0]"), text("x"));
        assert_eq!(scalar("$.tags[9]"), Null);
        assert_eq!(scalar("$.tags[1][\"y z\"]"), Null);
        assert_eq!(scalar("$.tags"), Null);
        assert_eq!(scalar("$.id.deeper"), Null);
        let json = |path: &str| call("json_extract", &[text(ORDER), text(path)]);
        assert_eq!(json("$.tags"), text(r#"["x",{"y z":null}]"#));
        assert_eq!(json("$.name"), text(r#""a \"b\" é""#));
        assert!(error("json_extract", &[text("{}"), text("a.b")]).contains("expected $"));
        assert_eq!(call("json_extract", &[text("{\"a\": 1"), text("$.a")]), Null);
        assert_eq!(call("json_extract", &[text("{\"a\": 1} x"), text("$.a")]), Null);
    }

    #[test]
    fn arrays() {
        assert_eq!(call("json_array_length", &[text("{}")]), Null);
        assert_eq!(call("json_array_get", &[text("[1, 2]"), Int64(-1)]), text("2"));
        assert_eq!(
            call("json_array_contains", &[text("[1, \"2\"]"), text("2")]),
            Boolean(true)
        );
        assert_eq!(call("json_size", &[text(ORDER), text("$.tags")]), Int64(2));
        assert!(error("json_parse", &[text("{a}")]).contains("is not JSON"));
    }
}
