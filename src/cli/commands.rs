//! The commands of the REPL: one table that feeds dispatch, help and completion.

use super::output::Format;
use super::report::Exit;
use super::shell::{Outcome, Output, Shell};
use crate::config::SETTINGS;
use crate::error::{Error, Result};
use clap::ValueEnum;
use std::io::Write;
use std::path::Path;

/// One command.
pub struct Command {
    pub name: &'static str,
    pub synonyms: &'static [&'static str],
    arguments: &'static str,
    help: &'static str,
    pub completes: Completes,
    run: fn(Call) -> Result<Flow>,
}

/// What the argument of a command is, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    Nothing,
    Tables,
    Files,
    Formats,
    Settings,
    Commands,
    Sql,
}

/// What a command sees.
struct Call<'a> {
    shell: &'a mut Shell,
    argument: &'a str,
    history: &'a [String],
}

/// Whether the REPL goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Quit,
}

/// A command without synonyms and argument; struct update syntax gives the rest.
const PLAIN: Command = Command {
    name: "",
    synonyms: &[],
    arguments: "",
    help: "",
    completes: Completes::Nothing,
    run: |_| Ok(Flow::Continue),
};

/// All commands, in the order in which help shows them.
pub static COMMANDS: &[Command] = &[
    Command {
        name: ".help",
        synonyms: &["help", ".h", "\\?"],
        arguments: "[command]",
        help: "show this list, or one command of it",
        completes: Completes::Commands,
        run: help,
    },
    Command {
        name: ".quit",
        synonyms: &["quit", "exit", ".exit", "\\q"],
        help: "leave; so does Ctrl-D",
        run: |_| Ok(Flow::Quit),
        ..PLAIN
    },
    Command {
        name: ".tables",
        synonyms: &["\\dt"],
        arguments: "[pattern]",
        help: "tables and views of the current database, e.g. .tables t*",
        completes: Completes::Tables,
        run: |c| c.show("SHOW TABLES"),
    },
    Command {
        name: ".schema",
        synonyms: &["\\d"],
        arguments: "[table]",
        help: "columns of a table or view; without a name, the tables",
        completes: Completes::Tables,
        run: |c| match c.argument {
            "" => c.show("SHOW TABLES"),
            table => c.sql(&format!("DESCRIBE {table}")),
        },
    },
    Command {
        name: ".databases",
        synonyms: &["\\l"],
        help: "the databases",
        run: |c| c.sql("SHOW DATABASES"),
        ..PLAIN
    },
    Command {
        name: ".functions",
        synonyms: &["\\df"],
        arguments: "[pattern]",
        help: "functions with their arguments, e.g. .functions date*",
        run: |c| c.show("SHOW FUNCTIONS"),
        ..PLAIN
    },
    Command {
        name: ".explain",
        arguments: "query",
        help: "how a query would run",
        completes: Completes::Sql,
        run: |c| {
            let text = format!("EXPLAIN {}", c.argument);
            c.sql(&text)
        },
        ..PLAIN
    },
    Command {
        name: ".format",
        synonyms: &[".mode"],
        arguments: "[format]",
        help: "how results are written: table, vertical, csv, tsv, json, ndjson, markdown",
        completes: Completes::Formats,
        run: format,
    },
    Command {
        name: ".output",
        synonyms: &["\\o"],
        arguments: "[file]",
        help: "write results to a file; without a name or with -, here again",
        completes: Completes::Files,
        run: output,
    },
    Command {
        name: ".timer",
        synonyms: &["\\timing"],
        arguments: "[on|off]",
        help: "tell after each statement what it took",
        run: timer,
        ..PLAIN
    },
    Command {
        name: ".read",
        synonyms: &["\\i"],
        arguments: "file",
        help: "run the statements of a file",
        completes: Completes::Files,
        run: read,
    },
    Command {
        name: ".whoami",
        arguments: "location",
        help: "which store a location is in, and which credentials are used for it",
        completes: Completes::Files,
        run: |c| whoami(c.shell, c.argument.trim_matches(['\'', '"'])).map(|()| Flow::Continue),
        ..PLAIN
    },
    Command {
        name: ".set",
        synonyms: &["\\set"],
        arguments: "[setting [value]]",
        help: "show or change settings",
        completes: Completes::Settings,
        run: set,
    },
    Command {
        name: ".history",
        synonyms: &["\\s"],
        arguments: "[n]",
        help: "the last statements",
        run: history,
        ..PLAIN
    },
];

/// Words that people type to leave or to get help, without a dot.
const BARE: &[&str] = &["quit", "exit", "help"];

/// Whether a line is meant as a command.
pub fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['.', '\\']) || BARE.contains(&line.trim_end_matches(';').to_lowercase().as_str())
}

/// The command with a name or synonym.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.name == name || c.synonyms.contains(&name))
}

/// Runs a line that is a command.
///
/// # Errors
/// When there is no such command, or its argument does not fit. What statements do wrong is reported by the shell.
pub fn run(shell: &mut Shell, line: &str, history: &[String]) -> Result<Flow> {
    let line = line.trim().trim_end_matches(';');
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match find(&name.to_lowercase()) {
        Some(command) => (command.run)(Call {
            shell,
            argument: argument.trim(),
            history,
        }),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let error = Error::plan(format!("there is no command {name}"));
    error
        .with_nearest(name, COMMANDS.iter().map(|c| c.name))
        .with_hint(".help shows the commands")
}

impl Call<'_> {
    /// Runs statements; their errors are reported already.
    fn sql(self, text: &str) -> Result<Flow> {
        let _: Result<Outcome, Exit> = self.shell.run_text("<command>", text);
        Ok(Flow::Continue)
    }

    /// Runs a SHOW statement, with the argument as a pattern.
    fn show(self, statement: &str) -> Result<Flow> {
        if self.argument.is_empty() {
            return self.sql(statement);
        }
        let pattern = self.argument.trim_matches('\'').replace('\'', "''").replace('*', "%");
        self.sql(&format!("{statement} LIKE '{pattern}'"))
    }

    /// Writes to where results go.
    fn print(self, text: &str) -> Result<Flow> {
        let written = self
            .shell
            .output
            .write_all(text.as_bytes())
            .and_then(|()| self.shell.output.flush());
        written.map_err(super::output::output_error)?;
        Ok(Flow::Continue)
    }
}

/// Writes what is known about a location and who we are there.
pub fn whoami(shell: &mut Shell, location: &str) -> Result<()> {
    if location.is_empty() {
        return Err(Error::plan("expected a location, such as s3://bucket/path"));
    }
    let (rows, problem) = shell.session.whoami(location)?;
    let text: String = rows
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}\n"))
        .collect();
    let written = shell
        .output
        .write_all(text.as_bytes())
        .and_then(|()| shell.output.flush());
    written.map_err(super::output::output_error)?;
    problem.map_or(Ok(()), Err)
}

fn help(call: Call) -> Result<Flow> {
    let line = |c: &Command| {
        let usage = format!("{} {}", c.name, c.arguments);
        format!("{usage:<26} {:<12} {}\n", c.synonyms.join(" "), c.help)
    };
    if call.argument.is_empty() {
        let mut text: String = COMMANDS.iter().map(line).collect();
        text.push_str("\nEverything else is SQL and ends with a semicolon. Ctrl-C stops a running query.\n");
        return call.print(&text);
    }
    let name = call.argument.to_lowercase();
    let dotted = format!(".{name}");
    match find(&dotted).or_else(|| find(&name)) {
        Some(command) => call.print(&line(command)),
        None => Err(unknown(&name)),
    }
}

fn format(call: Call) -> Result<Flow> {
    let names = || {
        Format::value_variants()
            .iter()
            .filter_map(|f| f.to_possible_value())
            .map(|v| v.get_name().to_string())
    };
    if call.argument.is_empty() {
        let all: Vec<String> = names().collect();
        let current = call.shell.format.and_then(|f| f.to_possible_value());
        let current = current.map_or("automatic".to_string(), |v| v.get_name().to_string());
        return call.print(&format!("{current}; known are {}\n", all.join(", ")));
    }
    let chosen = Format::from_str(call.argument, true).map_err(|_| {
        let all: Vec<String> = names().collect();
        Error::plan(format!("there is no format \"{}\"", call.argument))
            .with_nearest(call.argument, all.iter().map(String::as_str))
            .with_hint(format!("known are {}", all.join(", ")))
    })?;
    call.shell.format = Some(chosen);
    Ok(Flow::Continue)
}

fn output(call: Call) -> Result<Flow> {
    let file = Some(call.argument).filter(|name| !name.is_empty() && *name != "-" && *name != "stdout");
    call.shell.output = Output::new(file.map(Path::new))?;
    Ok(Flow::Continue)
}

fn timer(call: Call) -> Result<Flow> {
    call.shell.timer = match call.argument.to_lowercase().as_str() {
        "" => !call.shell.timer,
        "on" => true,
        "off" => false,
        other => return Err(Error::plan(format!("expected on or off, found \"{other}\""))),
    };
    Ok(Flow::Continue)
}

fn read(call: Call) -> Result<Flow> {
    let name = call.argument.trim_matches(['\'', '"']);
    if name.is_empty() {
        return Err(Error::plan("expected the name of a file"));
    }
    let text = super::read_text(name)?;
    let _: Result<Outcome, Exit> = call.shell.run_text(name, &text);
    Ok(Flow::Continue)
}

fn set(call: Call) -> Result<Flow> {
    let (name, value) = match call.argument.split_once(|c: char| c.is_whitespace() || c == '=') {
        Some((name, value)) => (name, value.trim_start_matches(['=', ' ']).trim()),
        None => (call.argument, ""),
    };
    if value.is_empty() {
        let config = call.shell.session.config();
        let wanted = SETTINGS.iter().filter(|s| s.name.starts_with(name));
        let lines: String = wanted
            .map(|s| format!("{:<18} {:<10} {}\n", s.name, (s.get)(&config), s.doc))
            .collect();
        if lines.is_empty() {
            config.get(name)?;
        }
        return call.print(&lines);
    }
    call.shell.session.set(name, value.trim_matches('\''))?;
    Ok(Flow::Continue)
}

fn history(call: Call) -> Result<Flow> {
    let wanted = match call.argument {
        "" => 20,
        n => n
            .parse()
            .map_err(|_| Error::plan(format!("expected a number of statements, found \"{n}\"")))?,
    };
    let skipped = call.history.len().saturating_sub(wanted);
    let lines: String = call
        .history
        .iter()
        .skip(skipped)
        .map(|entry| format!("{entry}\n"))
        .collect();
    call.print(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = COMMANDS
            .iter()
            .flat_map(|c| c.synonyms.iter().copied().chain([c.name]))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(COMMANDS.iter().all(|c| is_command(c.name) && !c.help.is_empty()));
    }
}
