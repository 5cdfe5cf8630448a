//! Snappy decompression, which most Parquet scans spend most of their time in.
//!
//! Spec: google/snappy `format_description.txt`. A stream is its uncompressed length and then elements, each with a tag
//! byte whose low two bits are its kind:
//!
//! ```text
//! 0 literal  the length in the tag, or (60..=63) in the next 1 to 4 bytes; then the bytes themselves
//! 1 copy     length 4..=11, distance of 11 bits: three in the tag, eight in the next byte
//! 2 copy     length 1..=64, distance in the next two bytes
//! 3 copy     length 1..=64, distance in the next four bytes
//! ```
//!
//! Which kind comes next cannot be predicted, so the fast loop does not branch on it: literals and copies differ only in
//! where they copy from, and both copy 32 bytes whatever their length; what is too much is written over by the next
//! element (the idea is snappy's own `DecompressBranchless`).

use crate::error::{Error, Result};
use std::hint::select_unpredictable;

/// Bytes that may be written behind the end of the output, and are then forgotten.
const SLACK: usize = 96;
/// The fast loop reads a tag, four bytes and 64 bytes of literal without looking at the end of the input.
const READ_AHEAD: usize = 1 + 4 + 64;

fn bad(reason: &str) -> Error {
    Error::bad_file(format!("Snappy data {reason}"))
}

/// One stream to decompress: `input` into `out`, which will hold exactly `expected` bytes.
#[derive(Debug)]
pub struct SnappyJob<'a> {
    pub input: &'a [u8],
    pub expected: usize,
    pub out: &'a mut Vec<u8>,
}

/// Decompresses one stream.
pub fn decompress_snappy(job: SnappyJob) -> Result<()> {
    let mut stream = Stream::new(job)?;
    while !stream.input.is_empty() {
        stream.run()?;
        stream.one()?;
    }
    stream.finish()
}

/// Decompresses two streams at the same time, one element of each in turn. Where an element begins is known only when
/// the one before it has been looked at; the processor spends most of that wait on the other stream.
pub fn decompress_snappy_pair(one: SnappyJob, two: SnappyJob) -> Result<()> {
    let (mut one, mut two) = (Stream::new(one)?, Stream::new(two)?);
    while !one.input.is_empty() && !two.input.is_empty() {
        Stream::run_pair(&mut one, &mut two)?;
        one.one()?;
        two.one()?;
    }
    for mut stream in [one, two] {
        while !stream.input.is_empty() {
            stream.run()?;
            stream.one()?;
        }
        stream.finish()?;
    }
    Ok(())
}

/// The uncompressed length and the elements behind it.
fn split_length(input: &[u8]) -> Result<(u64, &[u8])> {
    let mut length = 0;
    for (i, &byte) in input.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((length, &input[i + 1..]));
        }
    }
    Err(bad("without a length"))
}

/// The distance that stands in the table for literals: one that needs no special care.
const LITERAL: u16 = 32;

/// Length and upper bits of the distance for each tag; length 0 marks what the fast loop leaves to [`Stream::one`].
static TAGS: [(u8, u16); 256] = {
    let mut table = [(0, 0); 256];
    let mut tag = 0;
    while tag < 256 {
        let six = (tag >> 2) as u8;
        table[tag] = match tag & 3 {
            0 if six < 60 => (six + 1, LITERAL),
            1 => ((six & 7) + 4, ((tag >> 5) << 8) as u16),
            2 => (six + 1, 0),
            _ => (0, 0),
        };
        tag += 1;
    }
    table
};

/// The distance bits in the bytes behind the tag, for kinds 0 to 2.
static DISTANCE_MASK: [u32; 4] = [0, 0xff, 0xffff, 0];

/// A stream on its way.
///
/// Invariants: `out` has room for `expected + SLACK` bytes, the first `done` ≤ `expected` of which have been written.
struct Stream<'a> {
    /// The elements not yet taken.
    input: &'a [u8],
    out: &'a mut Vec<u8>,
    done: usize,
    expected: usize,
}

/// What the fast loop keeps in registers.
#[derive(Clone, Copy)]
struct Cursor {
    ip: *const u8,
    /// From here on the input may end within READ_AHEAD bytes.
    ip_end: *const u8,
    op: *mut u8,
    /// `expected` bytes from `base`.
    op_end: *mut u8,
    base: *mut u8,
}

/// What a step of the fast loop met.
#[derive(PartialEq, Eq)]
enum Step {
    Taken,
    /// An element that is left to [`Stream::one`].
    Rare,
    /// A copy from before the beginning.
    Bad,
}

/// Copies `N` bytes, some of which may not have been written yet.
///
/// # Safety
/// `from` is readable and `to` writable for `N` bytes.
#[inline(always)]
unsafe fn copy<const N: usize>(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise. The compiler turns this into a load and a store.
    unsafe { std::ptr::copy(from, to, N) }
}

impl Cursor {
    /// Whether a step may be made.
    #[inline(always)]
    fn ready(&self) -> bool {
        (self.ip < self.ip_end) & (self.op < self.op_end)
    }

    /// Takes one element.
    ///
    /// # Safety
    /// READ_AHEAD bytes are readable from `ip` on; everything from `base` to `op` is written; SLACK bytes are writable
    /// from `op_end` on, and `op < op_end`.
    #[inline(always)]
    unsafe fn step(&mut self) -> Step {
        // SAFETY: a copy comes from at most as far back as `base`, as is checked, and both kinds write at most 64 bytes
        // (`near` 72) from `op` on, which SLACK covers.
        unsafe {
            let tag = *self.ip;
            let kind = usize::from(tag & 3);
            let (len, high) = TAGS[usize::from(tag)];
            let len = usize::from(len);
            if len == 0 {
                return Step::Rare;
            }
            let is_copy = kind != 0;
            let word = u32::from_le(self.ip.add(1).cast::<u32>().read_unaligned());
            let distance = (word & DISTANCE_MASK[kind]) as usize | usize::from(high);
            let done = self.op as usize - self.base as usize;
            if distance.wrapping_sub(1) >= done | usize::from(!is_copy).wrapping_neg() {
                return Step::Bad;
            }
            if distance < usize::from(LITERAL) {
                near(self.op, distance, len);
            } else {
                let back = self.op.cast_const().wrapping_sub(distance);
                let from = select_unpredictable(is_copy, back, self.ip.add(1));
                copy::<32>(from, self.op);
                if len > 32 {
                    copy::<32>(from.add(32), self.op.add(32));
                }
            }
            self.op = self.op.add(len);
            self.ip = self
                .ip
                .add(1 + select_unpredictable(is_copy, kind, usize::from(tag >> 2) + 1));
        }
        Step::Taken
    }
}

impl<'a> Stream<'a> {
    fn new(job: SnappyJob<'a>) -> Result<Self> {
        let SnappyJob { input, expected, out } = job;
        let (length, input) = split_length(input)?;
        if length != expected as u64 {
            return Err(bad(&format!("of {length} bytes where {expected} were announced")));
        }
        out.clear();
        out.reserve(expected + SLACK);
        Ok(Self {
            input,
            out,
            done: 0,
            expected,
        })
    }

    fn cursor(&mut self) -> Cursor {
        let ip = self.input.as_ptr();
        let base = self.out.as_mut_ptr();
        Cursor {
            ip,
            ip_end: ip.wrapping_add((self.input.len() + 1).saturating_sub(READ_AHEAD)),
            op: base.wrapping_add(self.done),
            op_end: base.wrapping_add(self.expected),
            base,
        }
    }

    /// Takes over how far the cursor has come.
    fn advance(&mut self, cursor: &Cursor, step: Step) -> Result<()> {
        let taken = cursor.ip as usize - self.input.as_ptr() as usize;
        let done = cursor.op as usize - cursor.base as usize;
        if step == Step::Bad {
            return Err(bad("copies from before its beginning"));
        }
        if done > self.expected {
            return Err(bad("is longer than announced"));
        }
        self.input = self.input.get(taken..).unwrap_or_default();
        self.done = done;
        Ok(())
    }

    /// Takes elements until the end of input or output is near, or until one is of a rare kind.
    fn run(&mut self) -> Result<()> {
        let mut cursor = self.cursor();
        let mut step = Step::Taken;
        while step == Step::Taken && cursor.ready() {
            // SAFETY: by the invariants and `ready`.
            step = unsafe { cursor.step() };
        }
        self.advance(&cursor, step)
    }

    /// Takes as many elements of both, until either cannot go on.
    fn run_pair(one: &mut Self, two: &mut Self) -> Result<()> {
        let (mut a, mut b) = (one.cursor(), two.cursor());
        let (mut step_a, mut step_b) = (Step::Taken, Step::Taken);
        while a.ready() & b.ready() {
            // SAFETY: by the invariants and `ready`.
            (step_a, step_b) = unsafe { (a.step(), b.step()) };
            if (step_a != Step::Taken) | (step_b != Step::Taken) {
                break;
            }
        }
        one.advance(&a, step_a)?;
        two.advance(&b, step_b)
    }

    /// Takes one element of any kind, if there is one, and checks everything.
    fn one(&mut self) -> Result<()> {
        let Some((&tag, rest)) = self.input.split_first() else {
            return Ok(());
        };
        let six = usize::from(tag >> 2);
        let number = |n: usize| match rest.get(..n) {
            Some(bytes) => Ok(bytes.iter().rev().fold(0, |v, &b| v << 8 | usize::from(b))),
            None => Err(bad("ends inside an element")),
        };
        let room = self.expected - self.done;
        if tag & 3 == 0 {
            let extra = six.saturating_sub(59);
            let len = 1 + if extra == 0 { six } else { number(extra)? };
            let Some((literal, rest)) = rest.get(extra..).and_then(|r| r.split_at_checked(len)) else {
                return Err(bad("ends inside a literal"));
            };
            if len > room {
                return Err(bad("is longer than announced"));
            }
            // SAFETY: done + len ≤ expected.
            unsafe {
                self.out
                    .as_mut_ptr()
                    .add(self.done)
                    .copy_from_nonoverlapping(literal.as_ptr(), len)
            };
            self.done += len;
            self.input = rest;
            return Ok(());
        }
        let (len, distance, extra) = match tag & 3 {
            1 => ((six & 7) + 4, (usize::from(tag) >> 5) << 8 | number(1)?, 1),
            2 => (six + 1, number(2)?, 2),
            _ => (six + 1, number(4)?, 4),
        };
        if distance == 0 || distance > self.done {
            return Err(bad("copies from before its beginning"));
        }
        if len > room {
            return Err(bad("is longer than announced"));
        }
        let out = self.out.as_mut_ptr();
        for at in self.done..self.done + len {
            // SAFETY: at < expected, and 1 ≤ distance ≤ done: the source is written and not behind `at`.
            unsafe { *out.add(at) = *out.add(at - distance) };
        }
        self.done += len;
        self.input = rest.get(extra..).unwrap_or_default();
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if self.done != self.expected {
            return Err(bad("ends early"));
        }
        // SAFETY: the first `done` bytes have been written.
        unsafe { self.out.set_len(self.expected) };
        Ok(())
    }
}

/// Writes `len` ≤ 64 bytes that repeat the last `distance` < 32 ones.
///
/// What is read here has just been written. The processor forwards it only if it lies in a single write, so short
/// copies, typical of columns of numbers, read no byte too many.
///
/// # Safety
/// `distance` ≥ 1 bytes before `to` are readable, 72 from `to` on are writable.
#[inline(always)]
unsafe fn near(to: *mut u8, distance: usize, len: usize) {
    // SAFETY: nothing is read from before `to - distance`. With len ≤ 16 nothing is written from `to + len` on; else
    // `repeat` has the same promise as this.
    unsafe {
        let from = to.cast_const().sub(distance);
        if (4..=8).contains(&len) & (distance >= len) {
            copy::<4>(from, to);
            copy::<4>(from.add(len - 4), to.add(len - 4));
        } else if (9..=16).contains(&len) & (distance >= len) {
            copy::<8>(from, to);
            copy::<8>(from.add(len - 8), to.add(len - 8));
        } else {
            repeat(to, distance, len);
        }
    }
}

/// Writes `len` ≤ 64 bytes that repeat the last `distance` < 32 ones.
///
/// # Safety
/// `distance` ≥ 1 bytes before `to` are readable, 72 from `to` on are writable.
unsafe fn repeat(to: *mut u8, distance: usize, len: usize) {
    // SAFETY: nothing is read from before `to - distance`, nor written from `to + 72` on: the first loop stops at
    // `known` ≥ 8, the second writes 8 bytes at done < len ≤ 64, the third 16 bytes at 0, 16, 32 and 48.
    unsafe {
        let from = to.cast_const().sub(distance);
        if distance < 16 {
            // Each copy doubles what is known of the pattern, until eight bytes are.
            let (mut done, mut known) = (0, distance);
            while known < 8 {
                copy::<8>(from, to.add(done));
                done += known;
                known *= 2;
            }
            while done < len {
                copy::<8>(to.add(done).cast_const().sub(known), to.add(done));
                done += 8;
            }
        } else {
            for k in (0..len).step_by(16) {
                copy::<16>(from.add(k), to.add(k));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *seed >> 33
    }

    /// Text-like bytes: words of a small vocabulary, runs, incompressible stretches.
    fn sample(len: usize, seed: &mut u64) -> Vec<u8> {
        let mut bytes = vec![];
        while bytes.len() < len {
            match noise(seed) % 8 {
                0 => bytes.extend((0..noise(seed) % 200).map(|_| noise(seed) as u8)),
                1 => {
                    let period = 1 + noise(seed) as usize % 40;
                    let pattern: Vec<u8> = (0..period).map(|_| noise(seed) as u8).collect();
                    bytes.extend(pattern.iter().cycle().take(noise(seed) as usize % 300));
                }
                _ => bytes.extend(format!("word{} ", noise(seed) % 50).bytes()),
            }
        }
        bytes.truncate(len);
        bytes
    }

    fn alone(input: &[u8], expected: usize, out: &mut Vec<u8>) -> Result<()> {
        decompress_snappy(SnappyJob { input, expected, out })
    }

    /// The safe twin is the `snap` crate.
    fn same(compressed: &[u8], expected: usize) {
        let mut out = vec![1; 7];
        let ours = alone(compressed, expected, &mut out).map(|()| out);
        let twin = snap::raw::Decoder::new().decompress_vec(compressed);
        match (ours, twin) {
            (Ok(ours), Ok(twin)) => assert_eq!(ours, twin),
            (Ok(_), Err(e)) => panic!("the twin finds an error: {e}"),
            (Err(e), Ok(twin)) => assert_ne!(twin.len(), expected, "the twin finds no error: {e}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn decompresses_like_the_safe_twin() {
        let mut seed = 7;
        for len in (0..200).chain([500, 1000, 5000, 70_000, 300_000]) {
            let bytes = sample(len, &mut seed);
            let compressed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
            let mut out = vec![];
            alone(&compressed, len, &mut out).unwrap();
            assert_eq!(out, bytes);
            same(&compressed, len);
            same(&compressed, len + 1);
        }
    }

    #[test]
    fn two_streams_at_a_time_are_like_one() {
        let mut seed = 17;
        for _ in 0..300 {
            let samples = [0, 1].map(|_| {
                let len = noise(&mut seed) as usize % 3000;
                sample(len, &mut seed)
            });
            let mut compressed = samples
                .each_ref()
                .map(|s| snap::raw::Encoder::new().compress_vec(s).unwrap());
            let (mut one, mut two) = (vec![], vec![]);
            let mut both = |compressed: &[Vec<u8>; 2]| {
                decompress_snappy_pair(
                    SnappyJob {
                        input: &compressed[0],
                        expected: samples[0].len(),
                        out: &mut one,
                    },
                    SnappyJob {
                        input: &compressed[1],
                        expected: samples[1].len(),
                        out: &mut two,
                    },
                )
                .map(|()| [one.clone(), two.clone()])
            };
            assert_eq!(both(&compressed).unwrap(), samples);
            for _ in 0..20 {
                let which = noise(&mut seed) as usize % 2;
                let at = noise(&mut seed) as usize % compressed[which].len();
                let old = std::mem::replace(&mut compressed[which][at], noise(&mut seed) as u8);
                let twins = compressed
                    .each_ref()
                    .map(|c| snap::raw::Decoder::new().decompress_vec(c).ok());
                let fit = twins
                    .iter()
                    .zip(&samples)
                    .all(|(t, s)| t.as_ref().is_some_and(|t| t.len() == s.len()));
                assert_eq!(both(&compressed).ok(), fit.then(|| twins.map(Option::unwrap)));
                compressed[which][at] = old;
            }
        }
    }

    #[test]
    fn every_distance_and_length_repeats() {
        for distance in 1..70u8 {
            for len in 1..=64u8 {
                // A literal of 70 bytes, one copy with a two-byte distance, a literal that follows.
                let mut stream = vec![60 << 2, 69];
                stream.extend(100..170);
                stream.extend([(len - 1) << 2 | 2, distance, 0, 60 << 2, 99]);
                stream.extend(0..100);
                let total = 170 + u64::from(len);
                let prefix = [(total & 0x7f | 0x80) as u8, (total >> 7) as u8];
                same(&[&prefix[..], &stream].concat(), total as usize);
            }
        }
    }

    #[test]
    fn flipped_bytes_give_what_the_safe_twin_gives() {
        let mut seed = 11;
        let bytes = sample(600, &mut seed);
        let compressed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        for at in 0..compressed.len() {
            for value in 0..=255 {
                let mut corrupt = compressed.clone();
                corrupt[at] = value;
                same(&corrupt, bytes.len());
            }
            same(&compressed[..at], bytes.len());
        }
    }
}
