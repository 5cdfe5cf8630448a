//! Bits of whole numbers, and whole numbers written in other bases.

use super::typing::{BIGINT, STRING, exactly, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Column;
use arrow::datatypes::Int64Type;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Bits and bases.
    function("bitwise_and", |t, _| bigints(t, 2), |a| bits2(a, |x, y| x & y)).doc(
        "bitwise_and(x, y)",
        "Bits set in both.",
        "SELECT bitwise_and(12, 10)",
        "8",
    ),
    function("bitwise_or", |t, _| bigints(t, 2), |a| bits2(a, |x, y| x | y)).doc(
        "bitwise_or(x, y)",
        "Bits set in either.",
        "SELECT bitwise_or(12, 10)",
        "14",
    ),
    function("bitwise_xor", |t, _| bigints(t, 2), |a| bits2(a, |x, y| x ^ y)).doc(
        "bitwise_xor(x, y)",
        "Bits set in one but not both.",
        "SELECT bitwise_xor(12, 10)",
        "6",
    ),
    function(
        "bitwise_not",
        |t, _| bigints(t, 1),
        |a| a.map1::<Int64Type, Int64Type>(|x| !x),
    )
    .doc("bitwise_not(x)", "All bits turned over.", "SELECT bitwise_not(0)", "-1"),
    function("bitwise_left_shift", |t, _| bigints(t, 2), |a| bits2(a, shift_left))
        .aliases(&["shiftleft"])
        .doc(
            "bitwise_left_shift(x, bits)",
            "Bits moved up, zeros moved in.",
            "SELECT bitwise_left_shift(1, 4)",
            "16",
        ),
    function("bitwise_right_shift", |t, _| bigints(t, 2), |a| bits2(a, shift_right))
        .aliases(&["shiftrightunsigned"])
        .doc(
            "bitwise_right_shift(x, bits)",
            "Bits of a bigint moved down, zeros moved in.",
            "SELECT bitwise_right_shift(16, 3)",
            "2",
        ),
    function(
        "bitwise_right_shift_arithmetic",
        |t, _| bigints(t, 2),
        |a| bits2(a, shift_right_signed),
    )
    .aliases(&["shiftright"])
    .doc(
        "bitwise_right_shift_arithmetic(x, bits)",
        "Bits moved down, copies of the sign moved in.",
        "SELECT bitwise_right_shift_arithmetic(-16, 3)",
        "-2",
    ),
    function(
        "bit_count",
        |t, _| overload(t, &[(&[BIGINT, BIGINT], BIGINT), (&[BIGINT], BIGINT)]),
        bit_count,
    )
    .doc(
        "bit_count(x[, bits])",
        "How many bits are set in the two's complement of so many bits (64 unless told).",
        "SELECT bit_count(-7, 8)",
        "6",
    ),
    function("from_base", |t, _| exactly(t, &[STRING, BIGINT], BIGINT), from_base).doc(
        "from_base(string, radix)",
        "Reads a whole number written in a base of 2 to 36.",
        "SELECT from_base('ff', 16)",
        "255",
    ),
    function("to_base", |t, _| exactly(t, &[BIGINT, BIGINT], STRING), to_base).doc(
        "to_base(x, radix)",
        "Writes a whole number in a base of 2 to 36.",
        "SELECT to_base(255, 16)",
        "ff",
    ),
    function("conv", |t, _| exactly(t, &[STRING, BIGINT, BIGINT], STRING), conv).doc(
        "conv(string, from_radix, to_radix)",
        "A whole number written in one base, written in another in capitals.",
        "SELECT conv('1010', 2, 16)",
        "A",
    ),
    function(
        "bin",
        |t, _| exactly(t, &[BIGINT], STRING),
        |a| {
            let x = a.integers_of(0)?;
            a.strings(|row, out| Ok(Some(out.push_str(&format!("{:b}", x.get(row))))))
        },
    )
    .doc(
        "bin(x)",
        "The binary digits of the two's complement.",
        "SELECT bin(10)",
        "1010",
    ),
];

fn bigints(found: &[DataType], count: usize) -> Option<Signature> {
    exactly(found, &[BIGINT; 4][..count.min(4)], BIGINT)
}

fn bits2(a: &Arguments, f: impl Fn(i64, i64) -> i64) -> Result<Column> {
    a.map2::<Int64Type, Int64Type, Int64Type>(f)
}

fn shift_left(x: i64, bits: i64) -> i64 {
    if (0..64).contains(&bits) { x << bits } else { 0 }
}

fn shift_right(x: i64, bits: i64) -> i64 {
    if (0..64).contains(&bits) {
        ((x as u64) >> bits) as i64
    } else {
        0
    }
}

fn shift_right_signed(x: i64, bits: i64) -> i64 {
    x >> if (0..64).contains(&bits) { bits } else { 63 }
}

fn bit_count(a: &Arguments) -> Result<Column> {
    if a.count() == 1 {
        return a.map1::<Int64Type, Int64Type>(|x| x.count_ones() as i64);
    }
    a.try_map2::<Int64Type, Int64Type, Int64Type>(|x, bits| {
        if !(2..=64).contains(&bits) {
            return Err(Error::execution(format!("bit_count of {bits} bits, expected 2 to 64")));
        }
        let spare = 64 - bits;
        if (x << spare) >> spare != x {
            return Err(Error::execution(format!("{x} does not fit {bits} bits")));
        }
        Ok(((x as u64) << spare).count_ones() as i64)
    })
}

fn check_radix(radix: i64) -> Result<u32> {
    match u32::try_from(radix) {
        Ok(radix @ 2..=36) => Ok(radix),
        _ => Err(Error::execution(format!("radix {radix}, expected 2 to 36"))),
    }
}

fn from_base(a: &Arguments) -> Result<Column> {
    let (text, radix) = (a.strings_of(0)?, a.integers_of(1)?);
    a.primitives::<Int64Type>(|row| {
        let (text, radix) = (text.get(row), check_radix(radix.get(row))?);
        i64::from_str_radix(text, radix)
            .map(Some)
            .map_err(|_| Error::execution(format!("\"{text}\" is not a bigint in base {radix}")))
    })
}

/// Appends the digits of `value` in a base of 2 to 36.
fn push_digits(out: &mut String, mut value: u64, radix: u32) {
    let start = out.len();
    loop {
        out.extend(char::from_digit((value % radix as u64) as u32, radix));
        value /= radix as u64;
        if value == 0 {
            break;
        }
    }
    let reversed: String = out.split_off(start).chars().rev().collect();
    out.push_str(&reversed);
}

fn to_base(a: &Arguments) -> Result<Column> {
    let (value, radix) = (a.integers_of(0)?, a.integers_of(1)?);
    a.strings(|row, out| {
        let (value, radix) = (value.get(row), check_radix(radix.get(row))?);
        if value < 0 {
            out.push('-');
        }
        push_digits(out, value.unsigned_abs(), radix);
        Ok(Some(()))
    })
}

fn conv(a: &Arguments) -> Result<Column> {
    let (text, from, to) = (a.strings_of(0)?, a.integers_of(1)?, a.integers_of(2)?);
    a.strings(|row, out| {
        let (from, to) = (check_radix(from.get(row))?, check_radix(to.get(row))?);
        match i64::from_str_radix(text.get(row).trim(), from) {
            Err(_) => Ok(None),
            Ok(value) => {
                push_digits(out, value as u64, to);
                out.make_ascii_uppercase();
                Ok(Some(()))
            }
        }
    })
}
