//! The command line: flags, their environment variables, and what they mean for the session.

use super::output::Format;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::session::TransactionCommand;
use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// SQL over the files of a data lake.
///
/// Without -c and -f an interactive session starts, or SQL is read from standard input when that is not a terminal.
#[derive(Debug, Parser)]
#[command(name = "lakebed", version, max_term_width = 120)]
pub struct Arguments {
    /// Run these statements and exit
    #[arg(
        short = 'c',
        long = "command",
        short_alias = 'e',
        value_name = "SQL",
        allow_hyphen_values = true
    )]
    commands: Vec<String>,

    /// Run the statements of a file and exit; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", allow_hyphen_values = true)]
    files: Vec<String>,

    /// A variable: `:name` in the text becomes its value as a literal, `${name}` its text
    #[arg(short = 'v', long = "param", value_name = "NAME=VALUE")]
    variables: Vec<String>,

    #[command(flatten)]
    pub output: OutputArguments,

    #[command(flatten)]
    limits: LimitArguments,

    #[command(flatten)]
    guards: GuardArguments,

    #[command(flatten)]
    pub session: SessionArguments,

    #[command(subcommand)]
    pub verb: Option<Verb>,

    /// Variables as `--name=value`, after --
    #[arg(last = true, value_name = "--NAME=VALUE")]
    job_variables: Vec<String>,

    #[arg(skip)]
    sources: Vec<Source>,
}

/// What the program does besides running SQL.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show how the statements of a job would run, without reading or writing rows
    Explain {
        /// Statements; they come before those of files
        #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
        commands: Vec<String>,
        /// A file of statements; - is standard input
        #[arg(short = 'f', long = "file", value_name = "FILE", allow_hyphen_values = true)]
        files: Vec<String>,
        /// A variable of the job
        #[arg(short = 'v', long = "param", value_name = "NAME=VALUE")]
        variables: Vec<String>,
    },
    /// Show what functions there are, or what one does
    Functions {
        /// A name, or a pattern such as 'date*'
        name: Option<String>,
    },
    /// Look at writes that are not done, finish them, give them up
    Txn {
        #[command(subcommand)]
        action: TxnAction,
    },
    /// Show which store a location is in, and which credentials would be used for it
    Whoami {
        /// A location, such as s3://bucket/path
        location: String,
    },
    /// Write the catalog as SQL
    Catalog {
        #[command(subcommand)]
        action: CatalogAction,
    },
    /// Write the completion of flags for a shell
    Completions { shell: Shell },
}

/// What is to be done about writes.
#[derive(Debug, Clone, Subcommand)]
pub enum TxnAction {
    /// The writes that are not done
    List {
        /// A table, a folder or a URL; all tables of the catalog without it
        target: Option<String>,
    },
    /// One write in detail
    Show { id: String, target: Option<String> },
    /// Finish a write that is committed, or of which everything is written
    Resume { id: String, target: Option<String> },
    /// Give a write up that is not committed, and remove what it wrote
    Abort { id: String, target: Option<String> },
    /// Finish what is committed, and remove what writers left behind
    Gc {
        target: Option<String>,
        /// Writers that have written nothing for so long are taken for dead; those of this machine are known to live or not
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
        older_than: Duration,
    },
}

/// What is to be done with the catalog.
#[derive(Debug, Clone, Subcommand)]
pub enum CatalogAction {
    /// Write the statements that make it again, in an empty warehouse: lakebed -f FILE
    Export {
        /// These databases; all without them
        databases: Vec<String>,
    },
}

impl From<TxnAction> for TransactionCommand {
    fn from(action: TxnAction) -> Self {
        match action {
            TxnAction::List { target } => Self::List { target },
            TxnAction::Show { id, target } => Self::Show { id, target },
            TxnAction::Resume { id, target } => Self::Resume { id, target },
            TxnAction::Abort { id, target } => Self::Abort { id, target },
            TxnAction::Gc { target, older_than } => Self::Gc {
                target,
                older_than: Some(older_than),
            },
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// How results are written; table on a terminal, else csv
    #[arg(long, value_name = "FORMAT", env = "LAKEBED_FORMAT")]
    pub format: Option<Format>,

    /// Write results to a file
    #[arg(short = 'o', long = "output", value_name = "FILE", env = "LAKEBED_OUTPUT")]
    pub file: Option<PathBuf>,

    /// Leave out the names of the columns
    #[arg(long, env = "LAKEBED_NO_HEADER", value_parser = FalseyValueParser::new())]
    pub no_header: bool,

    /// The text of NULL
    #[arg(long, value_name = "TEXT", env = "LAKEBED_NULL")]
    pub null: Option<String>,

    /// Whether long statements show how far they are
    #[arg(long, value_name = "WHEN", default_value = "auto", env = "LAKEBED_PROGRESS")]
    pub progress: Progress,

    /// Tell nothing but results and errors
    #[arg(long, env = "LAKEBED_QUIET", value_parser = FalseyValueParser::new(), conflicts_with = "stats")]
    pub quiet: bool,

    /// Tell after each statement what it took, also when standard error is no terminal
    #[arg(long, env = "LAKEBED_STATS", value_parser = FalseyValueParser::new())]
    pub stats: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArguments {
    /// Memory that queries may hold, e.g. 2GB; the default is 60 % of the machine's, or of its container's limit
    #[arg(long, value_name = "SIZE", env = "LAKEBED_MEMORY")]
    memory: Option<String>,

    /// Worker threads; the default is one per core
    #[arg(long, value_name = "N", env = "LAKEBED_THREADS")]
    threads: Option<String>,

    /// Folder for what does not fit into memory
    #[arg(long, value_name = "FOLDER", env = "LAKEBED_SPILL_DIR")]
    spill_dir: Option<String>,

    /// Space that may take on disk, e.g. 50GB
    #[arg(long, value_name = "SIZE", env = "LAKEBED_MAX_SPILL")]
    max_spill: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Guard rails")]
struct GuardArguments {
    /// Refuse statements that write files or the catalog
    #[arg(long, env = "LAKEBED_READ_ONLY", value_parser = FalseyValueParser::new())]
    read_only: bool,

    /// Refuse to read or write outside of this location and the warehouse; may be given several times
    #[arg(long, value_name = "LOCATION", env = "LAKEBED_ALLOW", value_delimiter = ',')]
    allow: Vec<String>,

    /// Refuse statements that read more, e.g. 5GB
    #[arg(long, value_name = "SIZE", env = "LAKEBED_MAX_BYTES")]
    max_bytes: Option<String>,

    /// Refuse scans of tables in partitions without a condition on one of the keys
    #[arg(long, env = "LAKEBED_REQUIRE_PARTITION_FILTER", value_parser = FalseyValueParser::new())]
    require_partition_filter: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Session")]
pub struct SessionArguments {
    /// Folder of the catalog and of tables without a location of their own
    #[arg(long, value_name = "FOLDER", default_value = "lakehouse", env = "LAKEBED_WAREHOUSE")]
    pub warehouse: String,

    /// Database in which unqualified names are looked up
    #[arg(long, value_name = "NAME", env = "LAKEBED_DATABASE")]
    pub database: Option<String>,

    /// A setting; SHOW SETTINGS lists them
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Statements to run first; what they create ends with the session
    #[arg(long, value_name = "FILE", env = "LAKEBED_INIT", conflicts_with = "no_init")]
    pub init: Option<PathBuf>,

    /// Do not run the init.sql of the configuration folder
    #[arg(long, env = "LAKEBED_NO_INIT", value_parser = FalseyValueParser::new())]
    pub no_init: bool,

    /// After a statement that fails, go on with the next
    #[arg(long, env = "LAKEBED_CONTINUE_ON_ERROR", value_parser = FalseyValueParser::new())]
    pub continue_on_error: bool,

    /// Longest time that one statement may take, e.g. 90s, 30m or 2h
    #[arg(long, value_name = "TIME", env = "LAKEBED_TIMEOUT", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// When standard error is a terminal.
    Auto,
    /// Also when it is none, a line now and then.
    Always,
    Never,
}

/// Where SQL comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Command(String),
    File(String),
}

impl Arguments {
    /// Reads the command line; on `--help`, `--version` and wrong usage the process ends here.
    pub fn parse_or_exit() -> Self {
        let matches = Self::command().get_matches();
        let mut arguments = Self::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
        let places = |id: &str| {
            matches
                .indices_of(id)
                .map(|places| places.collect::<Vec<_>>())
                .unwrap_or_default()
        };
        let commands = arguments.commands.drain(..).map(Source::Command);
        let files = arguments.files.drain(..).map(Source::File);
        let mut sources: Vec<(usize, Source)> = places("commands").into_iter().zip(commands).collect();
        sources.extend(places("files").into_iter().zip(files));
        sources.sort_by_key(|(place, _)| *place);
        arguments.sources = sources.into_iter().map(|(_, source)| source).collect();
        if let Some(Verb::Explain {
            commands,
            files,
            variables,
        }) = &mut arguments.verb
        {
            arguments.sources.extend(commands.drain(..).map(Source::Command));
            arguments.sources.extend(files.drain(..).map(Source::File));
            arguments.variables.append(variables);
        }
        arguments
    }

    /// The texts to run, in the order of the command line.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The settings.
    ///
    /// # Errors
    /// When a value does not fit or a setting does not exist.
    pub fn config(&self) -> Result<Config> {
        let mut config = Config::default();
        let limits = &self.limits;
        for (setting, value) in [
            ("memory_limit", &limits.memory),
            ("threads", &limits.threads),
            ("spill_dir", &limits.spill_dir),
            ("max_spill", &limits.max_spill),
        ] {
            if let Some(value) = value {
                config.set(setting, value)?;
            }
        }
        let guards = &self.guards;
        config.guards.read_only = guards.read_only;
        config.guards.allow = guards.allow.clone();
        config.guards.require_partition_filter = guards.require_partition_filter;
        if let Some(size) = &guards.max_bytes {
            config.set("max_bytes", size)?;
        }
        for assignment in &self.session.set {
            let (name, value) = assignment
                .split_once('=')
                .ok_or_else(|| Error::plan(format!("expected --set NAME=VALUE, found \"{assignment}\"")))?;
            config.set(name.trim(), value)?;
        }
        Ok(config)
    }

    /// `name=value` for each variable that is given.
    ///
    /// # Errors
    /// When something after `--` is no `--name=value`.
    pub fn variables(&self) -> Result<Vec<String>> {
        let mut all = self.variables.clone();
        for argument in &self.job_variables {
            let assignment = argument.strip_prefix("--").and_then(|a| a.split_once('='));
            let (name, value) = assignment
                .ok_or_else(|| Error::plan(format!("expected --name=value after --, found \"{argument}\"")))?;
            all.push(format!("{}={value}", name.replace('-', "_")));
        }
        Ok(all)
    }
}

/// Writes what a shell needs to complete the flags.
pub fn write_completions(shell: Shell, to: &mut dyn Write) {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Arguments::command(), "lakebed", &mut text);
    // Whoever closes the pipe has seen enough.
    let _ = to.write_all(&text);
}

/// Reads `500ms`, `90s`, `30m`, `2h`; a number alone is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 90s, 30m or 2h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a time such as 90s, 30m or 2h")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("1.5m").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("1e400s").is_err());
    }
}
