//! URLs: their parts, percent-encoding.

use super::typing::{BIGINT, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, function};
use crate::error::{Error, Result};
use crate::vector::Column;
use arrow::datatypes::Int64Type;
use url::Url;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function(
        "url_extract_protocol",
        |t, _| exactly(t, &[STRING], STRING),
        |a| extracted(a, |url| Some(url.scheme().to_string())),
    )
    .doc(
        "url_extract_protocol(url)",
        "The scheme.",
        "SELECT url_extract_protocol('https://example.com/a')",
        "https",
    ),
    function(
        "url_extract_host",
        |t, _| exactly(t, &[STRING], STRING),
        |a| extracted(a, |url| url.host_str().map(str::to_string)),
    )
    .doc(
        "url_extract_host(url)",
        "The host.",
        "SELECT url_extract_host('https://example.com:8080/a')",
        "example.com",
    ),
    function(
        "url_extract_port",
        |t, _| exactly(t, &[STRING], BIGINT),
        |a| {
            let s = a.strings_of(0)?;
            a.primitives::<Int64Type>(|row| Ok(port(s.get(row))))
        },
    )
    .doc(
        "url_extract_port(url)",
        "The port when one is written.",
        "SELECT url_extract_port('https://example.com:8080/a')",
        "8080",
    ),
    function(
        "url_extract_path",
        |t, _| exactly(t, &[STRING], STRING),
        |a| {
            extracted(a, |url| {
                Some(decode(url.path(), false).unwrap_or_else(|| url.path().to_string()))
            })
        },
    )
    .doc(
        "url_extract_path(url)",
        "The path.",
        "SELECT url_extract_path('https://example.com/a/b?c=d')",
        "/a/b",
    ),
    function(
        "url_extract_query",
        |t, _| exactly(t, &[STRING], STRING),
        |a| extracted(a, |url| Some(url.query().unwrap_or_default().to_string())),
    )
    .doc(
        "url_extract_query(url)",
        "The query without its question mark.",
        "SELECT url_extract_query('https://example.com/a?c=d')",
        "c=d",
    ),
    function(
        "url_extract_fragment",
        |t, _| exactly(t, &[STRING], STRING),
        |a| extracted(a, |url| Some(url.fragment().unwrap_or_default().to_string())),
    )
    .doc(
        "url_extract_fragment(url)",
        "What follows the number sign.",
        "SELECT url_extract_fragment('https://example.com/a#part')",
        "part",
    ),
    function(
        "url_extract_parameter",
        |t, _| exactly(t, &[STRING, STRING], STRING),
        |a| {
            let name = a.strings_of(1)?;
            let s = a.strings_of(0)?;
            a.strings(|row, out| Ok(parameter(s.get(row), name.get(row)).map(|value| out.push_str(&value))))
        },
    )
    .doc(
        "url_extract_parameter(url, name)",
        "The value of the first parameter of that name.",
        "SELECT url_extract_parameter('https://example.com/?a=1&b=2', 'b')",
        "2",
    ),
    function(
        "parse_url",
        |t, _| overload(t, &[(&[STRING, STRING], STRING), (&[STRING, STRING, STRING], STRING)]),
        parse_url,
    )
    .doc(
        "parse_url(url, part[, name])",
        "A part: HOST, PATH, QUERY, REF, PROTOCOL, AUTHORITY, FILE or USERINFO.",
        "SELECT parse_url('https://example.com/a?c=d', 'QUERY', 'c')",
        "d",
    ),
    function(
        "url_encode",
        |t, _| exactly(t, &[STRING], STRING),
        |a| {
            let s = a.strings_of(0)?;
            a.strings(|row, out| {
                Ok(Some(
                    out.extend(url::form_urlencoded::byte_serialize(s.get(row).as_bytes())),
                ))
            })
        },
    )
    .doc(
        "url_encode(string)",
        "With every special character percent-encoded, spaces as +.",
        "SELECT url_encode('a b&c')",
        "a+b%26c",
    ),
    function(
        "url_decode",
        |t, _| exactly(t, &[STRING], STRING),
        |a| {
            let s = a.strings_of(0)?;
            a.strings(|row, out| {
                let text = s.get(row);
                let decoded = decode(text, true)
                    .ok_or_else(|| Error::execution(format!("\"{text}\" is not percent-encoded UTF-8")))?;
                Ok(Some(out.push_str(&decoded)))
            })
        },
    )
    .doc(
        "url_decode(string)",
        "Percent-encoding undone.",
        "SELECT url_decode('a+b%26c')",
        "a b&c",
    ),
];

fn extracted(a: &Arguments, f: impl Fn(&Url) -> Option<String>) -> Result<Column> {
    let s = a.strings_of(0)?;
    a.strings(|row, out| {
        let part = Url::parse(s.get(row)).ok().and_then(|url| f(&url));
        Ok(part.map(|part| out.push_str(&part)))
    })
}

/// The port that is written, also when it is the scheme's own, which `Url` forgets.
fn port(text: &str) -> Option<i64> {
    let url = Url::parse(text).ok()?;
    if let Some(port) = url.port() {
        return Some(port as i64);
    }
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, port) = authority.rsplit_once(':')?;
    port.parse().ok()
}

fn parameter(text: &str, name: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Undoes percent-encoding; `None` when the bytes are not UTF-8 or a percent sign lacks its digits.
fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|b| (b as char).to_digit(16));
                (digit()? << 4 | digit()?) as u8
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn parse_url(a: &Arguments) -> Result<Column> {
    let (s, part) = (a.strings_of(0)?, a.strings_of(1)?);
    let name = (a.count() > 2).then(|| a.strings_of(2)).transpose()?;
    a.strings(|row, out| {
        let (text, part) = (s.get(row), part.get(row));
        let Ok(url) = Url::parse(text) else { return Ok(None) };
        let authority = || Some(url.authority().to_string()).filter(|a| !a.is_empty());
        let found = match (part.to_ascii_uppercase().as_str(), &name) {
            ("QUERY", Some(name)) => parameter(text, name.get(row)),
            (_, Some(_)) => None,
            ("HOST", _) => url.host_str().map(str::to_string),
            ("PATH", _) => Some(url.path().to_string()),
            ("QUERY", _) => url.query().map(str::to_string),
            ("REF", _) => url.fragment().map(str::to_string),
            ("PROTOCOL", _) => Some(url.scheme().to_string()),
            ("AUTHORITY", _) => authority(),
            ("FILE", _) => Some(match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_string(),
            }),
            ("USERINFO", _) => authority().and_then(|a| a.split_once('@').map(|(user, _)| user.to_string())),
            _ => {
                let parts = [
                    "HOST",
                    "PATH",
                    "QUERY",
                    "REF",
                    "PROTOCOL",
                    "AUTHORITY",
                    "FILE",
                    "USERINFO",
                ];
                return Err(Error::execution(format!("\"{part}\" is not a part of a URL"))
                    .with_nearest(part, parts)
                    .with_hint(format!("expected one of {}", parts.join(", "))));
            }
        };
        Ok(found.map(|found| out.push_str(&found)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{Int64, Null};

    #[test]
    fn parts() {
        let url = text("https://me@example.com:443/a%20b?x=1&y=%C3%A9#end");
        assert_eq!(call("url_extract_port", std::slice::from_ref(&url)), Int64(443));
        assert_eq!(call("url_extract_path", std::slice::from_ref(&url)), text("/a b"));
        assert_eq!(call("url_extract_parameter", &[url.clone(), text("y")]), text("é"));
        assert_eq!(call("url_extract_host", &[text("no url")]), Null);
        assert_eq!(call("parse_url", &[url.clone(), text("userinfo")]), text("me"));
        assert!(error("parse_url", &[url, text("HOTS")]).contains("HOST"));
        assert!(error("url_decode", &[text("%f")]).contains("percent-encoded"));
    }
}
