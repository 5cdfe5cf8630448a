//! The terminal: arguments, one-shot runs, the REPL, output formats.

mod arguments;
mod commands;
mod completion;
pub mod output;
mod repl;
mod report;
mod shell;
pub mod variables;
mod watch;

use crate::error::{Error, Result};
use crate::runtime::hide_guarded_panics;
use crate::session::{Session, on_big_stack};
use arguments::{Arguments, CatalogAction, Source, Verb};
use etcetera::BaseStrategy;
use report::{Exit, report};
use shell::{Outcome, Shell};
use std::io::{IsTerminal, Read, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use variables::Variables;

/// The whole program: reads the command line, runs, prints errors once, and gives the exit code.
pub fn run() -> ExitCode {
    hide_guarded_panics();
    let arguments = Arguments::parse_or_exit();
    let exit = on_big_stack(|| Ok(run_with(&arguments).err().unwrap_or(Exit::Done)));
    exit.unwrap_or_else(|error| {
        report(&error, None);
        Exit::of(&error)
    })
    .into()
}

fn run_with(arguments: &Arguments) -> Result<Outcome, Exit> {
    if let Some(Verb::Completions { shell }) = arguments.verb {
        arguments::write_completions(shell, &mut std::io::stdout());
        return Ok(Outcome::Done);
    }
    let mut shell = open(arguments)?;
    if let Some(Verb::Functions { name }) = &arguments.verb {
        let pattern = name
            .as_ref()
            .map(|name| format!(" LIKE '{}'", name.replace('\'', "''")));
        return shell.run_text("functions", &format!("SHOW FUNCTIONS{}", pattern.unwrap_or_default()));
    }
    if let Some(Verb::Txn { action }) = &arguments.verb {
        return shell.run_transactions(action.clone().into());
    }
    if let Some(Verb::Whoami { location }) = &arguments.verb {
        let told = commands::whoami(&mut shell, location);
        return told.map(|()| Outcome::Done).map_err(|error| {
            report(&error, None);
            Exit::of(&error)
        });
    }
    if let Some(Verb::Catalog {
        action: CatalogAction::Export { databases },
    }) = &arguments.verb
    {
        return shell.export_catalog(databases);
    }
    if let Some(file) = init_file(arguments) {
        let name = file.display().to_string();
        let text = read_file(&name)?;
        shell.prepare(&name, &text)?;
    }
    if let Some(Verb::Explain { .. }) = arguments.verb {
        shell.explain();
    }
    match arguments.sources() {
        [] if stdin().is_terminal() => repl::run(&mut shell),
        [] => run_source(&mut shell, &Source::File("-".into())),
        sources => run_sources(&mut shell, sources, arguments.session.continue_on_error),
    }
}

/// The session, and a shell around it.
fn open(arguments: &Arguments) -> Result<Shell, Exit> {
    let fail = |exit: fn(&Error) -> Exit| {
        move |error: Error| {
            report(&error, None);
            exit(&error)
        }
    };
    let usage = fail(|_| Exit::Usage);
    let config = arguments.config().map_err(usage)?;
    let mut variables = Variables::new();
    let assignments = arguments.variables().map_err(usage)?;
    assignments
        .iter()
        .try_for_each(|assignment| variables.set(assignment))
        .map_err(usage)?;
    let open = || {
        let session = Session::new(config, &arguments.session.warehouse)?;
        if let Some(database) = &arguments.session.database {
            session.use_database(database)?;
        }
        Shell::new(arguments, session, variables)
    };
    open().map_err(fail(Exit::of))
}

/// The file of statements that prepare the session, if there is one.
fn init_file(arguments: &Arguments) -> Option<PathBuf> {
    if arguments.session.no_init {
        return None;
    }
    arguments.session.init.clone().or_else(|| {
        let folders = etcetera::choose_base_strategy().ok()?;
        Some(folders.config_dir().join("lakebed/init.sql")).filter(|file| file.exists())
    })
}

fn run_sources(shell: &mut Shell, sources: &[Source], continue_on_error: bool) -> Result<Outcome, Exit> {
    let mut result = Ok(Outcome::Done);
    for source in sources {
        match run_source(shell, source) {
            Ok(Outcome::Done) => {}
            Err(exit) if continue_on_error && exit != Exit::Interrupted => result = result.and(Err(exit)),
            other => return other,
        }
    }
    result
}

fn run_source(shell: &mut Shell, source: &Source) -> Result<Outcome, Exit> {
    match source {
        Source::Command(text) => shell.run_text("-c", text),
        Source::File(name) if name == "-" => shell.run_text("<stdin>", &read_file("-")?),
        Source::File(name) => shell.run_text(name, &read_file(name)?),
    }
}

/// The text of a file of statements; `-` is standard input.
fn read_file(name: &str) -> Result<String, Exit> {
    read_text(name).map_err(|error| {
        report(&error, None);
        Exit::of(&error)
    })
}

fn read_text(name: &str) -> Result<String> {
    let mut bytes = vec![];
    let read = match name {
        "-" => stdin().read_to_end(&mut bytes).map(|_| ()),
        url if url.contains("://") => {
            let location = crate::storage::Location::exact(url)?;
            let files = crate::storage::list(&location)?;
            let [file] = files.as_slice() else {
                return Err(Error::storage(format!("{name} is not one file")));
            };
            bytes = crate::storage::read_all(file)?.to_vec();
            Ok(())
        }
        path => std::fs::read(path).map(|read| bytes = read),
    };
    read.map_err(|e| Error::storage(format!("cannot read {name}: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::bad_file(format!("{name} is not UTF-8 text")))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}
