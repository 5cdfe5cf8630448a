//! The one place where errors are printed, and where they become exit codes.

use crate::error::{Error, ErrorKind, Position, Span, masked, without_secrets};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

/// How a run ended, as the caller of the process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    Usage,
    Rejected,
    Storage,
    Resources,
    Refused,
    Interrupted,
}

impl Exit {
    /// The exit code that an error leads to.
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Syntax | ErrorKind::Plan | ErrorKind::Unsupported => Self::Rejected,
            ErrorKind::Execution | ErrorKind::BadFile | ErrorKind::Conflict | ErrorKind::Internal => Self::Failed,
            ErrorKind::Storage => Self::Storage,
            ErrorKind::ResourcesExhausted => Self::Resources,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::Cancelled => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Rejected => 3,
            Exit::Storage => 4,
            Exit::Resources => 5,
            Exit::Refused => 6,
            Exit::Interrupted => 130,
        })
    }
}

/// Prints an error to standard error. `origin` is the name and the text of what was run, for the place in it.
pub fn report(error: &Error, origin: Option<(&str, &str)>) {
    let text = render(error, origin);
    // When standard error is gone there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn render(error: &Error, origin: Option<(&str, &str)>) -> String {
    let title = Level::ERROR.primary_title(error.message());
    let mut group = Group::with_title(title);
    if let (Some((name, text)), Some(span)) = (origin, error.span())
        && let Some((line_start, lines, range)) = excerpt(text, span)
    {
        let place = AnnotationKind::Primary.span(range);
        let snippet = Snippet::source(lines)
            .line_start(line_start)
            .path(without_secrets(name))
            .annotation(place);
        group = group.element(snippet);
    }
    if let Some(hint) = error.hint() {
        group = group.element(Level::HELP.with_name("hint").message(hint));
    }
    if error.kind() == ErrorKind::Internal {
        let note = "this is a mistake in lakebed and not in what was asked; please report it with the statement";
        group = group.element(Level::NOTE.message(note));
    }
    Renderer::styled().render(&[group]).to_string()
}

/// The lines of `text` around a span: the number of the first, the lines, and the range of the span in them. Only the
/// lines of the span and the one before are shown, because a query can be megabytes long; of very long lines, a window.
fn excerpt(text: &str, span: Span) -> Option<(usize, String, Range<usize>)> {
    /// Characters shown before and after the place in a long line.
    const AROUND: usize = 60;
    let number = usize::try_from(span.start.line).ok()?.checked_sub(1)?;
    let line = text.lines().nth(number).unwrap_or_default();
    // Columns stay where they are.
    let line = &masked(line);
    let start = column(line, span.start);
    let end = match span.end.line == span.start.line {
        true => column(line, span.end).max(start),
        false => line.len(),
    };
    if line.len() > 4 * AROUND {
        let from = line[..start].char_indices().rev().nth(AROUND).map_or(0, |(i, _)| i);
        let to = line[start..]
            .char_indices()
            .nth(2 * AROUND)
            .map_or(line.len(), |(i, _)| start + i);
        let shown = line.get(from..to)?.to_string();
        return Some((number + 1, shown, start - from..end.min(to) - from));
    }
    Some((number + 1, line.to_string(), start..end))
}

/// The byte at which a column of a line begins.
fn column(line: &str, position: Position) -> usize {
    let column = usize::try_from(position.column).unwrap_or(usize::MAX).saturating_sub(1);
    line.char_indices().nth(column).map_or(line.len(), |(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(line: u64, from: u64, to: u64) -> Span {
        Span {
            start: Position { line, column: from },
            end: Position { line, column: to },
        }
    }

    #[test]
    fn the_place_is_marked_and_the_hint_follows() {
        let error = Error::plan("column \"fare\" does not exist")
            .with_span(span(2, 8, 12))
            .with_hint("did you mean \"far\"?");
        let text =
            anstream::adapter::strip_str(&render(&error, Some(("job.sql", "-- ä\nSELECT fare FROM t")))).to_string();
        assert!(text.contains("error: column \"fare\" does not exist"), "{text}");
        assert!(text.contains("--> job.sql:2:8"), "{text}");
        assert!(text.contains("^^^^\n"), "{text}");
        assert!(text.contains("hint: did you mean \"far\"?"), "{text}");
    }

    #[test]
    fn what_is_our_mistake_is_told_as_such() {
        let told = |error: &Error| render(error, None).contains("a mistake in lakebed");
        assert!(told(&Error::internal("a batch without columns")));
        assert!(!told(&Error::plan("column \"fare\" does not exist")));
    }

    #[test]
    fn places_outside_of_the_text_and_in_long_lines_do_no_harm() {
        let long = format!("SELECT {} ü FROM t", "x + ".repeat(1000));
        for (line, from, to) in [
            (1, 4009, 4010),
            (1, 1, 9999),
            (1, 9999, 10000),
            (7, 1, 2),
            (1, 0, 0),
            (0, 0, 0),
        ] {
            let error = Error::plan("wrong").with_span(span(line, from, to));
            assert!(render(&error, Some(("f", &long))).len() < 2000);
        }
    }
}
