//! The RLE / bit-packed hybrid: dictionary codes, definition levels, booleans.
//!
//! Spec: parquet-format `Encodings.md`, "Run Length Encoding / Bit-Packing Hybrid". A run is either one value repeated
//! or groups of eight bit-packed values.

use super::{bad, delta::read_varint};
use crate::error::Result;
use crate::vector::bitunpack::{unpack_one, unpack_u32};
use arrow::buffer::Buffer;

/// The run the cursor stands in.
#[derive(Debug, Clone, Copy)]
enum Run {
    Repeated(u32),
    /// Packed values whose first byte is at `at`; `next` is the first not yet read.
    Packed {
        at: usize,
        next: usize,
    },
}

/// Reads the values of one hybrid stream from front to back.
#[derive(Debug, Clone)]
pub struct CodeCursor {
    data: Buffer,
    width: u32,
    /// Where the next run's header stands.
    at: usize,
    run: Run,
    /// Values left in `run`.
    left: usize,
}

impl CodeCursor {
    /// A cursor over `data` with codes of `width` bits.
    pub fn new(data: Buffer, width: u32) -> Result<Self> {
        if width > 32 {
            return Err(bad(format!("codes of {width} bits, at most 32 are possible")));
        }
        Ok(Self {
            data,
            width,
            at: 0,
            run: Run::Repeated(0),
            left: 0,
        })
    }

    /// A cursor over dictionary codes, whose width stands in the first byte.
    pub fn with_width_byte(data: Buffer) -> Result<Self> {
        match data.first() {
            Some(&width) => Self::new(data.slice(1), u32::from(width)),
            // A page without any value may be empty altogether.
            None => Self::new(data, 0),
        }
    }

    /// Goes to the next run if the current one is used up.
    #[inline]
    fn fill(&mut self) -> Result<()> {
        while self.left == 0 {
            // Most runs are short: a header of one byte and, if they repeat a value, that value in another.
            match self.data.get(self.at..) {
                Some(&[header, value, ..]) if header < 0x80 && header & 1 == 0 && (1..=8).contains(&self.width) => {
                    (self.run, self.left) = (Run::Repeated(u32::from(value)), usize::from(header >> 1));
                    self.at += 2;
                }
                _ => self.fill_any()?,
            }
        }
        Ok(())
    }

    /// Reads the header of the next run, which may be empty.
    fn fill_any(&mut self) -> Result<()> {
        let header = read_varint(&self.data, &mut self.at)?;
        let count = usize::try_from(header >> 1).map_err(|_| bad("a run of more than 2^63 values"))?;
        if header & 1 == 0 {
            let bytes = self.width.div_ceil(8) as usize;
            let Some(value) = self.data.get(self.at..self.at + bytes) else {
                return Err(bad("the page ends inside a run of codes"));
            };
            let value = value.iter().rev().fold(0, |v, &b| v << 8 | u32::from(b));
            self.at += bytes;
            (self.run, self.left) = (Run::Repeated(value), count);
            return Ok(());
        }
        let (needed, held) = (count.saturating_mul(self.width as usize), self.data.len() - self.at);
        (self.run, self.left) = (Run::Packed { at: self.at, next: 0 }, count.saturating_mul(8));
        self.at += needed.min(held);
        if needed > held {
            // Some writers cut the padding of the last group, so a run may hold less than it announces.
            self.left = held * 8 / self.width as usize;
            if self.left == 0 {
                return Err(bad("the page ends inside a run of codes"));
            }
        }
        Ok(())
    }

    /// Passes over up to `n` values of the current run; returns the run as it was and how many were taken.
    #[inline]
    fn take(&mut self, n: usize) -> Result<(Run, usize)> {
        self.fill()?;
        let run = self.run;
        let taken = n.min(self.left);
        self.left -= taken;
        if let Run::Packed { next, .. } = &mut self.run {
            *next += taken;
        }
        Ok((run, taken))
    }

    /// Appends the next `n` codes to `out`.
    pub fn read(&mut self, n: usize, out: &mut Vec<u32>) -> Result<()> {
        let start = out.len();
        out.resize(start + n, 0);
        let mut rest = out.get_mut(start..).unwrap_or_default();
        while !rest.is_empty() {
            let (run, taken) = self.take(rest.len())?;
            let (now, later) = rest.split_at_mut(taken);
            match run {
                Run::Repeated(value) => now.fill(value),
                Run::Packed { at, next } => unpack_u32(&self.data[at..], self.width, next, now),
            }
            rest = later;
        }
        Ok(())
    }

    /// Appends the codes at the ascending `positions` among the next `n` and passes over all `n`.
    pub fn read_at(&mut self, positions: &[u32], n: usize, out: &mut Vec<u32>) -> Result<()> {
        let (mut done, mut positions) = (0, positions);
        while done < n {
            let (run, taken) = self.take(n - done)?;
            // Runs are short and positions few: mostly there is none.
            let here = positions.iter().take_while(|&&p| (p as usize) < done + taken).count();
            let (picked, later) = positions.split_at(here);
            match run {
                Run::Repeated(value) => out.extend(picked.iter().map(|_| value)),
                Run::Packed { at, next } => {
                    let bytes = &self.data[at..];
                    let one = |&p: &u32| unpack_one(bytes, self.width, next + (p as usize).saturating_sub(done)) as u32;
                    out.extend(picked.iter().map(one));
                }
            }
            positions = later;
            done += taken;
        }
        Ok(())
    }

    /// Passes over `n` codes.
    pub fn skip(&mut self, mut n: usize) -> Result<()> {
        while n > 0 {
            n -= self.take(n)?.1;
        }
        Ok(())
    }

    /// The next `n` values of a stream of single bits.
    pub fn read_bits(&mut self, n: usize) -> Result<arrow::buffer::BooleanBuffer> {
        let mut bits = arrow::array::BooleanBufferBuilder::new(n);
        while bits.len() < n {
            let (run, taken) = self.take(n - bits.len())?;
            match run {
                Run::Repeated(value) => bits.append_n(taken, value != 0),
                Run::Packed { at, next } => bits.append_packed_range(next..next + taken, &self.data[at..]),
            }
        }
        Ok(bits.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three times 5, then eight packed values 0..8, then two times 1, all of three bits.
    fn stream() -> (Buffer, Vec<u32>) {
        let bytes = [6, 5, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010, 4, 1];
        (
            Buffer::from(bytes.as_slice()),
            vec![5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7, 1, 1],
        )
    }

    #[test]
    fn reads_skips_and_picks() {
        let (data, expected) = stream();
        for first in 0..=expected.len() {
            for n in 0..=expected.len() - first {
                let mut cursor = CodeCursor::new(data.clone(), 3).unwrap();
                cursor.skip(first).unwrap();
                let mut out = vec![];
                cursor.clone().read(n, &mut out).unwrap();
                assert_eq!(out, expected[first..first + n]);
                out.clear();
                let odd: Vec<u32> = (0..n as u32).filter(|p| p % 2 == 1).collect();
                cursor.read_at(&odd, n, &mut out).unwrap();
                assert_eq!(
                    out,
                    odd.iter().map(|&p| expected[first + p as usize]).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error() {
        let (data, expected) = stream();
        assert!(
            CodeCursor::new(data.clone(), 3)
                .unwrap()
                .read(expected.len() + 1, &mut vec![])
                .is_err()
        );
        assert!(CodeCursor::new(data.clone(), 33).is_err());
        assert!(
            CodeCursor::new(Buffer::from([3u8]), 8)
                .unwrap()
                .read(1, &mut vec![])
                .is_err()
        );
        assert!(
            CodeCursor::new(Buffer::from([0xffu8; 12]), 8)
                .unwrap()
                .read(1, &mut vec![])
                .is_err()
        );
    }
}
