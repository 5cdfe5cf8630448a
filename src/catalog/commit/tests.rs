use super::*;
use crate::storage::list;
use std::io::Write;

fn write(staging: &Staging, name: &str, text: &str) {
    let (folder, name) = name
        .rsplit_once('/')
        .map_or(("", name), |(folder, name)| (folder, name));
    let path = format!("{folder}/{}-{name}", staging.file_prefix());
    let mut writer = staging.files().create(&path).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap();
}

/// A target on a disk that exists, one that does not, and one in a bucket.
fn everywhere(test: impl Fn(&str)) {
    let dir = tempfile::tempdir().unwrap();
    test(dir.path().join("a/b").to_str().unwrap());
    let existing = dir.path().join("existing");
    fs::create_dir(&existing).unwrap();
    fs::write(existing.join("_SUCCESS"), "").unwrap();
    test(existing.to_str().unwrap());
    test(&format!("memory://commit{}", dir.path().display()));
}

fn at(target: &str) -> Location {
    Location::exact(target).unwrap()
}

/// Everything that is seen, without the id before each name.
fn seen(target: &str) -> Vec<String> {
    let files = files_of(&at(target)).unwrap();
    let mut names: Vec<String> = files
        .into_iter()
        .map(|file| match file.path.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/{}", plain(name)),
            None => plain(&file.path).to_string(),
        })
        .collect();
    names.sort();
    names
}

fn plain(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

/// What is there besides files that are seen and the log.
fn left(target: &str) -> Vec<String> {
    let folder = Folder::at(&at(target)).unwrap();
    let (parent, _) = folder.parent().unwrap();
    let mut left: Vec<String> = folder.list("").unwrap().into_iter().map(|o| o.path).collect();
    left.retain(|path| path.starts_with("_txn") && !path.starts_with("_txn/log/"));
    left.extend(
        parent
            .children("")
            .unwrap()
            .1
            .into_iter()
            .filter(|name| name.starts_with(BESIDE)),
    );
    left
}

fn begin(target: &str) -> Staging {
    Staging::folder(&at(target), 1 << 20).unwrap()
}

fn add(target: &str, names: &[&str]) {
    let staging = begin(target);
    names.iter().for_each(|name| write(&staging, name, name));
    staging.commit(Changes::default()).unwrap();
}

fn overwrite(target: &str, staging: Staging, scope: &str) -> Result<()> {
    let now = files_of(&at(target)).unwrap();
    let inside = |path: &str| scope == EVERYTHING || path.starts_with(&format!("{scope}/"));
    staging.commit(Changes {
        operation: "INSERT OVERWRITE",
        replaced: now.into_iter().filter(|o| inside(&o.path)).collect(),
        scope: vec![scope.into()],
        alone: false,
        ..Default::default()
    })
}

#[test]
fn files_appear_together_or_not_at_all() {
    everywhere(|target| {
        let staging = begin(target);
        write(&staging, "y=1/x", "1");
        write(&staging, "y", "2");
        assert!(!crate::storage::exists(&at(target)).unwrap() || seen(target).is_empty());
        drop(staging);
        assert!(left(target).is_empty(), "{:?}", left(target));
        add(target, &["y=1/x", "y"]);
        assert_eq!(seen(target), ["y", "y=1/x"]);
        add(target, &["z"]);
        add(target, &[]);
        assert_eq!(seen(target), ["y", "y=1/x", "z"]);
        assert!(left(target).is_empty(), "{:?}", left(target));
    });
}

#[test]
fn an_aborted_write_leaves_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("a/b/t");
    let staging = begin(target.to_str().unwrap());
    write(&staging, "x", "1");
    drop(staging);
    assert!(!dir.path().join("a").exists());
}

#[test]
fn files_are_replaced() {
    everywhere(|target| {
        add(target, &["p=1/a", "p=2/b", "c"]);
        let staging = begin(target);
        write(&staging, "p=1/new", "1");
        overwrite(target, staging, "p=1").unwrap();
        assert_eq!(seen(target), ["c", "p=1/new", "p=2/b"]);
        overwrite(target, begin(target), EVERYTHING).unwrap();
        assert!(seen(target).is_empty());
        assert!(left(target).is_empty(), "{:?}", left(target));
    });
}

#[test]
fn one_file_is_replaced_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    for folder in [dir.path().to_str().unwrap(), "memory://commit/one"] {
        let target = format!("{folder}/x.csv");
        for text in ["1", "2"] {
            let staging = Staging::file(&at(&target), 1 << 20).unwrap();
            write(&staging, "any", text);
            staging.commit(Changes::default()).unwrap();
            let folder = Folder::parse(folder).unwrap();
            assert_eq!(folder.read("x.csv").unwrap().unwrap(), text);
            assert_eq!(folder.list("").unwrap().len(), 1);
        }
    }
}

#[test]
fn writers_that_add_stand_beside_each_other() {
    everywhere(|target| {
        add(target, &["first"]);
        let (one, two) = (begin(target), begin(target));
        for (staging, names) in [(&one, ["a", "b"]), (&two, ["c", "d"])] {
            names.iter().for_each(|name| write(staging, name, ""));
        }
        two.commit(Changes::default()).unwrap();
        one.commit(Changes::default()).unwrap();
        assert_eq!(seen(target), ["a", "b", "c", "d", "first"]);
    });
}

#[test]
fn a_writer_that_replaces_conflicts_with_whoever_came_first() {
    everywhere(|target| {
        add(target, &["p=1/a", "p=2/b"]);
        let (one, two, three) = (begin(target), begin(target), begin(target));
        for (staging, folder) in [(&one, "p=1"), (&two, "p=1"), (&three, "p=2")] {
            write(staging, &format!("{folder}/new"), "");
            write(staging, &format!("{folder}/newer"), "");
        }
        overwrite(target, one, "p=1").unwrap();
        let error = two.commit(Changes::default()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Conflict);
        assert!(error.message().contains("p=1"), "{error}");
        overwrite(target, three, "p=2").unwrap();
        assert_eq!(seen(target), ["p=1/new", "p=1/newer", "p=2/new", "p=2/newer"]);
        assert!(left(target).is_empty(), "{:?}", left(target));
    });
}

/// A process that died: its lock is let go, and nothing else is done.
fn die(mut staging: Staging) {
    staging.lock.take();
    staging.done = true;
    staging.made.clear();
}

/// A writer that dies right after the step named.
fn die_after(target: &str, step: &str) {
    add(target, &["old", "older"]);
    let staging = begin(target);
    write(&staging, "a", "1");
    write(&staging, "b", "2");
    let manifest = Manifest {
        id: staging.id.clone(),
        base: staging.base,
        files: staging.files.seal().unwrap(),
        removed: files_of(&at(target)).unwrap(),
        replaces: true,
        touched: vec![EVERYTHING.into()],
        operation: String::new(),
        elsewhere: vec![],
        own_names: false,
    };
    let steps: [(&str, &dyn Fn()); 6] = [
        ("write", &|| {}),
        ("manifest", &|| {
            write_manifest(&staging.root, &staging.home, &manifest).unwrap()
        }),
        ("commit", &|| {
            assert!(commit_point(&staging.root, &manifest).unwrap() > 0)
        }),
        ("half", &|| {
            publish(&staging.root, &staging.home, &manifest.files[..1]).unwrap()
        }),
        ("publish", &|| {
            publish(&staging.root, &staging.home, &manifest.files).unwrap()
        }),
        ("end", &|| {
            let open = log::newest(&staging.root).unwrap().unwrap().open.remove(0);
            assert!(super::step(&staging.root, &open).unwrap());
        }),
    ];
    for (name, run) in steps {
        run();
        if name == step {
            break;
        }
    }
    die(staging);
}

#[test]
fn whatever_step_a_writer_dies_after_the_next_finds_before_or_after() {
    for step in ["write", "manifest", "commit", "half", "publish", "end"] {
        everywhere(|target| {
            die_after(target, step);
            let committed = !["write", "manifest"].contains(&step);
            let (before, after) = (vec!["old", "older"], vec!["a", "b"]);
            // Nobody knows of a writer to a bucket whether it lives: readers see what was before, and do nothing.
            let waits = target.starts_with("memory") && committed && step != "end";
            let expected = if committed && !waits {
                after.clone()
            } else {
                before.clone()
            };
            assert_eq!(seen(target), expected, "after {step} in {target}");
            let swept = super::super::transactions::gc(&at(target), std::time::Duration::ZERO).unwrap();
            assert_eq!(
                seen(target),
                if committed { after } else { before },
                "gc after {step} in {target}"
            );
            assert!(left(target).is_empty(), "{step}: {:?}, {swept:?}", left(target));
        });
    }
}

#[test]
fn a_write_that_is_prepared_is_resumed_or_aborted() {
    use super::super::transactions::{TransactionState, abort, resume, transactions};
    for finish in [true, false] {
        everywhere(|target| {
            die_after(target, "manifest");
            let open = transactions(&at(target)).unwrap();
            assert_eq!((open.len(), open[0].files, open[0].replaced), (1, 2, 2));
            assert_eq!(open[0].state, TransactionState::Prepared);
            let end = if finish { resume } else { abort };
            end(&at(target), &open[0].id).unwrap();
            assert_eq!(seen(target), if finish { ["a", "b"] } else { ["old", "older"] });
            assert!(left(target).is_empty());
            assert!(transactions(&at(target)).unwrap().is_empty());
        });
    }
}

#[test]
fn a_write_that_was_given_up_cannot_commit() {
    let target = "memory://commit/given-up";
    add(target, &["old", "older"]);
    let staging = begin(target);
    write(&staging, "a", "1");
    write(&staging, "b", "2");
    staging.files().seal().unwrap();
    super::super::transactions::gc(&at(target), std::time::Duration::ZERO).unwrap();
    let error = staging.commit(Changes::default()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Conflict);
    assert_eq!(seen(target), ["old", "older"]);
    assert!(left(target).is_empty(), "{:?}", left(target));
}

#[test]
fn of_two_new_folders_one_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("t");
    let target = target.to_str().unwrap();
    let (first, second) = (begin(target), begin(target));
    write(&first, "x", "1");
    write(&second, "y", "2");
    let alone = || Changes {
        alone: true,
        ..Default::default()
    };
    first.commit(alone()).unwrap();
    assert_eq!(second.commit(alone()).unwrap_err().kind(), crate::ErrorKind::Conflict);
    assert_eq!(seen(target), ["x"]);
    assert!(left(target).is_empty());
}

#[test]
fn partitions_and_patterns_are_seen_as_their_table_is() {
    everywhere(|target| {
        die_after(target, "half");
        // A bucket's writer may still be at it.
        if !target.starts_with("memory") {
            return;
        }
        let staging = begin(target);
        write(&staging, "p=1/x", "1");
        write(&staging, "p=1/y", "2");
        let manifest = Manifest {
            id: staging.id.clone(),
            base: staging.base,
            files: staging.files.seal().unwrap(),
            touched: vec!["p=1".into()],
            ..Default::default()
        };
        write_manifest(&staging.root, &staging.home, &manifest).unwrap();
        commit_point(&staging.root, &manifest).unwrap();
        publish(&staging.root, &staging.home, &manifest.files[..1]).unwrap();
        for place in [format!("{target}/p=1"), format!("{target}/p=*/*")] {
            let location = Location::parse(&place).unwrap();
            let files = list_consistently(&location, || list(&location), |file| file).unwrap();
            assert!(files.is_empty(), "{place}: {files:?}");
        }
        finish(&staging.root, &staging.id).unwrap();
        assert_eq!(seen(&format!("{target}/p=1")), ["x", "y"]);
        die(staging);
    });
}

#[test]
fn of_two_that_add_to_a_folder_that_is_not_there_each_does() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("t");
    let target = target.to_str().unwrap();
    let (first, second) = (begin(target), begin(target));
    write(&first, "p=1/x", "1");
    write(&second, "p=1/y", "2");
    write(&second, "p=2/z", "3");
    first.commit(Changes::default()).unwrap();
    second.commit(Changes::default()).unwrap();
    assert_eq!(seen(target), ["p=1/x", "p=1/y", "p=2/z"]);
    assert!(left(target).is_empty(), "{:?}", left(target));
}

#[test]
fn a_bucket_as_a_whole_is_written_to() {
    let target = "memory://whole-bucket";
    add(target, &["p=1/x", "y"]);
    assert_eq!(seen(target), ["p=1/x", "y"]);
}
