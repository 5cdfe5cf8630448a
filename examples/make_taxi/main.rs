//! Makes New York taxi trips of any size: the same names, types and blemishes as the monthly files of the Taxi and
//! Limousine Commission, and the same bytes for the same arguments.
//!
//! ```text
//! cargo run --release --example make_taxi -- --out DIR --months 2020-01..2020-06 --rows 100000 --format parquet --seed 1
//! ```
//!
//! writes `DIR/green/2020/01/green_tripdata_2020_01.parquet`, …, `DIR/yellow/…` and `DIR/zone/taxi_zone_lookup.csv`.
//! `--rows` counts the trips of one month of one service; `--format csv.gz` writes the raw form.

mod files;
mod trips;
mod zones;

use std::error::Error;
use std::path::PathBuf;

use chrono::{Datelike, Months, NaiveDate};
use clap::{Parser, ValueEnum};

#[derive(Parser)]
#[command(about = "Makes New York taxi trips of any size, always the same for the same arguments")]
struct Arguments {
    /// Folder that receives green/, yellow/ and zone/.
    #[arg(long)]
    out: PathBuf,
    /// First and last month, both included; or a single one.
    #[arg(long, default_value = "2020-01..2020-03", value_parser = parse_months)]
    months: MonthRange,
    /// Trips per service and month.
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,
    /// What to make, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Green, Part::Yellow, Part::Zone])]
    parts: Vec<Part>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Parquet,
    #[value(name = "csv.gz")]
    CsvGz,
}

/// The parts of the data set: the trips of each service and the lookup of zones.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Green,
    Yellow,
    Zone,
}

/// The two kinds of cabs: green ones serve the boroughs, yellow ones mostly Manhattan and the airports.
#[derive(Clone, Copy)]
enum Service {
    Green,
    Yellow,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Green => "green",
            Service::Yellow => "yellow",
        }
    }
}

/// The first day of a month.
type Month = NaiveDate;

#[derive(Clone, Copy)]
struct MonthRange {
    first: Month,
    last: Month,
}

impl MonthRange {
    fn iter(self) -> impl Iterator<Item = Month> {
        std::iter::successors(Some(self.first), |month| month.checked_add_months(Months::new(1)))
            .take_while(move |month| *month <= self.last)
    }
}

fn parse_months(text: &str) -> Result<MonthRange, String> {
    let month = |text: &str| {
        NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
            .map_err(|_| format!("{text:?} is not a month, expected 2020-01 or 2020-01..2020-06"))
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let range = MonthRange {
        first: month(first)?,
        last: month(last)?,
    };
    if range.first > range.last {
        Err(format!("{first} is after {last}"))
    } else {
        Ok(range)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    for part in &arguments.parts {
        match part {
            Part::Green => make_trips(&arguments, Service::Green)?,
            Part::Yellow => make_trips(&arguments, Service::Yellow)?,
            Part::Zone => files::write_zones(&arguments.out.join("zone/taxi_zone_lookup.csv"))?,
        }
    }
    Ok(())
}

fn make_trips(arguments: &Arguments, service: Service) -> Result<(), Box<dyn Error>> {
    for month in arguments.months.iter() {
        let trips = trips::Trips::new(service, month, arguments.seed).take(arguments.rows as usize);
        let name = service.name();
        let (year, number) = (month.year(), month.month());
        let folder = arguments.out.join(format!("{name}/{year}/{number:02}"));
        let stem = format!("{name}_tripdata_{year}_{number:02}");
        match arguments.format {
            Format::Parquet => files::write_parquet(&folder.join(stem + ".parquet"), service, month, trips)?,
            Format::CsvGz => files::write_csv_gz(&folder.join(stem + ".csv.gz"), service, trips)?,
        }
    }
    Ok(())
}
