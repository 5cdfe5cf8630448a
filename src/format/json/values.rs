//! From JSON's text to columns. Numbers are read from their digits, so that doubles are the nearest ones and decimals exact.

use crate::format::nested::Node;
use crate::format::values::{ValueBuilder, whole_number};
use crate::functions::scalar::push_compact_json;
use crate::types::{DataType, type_name};
use arrow::datatypes::Fields;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// The members of an object in the order of the text, each with the text of its value.
pub(super) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name that is borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = vec![];
                while let Some((Key(name), value)) = map.next_entry::<Key, &RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Members<'a> {
    /// The value of a name, without regard to its case when nothing has it exactly. The last of several counts.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let from_end = || self.0.iter().rev();
        let exact = from_end().find(|(n, _)| n == name);
        let found = exact.or_else(|| from_end().find(|(n, _)| n.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| *value)
    }

    /// Each name once, with its last value.
    fn distinct(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        let mut seen = HashSet::new();
        let mut last: Vec<_> = self
            .0
            .into_iter()
            .rev()
            .filter(|(n, _)| seen.insert(n.clone()))
            .collect();
        last.reverse();
        last
    }
}

/// What a value is, by its first character.
pub(super) fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}

/// The text of a string without quotes and escapes.
fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    match raw.contains('\\') {
        false => raw.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed),
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

impl Node {
    /// Appends a value from its JSON. The first part that is none of its type is told in `bad` and NULL.
    pub(super) fn append_json(&mut self, raw: &str, bad: &mut Option<String>) {
        let first = raw.as_bytes().first();
        match (self, first) {
            (node, Some(b'n') | None) => node.append_null(),
            (Self::Value(builder, t), _) => {
                if let Err(what) = append_scalar(builder, t, raw) {
                    builder.append_null();
                    bad.get_or_insert(what);
                }
            }
            (
                Self::List {
                    items, lengths, valid, ..
                },
                Some(b'['),
            ) => {
                let values: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
                values.iter().for_each(|v| items.append_json(v.get(), bad));
                lengths.push(values.len());
                valid.append_non_null();
            }
            (
                Self::Map {
                    entries,
                    keys,
                    probe,
                    values,
                    lengths,
                    valid,
                    ..
                },
                Some(b'{'),
            ) => {
                let mut length = 0;
                for (key, value) in members_of(raw, bad).distinct() {
                    if probe
                        .append(key.as_bytes())
                        .and_then(|()| keys.append(key.as_bytes()))
                        .is_none()
                    {
                        bad.get_or_insert_with(|| not_of_type(&key, key_type(entries)));
                        continue;
                    }
                    values.append_json(value.get(), bad);
                    length += 1;
                }
                lengths.push(length);
                valid.append_non_null();
            }
            (Self::Row { fields, members, valid }, Some(b'{')) => {
                let found = members_of(raw, bad);
                for (field, member) in fields.iter().zip(members) {
                    match found.get(field.name()) {
                        Some(value) => member.append_json(value.get(), bad),
                        None => member.append_null(),
                    }
                }
                valid.append_non_null();
            }
            (node, _) => {
                node.append_null();
                bad.get_or_insert_with(|| format!("expected {}, found {}", node.expected(), kind(raw)));
            }
        }
    }

    fn expected(&self) -> String {
        match self {
            Self::Value(_, t) => type_name(t),
            Self::List { field, .. } => type_name(&DataType::List(field.clone())),
            Self::Map { field, .. } => type_name(&DataType::Map(field.clone(), false)),
            Self::Row { fields, .. } => type_name(&DataType::Struct(fields.clone())),
        }
    }
}

/// The members of an object inside a document that was read before; only a name can still be wrong, by its escapes.
fn members_of<'a>(raw: &'a str, bad: &mut Option<String>) -> Members<'a> {
    serde_json::from_str(raw).unwrap_or_else(|e| {
        bad.get_or_insert_with(|| format!("not JSON: {e}"));
        Members(vec![])
    })
}

fn key_type(entries: &Fields) -> &DataType {
    entries.first().map_or(&DataType::Null, |key| key.data_type())
}

fn not_of_type(text: &str, t: &DataType) -> String {
    let shown: String = text.chars().take(80).collect();
    format!("\"{shown}\" is not a value of type {}", type_name(t))
}

/// Appends what is no array and no object; those are text where text is wanted.
fn append_scalar(builder: &mut ValueBuilder, t: &DataType, raw: &str) -> Result<(), String> {
    let is_nested = raw.starts_with(['[', '{']);
    let text = match raw.as_bytes().first() {
        Some(b'"') => unquoted(raw).ok_or_else(|| not_of_type(raw, t))?,
        _ if is_nested && !builder.is_string() => {
            return Err(format!("expected {}, found {}", type_name(t), kind(raw)));
        }
        _ if is_nested => {
            let mut compact = String::new();
            push_compact_json(raw, &mut compact);
            Cow::Owned(compact)
        }
        _ => Cow::Borrowed(raw),
    };
    builder
        .append(text.as_bytes())
        .or_else(|| match t.is_integer() {
            // `3.0` and `3e2` are whole numbers.
            true => builder.append(whole_number(text.as_bytes())?.to_string().as_bytes()),
            false => None,
        })
        .ok_or_else(|| not_of_type(&text, t))
}
