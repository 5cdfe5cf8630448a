//! What happens beside a running statement: Ctrl-C, the time limit, the progress line.

use crate::config::format_bytes;
use crate::runtime::Metrics;
use crate::session::Session;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::{Condvar, Mutex};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How often the watch looks. A cancelled query has to end within 200 ms of Ctrl-C.
const TICK: Duration = Duration::from_millis(40);
/// Statements that are done by then show no progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between lines of progress where nothing can be drawn over.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Ctrl-C: the first one asks the running statement to stop, the next ends the process, as does the first when nothing
/// runs.
#[derive(Debug, Default)]
pub struct Interrupt {
    pressed: AtomicU8,
    running: AtomicBool,
}

impl Interrupt {
    /// Takes over the handling of the signals that ask the process to end.
    pub fn install() -> Arc<Self> {
        let interrupt = Arc::new(Self::default());
        let handler = interrupt.clone();
        let installed = ctrlc::set_handler(move || {
            let before = handler.pressed.fetch_add(1, Ordering::SeqCst);
            if before > 0 || !handler.running.load(Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        // Without a handler Ctrl-C ends the process at once, which is no reason not to run.
        drop(installed);
        interrupt
    }

    fn begin(&self) {
        self.pressed.store(0, Ordering::SeqCst);
        self.running.store(true, Ordering::SeqCst);
    }

    fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::SeqCst) > 0
    }
}

/// Why a statement was stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Interrupted,
    TimedOut,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    Nothing,
    /// A line that is drawn again and again.
    Bar,
    /// A line now and then, for what is no terminal.
    Lines,
}

/// A thread that stands beside the statements of a shell and looks at the one that runs.
#[derive(Debug)]
pub struct Watch {
    interrupt: Arc<Interrupt>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    closed: bool,
}

/// The statement that runs.
#[derive(Debug)]
struct Running {
    session: Session,
    begin: Instant,
    timeout: Option<Duration>,
    display: Display,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    /// What the query before counted.
    before: Option<Arc<Metrics>>,
    stopped: Option<Stopped>,
}

impl Watch {
    pub fn new() -> Self {
        let watch = Self {
            interrupt: Interrupt::install(),
            shared: Arc::default(),
        };
        let (shared, interrupt) = (watch.shared.clone(), watch.interrupt.clone());
        // Without the thread statements run all the same, with nobody to stop them.
        let _ = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || shared.look(&interrupt));
        watch
    }

    /// Watches what `session` runs from now on.
    pub fn begin(&self, session: &Session, timeout: Option<Duration>, display: Display) {
        self.interrupt.begin();
        self.shared.state.lock().running = Some(Running {
            session: session.clone(),
            begin: Instant::now(),
            timeout,
            display,
            bar: None,
            last_line: None,
            before: session.running().map(|c| c.metrics),
            stopped: None,
        });
        self.shared.changed.notify_one();
    }

    /// Takes the progress line away, before results appear in its place.
    pub fn hide_progress(&self) {
        if let Some(running) = &mut self.shared.state.lock().running {
            running.hide();
        }
    }

    /// The statement is over; whether it was stopped from here.
    pub fn end(&self) -> Option<Stopped> {
        let running = self.shared.state.lock().running.take();
        self.interrupt.running.store(false, Ordering::SeqCst);
        let stopped = running.and_then(|mut running| {
            running.hide();
            running.stopped
        });
        stopped.or(self.interrupt.is_pressed().then_some(Stopped::Interrupted))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn look(&self, interrupt: &Interrupt) {
        let mut state = self.state.lock();
        while !state.closed {
            match &mut state.running {
                None => self.changed.wait(&mut state),
                Some(running) => {
                    running.look(interrupt);
                    self.changed.wait_for(&mut state, TICK);
                }
            }
        }
    }
}

impl Running {
    fn look(&mut self, interrupt: &Interrupt) {
        let elapsed = self.begin.elapsed();
        if self.timeout.is_some_and(|limit| elapsed > limit) {
            self.stopped.get_or_insert(Stopped::TimedOut);
        }
        if interrupt.is_pressed() {
            self.stopped.get_or_insert(Stopped::Interrupted);
        }
        // Again and again: the statement may have begun a further query since.
        if self.stopped.is_some() {
            self.session.cancel();
        }
        if self.display == Display::Nothing || elapsed < PATIENCE {
            return;
        }
        let now = self.session.running().map(|c| c.metrics);
        let now = now.filter(|n| self.before.as_ref().is_none_or(|b| !Arc::ptr_eq(b, n)));
        let begin = self.begin;
        match self.display {
            Display::Bar => show(self.bar.get_or_insert_with(|| new_bar(begin)), now.as_deref()),
            _ if self.last_line.is_some_and(|last| last.elapsed() < BETWEEN_LINES) => {}
            _ => {
                self.last_line = Some(Instant::now());
                let told = now.as_deref().map_or_else(|| "planning".to_string(), progress);
                let _ = writeln!(anstream::stderr().lock(), "{:.1} s: {told}", elapsed.as_secs_f64());
            }
        }
    }

    fn hide(&mut self) {
        self.bar.take().iter().for_each(ProgressBar::finish_and_clear);
        self.display = Display::Nothing;
    }
}

fn new_bar(begin: Instant) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(None, target).with_elapsed(begin.elapsed());
    let template = "{spinner} {elapsed} {wide_bar:.cyan/blue} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

fn show(bar: &ProgressBar, metrics: Option<&Metrics>) {
    let Some(metrics) = metrics else {
        bar.set_message("planning");
        return bar.tick();
    };
    let (read, planned) = (metrics.bytes_read.get(), metrics.bytes_planned.get());
    bar.set_length(planned.max(1));
    bar.set_position(read.min(planned));
    bar.set_message(progress(metrics));
    bar.tick();
}

/// `214 MB of 3.7 GB, 1,234,567 rows, spilled 20 MB`
fn progress(metrics: &Metrics) -> String {
    let spilled = match metrics.bytes_spilled.get() {
        0 => String::new(),
        bytes => format!(", spilled {}", size(bytes)),
    };
    format!(
        "{} of {}, {} rows{spilled}",
        size(metrics.bytes_read.get()),
        size(metrics.bytes_planned.get()),
        count(metrics.rows_read.get())
    )
}

/// `3.7 GB`.
pub fn size(bytes: u64) -> String {
    let text = format_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["7", "1,234", "12,345,678"],
            [count(7), count(1234), count(12_345_678)]
                .each_ref()
                .map(|s| s.as_str())
        );
        assert_eq!(size(3 << 29), "1.5 GB");
    }
}
