//! Bytes: hexadecimal and base 64, hashes, numbers as bytes, identifiers.

use super::typing::{BIGINT, BINARY, DOUBLE, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Column;
use arrow::array::*;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Text for bytes.
    function(
        "to_hex",
        |t, _| exactly(t, &[BINARY], STRING),
        |a| {
            let bytes = a.read::<BinaryViewArray>(0)?;
            a.strings(|row, out| Ok(Some(push_hex(bytes.get(row), out))))
        },
    )
    .doc(
        "to_hex(binary)",
        "Two hexadecimal digits for each byte.",
        "SELECT to_hex(to_utf8('hi'))",
        "6869",
    ),
    function(
        "from_hex",
        |t, _| exactly(t, &[STRING], BINARY),
        |a| {
            let s = a.strings_of(0)?;
            a.binaries(|row, out| {
                let text = s.get(row);
                read_hex(text, out).map(Some).ok_or_else(|| {
                    Error::execution(format!(
                        "\"{text}\" is not hexadecimal: expected pairs of 0 to 9 and A to F"
                    ))
                })
            })
        },
    )
    .doc(
        "from_hex(string)",
        "The bytes of hexadecimal digits.",
        "SELECT from_utf8(from_hex('6869'))",
        "hi",
    ),
    function(
        "hex",
        |t, _| overload(t, &[(&[BIGINT], STRING), (&[STRING], STRING), (&[BINARY], STRING)]),
        hex,
    )
    .doc(
        "hex(x)",
        "A whole number, text or bytes in hexadecimal.",
        "SELECT hex(255)",
        "FF",
    ),
    function(
        "unhex",
        |t, _| exactly(t, &[STRING], BINARY),
        |a| {
            let s = a.strings_of(0)?;
            a.binaries(|row, out| Ok(read_hex(s.get(row), out)))
        },
    )
    .doc(
        "unhex(string)",
        "The bytes of hexadecimal digits; NULL when there are others.",
        "SELECT from_utf8(unhex('6869'))",
        "hi",
    ),
    function(
        "to_base64",
        |t, _| text_or_bytes(t, STRING),
        |a| encoded(a, |bytes, out| STANDARD.encode_string(bytes, out)),
    )
    .aliases(&["base64"])
    .doc(
        "to_base64(binary)",
        "The bytes in base 64.",
        "SELECT to_base64(to_utf8('hi'))",
        "aGk=",
    ),
    function(
        "from_base64",
        |t, _| text_or_bytes(t, BINARY),
        |a| decoded(a, &STANDARD),
    )
    .aliases(&["unbase64"])
    .doc(
        "from_base64(string)",
        "The bytes of base 64.",
        "SELECT from_utf8(from_base64('aGk='))",
        "hi",
    ),
    function(
        "to_base64url",
        |t, _| text_or_bytes(t, STRING),
        |a| encoded(a, |bytes, out| URL_SAFE.encode_string(bytes, out)),
    )
    .doc(
        "to_base64url(binary)",
        "The bytes in base 64 with the alphabet of URLs.",
        "SELECT to_base64url(from_hex('FBFF'))",
        "-_8=",
    ),
    function(
        "from_base64url",
        |t, _| text_or_bytes(t, BINARY),
        |a| decoded(a, &URL_SAFE),
    )
    .doc(
        "from_base64url(string)",
        "The bytes of base 64 with the alphabet of URLs.",
        "SELECT to_hex(from_base64url('-_8='))",
        "FBFF",
    ),
    // Hashes.
    function("md5", |t, _| hash_type(t), hashed::<Md5>).doc(
        "md5(binary)",
        "The MD5 hash; of text, its hexadecimal digits.",
        "SELECT to_hex(md5(to_utf8('hi')))",
        "49F68A5C8493EC2C0BF489821C21FC3B",
    ),
    function("sha1", |t, _| hash_type(t), hashed::<Sha1>)
        .aliases(&["sha"])
        .doc(
            "sha1(binary)",
            "The SHA-1 hash; of text, its hexadecimal digits.",
            "SELECT sha1('hi')",
            "c22b5f9178342609428d6f51b2c5af4c0bde6a42",
        ),
    function("sha256", |t, _| hash_type(t), hashed::<Sha256>).doc(
        "sha256(binary)",
        "The SHA-256 hash; of text, its hexadecimal digits.",
        "SELECT sha256('hi')",
        "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
    ),
    function("sha512", |t, _| hash_type(t), hashed::<Sha512>).doc(
        "sha512(binary)",
        "The SHA-512 hash; of text, its hexadecimal digits.",
        "SELECT length(sha512(to_utf8('hi')))",
        "64",
    ),
    function("sha2", |t, _| sha2_type(t), sha2).doc(
        "sha2(x, bits)",
        "The hexadecimal digits of the SHA-2 hash of 224, 256, 384 or 512 bits.",
        "SELECT sha2('hi', 256)",
        "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
    ),
    function(
        "xxhash64",
        |t, _| exactly(t, &[BINARY], BINARY),
        |a| {
            let bytes = a.read::<BinaryViewArray>(0)?;
            a.binaries(|row, out| {
                let hash = twox_hash::XxHash64::oneshot(0, bytes.get(row));
                Ok(Some(out.extend_from_slice(&hash.to_be_bytes())))
            })
        },
    )
    .doc(
        "xxhash64(binary)",
        "The xxHash64 hash, 8 bytes.",
        "SELECT to_hex(xxhash64(to_utf8('')))",
        "EF46DB3751D8E999",
    ),
    function(
        "crc32",
        |t, _| overload(t, &[(&[BINARY], BIGINT), (&[STRING], BIGINT)]),
        |a| {
            let bytes = bytes_of(a)?;
            a.primitives::<Int64Type>(|row| Ok(Some(crc32fast::hash(bytes.get(row)) as i64)))
        },
    )
    .doc(
        "crc32(binary)",
        "The CRC-32 checksum.",
        "SELECT crc32(to_utf8('hi'))",
        "3633523372",
    ),
    // Numbers as bytes.
    function(
        "to_big_endian_64",
        |t, _| exactly(t, &[BIGINT], BINARY),
        |a| {
            let x = a.integers_of(0)?;
            a.binaries(|row, out| Ok(Some(out.extend_from_slice(&x.get(row).to_be_bytes()))))
        },
    )
    .doc(
        "to_big_endian_64(x)",
        "A bigint as 8 bytes.",
        "SELECT to_hex(to_big_endian_64(258))",
        "0000000000000102",
    ),
    function(
        "from_big_endian_64",
        |t, _| exactly(t, &[BINARY], BIGINT),
        |a| {
            let bytes = a.read::<BinaryViewArray>(0)?;
            a.primitives::<Int64Type>(|row| exact_bytes(bytes.get(row)).map(|b| Some(i64::from_be_bytes(b))))
        },
    )
    .doc(
        "from_big_endian_64(binary)",
        "The bigint of 8 bytes.",
        "SELECT from_big_endian_64(to_big_endian_64(258))",
        "258",
    ),
    function(
        "to_big_endian_32",
        |t, _| exactly(t, &[DataType::Int32], BINARY),
        |a| {
            let x = a.read::<Int32Array>(0)?;
            a.binaries(|row, out| Ok(Some(out.extend_from_slice(&x.get(row).to_be_bytes()))))
        },
    )
    .doc(
        "to_big_endian_32(x)",
        "An integer as 4 bytes.",
        "SELECT to_hex(to_big_endian_32(258))",
        "00000102",
    ),
    function(
        "from_big_endian_32",
        |t, _| exactly(t, &[BINARY], DataType::Int32),
        |a| {
            let bytes = a.read::<BinaryViewArray>(0)?;
            a.primitives::<Int32Type>(|row| exact_bytes(bytes.get(row)).map(|b| Some(i32::from_be_bytes(b))))
        },
    )
    .doc(
        "from_big_endian_32(binary)",
        "The integer of 4 bytes.",
        "SELECT from_big_endian_32(to_big_endian_32(258))",
        "258",
    ),
    function(
        "to_ieee754_64",
        |t, _| exactly(t, &[DOUBLE], BINARY),
        |a| {
            let x = a.read::<Float64Array>(0)?;
            a.binaries(|row, out| Ok(Some(out.extend_from_slice(&x.get(row).to_be_bytes()))))
        },
    )
    .doc(
        "to_ieee754_64(x)",
        "A double as 8 bytes.",
        "SELECT to_hex(to_ieee754_64(1e0))",
        "3FF0000000000000",
    ),
    function(
        "from_ieee754_64",
        |t, _| exactly(t, &[BINARY], DOUBLE),
        |a| {
            let bytes = a.read::<BinaryViewArray>(0)?;
            a.primitives::<Float64Type>(|row| exact_bytes(bytes.get(row)).map(|b| Some(f64::from_be_bytes(b))))
        },
    )
    .doc(
        "from_ieee754_64(binary)",
        "The double of 8 bytes.",
        "SELECT from_ieee754_64(to_ieee754_64(1.5e0))",
        "1.5",
    ),
    // Identifiers.
    function("uuid", |t, _| exactly(t, &[], STRING), uuid).volatile().doc(
        "uuid()",
        "A random identifier (version 4) as text.",
        "SELECT length(uuid())",
        "36",
    ),
];

// ---- Text for bytes ----

fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |half: u8| DIGITS.get(half as usize).copied().unwrap_or_default();
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

/// `None` for digits that are not hexadecimal or not in pairs.
fn read_hex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digit = |b: &u8| (*b as char).to_digit(16).map(|d| d as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    for [high, low] in pairs {
        out.push(digit(high)? << 4 | digit(low)?);
    }
    rest.is_empty().then_some(())
}

fn hex(a: &Arguments) -> Result<Column> {
    if a.column(0)?.data_type() == &BIGINT {
        let x = a.integers_of(0)?;
        return a.strings(|row, out| Ok(Some(out.push_str(&format!("{:X}", x.get(row))))));
    }
    let bytes = bytes_of(a)?;
    a.strings(|row, out| Ok(Some(push_hex(bytes.get(row), out))))
}

fn text_or_bytes(found: &[DataType], result: DataType) -> Option<Signature> {
    overload(found, &[(&[BINARY], result.clone()), (&[STRING], result)])
}

/// Argument 0 as bytes, text as UTF-8.
fn bytes_of(a: &Arguments) -> Result<super::arguments::Values<BinaryViewArray>> {
    match a.column(0)?.data_type() {
        DataType::Utf8View => Ok(a.strings_of(0)?.map(StringViewArray::to_binary_view)),
        _ => a.read(0),
    }
}

fn encoded(a: &Arguments, f: impl Fn(&[u8], &mut String)) -> Result<Column> {
    let bytes = bytes_of(a)?;
    a.strings(|row, out| Ok(Some(f(bytes.get(row), out))))
}

fn decoded(a: &Arguments, engine: &impl Engine) -> Result<Column> {
    let bytes = bytes_of(a)?;
    a.binaries(|row, out| {
        engine
            .decode_vec(bytes.get(row), out)
            .map(Some)
            .map_err(|e| Error::execution(format!("text is not base 64: {e}")))
    })
}

// ---- Hashes ----

/// Bytes give bytes; text gives hexadecimal digits, as in Hive.
fn hash_type(found: &[DataType]) -> Option<Signature> {
    overload(found, &[(&[BINARY], BINARY), (&[STRING], STRING)])
}

fn hashed<H: Digest>(a: &Arguments) -> Result<Column> {
    let bytes = bytes_of(a)?;
    if a.result_type == &BINARY {
        return a.binaries(|row, out| Ok(Some(out.extend_from_slice(H::digest(bytes.get(row)).as_ref()))));
    }
    a.strings(|row, out| Ok(Some(push_lower_hex(H::digest(bytes.get(row)).as_ref(), out))))
}

fn push_lower_hex(bytes: &[u8], out: &mut String) {
    push_hex(bytes, out);
    out.make_ascii_lowercase();
}

fn sha2_type(found: &[DataType]) -> Option<Signature> {
    overload(found, &[(&[BINARY, BIGINT], STRING), (&[STRING, BIGINT], STRING)])
}

fn sha2(a: &Arguments) -> Result<Column> {
    let (bytes, bits) = (bytes_of(a)?, a.integers_of(1)?);
    a.strings(|row, out| {
        let bytes = bytes.get(row);
        match bits.get(row) {
            224 => push_lower_hex(&Sha224::digest(bytes), out),
            0 | 256 => push_lower_hex(&Sha256::digest(bytes), out),
            384 => push_lower_hex(&Sha384::digest(bytes), out),
            512 => push_lower_hex(&Sha512::digest(bytes), out),
            _ => return Ok(None),
        }
        Ok(Some(()))
    })
}

// ---- Numbers and identifiers ----

fn exact_bytes<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| Error::execution(format!("a number of {N} bytes was expected, there are {}", bytes.len())))
}

/// RFC 9562, version 4: random but for six bits.
fn uuid(a: &Arguments) -> Result<Column> {
    let one = || {
        let bits = fastrand::u128(..) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let digits = format!("{bits:032x}");
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_string();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    };
    let array: StringViewArray = (0..a.rows).map(|_| Some(one())).collect();
    Ok(Column::Array(Arc::new(array)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{Binary, Int64, Null};

    #[test]
    fn digits_and_bytes() {
        assert_eq!(call("from_hex", &[text("00fF")]), Binary(vec![0, 255].into()));
        assert!(error("from_hex", &[text("0")]).contains("hexadecimal"));
        assert_eq!(call("unhex", &[text("zz")]), Null);
        assert_eq!(call("hex", &[text("hi")]), text("6869"));
        assert_eq!(call("hex", &[Int64(-1)]), text("FFFFFFFFFFFFFFFF"));
        assert_eq!(call("from_utf8", &[Binary(vec![0x68, 0xff].into())]), text("h\u{FFFD}"));
        assert!(error("from_base64", &[text("?")]).contains("base 64"));
        assert!(error("from_big_endian_64", &[Binary(vec![1].into())]).contains("8 bytes"));
    }

    #[test]
    fn hashes_of_text_and_bytes() {
        assert_eq!(call("md5", &[text("hi")]), text("49f68a5c8493ec2c0bf489821c21fc3b"));
        assert_eq!(
            call("to_hex", &[call("md5", &[call("to_utf8", &[text("hi")])])]),
            text("49F68A5C8493EC2C0BF489821C21FC3B")
        );
        assert_eq!(call("crc32", &[text("hi")]), Int64(3633523372));
    }

    #[test]
    fn uuids_are_version_4() {
        let crate::types::ScalarValue::String(id) = call("uuid", &[]) else {
            panic!("not a text")
        };
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!(["8", "9", "a", "b"].contains(&&id[19..20]));
    }
}
