//! The shapes that the trips are written in.
//!
//! The columns of a month have the names and order of the published files, and their types drift from month to month as
//! those do: the same column is an integer here and a double there, of no type at all where it was empty, or spelled
//! otherwise.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use chrono::{DateTime, Datelike};
use flate2::{Compression, write::GzEncoder};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as ParquetCompression;
use parquet::file::properties::WriterProperties;

use crate::trips::{Meter, Trip};
use crate::zones::ZONES;
use crate::{Month, Service};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROWS_PER_BATCH: usize = 65_536;

/// A cell of a trip, before it has a type in a file.
enum Cell {
    Null,
    Integer(i64),
    /// Hundredths.
    Amount(i64),
    /// Seconds since 1970.
    Time(i64),
    Text(&'static str),
}

struct Column {
    name: &'static str,
    cell: fn(&Trip) -> Cell,
    physical: fn(Month) -> Physical,
}

/// How a column of one month is stored.
enum Physical {
    Int32,
    Int64,
    Double,
    Timestamp,
    Text,
    /// The column has no type: every value is NULL.
    Null,
}

fn metered(trip: &Trip, value: fn(&Meter) -> i64) -> Cell {
    trip.meter
        .as_ref()
        .map_or(Cell::Null, |meter| Cell::Integer(value(meter)))
}

fn flag(trip: &Trip) -> Cell {
    trip.meter.as_ref().map_or(Cell::Null, |meter| {
        Cell::Text(if meter.store_and_forward { "Y" } else { "N" })
    })
}

/// Keys were 64 bits wide, later 32.
fn key(month: Month) -> Physical {
    if month.month().is_multiple_of(3) {
        Physical::Int32
    } else {
        Physical::Int64
    }
}

/// Numbers that may be NULL were doubles in the months that had any, else integers.
fn count(month: Month) -> Physical {
    if month.month().is_multiple_of(2) {
        Physical::Int64
    } else {
        Physical::Double
    }
}

fn never(month: Month) -> Physical {
    if month.month().is_multiple_of(2) {
        Physical::Double
    } else {
        Physical::Null
    }
}

/// The fee came in time: at first the column was there and empty.
fn airport_fee(month: Month) -> Physical {
    if month.month() % 3 == 1 {
        Physical::Null
    } else {
        Physical::Double
    }
}

const fn column(name: &'static str, physical: fn(Month) -> Physical, cell: fn(&Trip) -> Cell) -> Column {
    Column { name, cell, physical }
}

fn double(_: Month) -> Physical {
    Physical::Double
}

fn timestamp(_: Month) -> Physical {
    Physical::Timestamp
}

fn text(_: Month) -> Physical {
    Physical::Text
}

const GREEN: [Column; 20] = [
    column("VendorID", key, |t| Cell::Integer(t.vendor)),
    column("lpep_pickup_datetime", timestamp, |t| Cell::Time(t.pickup)),
    column("lpep_dropoff_datetime", timestamp, |t| Cell::Time(t.dropoff)),
    column("store_and_fwd_flag", text, flag),
    column("RatecodeID", count, |t| metered(t, |m| m.rate_code)),
    column("PULocationID", key, |t| Cell::Integer(t.pickup_zone)),
    column("DOLocationID", key, |t| Cell::Integer(t.dropoff_zone)),
    column("passenger_count", count, |t| metered(t, |m| m.passengers)),
    column("trip_distance", double, |t| Cell::Amount(t.distance)),
    column("fare_amount", double, |t| Cell::Amount(t.fare)),
    column("extra", double, |t| Cell::Amount(t.extra)),
    column("mta_tax", double, |t| Cell::Amount(t.mta_tax)),
    column("tip_amount", double, |t| Cell::Amount(t.tip)),
    column("tolls_amount", double, |t| Cell::Amount(t.tolls)),
    column("ehail_fee", never, |_| Cell::Null),
    column("improvement_surcharge", double, |t| {
        Cell::Amount(t.improvement_surcharge)
    }),
    column("total_amount", double, |t| Cell::Amount(t.total)),
    column("payment_type", count, |t| metered(t, |m| m.payment_type)),
    column("trip_type", count, |t| metered(t, |m| m.trip_type)),
    column("congestion_surcharge", double, congestion_surcharge),
];

const YELLOW: [Column; 19] = [
    column("VendorID", key, |t| Cell::Integer(t.vendor)),
    column("tpep_pickup_datetime", timestamp, |t| Cell::Time(t.pickup)),
    column("tpep_dropoff_datetime", timestamp, |t| Cell::Time(t.dropoff)),
    column("passenger_count", count, |t| metered(t, |m| m.passengers)),
    column("trip_distance", double, |t| Cell::Amount(t.distance)),
    column("RatecodeID", count, |t| metered(t, |m| m.rate_code)),
    column("store_and_fwd_flag", text, flag),
    column("PULocationID", key, |t| Cell::Integer(t.pickup_zone)),
    column("DOLocationID", key, |t| Cell::Integer(t.dropoff_zone)),
    column(
        "payment_type",
        |_| Physical::Int64,
        |t| Cell::Integer(t.meter.as_ref().map_or(0, |m| m.payment_type)),
    ),
    column("fare_amount", double, |t| Cell::Amount(t.fare)),
    column("extra", double, |t| Cell::Amount(t.extra)),
    column("mta_tax", double, |t| Cell::Amount(t.mta_tax)),
    column("tip_amount", double, |t| Cell::Amount(t.tip)),
    column("tolls_amount", double, |t| Cell::Amount(t.tolls)),
    column("improvement_surcharge", double, |t| {
        Cell::Amount(t.improvement_surcharge)
    }),
    column("total_amount", double, |t| Cell::Amount(t.total)),
    column("congestion_surcharge", double, congestion_surcharge),
    column("airport_fee", airport_fee, |t| {
        t.meter.as_ref().map_or(Cell::Null, |_| Cell::Amount(t.airport_fee))
    }),
];

fn congestion_surcharge(trip: &Trip) -> Cell {
    trip.meter
        .as_ref()
        .map_or(Cell::Null, |_| Cell::Amount(trip.congestion_surcharge))
}

fn columns(service: Service) -> &'static [Column] {
    match service {
        Service::Green => &GREEN,
        Service::Yellow => &YELLOW,
    }
}

/// One file of one month; the trips pass through in batches, so the size of the file is not bound by memory.
pub fn write_parquet(path: &Path, service: Service, month: Month, trips: impl Iterator<Item = Trip>) -> Result<()> {
    let mut writer: Option<ArrowWriter<File>> = None;
    let mut trips = trips.peekable();
    loop {
        let batch: Vec<Trip> = trips.by_ref().take(ROWS_PER_BATCH).collect();
        let batch = record_batch(service, month, &batch)?;
        let open = match &mut writer {
            Some(writer) => writer,
            None => {
                let properties = WriterProperties::builder()
                    .set_compression(ParquetCompression::SNAPPY)
                    .build();
                writer.insert(ArrowWriter::try_new(create(path)?, batch.schema(), Some(properties))?)
            }
        };
        open.write(&batch)?;
        if trips.peek().is_none() {
            break;
        }
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

fn record_batch(service: Service, month: Month, trips: &[Trip]) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns(service)
        .iter()
        .map(|column| {
            let array = array((column.physical)(month), trips, column.cell);
            (
                Field::new(column_name(column, month), array.data_type().clone(), true),
                array,
            )
        })
        .unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Somebody once wrote the fee with a capital letter.
fn column_name(column: &Column, month: Month) -> &'static str {
    if column.name == "airport_fee" && month.month().is_multiple_of(3) {
        "Airport_fee"
    } else {
        column.name
    }
}

fn array(physical: Physical, trips: &[Trip], cell: fn(&Trip) -> Cell) -> ArrayRef {
    let integers = || trips.iter().map(move |trip| integer(&cell(trip)));
    match physical {
        Physical::Int32 => Arc::new(
            integers()
                .map(|value| value.map(|value| value as i32))
                .collect::<Int32Array>(),
        ),
        Physical::Int64 => Arc::new(integers().collect::<Int64Array>()),
        Physical::Double => Arc::new(trips.iter().map(|trip| number(&cell(trip))).collect::<Float64Array>()),
        Physical::Timestamp => {
            let micros = integers().map(|seconds| seconds.map(|seconds| seconds * 1_000_000));
            Arc::new(micros.collect::<TimestampMicrosecondArray>())
        }
        Physical::Text => Arc::new(trips.iter().map(|trip| word(&cell(trip))).collect::<StringArray>()),
        Physical::Null => Arc::new(NullArray::new(trips.len())),
    }
}

fn integer(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Integer(value) | Cell::Time(value) => Some(*value),
        Cell::Amount(_) | Cell::Text(_) | Cell::Null => None,
    }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(value) => Some(*value as f64),
        Cell::Amount(hundredths) => Some(*hundredths as f64 / 100.0),
        Cell::Time(_) | Cell::Text(_) | Cell::Null => None,
    }
}

fn word(cell: &Cell) -> Option<&'static str> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

/// The raw form: a header, no types, nothing where a value is NULL.
pub fn write_csv_gz(path: &Path, service: Service, trips: impl Iterator<Item = Trip>) -> Result<()> {
    let mut file = GzEncoder::new(BufWriter::new(create(path)?), Compression::default());
    let columns = columns(service);
    let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
    writeln!(file, "{}", header.join(","))?;
    let mut line = Vec::new();
    for trip in trips {
        line.clear();
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            write_cell(&mut line, (column.cell)(&trip))?;
        }
        line.push(b'\n');
        file.write_all(&line)?;
    }
    file.finish()?.flush()?;
    Ok(())
}

fn write_cell(line: &mut Vec<u8>, cell: Cell) -> Result<()> {
    match cell {
        Cell::Null => {}
        Cell::Integer(value) => write!(line, "{value}")?,
        Cell::Amount(hundredths) => write!(line, "{:?}", hundredths as f64 / 100.0)?,
        Cell::Time(seconds) => {
            let time = DateTime::from_timestamp(seconds, 0).ok_or("a pickup time beyond the calendar")?;
            write!(line, "{}", time.format("%Y-%m-%d %H:%M:%S"))?;
        }
        Cell::Text(text) => line.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

/// The lookup from zone numbers to boroughs and names.
pub fn write_zones(path: &Path) -> Result<()> {
    let mut file = BufWriter::new(create(path)?);
    writeln!(file, "\"LocationID\",\"Borough\",\"Zone\",\"service_zone\"")?;
    for (number, borough, zone, service) in ZONES {
        writeln!(file, "{number},\"{borough}\",\"{zone}\",\"{service}\"")?;
    }
    file.flush()?;
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?)
}
