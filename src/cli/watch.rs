//! What happens beside a running statement: Ctrl-C, the time limit, the progress line.

use crate::config::format_bytes;
use crate::runtime::Metrics;
use crate::session::Session;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the watch looks. A cancelled query has to end within 200 ms of Ctrl-C.
const TICK: Duration = Duration::from_millis(40);
/// Statements that are done by then show no progress.
const PATIENCE: Duration = Duration::from_millis(500);

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

/// A thread that stands beside one statement.
#[derive(Debug)]
pub struct Watch {
    interrupt: Arc<Interrupt>,
    stop: Sender<()>,
    hide: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Stopped>>>,
}

impl Watch {
    /// Watches what `session` runs from now on.
    pub fn start(session: &Session, interrupt: &Arc<Interrupt>, timeout: Option<Duration>, progress: bool) -> Self {
        interrupt.begin();
        let (stop, stopped) = channel::<()>();
        let hide = Arc::new(AtomicBool::new(!progress));
        let (session, pressed, hidden) = (session.clone(), interrupt.clone(), hide.clone());
        let watching = move || {
            let begin = Instant::now();
            let before = session.running().map(|c| c.metrics);
            let mut bar = None;
            let mut reason = None;
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if timeout.is_some_and(|limit| begin.elapsed() > limit) {
                    reason.get_or_insert(Stopped::TimedOut);
                }
                if pressed.is_pressed() {
                    reason.get_or_insert(Stopped::Interrupted);
                }
                // Again and again: the statement may have begun a further query since.
                if reason.is_some() {
                    session.cancel();
                }
                if hidden.load(Ordering::SeqCst) {
                    bar.take().iter().for_each(ProgressBar::finish_and_clear);
                } else if begin.elapsed() > PATIENCE {
                    let now = session.running().map(|c| c.metrics);
                    let now = now.filter(|n| before.as_ref().is_none_or(|b| !Arc::ptr_eq(b, n)));
                    show(bar.get_or_insert_with(|| new_bar(begin)), now.as_deref());
                }
            }
            bar.iter().for_each(ProgressBar::finish_and_clear);
            reason
        };
        let thread = std::thread::Builder::new().name("watch".into()).spawn(watching).ok();
        Self {
            interrupt: interrupt.clone(),
            stop,
            hide,
            thread,
        }
    }

    /// Takes the progress line away, before results appear in its place.
    pub fn hide_progress(&self) {
        if !self.hide.swap(true, Ordering::SeqCst) {
            // Wait for the line to go: longer than a tick.
            std::thread::sleep(TICK + TICK / 2);
        }
    }

    /// The statement is over; whether it was stopped from here.
    pub fn end(mut self) -> Option<Stopped> {
        drop(self.stop);
        self.interrupt.running.store(false, Ordering::SeqCst);
        let reason = self.thread.take().and_then(|thread| thread.join().ok()).flatten();
        reason.or(self.interrupt.is_pressed().then_some(Stopped::Interrupted))
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
    let spilled = match metrics.bytes_spilled.get() {
        0 => String::new(),
        bytes => format!(", spilled {}", size(bytes)),
    };
    bar.set_length(planned.max(1));
    bar.set_position(read.min(planned));
    bar.set_message(format!(
        "{} of {}, {} rows{spilled}",
        size(read),
        size(planned),
        count(metrics.rows_read.get())
    ));
    bar.tick();
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
