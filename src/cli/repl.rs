//! The interactive session: lines in, results out, until `.quit` or Ctrl-D.

use super::commands::{self, Flow};
use super::completion::SqlCompleter;
use super::report::{Exit, report};
use super::shell::{Outcome, Shell};
use crate::error::{Error, without_secrets};
use crate::sql;
use etcetera::BaseStrategy;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter, MatchingBracketHighlighter};
use rustyline::hint::HistoryHinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, Completer, CompletionType, Config, Editor, Helper, Hinter};
use std::borrow::Cow;
use std::path::PathBuf;

/// Statements that the history keeps.
const REMEMBERED: usize = 10_000;

/// Reads and runs until the user leaves.
pub fn run(shell: &mut Shell) -> Result<Outcome, Exit> {
    shell.interactive = true;
    let mut editor = new_editor(shell).map_err(|e| failed(&e))?;
    let history = history_file();
    if let Some(file) = &history {
        // A history that is not there yet, or cannot be read, is an empty one.
        let _ = editor.load_history(file);
    }
    shell.tell(&format!(
        "lakebed {} · .help shows the commands, Ctrl-D leaves",
        env!("CARGO_PKG_VERSION")
    ));
    loop {
        let prompt = format!("{}> ", shell.session.database());
        match editor.readline(&prompt) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                let _ = editor.add_history_entry(without_secrets(text.trim()));
                if run_input(shell, &text, &editor) == Flow::Quit {
                    break;
                }
                editor.helper().iter().for_each(|h| h.completer.forget());
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(failed(&e)),
        }
    }
    if let Some(file) = &history {
        let _ = editor.save_history(file);
    }
    Ok(Outcome::Done)
}

fn run_input(shell: &mut Shell, text: &str, editor: &Editor<SqlHelper, FileHistory>) -> Flow {
    if !commands::is_command(text) {
        // Errors are reported, and the session goes on.
        let _: Result<Outcome, Exit> = shell.run_text("<input>", text);
        return Flow::Continue;
    }
    let history: Vec<String> = editor.history().iter().cloned().collect();
    commands::run(shell, text, &history).unwrap_or_else(|error| {
        report(&error, None);
        Flow::Continue
    })
}

fn failed(error: &ReadlineError) -> Exit {
    report(&Error::storage(format!("cannot read from the terminal: {error}")), None);
    Exit::Storage
}

fn new_editor(shell: &Shell) -> rustyline::Result<Editor<SqlHelper, FileHistory>> {
    let config = Config::builder()
        .max_history_size(REMEMBERED)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .bracketed_paste(true)
        .build();
    let mut editor = Editor::with_config(config)?;
    if std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) {
        editor.set_color_mode(ColorMode::Disabled);
    }
    editor.set_helper(Some(SqlHelper {
        completer: SqlCompleter::new(shell.session.clone()),
        brackets: MatchingBracketHighlighter::new(),
        hinter: HistoryHinter::new(),
    }));
    Ok(editor)
}

/// `$XDG_STATE_HOME/lakebed/history`; its folder is made when it is missing.
fn history_file() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    let folder = folders
        .state_dir()
        .unwrap_or_else(|| folders.data_dir())
        .join("lakebed");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// What the editor asks while a statement is typed.
#[derive(Helper, Completer, Hinter)]
struct SqlHelper {
    #[rustyline(Completer)]
    completer: SqlCompleter,
    brackets: MatchingBracketHighlighter,
    #[rustyline(Hinter)]
    hinter: HistoryHinter,
}

impl Validator for SqlHelper {
    /// A statement goes on until its semicolon; a command ends with its line.
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        Ok(match commands::is_command(text) || sql::is_complete(text) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, pos: usize) -> Cow<'l, str> {
        self.brackets.highlight(line, pos)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[m"))
    }

    fn highlight_char(&self, line: &str, pos: usize, kind: CmdKind) -> bool {
        self.brackets.highlight_char(line, pos, kind)
    }
}
