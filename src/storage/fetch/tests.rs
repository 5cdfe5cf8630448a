#![allow(
    clippy::single_range_in_vec_init,
    reason = "ranges are asked for in lists, also of one"
)]

use super::*;
use crate::storage::store::wait;

const MIB: u64 = 1 << 20;

#[test]
fn near_ranges_are_asked_for_together_and_long_ones_in_parts() {
    let two = |a: Range<u64>, b: Range<u64>| requests(&[a, b]);
    assert_eq!(two(10..20, 20..30), [10..30]);
    assert_eq!(two(20..30, 10..20), [10..30], "in any order");
    assert_eq!(two(10..20, 15..18), [10..20]);
    assert_eq!(two(0..10, GAP..GAP + 10), [0..GAP + 10], "a small gap is read along");
    assert_eq!(two(0..10, GAP + 11..GAP + 12), [0..10, GAP + 11..GAP + 12]);
    assert_eq!(
        two(0..10 * MIB, 10 * MIB..20 * MIB),
        [0..10 * MIB, 10 * MIB..20 * MIB],
        "not across 16 MiB"
    );
    assert_eq!(requests(&[0..40 * MIB]).len(), 3);
    let parts = requests(&[5..5 + 33 * MIB, 7..9, 40 * MIB..40 * MIB]);
    assert_eq!((parts[0].start, parts[2].end, parts.len()), (5, 5 + 33 * MIB, 3));
    assert!(parts.windows(2).all(|w| w[0].end == w[1].start));
    assert!(parts.iter().all(|r| (8 * MIB..=16 * MIB).contains(&(r.end - r.start))));
    assert!(requests(&[]).is_empty() && requests(&[3..3]).is_empty());
}

fn stored(name: &str, length: usize) -> (ObjectFile, Vec<u8>) {
    let bytes: Vec<u8> = (0..length).map(|i| (i / 7 % 251) as u8).collect();
    let location = Location::parse(&format!("memory://fetch/{name}")).unwrap();
    wait(location.store().objects.put(location.path(), bytes.clone().into()))
        .unwrap()
        .unwrap();
    (crate::storage::list(&location).unwrap().remove(0), bytes)
}

#[test]
fn readers_are_served_by_requests_under_way() {
    let (file, bytes) = stored("served", 40 << 20);
    let wanted = [5..1000, 2 * MIB..35 * MIB];
    let fetch = fetch(&file, &wanted).unwrap().remove(0);
    assert_eq!(fetch.size(), 995 + 33 * MIB);
    assert!(
        Arc::ptr_eq(&super::fetch(&file, &wanted).unwrap()[0], &fetch),
        "nothing is asked for twice"
    );
    for range in [
        5..1000,
        10..20,
        2 * MIB..35 * MIB,
        12 * MIB..14 * MIB,
        13 * MIB..13 * MIB,
    ] {
        assert!(under_way(&file, &range).is_some_and(|f| Arc::ptr_eq(&f, &fetch)));
        let expected = &bytes[range.start as usize..range.end as usize];
        assert_eq!(crate::storage::read_range(&file, range).unwrap(), expected);
    }
    for range in [4..10, 900..1001, MIB..3 * MIB, 34 * MIB..36 * MIB] {
        assert!(under_way(&file, &range).is_none(), "{range:?}");
        let expected = &bytes[range.start as usize..range.end as usize];
        assert_eq!(crate::storage::read_range(&file, range).unwrap(), expected);
    }
    let other = ObjectFile {
        etag: Some("another".into()),
        ..file.clone()
    };
    assert!(under_way(&other, &(5..10)).is_none(), "another version is another file");
    drop(fetch);
    assert!(under_way(&file, &(5..10)).is_none());
}

#[test]
fn a_query_that_is_cancelled_does_not_wait() {
    let (file, _) = stored("cancelled", 100);
    let gate: Vec<_> = (0..64)
        .map(|_| wait(async { tokio::time::timeout(Duration::from_millis(20), GATE.enter()).await }))
        .collect();
    let current = Current::default();
    let _entered = current.clone().enter();
    current.cancel.cancel();
    let fetch = fetch(&file, &[0..100]).unwrap().remove(0);
    let result = fetch.bytes(0..100);
    drop(gate);
    assert!(result.is_err_and(|e| e.kind() == crate::ErrorKind::Cancelled));
}

#[test]
fn a_file_that_changed_is_named() {
    let (file, bytes) = stored("changed", 100);
    stored("changed", 101);
    let error = crate::storage::read_range(&file, 0..10).unwrap_err();
    assert!(
        error
            .message()
            .contains("memory://fetch/changed changed while it was read"),
        "{error}"
    );
    // Without tags, size and time tell.
    let untagged = ObjectFile { etag: None, ..file };
    let error = crate::storage::read_range(&untagged, 0..10).unwrap_err();
    assert!(error.message().contains("it had 100 bytes, now it has 101"), "{error}");
    let (now, _) = stored("changed", 100);
    assert_eq!(crate::storage::read_range(&now, 0..100).unwrap(), bytes);
}

#[test]
fn pauses_grow_and_differ() {
    for tries in 1..20 {
        let longest = Duration::from_millis(100 << (tries - 1).min(8));
        let pause = pause(tries);
        assert!(pause <= longest && pause >= longest / 2, "{pause:?}");
    }
}
