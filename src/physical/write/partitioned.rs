//! Writing into `key=value` folders.
//!
//! Every worker has a buffer of rows for each value of the partition columns: a block while the rows are few, an encoder from
//! then on. When memory is short, or too many files are open, the largest buffers are written and their files ended; later
//! rows of the same value go into another file.

use super::file::{Encoder, OutputFile};
use super::{MAX_ENCODED, Output};
use crate::catalog::partition_folder;
use crate::error::{Error, Result};
use crate::physical::pipeline::{Flow, LocalSink, Sink};
use crate::runtime::{QueryContext, Reservation};
use crate::types::DataType;
use crate::vector::block::{Appender, Block, Layout};
use crate::vector::display::ValueFormatter;
use crate::vector::keys::KeyEncoder;
use crate::vector::{Batch, Column};
use arrow::datatypes::{Schema, SchemaRef};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of rows that a buffer collects before they are encoded.
const BUFFER_BYTES: usize = 1 << 20;
/// Files that all workers together have open.
const MAX_OPEN_FILES: usize = 64;

/// The sink of a partitioned write.
pub struct PartitionedSink {
    output: Arc<Output>,
    /// Positions and types of the columns in the files.
    data: Vec<usize>,
    schema: SchemaRef,
    layout: Arc<Layout>,
}

impl PartitionedSink {
    pub fn new(output: Arc<Output>) -> Result<Self> {
        let target = &output.target;
        let all = target.schema.fields();
        if target.single_file.is_some() {
            return Err(Error::plan("a partitioned write makes folders, not one file"));
        }
        let data: Vec<usize> = (0..all.len()).filter(|i| !target.partition_by.contains(i)).collect();
        if data.is_empty() {
            return Err(Error::plan(
                "all columns are partition columns: nothing is left to be written into the files",
            ));
        }
        let fields: Vec<_> = data.iter().filter_map(|&i| all.get(i).cloned()).collect();
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            layout: Layout::new(&types)?,
            data,
            output,
        })
    }
}

impl Sink for PartitionedSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        let target = &self.output.target;
        let fields = target
            .partition_by
            .iter()
            .filter_map(|&i| target.schema.fields().get(i));
        let types: Vec<DataType> = fields.map(|f| f.data_type().clone()).collect();
        Ok(Box::new(LocalPartitioned {
            output: self.output.clone(),
            data: self.data.clone(),
            schema: self.schema.clone(),
            appender: Appender::new(self.layout.clone()),
            layout: self.layout.clone(),
            keys: KeyEncoder::new(&types, &vec![true; types.len()], None)?,
            numbers: HashMap::new(),
            buffers: vec![],
            held: 0,
            open_files: 0,
            most_open: (MAX_OPEN_FILES / context.threads()).max(4),
            reservation: context.memory.reservation("Write"),
        }))
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }
}

/// One worker's buffers.
struct LocalPartitioned {
    output: Arc<Output>,
    data: Vec<usize>,
    schema: SchemaRef,
    layout: Arc<Layout>,
    appender: Appender,
    keys: KeyEncoder,
    /// The buffer of each key.
    numbers: HashMap<Box<[u64]>, usize>,
    buffers: Vec<Buffer>,
    /// Bytes of all buffers.
    held: usize,
    open_files: usize,
    most_open: usize,
    reservation: Reservation,
}

/// The rows of one value of the partition columns.
struct Buffer {
    folder: String,
    block: Option<Block>,
    /// Bytes of rows in the block.
    filled: usize,
    encoder: Option<Encoder>,
    file: Option<OutputFile>,
    /// Bytes counted for block and encoder.
    bytes: usize,
}

impl LocalPartitioned {
    /// For each buffer the positions of its rows in the batch.
    fn split(&mut self, batch: &Batch) -> Result<Vec<(usize, Vec<u32>)>> {
        let partition_by = self.output.target.partition_by.clone();
        let columns = partition_by
            .iter()
            .map(|&i| batch.column(i))
            .collect::<Result<Vec<Column>>>()?;
        let encoded = self.keys.encode(&columns, batch.len())?;
        let mut found: Vec<(usize, Vec<u32>)> = vec![];
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut last: Option<(&[u64], usize)> = None;
        for (row, key) in encoded.words.chunks_exact(self.keys.stride()).enumerate() {
            let place = match last {
                Some((same, place)) if same == key => place,
                _ => {
                    let number = match self.numbers.get(key) {
                        Some(&number) => number,
                        None => self.new_buffer(key, &columns, row)?,
                    };
                    *places.entry(number).or_insert_with(|| {
                        found.push((number, vec![]));
                        found.len() - 1
                    })
                }
            };
            last = Some((key, place));
            if let Some((_, rows)) = found.get_mut(place) {
                rows.push(row as u32);
            }
        }
        Ok(found)
    }

    fn new_buffer(&mut self, key: &[u64], columns: &[Column], row: usize) -> Result<usize> {
        let target = &self.output.target;
        let mut folders = vec![];
        for (&i, column) in target.partition_by.iter().zip(columns) {
            let name = target.schema.field(i).name();
            let array = column.slice(row, 1).to_array()?;
            let formatter = ValueFormatter::new(array.as_ref());
            let mut text = String::new();
            formatter.write(0, &mut text);
            let value = (!formatter.is_null(0) && !text.is_empty()).then_some(text.as_str());
            folders.push(partition_folder(name, value));
        }
        let folder = folders.join("/");
        let path = target.directory.join(&folder);
        std::fs::create_dir_all(&path).map_err(|e| Error::storage(format!("{}: {e}", path.display())))?;
        self.buffers.push(Buffer {
            folder,
            block: None,
            filled: 0,
            encoder: None,
            file: None,
            bytes: 0,
        });
        let number = self.buffers.len() - 1;
        self.numbers.insert(key.into(), number);
        Ok(number)
    }

    fn append(&mut self, number: usize, batch: Batch) -> Result<()> {
        let batch = batch.project(&self.data)?;
        let columns = (0..batch.width())
            .map(|i| batch.column(i))
            .collect::<Result<Vec<_>>>()?;
        let prepared = self.appender.prepare(&columns, batch.len())?;
        let mut start = 0;
        while start < batch.len() {
            let rows = prepared.rows_within(start, BUFFER_BYTES);
            let bytes = prepared.size(start..start + rows);
            // A vector that grows may take twice what is in it.
            self.reserve(2 * bytes)?;
            let Some(buffer) = self.buffers.get_mut(number) else {
                return Err(Error::internal("a partition without buffer"));
            };
            let block = buffer.block.get_or_insert_with(|| Block::new(&self.layout));
            block.append(&self.layout, &prepared, start..start + rows)?;
            buffer.filled += bytes;
            start += rows;
            if buffer.filled >= BUFFER_BYTES {
                self.encode(number)?;
            }
            self.count(number);
        }
        Ok(())
    }

    /// Counts anew what a buffer holds.
    fn count(&mut self, number: usize) {
        let Some(buffer) = self.buffers.get_mut(number) else {
            return;
        };
        let encoder = buffer.encoder.as_ref().map_or(0, Encoder::memory_size);
        let bytes = buffer.block.as_ref().map_or(0, Block::memory_size) + encoder;
        self.held = self.held - buffer.bytes + bytes;
        buffer.bytes = bytes;
    }

    /// Makes room for `bytes` more, by writing the largest buffers if need be.
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        loop {
            let missing = (self.held + bytes).saturating_sub(self.reservation.bytes());
            if missing == 0 || self.reservation.try_grow(missing.max(1 << 20)) || self.reservation.try_grow(missing) {
                return Ok(());
            }
            let largest = self
                .buffers
                .iter()
                .enumerate()
                .max_by_key(|(_, b)| b.bytes)
                .map(|(i, _)| i);
            match largest.filter(|&i| self.buffers.get(i).is_some_and(|b| b.bytes > 0)) {
                Some(number) => self.flush(number)?,
                None => return self.reservation.grow(missing),
            }
        }
    }

    /// Moves the rows of a buffer's block into its encoder.
    fn encode(&mut self, number: usize) -> Result<()> {
        let Some(buffer) = self.buffers.get_mut(number) else {
            return Ok(());
        };
        let Some(block) = buffer.block.take() else {
            return Ok(());
        };
        buffer.filled = 0;
        let target = &self.output.target;
        let batch = block.into_batch(&self.layout, self.layout.width())?;
        if buffer.file.is_none() {
            let path = self.output.new_path(&buffer.folder);
            buffer.file = Some(OutputFile::create(path, target, &self.schema, Some(&batch))?);
            self.open_files += 1;
        }
        let encoder = match (&mut buffer.encoder, &buffer.file) {
            (Some(encoder), _) => encoder,
            (none, Some(file)) => none.insert(file.encoder()?),
            (None, None) => return Err(Error::internal("a buffer without file")),
        };
        encoder.write(&batch, target)?;
        let full = encoder.memory_size() >= MAX_ENCODED || encoder.rows() >= self.output.chunk_rows();
        self.count(number);
        if full {
            self.flush(number)?;
        }
        self.close_some(number)
    }

    /// Writes all that a buffer holds.
    fn flush(&mut self, number: usize) -> Result<()> {
        if self.buffers.get(number).is_some_and(|b| b.block.is_some()) {
            self.encode(number)?;
        }
        if let Some(buffer) = self.buffers.get_mut(number)
            && let (Some(encoder), Some(file)) = (buffer.encoder.take(), &mut buffer.file)
        {
            file.append(encoder.finish(&self.output.target)?)?;
        }
        self.count(number);
        Ok(())
    }

    /// Ends files when too many are open, but not that of `keep`.
    fn close_some(&mut self, keep: usize) -> Result<()> {
        while self.open_files > self.most_open {
            let open = self
                .buffers
                .iter()
                .enumerate()
                .filter(|(i, b)| b.file.is_some() && *i != keep);
            let Some(number) = open.max_by_key(|(_, b)| b.bytes).map(|(i, _)| i) else {
                return Ok(());
            };
            self.close(number)?;
        }
        Ok(())
    }

    fn close(&mut self, number: usize) -> Result<()> {
        self.flush(number)?;
        if let Some(file) = self.buffers.get_mut(number).and_then(|b| b.file.take()) {
            self.open_files -= 1;
            self.output.done(file)?;
        }
        Ok(())
    }
}

impl LocalSink for LocalPartitioned {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        for (number, rows) in self.split(&batch)? {
            let part = if rows.len() == batch.len() {
                batch.clone()
            } else {
                batch.clone().select(rows)
            };
            self.append(number, part)?;
        }
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        (0..self.buffers.len()).try_for_each(|number| self.close(number))
    }
}
