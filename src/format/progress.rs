//! What became of a scan so far. Readers of later partitions learn from it what is worth their while.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Rows that are taken together when it is counted where the wanted ones are: about those of a page.
const RUN: usize = 16 << 10;
/// Runs that were looked at before anything is concluded.
const ENOUGH_RUNS: u64 = 4;
/// Row groups for which a page index was of no use, before it is not looked at any more.
const ENOUGH_GROUPS: u64 = 16;

/// See the module's text. All counters only grow.
#[derive(Debug, Default)]
pub struct ScanProgress {
    runs: AtomicU64,
    runs_hit: AtomicU64,
    indexes_read: AtomicU64,
    indexes_useful: AtomicU64,
    pages_left_out: AtomicU64,
}

impl ScanProgress {
    /// Whether most runs of rows turn out to have no row that is wanted, so that it pays to look at the filter columns alone
    /// first, and to ask for the others, one round trip later, only where some row is left.
    pub fn hits_are_rare(&self) -> bool {
        let (runs, hit) = (self.runs.load(Relaxed), self.runs_hit.load(Relaxed));
        runs >= ENOUGH_RUNS && hit * 2 < runs
    }

    /// Of `rows` rows those at the ascending `positions` are wanted; all without.
    pub fn note_rows(&self, rows: usize, positions: Option<&[u32]>) {
        let runs = rows.div_ceil(RUN);
        let hit = match positions {
            None => runs,
            Some(positions) => positions
                .chunk_by(|a, b| *a as usize / RUN == *b as usize / RUN)
                .count(),
        };
        self.runs.fetch_add(runs as u64, Relaxed);
        self.runs_hit.fetch_add(hit as u64, Relaxed);
    }

    /// Whether page indexes were read and never left anything out.
    pub fn page_index_is_futile(&self) -> bool {
        self.indexes_read.load(Relaxed) >= ENOUGH_GROUPS && self.indexes_useful.load(Relaxed) == 0
    }

    /// The page index of a row group was read, and left rows out or not.
    pub fn note_page_index(&self, useful: bool) {
        self.indexes_read.fetch_add(1, Relaxed);
        self.indexes_useful.fetch_add(useful as u64, Relaxed);
    }

    /// Pages that were neither fetched nor decoded because the page index tells that none of their rows is wanted.
    pub fn pages_left_out(&self) -> u64 {
        self.pages_left_out.load(Relaxed)
    }

    pub fn add_pages_left_out(&self, pages: usize) {
        self.pages_left_out.fetch_add(pages as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_rare_when_most_runs_have_none() {
        let progress = ScanProgress::default();
        progress.note_rows(3 * RUN, Some(&[]));
        assert!(!progress.hits_are_rare(), "too early to tell");
        progress.note_rows(2 * RUN, Some(&[5, 6, RUN as u32 - 1]));
        assert!(progress.hits_are_rare(), "1 of 5");
        progress.note_rows(2 * RUN, Some(&[0, RUN as u32]));
        assert!(progress.hits_are_rare(), "3 of 7");
        progress.note_rows(RUN, None);
        assert!(!progress.hits_are_rare(), "4 of 8");
    }

    #[test]
    fn an_index_that_never_helps_is_given_up() {
        let progress = ScanProgress::default();
        (0..ENOUGH_GROUPS - 1).for_each(|_| progress.note_page_index(false));
        assert!(!progress.page_index_is_futile());
        progress.note_page_index(false);
        assert!(progress.page_index_is_futile());
        progress.note_page_index(true);
        assert!(!progress.page_index_is_futile());
    }
}
