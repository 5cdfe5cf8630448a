//! bzip2, whose blocks are decompressed by several threads.
//!
//! ```text
//! BZh9  block …  block …  block …  end, checksum of all   BZh9  block …
//!       ^        ^        ^        ^                      each begins with 48 bits of its own, at any bit
//! ```
//!
//! A block needs nothing of those before it. The bits that begin blocks are looked for ahead of the reader, and what is between
//! two of them is decompressed as a stream of one block, by threads that help. The same bits may also occur inside of a
//! block, by chance. So nothing is taken for a block before it was decompressed up to its very end and its checksum was
//! right: a block that "ends" too early is tried again up to the next place where one may begin, and what was made of a place
//! inside of it is thrown away. The checksum of all blocks of a stream is checked, too.
//!
//! What is no stream where one should begin is left to the usual decompressor, and so are its errors.

use crate::runtime::{Current, MemoryArbiter, Transit, guarded};
use std::collections::VecDeque;
use std::io::{BufReader, Cursor, Error, ErrorKind, Read, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// What a block begins with, and what the end of a stream does.
const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
const MAGIC_BITS: u64 = 48;
const MAGIC_MASK: u64 = (1 << MAGIC_BITS) - 1;
const CHECKSUM_BITS: u64 = 32;
/// Compressed bytes read at a time.
const CHUNK: usize = 64 << 10;
/// No block is longer, compressed: 900,000 symbols of at most 20 bits, and its tables.
const LONGEST_BLOCK: u64 = 8 * (3 << 20);
/// What bytes of a block are counted as at least: most blocks have 900,000.
const BLOCK_BYTES: usize = 900_000;
/// What decompressing a block takes besides: four bytes for each symbol.
const WORK_BYTES: usize = 4 * BLOCK_BYTES;

/// The values that the third byte from the right may have where [`BLOCK`] or [`END`] ends in the last byte, at whichever bit.
const POSSIBLE: [bool; 256] = {
    let mut possible = [false; 256];
    let mut shift = 0;
    while shift < 8 {
        possible[((BLOCK << shift) >> 16) as u8 as usize] = true;
        possible[((END << shift) >> 16) as u8 as usize] = true;
        shift += 1;
    }
    possible
};

/// Blocks of all files that wait for their readers.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// See the module.
pub(super) struct Bzip2Blocks<R> {
    /// Nothing once the usual decompressor has it.
    input: Option<R>,
    /// Compressed bytes that are needed yet, and which byte of the file is their first.
    buffer: Vec<u8>,
    base: u64,
    /// The last bytes that were looked through.
    window: u64,
    /// Bits after [`at`](Self::at) where a block or the end of a stream may begin.
    marks: VecDeque<u64>,
    /// Blocks that are being decompressed, by where they begin and may end.
    ahead: VecDeque<Ahead>,
    /// The bit where the reader is.
    at: u64,
    state: State,
    /// Bytes of the last block, and how many of them were read.
    block: Vec<u8>,
    read: usize,
    /// Threads that may help, and what counts the memory that they take.
    helpers: usize,
    memory: Option<Arc<MemoryArbiter>>,
}

enum State {
    /// A stream begins, or the file ends.
    Between,
    /// In a stream, with the checksum of its blocks so far.
    Inside(u32),
    Usual(Box<dyn Read + Send>),
    Ended,
}

/// A block that a helping thread decompresses.
struct Ahead {
    start: u64,
    end: u64,
    /// Nothing when there was no thread to be had, or it was taken.
    block: Option<JoinHandle<Result<Counted>>>,
}

/// The bytes of a block, which are on their way until the reader has them.
struct Counted {
    bytes: Vec<u8>,
    _memory: Option<Transit>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ahead {
    fn take(mut self) -> Result<Vec<u8>> {
        let block = self.block.take().map(JoinHandle::join);
        match block {
            Some(Ok(block)) => block.map(|block| block.bytes),
            Some(Err(_)) | None => Err(Error::other("bzip2: a thread panicked")),
        }
    }
}

impl<R: Read + Send + 'static> Bzip2Blocks<R> {
    /// With as many threads as the statement has.
    pub fn new(input: R) -> Self {
        let current = Current::get().unwrap_or_default();
        Self {
            input: Some(input),
            buffer: vec![],
            base: 0,
            window: 0,
            marks: VecDeque::new(),
            ahead: VecDeque::new(),
            at: 0,
            state: State::Between,
            block: vec![],
            read: 0,
            helpers: current.threads.saturating_sub(1),
            memory: current.memory,
        }
    }

    /// Reads some of the file and looks through it; false at its end.
    fn read_on(&mut self) -> Result<bool> {
        let Some(input) = &mut self.input else { return Ok(false) };
        let before = self.buffer.len();
        input.by_ref().take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        let mut end = self.base + before as u64;
        for byte in self.buffer.get(before..).unwrap_or_default() {
            self.window = self.window << 8 | u64::from(*byte);
            end += 1;
            if !POSSIBLE[usize::from((self.window >> 16) as u8)] {
                continue;
            }
            for shift in (0..8).rev() {
                let bits = self.window >> shift & MAGIC_MASK;
                if (bits == BLOCK || bits == END) && end * 8 >= MAGIC_BITS + shift {
                    self.marks.push_back(end * 8 - shift - MAGIC_BITS);
                }
            }
        }
        Ok(self.buffer.len() > before)
    }

    /// Reads until the file is known up to this bit; false when it ends before.
    fn read_to(&mut self, bit: u64) -> Result<bool> {
        while (self.base + self.buffer.len() as u64) * 8 < bit {
            if !self.read_on()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Up to 56 bits that were read.
    fn bits(&self, at: u64, count: u64) -> u64 {
        let first = usize::try_from(at / 8 - self.base).unwrap_or(usize::MAX);
        let bytes = self.buffer.get(first..).unwrap_or_default().iter().copied();
        let word = bytes
            .chain(std::iter::repeat(0))
            .take(8)
            .fold(0, |word, b| word << 8 | u64::from(b));
        word << (at % 8) >> (64 - count)
    }

    /// The `number`th place after the reader's where a block or the end of a stream may begin; none when there is no more
    /// in the file, or a block would be longer than any is.
    fn mark(&mut self, number: usize) -> Result<Option<u64>> {
        while self.marks.front().is_some_and(|mark| *mark <= self.at) {
            self.marks.pop_front();
        }
        while self.marks.len() <= number {
            let far = (self.base + self.buffer.len() as u64) * 8 > self.at + LONGEST_BLOCK * (number as u64 + 1);
            if far || !self.read_on()? {
                break;
            }
        }
        Ok(self.marks.get(number).copied())
    }

    /// Has threads decompress what comes after the reader's block, as far as operators leave memory for it.
    fn help(&mut self) -> Result<()> {
        while self.ahead.len() < self.helpers && self.has_room() {
            let known = self.ahead.back().map_or(0, |last| last.end);
            let mut number = self.marks.partition_point(|mark| *mark < known);
            while self
                .mark(number)?
                .is_some_and(|start| self.bits(start, MAGIC_BITS) != BLOCK)
            {
                number += 1;
            }
            let (Some(start), Some(end)) = (self.mark(number)?, self.mark(number + 1)?) else {
                break;
            };
            if WAITING.fetch_add(1, Ordering::Relaxed) >= self.helpers {
                // Those of other readers are enough.
                WAITING.fetch_sub(1, Ordering::Relaxed);
                break;
            }
            let stream = self.stream_of(start, end);
            let mut memory = self.memory.as_ref().map(MemoryArbiter::transit);
            count(&mut memory, stream.len() + WORK_BYTES + BLOCK_BYTES);
            let thread = std::thread::Builder::new().name("bzip2".into());
            let block = thread.spawn(move || decompress_counted(&stream, memory)).ok();
            self.ahead.push_back(Ahead { start, end, block });
        }
        Ok(())
    }

    /// Whether one more block may be decompressed ahead.
    fn has_room(&self) -> bool {
        let memory = self.memory.as_ref();
        memory.is_none_or(|memory| memory.has_room_ahead(WORK_BYTES + BLOCK_BYTES))
    }

    /// The bits of what may be a block as a stream of its own.
    fn stream_of(&self, start: u64, end: u64) -> Vec<u8> {
        let first = usize::try_from(start / 8 - self.base).unwrap_or(usize::MAX);
        let bytes = self.buffer.get(first..).unwrap_or_default();
        let (shift, whole) = ((start % 8) as u32, ((end - start) / 8) as usize);
        let mut stream = Vec::with_capacity(whole + 24);
        // A block of any level is none too large for the last one.
        stream.extend_from_slice(b"BZh9");
        let next = bytes.iter().skip(1).copied().chain(std::iter::once(0));
        let pairs = bytes.iter().zip(next).take(whole);
        stream.extend(pairs.map(|(byte, next)| ((u16::from(*byte) << 8 | u16::from(next)) << shift >> 8) as u8));
        let rest = (end - start) % 8;
        let last = self.bits(start + 8 * whole as u64, rest.max(1)) >> u32::from(rest == 0);
        // The checksum of one block is that of all.
        let checksum = self.bits(start + MAGIC_BITS, CHECKSUM_BITS);
        let tail = u128::from(last) << 80 | u128::from(END) << 32 | u128::from(checksum);
        let tail = tail << (128 - 80 - rest);
        stream.extend_from_slice(
            tail.to_be_bytes()
                .get(..(80 + rest).div_ceil(8) as usize)
                .unwrap_or_default(),
        );
        stream
    }

    /// The bytes of the block at the reader's place, which it goes past.
    fn next_block(&mut self) -> Result<Vec<u8>> {
        let start = self.at;
        let mut failed = None;
        for number in 0.. {
            let Some(end) = self.mark(number)?.filter(|end| end - start <= LONGEST_BLOCK) else {
                break;
            };
            let begun = self
                .ahead
                .front()
                .is_some_and(|ahead| (ahead.start, ahead.end) == (start, end));
            let begun = if begun { self.ahead.pop_front() } else { None };
            let found = match begun.filter(|ahead| ahead.block.is_some()) {
                Some(ahead) => ahead.take(),
                None => {
                    let stream = self.stream_of(start, end);
                    self.help()?;
                    decompress(&stream)
                }
            };
            match found {
                Ok(block) => {
                    self.at = end;
                    self.forget();
                    self.help()?;
                    return Ok(block);
                }
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::new(ErrorKind::UnexpectedEof, "bzip2: the file ends inside of a block")))
    }

    /// Lets go of what is before the reader's place.
    fn forget(&mut self) {
        self.ahead.retain(|ahead| ahead.start >= self.at);
        let gone = usize::try_from(self.at / 8 - self.base).unwrap_or(0);
        // A part of the buffer is moved, so not too often.
        if gone > self.buffer.len() / 2 {
            self.buffer.drain(..gone.min(self.buffer.len()));
            self.base += gone as u64;
        }
    }

    /// Goes on to the next bytes; false at the end.
    fn advance(&mut self) -> Result<bool> {
        match self.state {
            State::Between => self.begin_stream(),
            State::Inside(checksum) => self.go_on(checksum),
            State::Usual(_) | State::Ended => Ok(false),
        }
    }

    /// At the beginning of a stream, or at the end of the file.
    fn begin_stream(&mut self) -> Result<bool> {
        let is_first = self.at == 0;
        let known = self.read_to(self.at + 32)?;
        let header = self.bits(self.at, 32).to_be_bytes();
        let is_header = matches!(header, [_, _, _, _, b'B', b'Z', b'h', b'1'..=b'9']);
        if known && is_header {
            self.at += 32;
            self.state = State::Inside(0);
            return Ok(true);
        }
        if !is_first && !self.read_to(self.at + 8)? {
            self.state = State::Ended;
            return Ok(false);
        }
        let rest = self
            .buffer
            .split_off(usize::try_from(self.at / 8 - self.base).unwrap_or(0));
        if let Some(input) = self.input.take() {
            let whole = BufReader::new(Cursor::new(rest).chain(input));
            self.state = State::Usual(Box::new(bzip2::bufread::MultiBzDecoder::new(whole)));
        }
        Ok(true)
    }

    /// Inside of a stream: a block, or the end.
    fn go_on(&mut self, checksum: u32) -> Result<bool> {
        if !self.read_to(self.at + MAGIC_BITS + CHECKSUM_BITS)? {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "bzip2: the file ends inside of a stream",
            ));
        }
        let stored = self.bits(self.at + MAGIC_BITS, CHECKSUM_BITS) as u32;
        match self.bits(self.at, MAGIC_BITS) {
            BLOCK => {
                self.block = self.next_block()?;
                self.read = 0;
                self.state = State::Inside(checksum.rotate_left(1) ^ stored);
            }
            END if stored == checksum => {
                self.at = (self.at + MAGIC_BITS + CHECKSUM_BITS).next_multiple_of(8);
                self.state = State::Between;
            }
            END => {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "bzip2: the checksum of a stream is wrong",
                ));
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "bzip2: no block begins where one should",
                ));
            }
        }
        Ok(true)
    }
}

impl<R: Read + Send + 'static> Read for Bzip2Blocks<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            if let State::Usual(usual) = &mut self.state {
                return usual.read(out);
            }
            let mut rest = self.block.get(self.read..).unwrap_or_default();
            if !rest.is_empty() || out.is_empty() {
                let length = rest.read(out)?;
                self.read += length;
                return Ok(length);
            }
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

/// What [`decompress`] gives; from then on only that is counted.
fn decompress_counted(stream: &[u8], mut memory: Option<Transit>) -> Result<Counted> {
    let bytes = decompress(stream)?;
    count(&mut memory, bytes.capacity());
    Ok(Counted { bytes, _memory: memory })
}

fn count(memory: &mut Option<Transit>, bytes: usize) {
    if let Some(memory) = memory {
        memory.set(bytes);
    }
}

/// A stream of one block, decompressed; an error unless it is one to its very end.
fn decompress(stream: &[u8]) -> Result<Vec<u8>> {
    guarded(|| Ok(whole_block(stream))).unwrap_or_else(|e| Err(Error::other(e)))
}

fn whole_block(stream: &[u8]) -> Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut decoder = bzip2::bufread::BzDecoder::new(stream);
    decoder.read_to_end(&mut block)?;
    match decoder.total_in() == stream.len() as u64 {
        true => Ok(block),
        false => Err(Error::new(ErrorKind::InvalidData, "bzip2: a block ends too early")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn compressed(text: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::new(level));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn reader(file: &[u8], threads: usize) -> Bzip2Blocks<Cursor<Vec<u8>>> {
        reader_within(None, file, threads)
    }

    fn reader_within(memory: Option<Arc<MemoryArbiter>>, file: &[u8], threads: usize) -> Bzip2Blocks<Cursor<Vec<u8>>> {
        let current = Current {
            threads,
            memory,
            ..Default::default()
        };
        let _entered = current.enter();
        Bzip2Blocks::new(Cursor::new(file.to_vec()))
    }

    fn read(file: &[u8], threads: usize) -> Result<Vec<u8>> {
        let mut text = vec![];
        reader(file, threads).read_to_end(&mut text).map(|_| text)
    }

    fn usual(file: &[u8]) -> Result<Vec<u8>> {
        let mut text = vec![];
        let mut decoder = bzip2::bufread::MultiBzDecoder::new(file);
        decoder.read_to_end(&mut text).map(|_| text)
    }

    /// Text of several blocks at every level, with runs that the first step of bzip2 shortens.
    fn text(lines: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(lines);
        let line = |n: u64| match n % 5000 {
            0 => "x".repeat(100_000),
            _ => format!("{n},{},{:x}\n", random.u32(..), random.u64(..)),
        };
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn files_are_what_the_usual_decompressor_says() {
        let text = text(40_000);
        for level in [1, 5, 9] {
            let file = compressed(&text, level);
            for threads in [0, 1, 2, 5] {
                assert!(
                    read(&file, threads).unwrap() == text,
                    "level {level}, {threads} threads"
                );
            }
        }
        let (one, two) = (compressed(&text[..300_000], 1), compressed(&text[300_000..700_000], 2));
        let nothing = compressed(b"", 9);
        for streams in [
            vec![&one, &two, &one],
            vec![&nothing],
            vec![&nothing, &two, &nothing, &nothing, &one, &nothing],
        ] {
            let file: Vec<u8> = streams.into_iter().flatten().copied().collect();
            for threads in [1, 4] {
                assert!(read(&file, threads).unwrap() == usual(&file).unwrap());
            }
        }
        // What follows the last stream and what is none are judged as ever.
        for file in [
            [&one[..], b"x"].concat(),
            [&one[..], b"BZh9"].concat(),
            b"BZ".to_vec(),
            vec![],
            b"BZh9x".to_vec(),
        ] {
            let (ours, theirs) = (read(&file, 3), usual(&file));
            assert_eq!(ours.is_err(), theirs.is_err(), "{:?} {:?}", ours.err(), theirs.err());
        }
    }

    #[test]
    fn blocks_ahead_are_counted_and_wait_when_memory_is_short() {
        let text = text(40_000);
        let file = compressed(&text, 1);
        // How many were ahead at most, where operators hold some of the memory.
        let most_ahead = |limit: usize, held: usize| {
            let arbiter = MemoryArbiter::new(limit);
            let mut operator = arbiter.reservation("operator");
            operator.grow(held).unwrap();
            // More threads than the readers of other tests have together.
            let mut reader = reader_within(Some(arbiter.clone()), &file, 1000);
            let (mut read, mut most) = (vec![], 0);
            let mut chunk = [0; 50_000];
            loop {
                let length = reader.read(&mut chunk).unwrap();
                let ahead = reader.ahead.len();
                assert!(arbiter.in_transit() >= ahead * 900_000, "{ahead} ahead");
                most = most.max(ahead);
                read.extend_from_slice(&chunk[..length]);
                if length == 0 {
                    break;
                }
            }
            assert!(read == text);
            assert_eq!(arbiter.in_transit(), 0, "nothing is ahead any more");
            most
        };
        assert!(most_ahead(1 << 30, 0) > 5);
        assert_eq!(
            most_ahead(20 << 20, 19 << 20),
            1,
            "in what is meant for what is on its way"
        );
        assert_eq!(most_ahead(8 << 20, 7 << 20), 0);
    }

    #[test]
    fn what_is_cut_or_damaged_is_an_error() {
        let file = compressed(&text(8_000), 1);
        let whole = usual(&file).unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..40 {
            let cut = random.usize(5..file.len());
            assert!(read(&file[..cut], 3).is_err(), "cut at {cut}");
        }
        let (mut errors, mut same) = (0, 0);
        for _ in 0..150 {
            let mut damaged = file.clone();
            let bit = random.usize(4 * 8..file.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            match read(&damaged, 3) {
                Err(_) => errors += 1,
                // The last bits of the file, which mean nothing.
                Ok(text) => {
                    assert!(text == whole, "bit {bit} of {}", file.len() * 8);
                    same += 1;
                }
            }
        }
        assert!(errors > 140, "{errors} errors, {same} times the same");
    }

    #[test]
    fn what_looks_like_a_block_by_chance_is_none() {
        let text = text(20_000);
        let file = compressed(&text, 1);
        for threads in [1, 4] {
            let mut reader = reader(&file, threads);
            while reader.read_on().unwrap() {}
            let true_ones: Vec<u64> = reader.marks.iter().copied().collect();
            assert!(true_ones.len() > 5);
            let mut random = fastrand::Rng::with_seed(1);
            let by_chance = (0..2 * true_ones.len()).map(|_| random.u64(40..file.len() as u64 * 8 - 100));
            let mut all: Vec<u64> = true_ones.iter().copied().chain(by_chance).collect();
            all.sort_unstable();
            all.dedup();
            reader.marks = all.into();
            let mut read = vec![];
            reader.read_to_end(&mut read).unwrap();
            assert!(read == text);
        }
    }
}
