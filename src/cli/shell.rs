//! What one-shot runs and the REPL share: running statements and writing what they give.

use super::arguments::{Arguments, Progress};
use super::output::{Format, OutputOptions, lines, output_error, writer};
use super::report::{Exit, report};
use super::variables::Variables;
use super::watch::{Display, Stopped, Watch, count, size};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Metrics;
use crate::session::{Rows, Session, StatementResult, TransactionCommand};
use crate::sql::{StatementText, split_statements};
use crate::vector::allocator::allow_huge_pages;
use std::fs::File;
use std::io::{BufWriter, ErrorKind as IoErrorKind, IsTerminal, Write, stderr, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows that a table shows of a long result.
const SHOWN_ROWS: usize = 40;

/// A session and the places its results and messages go to.
pub struct Shell {
    pub session: Session,
    pub variables: Variables,
    pub format: Option<Format>,
    pub output: Output,
    /// Whether each statement is followed by what it took.
    pub timer: bool,
    /// Whether statements tell how they would run instead of running.
    pub explains: bool,
    /// Whether a person waits for an answer to each statement.
    pub interactive: bool,
    watch: Watch,
    header: bool,
    null: Option<String>,
    progress: Display,
    quiet: bool,
    continue_on_error: bool,
    timeout: Option<Duration>,
}

/// How a text or statement ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Whoever read the output has seen enough.
    Closed,
}

impl Shell {
    /// A shell as the command line wants it.
    pub fn new(arguments: &Arguments, session: Session, variables: Variables) -> Result<Self> {
        let output = &arguments.output;
        let tells = stderr().is_terminal() && !output.quiet;
        let progress = match output.progress {
            Progress::Auto if tells => Display::Bar,
            Progress::Always if stderr().is_terminal() => Display::Bar,
            Progress::Always => Display::Lines,
            Progress::Auto | Progress::Never => Display::Nothing,
        };
        Ok(Self {
            session,
            variables,
            format: output.format,
            output: Output::new(output.file.as_deref())?,
            timer: tells || output.stats,
            explains: false,
            interactive: false,
            watch: Watch::new(),
            header: !output.no_header,
            null: output.null.clone(),
            progress,
            quiet: output.quiet,
            continue_on_error: arguments.session.continue_on_error,
            timeout: arguments.session.timeout,
        })
    }

    /// Runs the statements of a text and reports errors. `name` is what errors call it.
    ///
    /// # Errors
    /// How the run ends when it must not go on.
    pub fn run_text(&mut self, name: &str, text: &str) -> Result<Outcome, Exit> {
        let failed = |error: &Error, text: &str| {
            report(error, Some((name, text)));
            Err(Exit::of(error))
        };
        let expanded = match self
            .variables
            .with_defaults(text)
            .and_then(|variables| variables.expand(text))
        {
            Ok(expanded) => expanded,
            Err(error) => return failed(&error, text),
        };
        let statements = match split_statements(&expanded) {
            Ok(statements) => statements,
            Err(error) => return failed(&error, &expanded),
        };
        let mut result = Ok(Outcome::Done);
        for statement in statements {
            match self.run_statement(&statement) {
                Ok(Outcome::Done) => {}
                Ok(Outcome::Closed) => return Ok(Outcome::Closed),
                Err(error) => {
                    let failure = failed(&error, &expanded);
                    if !self.continue_on_error || error.kind() == ErrorKind::Cancelled {
                        return failure;
                    }
                    // The first failure decides how the run ends.
                    result = result.and(failure);
                }
            }
        }
        result
    }

    /// Does what is to be done about writes.
    pub fn run_transactions(&mut self, command: TransactionCommand) -> Result<Outcome, Exit> {
        let result = self.session.transactions(&command).and_then(|result| match result {
            StatementResult::Rows(rows) => self.write(rows).map(drop),
            StatementResult::Done { what, .. } => Ok(self.tell(&what)),
        });
        match result {
            Err(_) if self.output.closed => Ok(Outcome::Closed),
            Err(error) => {
                report(&error, None);
                Err(Exit::of(&error))
            }
            Ok(()) => Ok(Outcome::Done),
        }
    }

    /// Writes the statements that make the catalog again.
    pub fn export_catalog(&mut self, databases: &[String]) -> Result<Outcome, Exit> {
        let result = self.session.export_catalog(databases).and_then(|text| {
            let written = self.output.write_all(text.as_bytes());
            written.and_then(|()| self.output.flush()).map_err(output_error)
        });
        match result {
            Err(_) if self.output.closed => Ok(Outcome::Closed),
            Err(error) => {
                report(&error, None);
                Err(Exit::of(&error))
            }
            Ok(()) => Ok(Outcome::Done),
        }
    }

    /// From now on statements tell how they would run, as plain text.
    pub fn explain(&mut self) {
        self.explains = true;
        self.header = false;
        self.format.get_or_insert(Format::Tsv);
    }

    /// Runs a text for what it does to the session: what it creates ends with the session, and its results are not shown.
    pub fn prepare(&mut self, name: &str, text: &str) -> Result<Outcome, Exit> {
        let output = std::mem::replace(&mut self.output, Output::nowhere());
        let (timer, quiet) = (
            std::mem::replace(&mut self.timer, false),
            std::mem::replace(&mut self.quiet, true),
        );
        self.session.set_temporary_ddl(true);
        let result = self.run_text(name, text);
        self.session.set_temporary_ddl(false);
        self.output = output;
        (self.timer, self.quiet) = (timer, quiet);
        result
    }

    fn run_statement(&mut self, statement: &StatementText) -> Result<Outcome> {
        let begin = Instant::now();
        let before = self.session.running().map(|c| c.metrics);
        allow_huge_pages(self.session.config().memory_limit);
        self.watch.begin(&self.session, self.timeout, self.progress);
        let result = match self.explains {
            true => self.session.preview(statement),
            false => self.session.run(statement),
        };
        let result = result.and_then(|result| match result {
            StatementResult::Rows(rows) => self.write(rows).map(|n| (None, Some(n))),
            StatementResult::Done { what, rows } => Ok((Some(what), rows)),
        });
        let (what, rows) = match (result, self.watch.end()) {
            (Err(_), _) if self.output.closed => return Ok(Outcome::Closed),
            (Err(error), Some(Stopped::TimedOut)) if error.kind() == ErrorKind::Cancelled => {
                let limit = self.timeout.unwrap_or_default();
                return Err(
                    Error::resources(format!("the statement took longer than {limit:?}")).with_hint("raise --timeout")
                );
            }
            (Ok(_), Some(Stopped::Interrupted)) => return Err(Error::cancelled()),
            (result, _) => result?,
        };
        let context = self.session.running();
        let context = context.filter(|c| before.is_none_or(|b| !Arc::ptr_eq(&b, &c.metrics)));
        if let Some(warning) = context.as_ref().and_then(|c| bad_rows_warning(&c.metrics)) {
            self.tell(&warning);
        }
        if self.timer {
            self.tell(&summary(what, rows, begin.elapsed(), context.as_ref()));
        } else if let Some(what) = what.filter(|_| self.interactive) {
            self.tell(&what);
        }
        Ok(Outcome::Done)
    }

    /// Says something that is no result.
    pub fn tell(&self, message: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr().lock(), "{message}");
        }
    }

    /// Writes rows as they come; how many there were.
    fn write(&mut self, rows: Rows) -> Result<u64> {
        let options = self.output_options();
        // A table is written at the end, everything else as it comes.
        let streams = options.format != Format::Table;
        // A text is read, or run again, as it is; a reader of values asks for a format.
        let mut writer = match rows.is_text() && self.format.is_none() && !self.output.is_terminal {
            true => lines(),
            false => writer(&options),
        };
        let mut total = 0;
        writer.begin(rows.schema(), &mut self.output)?;
        for batch in rows {
            let batch = batch?;
            if streams && self.output.is_terminal {
                self.watch.hide_progress();
            }
            writer.batch(&batch, &mut self.output)?;
            if streams {
                self.output.flush().map_err(output_error)?;
            }
            total += batch.num_rows();
        }
        self.watch.hide_progress();
        writer.end(total, &mut self.output)?;
        self.output.flush().map_err(output_error)?;
        Ok(total as u64)
    }

    fn output_options(&self) -> OutputOptions {
        let terminal = self.output.is_terminal;
        OutputOptions {
            format: self
                .format
                .unwrap_or(if terminal { Format::Table } else { Format::Csv }),
            header: self.header,
            null: self.null.clone(),
            width: terminal.then(window_width).flatten(),
            max_rows: terminal.then_some(SHOWN_ROWS),
        }
    }
}

/// `12 rows · 1.8 s · read 214 MB of 3.7 GB (partitions 3/36) · peak 310 MB · spilled 0`
fn summary(
    what: Option<String>,
    rows: Option<u64>,
    took: Duration,
    context: Option<&crate::runtime::QueryContext>,
) -> String {
    let mut parts: Vec<String> = what.into_iter().collect();
    parts.extend(rows.map(|n| {
        if n == 1 {
            "1 row".into()
        } else {
            format!("{} rows", count(n))
        }
    }));
    parts.push(match took.as_secs_f64() {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    });
    if let Some(context) = context {
        let m = &context.metrics;
        if m.bytes_total.get() > 0 {
            let (read, total) = (size(m.bytes_read.get()), size(m.bytes_total.get()));
            let (partitions, of) = (m.partitions_read.get(), m.partitions_total.get());
            parts.push(format!("read {read} of {total} (partitions {partitions}/{of})"));
        }
        parts.extend(m.remote.describe(size));
        parts.push(format!("peak {}", size(context.memory.peak() as u64)));
        parts.push(format!("spilled {}", size(m.bytes_spilled.get())));
        if m.bad_rows.get() > 0 {
            parts.push(format!("bad rows {}", count(m.bad_rows.get())));
        }
    }
    parts.join(" · ")
}

/// What a statement that went on in spite of bad rows has to say about them.
fn bad_rows_warning(metrics: &Metrics) -> Option<String> {
    let rows = match metrics.bad_rows.get() {
        0 => return None,
        1 => "1 bad row was".to_string(),
        n => format!("{} bad rows were", count(n)),
    };
    let first = metrics.first_bad_row().unwrap_or_default();
    Some(format!("warning: {rows} not read as declared; the first: {first}"))
}

/// Columns of the window that standard output goes to.
fn window_width() -> Option<usize> {
    let mut probe = comfy_table::Table::new();
    probe.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    probe.width().map(usize::from)
}

/// Where results go.
pub struct Output {
    to: Box<dyn Write>,
    pub is_terminal: bool,
    /// Set once the reader has gone away.
    closed: bool,
}

impl Output {
    /// A file, or standard output.
    pub fn new(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else {
            let to = Box::new(BufWriter::with_capacity(1 << 16, stdout()));
            return Ok(Self {
                to,
                is_terminal: stdout().is_terminal(),
                closed: false,
            });
        };
        let file =
            File::create(path).map_err(|e| Error::storage(format!("cannot write to {}: {e}", path.display())))?;
        Ok(Self {
            to: Box::new(BufWriter::with_capacity(1 << 16, file)),
            is_terminal: false,
            closed: false,
        })
    }

    fn nowhere() -> Self {
        Self {
            to: Box::new(std::io::sink()),
            is_terminal: false,
            closed: false,
        }
    }

    fn noted<T>(&mut self, result: std::io::Result<T>) -> std::io::Result<T> {
        if let Err(e) = &result {
            self.closed |= e.kind() == IoErrorKind::BrokenPipe;
        }
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.to.flush();
        self.noted(flushed)
    }
}
