//! Writes to a store on which, call by call, something goes wrong: the table is as before or as after, for whoever looks and
//! whenever, and nothing is left behind.

use crate::faulty::{Fault, FaultyStore, reads};
use crate::servers::azure::AzureServer;
use crate::servers::gcs::GcsServer;
use crate::servers::s3::S3Server;
use crate::support;
use lakebed::catalog::{gc, recover_older};
use lakebed::session::Session;
use lakebed::storage::Location;
use object_store::memory::InMemory;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was there before each statement.
const BEFORE: &str = "
    CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS SELECT x, x % 3 AS p FROM UNNEST(sequence(1, 9)) AS a(x);
    CREATE TABLE u AS SELECT 1 AS x, 1 AS p;
    CREATE TABLE b WITH (bucketed_by = ARRAY['x'], bucket_count = 2) AS SELECT x FROM UNNEST(sequence(1, 9)) AS a(x)";

/// The same, with a table that has partitions elsewhere than below its folder.
const BEFORE_ELSEWHERE: &str = "
    CREATE TABLE e (x VARCHAR) PARTITIONED BY (p INT);
    ALTER TABLE e ADD PARTITION (p = 1) LOCATION 'LAKE/elsewhere/p1' PARTITION (p = 2) LOCATION 'LAKE/elsewhere/p2';
    INSERT INTO e SELECT CAST(x AS VARCHAR), CAST(x % 4 AS INT) FROM UNNEST(sequence(1, 9)) AS a(x)";

/// The same, with files that are to become a table's.
const BEFORE_LOADED: &str = "
    CREATE TABLE l STORED AS PARQUET AS SELECT 9 AS x;
    COPY (SELECT 1 AS x) TO 'LAKE/inbox/a.parquet';
    COPY (SELECT 2 AS x) TO 'LAKE/inbox/b.parquet'";

/// Rows that make a file of several parts.
const LARGE: &str =
    "SELECT to_hex(md5(to_utf8(CAST(x AS VARCHAR)))) AS x, 1 AS p FROM UNNEST(sequence(1, 1500)) AS a(x)";

struct Write {
    statement: String,
    /// The folder that it writes to, below the warehouse.
    target: &'static str,
    /// A table that it makes.
    makes: Option<&'static str>,
}

fn writes() -> Vec<Write> {
    let write = |statement: &str, target, makes| Write {
        statement: statement.replace("LARGE", LARGE),
        target,
        makes,
    };
    vec![
        write(
            "INSERT INTO t SELECT x, x % 4 FROM UNNEST(sequence(11, 18)) AS a(x)",
            "default/t",
            None,
        ),
        write("INSERT INTO u SELECT 2, 2", "default/u", None),
        // Names of its files begin with the bucket, not with the statement.
        write(
            "INSERT INTO b SELECT x FROM UNNEST(sequence(11, 18)) AS a(x)",
            "default/b",
            None,
        ),
        write(
            "INSERT OVERWRITE t SELECT x, x % 2 FROM UNNEST(sequence(11, 18)) AS a(x)",
            "default/t",
            None,
        ),
        write(
            "INSERT OVERWRITE TABLE t PARTITION (p = 1) SELECT 70",
            "default/t",
            None,
        ),
        write("INSERT OVERWRITE TABLE u SELECT 3, 3", "default/u", None),
        write("CREATE TABLE n AS SELECT 5 AS x, 5 AS p", "default/n", Some("n")),
        write("CREATE TABLE n AS LARGE", "default/n", Some("n")),
        write(
            "CREATE TABLE n WITH (partitioned_by = ARRAY['p']) AS SELECT x, x % 3 AS p FROM UNNEST(sequence(1, 9)) AS a(x)",
            "default/n",
            Some("n"),
        ),
        write(
            "COPY (LARGE) TO 'LAKE/default/c/' (FORMAT csv, PARTITION_BY (p))",
            "default/c",
            None,
        ),
        write("DROP TABLE u", "default/u", None),
        write("INSERT INTO e SELECT 'a', 1", ELSEWHERE, None),
        write(
            "INSERT INTO e SELECT CAST(x AS VARCHAR), CAST(x % 4 AS INT) FROM UNNEST(sequence(11, 18)) AS a(x)",
            ELSEWHERE,
            None,
        ),
        write(
            "INSERT INTO e SELECT x, CAST(p AS INT) FROM (LARGE) AS l",
            ELSEWHERE,
            None,
        ),
        write(
            "INSERT OVERWRITE e SELECT CAST(x AS VARCHAR), CAST(x % 2 AS INT) FROM UNNEST(sequence(11, 18)) AS a(x)",
            ELSEWHERE,
            None,
        ),
        write("INSERT OVERWRITE TABLE e PARTITION (p = 1) SELECT 'a'", ELSEWHERE, None),
        write("TRUNCATE TABLE e", ELSEWHERE, None),
        write("ALTER TABLE t DROP PARTITION (p = 1)", "default/t", None),
        write("ALTER TABLE e DROP PARTITION (p < 3)", ELSEWHERE, None),
        write("DROP TABLE e", ELSEWHERE, None),
        write("LOAD DATA INPATH 'LAKE/inbox/' INTO TABLE l", LOADED, None),
        write("LOAD DATA INPATH 'LAKE/inbox/' OVERWRITE INTO TABLE l", LOADED, None),
    ]
}

/// The folder of the table with partitions elsewhere, and where these are.
const ELSEWHERE: &str = "default/e";
const PLACES: &str = "elsewhere/";
/// The folder of the table that files are loaded into, and where these are before.
const LOADED: &str = "default/l";
const INBOX: &str = "inbox/";

/// A lake behind a faulty store, and the way around the faults.
struct Lake {
    store: Arc<FaultyStore>,
    part_size: &'static str,
    /// The warehouse behind the faults, and the same without.
    url: String,
    clean: String,
}

static LAKES: AtomicUsize = AtomicUsize::new(0);

impl Lake {
    fn new(inner: &Inner) -> Self {
        let number = LAKES.fetch_add(1, Ordering::Relaxed);
        let (objects, uploads, _) = inner;
        let store = FaultyStore::new(objects.clone(), uploads.clone());
        lakebed::storage::register_store(&format!("faulty://{number}"), store.clone(), Some(store.clone())).unwrap();
        lakebed::storage::register_upload_listing(&format!("faulty://{number}"), store.clone()).unwrap();
        lakebed::storage::register_store(&format!("clean://{number}"), objects.clone(), Some(uploads.clone())).unwrap();
        let lake = Self {
            part_size: inner.2,
            store,
            url: format!("faulty://{number}/{number}"),
            clean: format!("clean://{number}/{number}"),
        };
        lake.run(BEFORE).unwrap();
        lake.run(BEFORE_ELSEWHERE).unwrap();
        lake.run(BEFORE_LOADED).unwrap();
        lake
    }

    fn run(&self, text: &str) -> lakebed::Result<()> {
        let session = Session::new(Default::default(), &self.url)?;
        session.set("threads", "2")?;
        session.set("upload_part_size", self.part_size)?;
        let text = text.replace("LAKE", &self.url);
        for result in session.execute(&text)? {
            result?.collect()?;
        }
        Ok(())
    }

    fn location(&self, target: &str) -> Location {
        Location::exact(&format!("{}/{target}", self.clean)).unwrap()
    }

    /// The rows in a folder; none when there is nothing.
    fn rows(&self, target: &str) -> Vec<String> {
        match target {
            ELSEWHERE if !self.has("e") => vec![],
            ELSEWHERE => self.query("SELECT x, p FROM e"),
            _ => read(&self.clean, target),
        }
    }

    /// The rows of a query, sorted, whatever calls are to go wrong.
    fn query(&self, query: &str) -> Vec<String> {
        self.store.quietly(|| {
            let session = Session::new(Default::default(), &self.url).unwrap();
            let batches = session.sql(query).unwrap().collect().unwrap();
            let mut rows: Vec<String> = support::rows(&batches).iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            rows
        })
    }

    /// Whether a table is in the catalog.
    fn has(&self, table: &str) -> bool {
        self.store.quietly(|| {
            let session = Session::new(Default::default(), &self.url).unwrap();
            session.catalog().object("default", table).unwrap().is_some()
        })
    }

    /// What is there besides files that are seen, the log, and the catalog.
    fn left(&self, write: &Write) -> Vec<String> {
        let folder = lakebed::storage::Folder::parse(&self.clean).unwrap();
        let seen = match lakebed::storage::exists(&self.location(write.target)).unwrap() {
            true => lakebed::catalog::commit::files_of(&self.location(write.target)).unwrap(),
            false => vec![],
        };
        let seen: Vec<String> = seen
            .into_iter()
            .map(|o| format!("{}/{}", write.target, o.path))
            .collect();
        let places = match self.has("e") {
            true => self.query("SELECT DISTINCT \"$path\" FROM e").concat(),
            false => String::new(),
        };
        let mut left: Vec<String> = folder.list("").unwrap().into_iter().map(|o| o.path).collect();
        let entries: Vec<String> = left.iter().filter(|path| path.ends_with(".json")).cloned().collect();
        let loaded = write.target == LOADED && self.rows(LOADED).len() > 1;
        let expected = |path: &str| {
            path.contains("/_txn/log/")
                || path.starts_with("_catalog/databases")
                // The partitions of a table are there as long as it is.
                || (path.starts_with("_catalog/objects") && entries.contains(&path.replace(".partitions", ".json")))
                || (path.starts_with(PLACES) && places.contains(path))
                // What was loaded is the table's now, and there no more.
                || (path.starts_with(INBOX) && !path.contains("/_txn") && !loaded)
        };
        left.retain(|path| !expected(path) && !seen.contains(path));
        let others = ["default/t/", "default/u/", "default/b/", "default/e/", "default/l/"]
            .into_iter()
            .filter(|o| !o.starts_with(&format!("{}/", write.target)));
        let others: Vec<&str> = others.collect();
        left.retain(|path| !others.iter().any(|o| path.starts_with(o)));
        left
    }
}

/// The rows in a folder below a warehouse, sorted; none when there is nothing.
fn read(warehouse: &str, target: &str) -> Vec<String> {
    let session = Session::new(Default::default(), "memory://nobody/w").unwrap();
    let location = Location::exact(&format!("{warehouse}/{target}")).unwrap();
    if !lakebed::storage::exists(&location).unwrap() {
        return vec![];
    }
    let found = session
        .sql(&format!("SELECT * FROM '{warehouse}/{target}/'"))
        .and_then(|frame| frame.collect());
    match found {
        Ok(batches) => {
            let mut rows: Vec<String> = support::rows(&batches).iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            rows
        }
        // Everything there is hidden.
        Err(e) if e.message().contains("no files") => vec![],
        Err(e) => panic!("{target}: {e}"),
    }
}

type Inner = (
    Arc<dyn object_store::ObjectStore>,
    Arc<dyn object_store::multipart::MultipartStore>,
    // Bytes of a part.
    &'static str,
);

/// What a write does without faults: the calls that it makes, and what is there before and after.
struct Story {
    calls: usize,
    before: Vec<String>,
    after: Vec<String>,
}

fn story(inner: &Inner, write: &Write) -> Story {
    let lake = Lake::new(inner);
    let before = lake.rows(write.target);
    lake.store.begin(&[]);
    lake.run(&write.statement)
        .unwrap_or_else(|e| panic!("{}: {e}", write.statement));
    let calls = lake.store.calls();
    let after = lake.rows(write.target);
    assert_ne!(before, after, "{}", write.statement);
    Story { calls, before, after }
}

fn check(inner: &Inner, write: &Write, story: &Story, faults: &[(usize, Fault)]) {
    let lake = Lake::new(inner);
    lake.store.begin(faults);
    let result = lake.run(&write.statement);
    let what = format!(
        "{} / {faults:?} of {}, {:?}: {result:?}",
        write.statement,
        story.calls,
        lake.store.last()
    );
    lake.store.begin(&[]);
    let seen = lake.rows(write.target);
    assert!(
        seen == story.before || seen == story.after,
        "neither before nor after: {what}: {seen:?}"
    );
    if result.is_ok() {
        assert_eq!(seen, story.after, "{what}");
    }
    if let Err(e) = &result {
        let told = format!("{} {}", e.message(), e.hint().unwrap_or_default());
        let maybe = told.contains("committed")
            || told.contains("may have been written")
            || write.statement.starts_with("DROP")
            || write.makes.is_some();
        assert!(
            maybe || seen == story.before || faults.iter().any(|(_, fault)| fault.is_the_end()),
            "it failed and is done: {what}"
        );
    }
    // Whoever tidies up finds the same, or what was committed.
    let session = Session::new(Default::default(), &lake.url).unwrap();
    recover_older(session.catalog(), Duration::ZERO);
    let target = Location::exact(&format!("{}/{}", lake.url, write.target)).unwrap();
    gc(&target, Duration::ZERO).unwrap_or_else(|e| panic!("{what}: {e}"));
    recover_older(session.catalog(), Duration::ZERO);
    let now = lake.rows(write.target);
    assert!(
        now == story.after || (now == story.before && seen == story.before),
        "after gc: {what}: {now:?}"
    );
    if let Some(table) = write.makes {
        assert_eq!(
            lake.has(table),
            now == story.after,
            "files and entry go together: {what}"
        );
    }
    assert_eq!(lake.left(write), Vec::<String>::new(), "left: {what}");
    // One to a partition elsewhere is found only by who tidies up there.
    let elsewhere = usize::from(write.target == "default/e");
    assert!(lake.store.open_uploads() <= elsewhere, "uploads are open: {what}");
    // And the same statement can be run again.
    if now == story.before {
        lake.run(&write.statement)
            .unwrap_or_else(|e| panic!("again: {what}: {e}"));
        assert_eq!(lake.rows(write.target), story.after, "again: {what}");
    }
}

/// Every call × every fault; of a store that takes its time, each `stride`-th call, unless `LAKEBED_EVERY_CALL` is set.
fn every_call_goes_wrong(inner: impl Fn() -> Inner, stride: usize) {
    let stride = std::env::var_os("LAKEBED_EVERY_CALL").map_or(stride, |_| 1);
    for (number, write) in writes().iter().enumerate() {
        let story = story(&inner(), write);
        for call in (number % stride..story.calls).step_by(stride) {
            for fault in Fault::ALL {
                check(&inner(), write, &story, &[(call, fault)]);
            }
        }
    }
}

#[test]
fn all_or_nothing_whatever_call_goes_wrong() {
    let memory = || -> Inner {
        let memory = Arc::new(InMemory::new());
        (memory.clone(), memory, "16KB")
    };
    every_call_goes_wrong(memory, 1);
}

#[test]
fn all_or_nothing_on_s3() {
    let server = S3Server::start(&["lake"]);
    let client = Arc::new(server.client("lake"));
    // It takes no small parts, so large files are staged like small ones here.
    let lake = || -> Inner {
        server.start_anew("lake");
        server.clear_log();
        (client.clone(), client.clone(), "5MB")
    };
    every_call_goes_wrong(lake, 31);
}

#[test]
fn all_or_nothing_on_gcs() {
    let server = GcsServer::start(&["lake"]);
    let client = Arc::new(server.client("lake"));
    let lake = || -> Inner {
        server.create_bucket("lake");
        server.clear_log();
        (client.clone(), client.clone(), "16KB")
    };
    every_call_goes_wrong(lake, 17);
}

#[test]
fn all_or_nothing_on_azure() {
    let server = AzureServer::start(&["lake"]);
    let client = Arc::new(server.client("lake"));
    let lake = || -> Inner {
        server.create_bucket("lake");
        server.clear_log();
        (client.clone(), client.clone(), "16KB")
    };
    every_call_goes_wrong(lake, 17);
}

#[test]
fn readers_see_before_or_after_at_every_call() {
    for write in writes() {
        let memory = Arc::new(InMemory::new());
        let inner: Inner = (memory.clone(), memory, "16KB");
        let story = story(&inner, &write);
        let memory = Arc::new(InMemory::new());
        let lake = Lake::new(&(memory.clone(), memory, "16KB"));
        let seen = Arc::new(Mutex::new(vec![]));
        let lake = Arc::new(lake);
        let (its, target, into) = (lake.clone(), write.target, seen.clone());
        lake.store.begin(&[]);
        lake.store.watch(move |call| {
            // Only what changes the store can change what is seen. Who looked inside of a read could wait for that very
            // read, since readers of one range share a request.
            if reads(call) {
                return;
            }
            let rows = its.rows(target);
            into.lock().unwrap().push(rows);
        });
        lake.run(&write.statement).unwrap();
        lake.store.begin(&[]);
        let mut seen = seen.lock().unwrap();
        assert!(!seen.is_empty(), "the reader looked");
        seen.push(lake.rows(target));
        let changes = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 1, "{}: {changes} changes", write.statement);
        // A table that goes is out of the catalog before its files are; who reads the folder itself sees them go.
        let known = |rows: &Vec<String>| *rows == story.before || *rows == story.after;
        assert!(seen.iter().all(known), "{}", write.statement);
    }
}

/// Several inserts of one source: each is done or not, none before the one before it, and all read what was there before.
#[test]
fn inserts_of_one_source_are_done_one_after_the_other() {
    let statement = "FROM t INSERT OVERWRITE TABLE t SELECT x + 100, p WHERE x > 3 INSERT INTO u SELECT x, p";
    let lake = || {
        let memory = Arc::new(InMemory::new());
        Lake::new(&(memory.clone(), memory, "16KB"))
    };
    let rows = |lake: &Lake| ["default/t", "default/u"].map(|target| lake.rows(target));
    let first = lake();
    let before = rows(&first);
    first.store.begin(&[]);
    first.run(statement).unwrap();
    let (calls, after) = (first.store.calls(), rows(&first));
    assert_eq!((after[0].len(), after[1].len()), (6, 10));
    let mut halves = 0;
    for (call, fault) in (0..calls).flat_map(|call| Fault::ALL.map(|fault| (call, fault))) {
        let lake = lake();
        lake.store.begin(&[(call, fault)]);
        let result = lake.run(statement);
        let what = format!("{fault:?} at {call}, {:?}: {result:?}", lake.store.last());
        lake.store.begin(&[]);
        for target in ["default/t", "default/u"] {
            let target = Location::exact(&format!("{}/{target}", lake.url)).unwrap();
            gc(&target, Duration::ZERO).unwrap();
        }
        let now = rows(&lake);
        let done = [0, 1].map(|i| now[i] == after[i]);
        assert!((0..2).all(|i| done[i] || now[i] == before[i]), "{what}: {now:?}");
        assert!(done[0] || !done[1], "{what}: the second without the first");
        assert!(result.is_err() || done == [true, true], "{what}");
        halves += usize::from(done == [true, false]);
    }
    assert!(halves > 0);
}

/// Two calls go wrong, whichever.
#[test]
fn all_or_nothing_when_two_calls_go_wrong() {
    let memory = || -> Inner {
        let memory = Arc::new(InMemory::new());
        (memory.clone(), memory, "16KB")
    };
    let mut random = fastrand::Rng::with_seed(20261122);
    for write in writes() {
        let story = story(&memory(), &write);
        for _ in 0..20 {
            let fault = |random: &mut fastrand::Rng| {
                (
                    random.usize(..story.calls),
                    Fault::ALL[random.usize(..Fault::ALL.len())],
                )
            };
            let faults = [fault(&mut random), fault(&mut random)];
            check(&memory(), &write, &story, &faults);
        }
    }
}

/// A whole write by somebody else, before each call of a write.
#[test]
fn another_writer_at_every_call_comes_before_or_after_or_is_a_conflict() {
    let insert = "INSERT INTO t SELECT x, x % 4 FROM UNNEST(sequence(11, 18)) AS a(x)";
    let overwrite = "INSERT OVERWRITE t SELECT x, x % 2 FROM UNNEST(sequence(21, 28)) AS a(x)";
    let partition = "INSERT OVERWRITE TABLE t PARTITION (p = 2) SELECT 70";
    let single = "INSERT INTO t SELECT 99, 2";
    let lake = || {
        let memory = Arc::new(InMemory::new());
        Lake::new(&(memory.clone(), memory, "16KB"))
    };
    let after = |statements: &[&str]| {
        let lake = lake();
        statements.iter().for_each(|statement| lake.run(statement).unwrap());
        lake.rows("default/t")
    };
    let mut conflicts = 0;
    for (mine, other) in [
        (insert, insert),
        (insert, overwrite),
        (overwrite, insert),
        (overwrite, overwrite),
        (overwrite, partition),
        (partition, overwrite),
        (partition, insert),
        (overwrite, single),
        (single, overwrite),
    ] {
        let (first, last, alone) = (after(&[mine, other]), after(&[other, mine]), after(&[other]));
        for call in 0.. {
            let lake = Arc::new(lake());
            let (its, calls) = (lake.clone(), AtomicUsize::new(0));
            lake.store.begin(&[]);
            lake.store.watch(move |_| {
                // The other's own calls are counted on, and nobody comes between them.
                if calls.fetch_add(1, Ordering::SeqCst) == call {
                    its.run(other).unwrap();
                }
            });
            let result = lake.run(mine);
            let reached = lake.store.calls() > call;
            lake.store.begin(&[]);
            let rows = lake.rows("default/t");
            match result {
                Ok(()) if !reached => break,
                Ok(()) => assert!(rows == first || rows == last, "{mine} / {other} at {call}: {rows:?}"),
                Err(e) => {
                    assert_eq!(
                        e.kind(),
                        lakebed::ErrorKind::Conflict,
                        "{mine} / {other} at {call}: {e}"
                    );
                    assert_eq!(rows, alone, "{mine} / {other} at {call}");
                    conflicts += 1;
                }
            }
            assert_eq!(
                lake.left(&writes()[0]),
                Vec::<String>::new(),
                "{mine} / {other} at {call}"
            );
        }
    }
    assert!(conflicts > 0);
}

/// What a table is called, and its partitions, for somebody who looks first for one name, for the other, or for all.
fn names(lake: &Lake, first: usize) -> Vec<&'static str> {
    let session = Session::new(Default::default(), &lake.url).unwrap();
    let catalog = session.catalog();
    if first == 2 {
        let all = catalog.objects("default").unwrap();
        return ["t", "r"]
            .into_iter()
            .filter(|name| all.iter().any(|o| o.name() == *name))
            .collect();
    }
    let mut order = ["t", "r"];
    order.rotate_left(first);
    let found = order
        .into_iter()
        .filter(|name| catalog.object("default", name).unwrap().is_some());
    found.collect()
}

fn partitions(lake: &Lake, name: &str) -> usize {
    let session = Session::new(Default::default(), &lake.url).unwrap();
    session
        .catalog()
        .partitions("default", name)
        .unwrap()
        .map_or(0, |all| all.len())
}

/// A lake whose table has registered partitions.
fn lake_to_rename() -> Lake {
    let memory = Arc::new(InMemory::new());
    let lake = Lake::new(&(memory.clone(), memory, "16KB"));
    lake.run("MSCK REPAIR TABLE t").unwrap();
    assert_eq!(partitions(&lake, "t"), 3);
    lake
}

const RENAME: &str = "ALTER TABLE t RENAME TO r";

#[test]
fn a_table_has_one_name_whatever_call_of_its_renaming_goes_wrong() {
    let lake = lake_to_rename();
    lake.store.begin(&[]);
    lake.run(RENAME).unwrap();
    let calls = lake.store.calls();
    let mut outcomes = (0, 0);
    for (call, fault) in (0..calls).flat_map(|call| Fault::ALL.map(|fault| (call, fault))) {
        for first in 0..3 {
            let lake = lake_to_rename();
            lake.store.begin(&[(call, fault)]);
            let result = lake.run(RENAME);
            let what = format!("{fault:?} at {call}, {:?}: {result:?}", lake.store.last());
            lake.store.begin(&[]);
            let seen = names(&lake, first);
            assert_eq!(seen.len(), 1, "{what}: {seen:?}");
            assert!(result.is_err() || seen == ["r"], "{what}");
            assert_eq!(partitions(&lake, seen[0]), 3, "{what}");
            let session = Session::new(Default::default(), &lake.url).unwrap();
            recover_older(session.catalog(), Duration::ZERO);
            assert_eq!(names(&lake, first), seen, "{what}");
            let folder = lakebed::storage::Folder::parse(&lake.clean).unwrap();
            assert_eq!(folder.list("_catalog/pending").unwrap(), [], "{what}");
            match seen == ["t"] {
                true => outcomes.0 += 1,
                false => outcomes.1 += 1,
            }
        }
    }
    assert!(outcomes.0 > 0 && outcomes.1 > 0, "{outcomes:?}");
}

#[test]
fn a_table_has_one_name_for_whoever_looks_at_every_call_of_its_renaming() {
    for first in 0..3 {
        let lake = Arc::new(lake_to_rename());
        let (its, seen) = (lake.clone(), Arc::new(Mutex::new(vec![])));
        let (into, looking) = (seen.clone(), AtomicUsize::new(0));
        lake.store.begin(&[]);
        lake.store.watch(move |_| {
            // The calls of whoever looks are not looked at.
            if looking.fetch_add(1, Ordering::SeqCst) == 0 {
                into.lock().unwrap().push(names(&its, first));
                looking.store(0, Ordering::SeqCst);
            }
        });
        lake.run(RENAME).unwrap();
        lake.store.begin(&[]);
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|names| names.len() == 1), "{seen:?}");
        assert_eq!(names(&lake, first), ["r"]);
    }
}

#[test]
fn a_new_name_that_somebody_else_takes_is_theirs() {
    let mut outcomes = (0, 0);
    for call in 0.. {
        let lake = Arc::new(lake_to_rename());
        let (its, calls) = (lake.clone(), AtomicUsize::new(0));
        let other = Arc::new(Mutex::new(None));
        let into = other.clone();
        lake.store.begin(&[]);
        lake.store.watch(move |_| {
            if calls.fetch_add(1, Ordering::SeqCst) == call {
                let made = its.run("CREATE TABLE r AS SELECT 1 AS x");
                *into.lock().unwrap() = Some(made.is_ok());
            }
        });
        let result = lake.run(RENAME);
        lake.store.begin(&[]);
        let Some(made) = *other.lock().unwrap() else { break };
        assert_eq!(made, result.is_err(), "at {call}: {result:?}");
        let mut seen = names(&lake, 0);
        seen.sort();
        assert_eq!(seen, if made { vec!["r", "t"] } else { vec!["r"] }, "at {call}");
        assert_eq!(partitions(&lake, if made { "t" } else { "r" }), 3, "at {call}");
        assert_eq!(partitions(&lake, "r"), if made { 0 } else { 3 }, "at {call}");
        match made {
            true => outcomes.0 += 1,
            false => outcomes.1 += 1,
        }
    }
    assert!(outcomes.0 > 0 && outcomes.1 > 0, "{outcomes:?}");
}

/// A store that lets two writers create the same entry of the log loses one of them, who has to notice.
#[test]
fn a_writer_whose_entry_was_replaced_says_so() {
    let memory = Arc::new(InMemory::new());
    let lake = Lake::new(&(memory.clone(), memory, "16KB"));
    let write = &writes()[0];
    let before = lake.rows(write.target);
    let log = lakebed::storage::Folder::parse(&format!("{}/{}/_txn/log", lake.clean, write.target)).unwrap();
    lake.store.begin(&[]);
    lake.store.watch(move |_| {
        let newest = log.list("").unwrap().pop().unwrap().path;
        let mut entry: serde_json::Value = serde_json::from_slice(&log.read(&newest).unwrap().unwrap()).unwrap();
        if entry["action"] == "begin" {
            entry["ids"] = serde_json::json!(["20201122_141500_9f86d081884c7d65"]);
            entry["open"] = serde_json::json!([]);
            log.write(&newest, entry.to_string().into()).unwrap();
        }
    });
    let error = lake.run(&write.statement).unwrap_err();
    lake.store.begin(&[]);
    assert!(
        error.message().contains("does not create objects only where none are"),
        "{error}"
    );
    assert!(!error.message().contains("not yet visible"), "{error}");
    assert_eq!(lake.rows(write.target), before);
    assert!(
        lake.left(write).iter().any(|path| path.ends_with("manifest.json")),
        "its files are kept"
    );
}
