//! Random queries over small random tables: every configuration must give the rows of a reference that evaluates the query
//! row by row, without any of the engine's code.
//!
//! `LAKEBED_SEED=n` runs the queries of another seed, `LAKEBED_QUERIES=n` more or fewer of them.

mod generate;
mod reference;

use crate::support::{Configuration, configurations, rows};
use generate::Generator;
use lakebed::config::Config;
use lakebed::session::Session;
use reference::{Query, Table, Value};
use std::path::Path;

type Rows = Vec<Vec<Option<String>>>;

#[test]
fn every_configuration_agrees_with_the_reference() {
    check(120, |seed, tables| Generator::new(seed, tables).query());
}

#[test]
fn joins_by_ranges_agree_with_the_reference() {
    check(40, |seed, tables| Generator::by_ranges(seed, tables).query());
}

/// Runs so many queries, each made from a seed.
fn check(queries: u64, query: impl Fn(u64, &[Table]) -> Query) {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let seed = number("LAKEBED_SEED", 20_260_101);
    let queries = number("LAKEBED_QUERIES", queries);
    let folder = tempfile::tempdir().unwrap();
    let configurations = configurations();
    let tables = make_tables(seed, &configurations[0], folder.path());
    let sessions: Vec<_> = configurations
        .iter()
        .map(|c| (&c.name, c.session(folder.path()).unwrap()))
        .collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut wrong = vec![];
    for number in 0..queries {
        let (limits, limited) = random_limits(&mut random, folder.path());
        let query = query(seed.wrapping_add(number), &tables);
        let text = query.to_string();
        let expected = shown(query.rows(&tables), query.is_ordered());
        let sessions = sessions.iter().map(|(name, session)| (*name, session));
        for (name, session) in sessions.chain([(&limits, &limited)]) {
            let found = match run(session, &text) {
                Ok(found) => sorted(found, query.is_ordered()),
                Err(error) => {
                    wrong.push(format!("{name}: {error}\n  {text}"));
                    break;
                }
            };
            if found != expected {
                wrong.push(format!(
                    "{name}\n  {text}\n  found    {found:?}\n  expected {expected:?}"
                ));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} of {queries} queries\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A session whose memory, threads, batches and joins are limited at random, and what its limits are.
fn random_limits(random: &mut fastrand::Rng, folder: &Path) -> (String, Session) {
    let config = Config {
        memory_limit: 1 << random.u32(20..27),
        broadcast_limit: random.bool().then(|| 1 << random.u32(0..20)),
        prefer_merge_join: random.u8(..4) == 0,
        threads: random.usize(1..5),
        batch_size: random.usize(1..50),
        debug_force_spill: random.bool(),
        ..Config::default()
    };
    let name = format!("{config:?}");
    (name, Session::new(config, &folder.display().to_string()).unwrap())
}

fn run(session: &Session, text: &str) -> lakebed::Result<Rows> {
    let mut all = vec![];
    for result in session.execute(text)? {
        all = rows(&result?.collect()?);
    }
    // Zero has one sign, so that rows that are equal have one text.
    let zeros = all.iter_mut().flatten().filter(|cell| cell.as_deref() == Some("-0.0"));
    zeros.for_each(|cell| *cell = Some("0.0".into()));
    Ok(all)
}

/// Three tables with the same columns, in the reference and in the warehouse. One is empty, one has several files.
fn make_tables(seed: u64, configuration: &Configuration, folder: &Path) -> Vec<Table> {
    let session = configuration.session(folder).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let tables: Vec<Table> = [37, 12, 0]
        .iter()
        .map(|&rows| Table::random(&mut random, rows))
        .collect();
    for (i, table) in tables.iter().enumerate() {
        let create = format!("CREATE TABLE t{i} (a BIGINT, b BIGINT, s VARCHAR, d DOUBLE) STORED AS PARQUET");
        run(&session, &create).unwrap();
        for part in table.rows.chunks(20) {
            let rows: Vec<String> = part
                .iter()
                .map(|row| row.iter().map(Value::literal).collect::<Vec<_>>().join(", "))
                .collect();
            run(&session, &format!("INSERT INTO t{i} VALUES ({})", rows.join("), ("))).unwrap();
        }
    }
    tables
}

fn shown(rows: Vec<Vec<Value>>, ordered: bool) -> Rows {
    let rows = rows
        .into_iter()
        .map(|row| row.into_iter().map(Value::shown).collect())
        .collect();
    sorted(rows, ordered)
}

/// Rows without an order are compared as a multiset.
fn sorted(mut rows: Rows, ordered: bool) -> Rows {
    if !ordered {
        rows.sort();
    }
    rows
}
