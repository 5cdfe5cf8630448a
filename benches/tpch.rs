//! Seconds per query of TPC-H, from its text to its last row, inside one warm process.
//!
//! ```text
//! cargo bench --bench tpch -- [--scale 1] [--only 1,6] [--rounds 3] [--data DIR] [SETTING=VALUE …]
//! ```
//!
//! Makes the tables once, in `target/tpch/sf1/`; `--data` names a folder that has them already as `TABLE/` or `TABLE.parquet`.
//! A setting is one of those that `SHOW SETTINGS` lists, such as `threads=1` or `memory_limit=1GB`.

use lakebed::config::Config;
use lakebed::session::Session;
use parquet::basic::Compression;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[path = "../tests/support/tpch_data.rs"]
mod tpch_data;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows per row group, about as many as other writers put there.
const ROW_GROUP: usize = 500_000;

struct Arguments {
    scale: f64,
    only: Vec<u32>,
    rounds: usize,
    data: Option<PathBuf>,
    config: Config,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut parsed = Arguments {
        scale: 1.0,
        only: (1..=22).collect(),
        rounds: 3,
        data: None,
        config: Config::default(),
    };
    // Cargo adds `--bench`.
    let mut given = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--scale" => parsed.scale = value()?.parse()?,
            "--only" => parsed.only = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--rounds" => parsed.rounds = value()?.parse()?,
            "--data" => parsed.data = Some(value()?.into()),
            setting => match setting.split_once('=') {
                Some((name, value)) => parsed.config.set(name, value)?,
                None => {
                    return Err(
                        format!("expected --scale, --only, --rounds, --data or NAME=VALUE, found {setting}").into(),
                    );
                }
            },
        }
    }
    Ok(parsed)
}

/// The folder with the tables, which are made if they are not there.
fn data(arguments: &Arguments) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(folder) = &arguments.data {
        return Ok(folder.clone());
    }
    let folder = Path::new("target/tpch").join(format!("sf{}", arguments.scale));
    if !folder.exists() {
        eprintln!("making the tables in {}", folder.display());
        // Under another name until it is whole.
        let staged = folder.with_extension("new");
        let _ = std::fs::remove_dir_all(&staged);
        tpch_data::write_tables(&staged, arguments.scale, ROW_GROUP, Compression::SNAPPY)?;
        std::fs::rename(&staged, &folder)?;
    }
    Ok(folder)
}

/// Rows of the last statement of a text.
fn run(session: &Session, text: &str) -> lakebed::Result<usize> {
    let mut rows = 0;
    for result in session.execute(text)? {
        rows = result?.collect()?.iter().map(|b| b.num_rows()).sum();
    }
    Ok(rows)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let folder = data(&arguments)?;
    let warehouse = tempfile::tempdir()?;
    let session = Session::new(arguments.config.clone(), &warehouse.path().display().to_string())?;
    tpch_data::declare_tables(&session, &folder)?;
    println!("query   fastest    median      rows");
    let mut total = (0.0, 0.0);
    for query in &arguments.only {
        let text = std::fs::read_to_string(format!("sql/tpch/q{query:02}.sql"))?;
        let mut seconds = vec![];
        let mut rows = 0;
        for _ in 0..arguments.rounds.max(1) {
            let begin = Instant::now();
            rows = run(&session, &text).map_err(|e| format!("query {query}: {e}"))?;
            seconds.push(begin.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let (fastest, median) = (seconds[0], seconds[seconds.len() / 2]);
        println!("{query:5} {fastest:9.3} {median:9.3} {rows:9}");
        total = (total.0 + fastest, total.1 + median);
    }
    println!("total {:9.3} {:9.3}", total.0, total.1);
    Ok(())
}
