//! Completion that knows the place: commands, tables, columns of the tables in the statement, functions, settings, files.

use super::commands::{self, COMMANDS, Completes};
use super::output::Format;
use crate::config::SETTINGS;
use crate::functions;
use crate::session::Session;
use clap::ValueEnum;
use regex::Regex;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Words offered where nothing better is known.
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "ANTI",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLUMNS",
    "COPY",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATABASE",
    "DATABASES",
    "DATE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "EXTERNAL",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FIRST",
    "FROM",
    "FULL",
    "FUNCTIONS",
    "GROUP BY",
    "GROUPING SETS",
    "HAVING",
    "IN",
    "INNER",
    "INSERT INTO",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "RANGE",
    "RIGHT",
    "ROLLUP",
    "ROWS",
    "SELECT",
    "SEMI",
    "SET",
    "SETTINGS",
    "SHOW",
    "STORED AS",
    "TABLE",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRY_CAST",
    "UNION",
    "UNNEST",
    "USE",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Relations of a statement and what they are called: `FROM name [AS] alias`.
static RELATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?:from|join|into|table|describe)\s+('[^']*'|[\w."]+)(?:\s+(?:as\s+)?(\w+))?"#).ok()
});

/// Completes for one session.
pub struct SqlCompleter {
    session: Session,
    files: FilenameCompleter,
    /// Columns of relations by their text, until the next statement runs.
    columns: RefCell<HashMap<String, Vec<String>>>,
}

impl SqlCompleter {
    pub fn new(session: Session) -> Self {
        Self {
            session,
            files: FilenameCompleter::new(),
            columns: RefCell::default(),
        }
    }

    /// A statement has run: tables may be others now.
    pub fn forget(&self) {
        self.columns.borrow_mut().clear();
    }

    /// Candidates for the word that ends at `pos`, and where it begins.
    pub fn candidates(&self, line: &str, pos: usize) -> (usize, Vec<String>) {
        let before = line.get(..pos).unwrap_or(line);
        let word_start = before
            .rfind(|c: char| !is_word(c))
            .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        let word = &before[word_start..];
        if commands::is_command(before) {
            return self.command_candidates(before, word_start, word);
        }
        if let Some((qualifier, start)) = word.rsplit_once('.') {
            return (pos - start.len(), matching(start, self.members(qualifier, line)));
        }
        let found = match previous_word(&before[..word_start]).to_uppercase().as_str() {
            "FROM" | "JOIN" | "INTO" | "TABLE" | "DESCRIBE" | "DESC" | "VIEW" => self.relations(),
            "USE" | "DATABASE" => self.databases(),
            "SET" | "RESET" => SETTINGS.iter().map(|s| s.name.to_string()).collect(),
            _ => {
                let columns = relations(line).into_iter().flat_map(|(text, _)| self.columns(&text));
                let functions = functions::all_names().unwrap_or_default();
                let functions = functions.into_iter().map(|(name, _)| format!("{name}("));
                let mut all: Vec<String> = columns.chain(functions).collect();
                all.extend(KEYWORDS.iter().map(|k| in_case_of(word, k)));
                all.extend(self.relations());
                all
            }
        };
        // Everything there is would be no help.
        let found = if word.is_empty() && found.len() > 200 {
            vec![]
        } else {
            matching(word, found)
        };
        (word_start, found)
    }

    fn command_candidates(&self, before: &str, word_start: usize, word: &str) -> (usize, Vec<String>) {
        let line = before.trim_start();
        let Some((name, argument)) = line.split_once(char::is_whitespace) else {
            let names = COMMANDS.iter().flat_map(|c| c.synonyms.iter().copied().chain([c.name]));
            return (
                before.len() - line.len(),
                matching(line, names.map(str::to_string).collect()),
            );
        };
        let all = match commands::find(&name.to_lowercase()).map_or(Completes::Nothing, |c| c.completes) {
            Completes::Tables => self.relations(),
            Completes::Formats => Format::value_variants()
                .iter()
                .filter_map(|f| f.to_possible_value())
                .map(|v| v.get_name().to_string())
                .collect(),
            Completes::Settings => SETTINGS.iter().map(|s| s.name.to_string()).collect(),
            Completes::Commands => COMMANDS.iter().map(|c| c.name.to_string()).collect(),
            Completes::Sql => {
                let offset = before.len() - argument.len();
                let (start, found) = self.candidates(argument, argument.len());
                return (start + offset, found);
            }
            Completes::Nothing | Completes::Files => vec![],
        };
        (word_start, matching(word, all))
    }

    /// Whether the argument of the command in `line` is a file.
    fn wants_file(line: &str) -> bool {
        let name = line.split_whitespace().next().unwrap_or_default();
        commands::is_command(line)
            && line.trim_start().len() > name.len()
            && commands::find(name).is_some_and(|c| c.completes == Completes::Files)
    }

    fn databases(&self) -> Vec<String> {
        let all = self.session.catalog().databases().unwrap_or_default();
        all.into_iter().map(|d| d.name).collect()
    }

    fn tables(&self, database: &str) -> Vec<String> {
        let all = self.session.catalog().objects(database).unwrap_or_default();
        all.iter().map(|o| o.name().to_string()).collect()
    }

    fn relations(&self) -> Vec<String> {
        let mut all = self.tables(&self.session.database());
        all.extend(self.databases().into_iter().map(|d| format!("{d}.")));
        all
    }

    /// What can follow `qualifier.`: tables of a database, columns of a relation or alias.
    fn members(&self, qualifier: &str, line: &str) -> Vec<String> {
        let is = |name: &str| name.eq_ignore_ascii_case(qualifier);
        if let Some((text, _)) = relations(line)
            .into_iter()
            .find(|(text, alias)| is(alias) || (alias.is_empty() && is(text)))
        {
            return self.columns(&text);
        }
        self.tables(&qualifier.to_lowercase())
    }

    /// Names of the columns of a relation as it stands in the text.
    fn columns(&self, relation: &str) -> Vec<String> {
        if let Some(known) = self.columns.borrow().get(relation) {
            return known.clone();
        }
        let frame = self.session.sql(&format!("SELECT * FROM {relation}"));
        let names = frame
            .map(|f| f.schema().iter().map(|field| field.name.to_string()).collect())
            .unwrap_or_default();
        self.columns.borrow_mut().insert(relation.to_string(), names);
        self.columns.borrow().get(relation).cloned().unwrap_or_default()
    }
}

impl Completer for SqlCompleter {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &rustyline::Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..pos).unwrap_or(line);
        let in_string = before.matches('\'').count() % 2 == 1;
        if in_string || Self::wants_file(before) {
            return self.files.complete_path(line, pos);
        }
        let (start, found) = self.candidates(line, pos);
        Ok((
            start,
            found
                .into_iter()
                .map(|text| Pair {
                    display: text.clone(),
                    replacement: text,
                })
                .collect(),
        ))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

fn previous_word(text: &str) -> &str {
    text.split(|c: char| !is_word(c))
        .rfind(|w| !w.is_empty())
        .filter(|_| text.ends_with(char::is_whitespace))
        .unwrap_or_default()
}

/// A keyword in the case in which the word was begun.
fn in_case_of(word: &str, keyword: &str) -> String {
    match word.chars().next().is_some_and(char::is_lowercase) {
        true => keyword.to_lowercase(),
        false => keyword.to_string(),
    }
}

fn matching(word: &str, mut all: Vec<String>) -> Vec<String> {
    let word = word.to_lowercase();
    all.retain(|c| c.to_lowercase().starts_with(&word));
    let mut seen = std::collections::HashSet::new();
    all.retain(|c| seen.insert(c.clone()));
    all
}

/// Relations in a text, with their aliases or an empty text.
fn relations(text: &str) -> Vec<(String, String)> {
    let Some(pattern) = RELATION.as_ref() else {
        return vec![];
    };
    let found = pattern.captures_iter(text).filter_map(|c| {
        let alias = c.get(2).map_or("", |m| m.as_str());
        let alias = if KEYWORDS
            .iter()
            .any(|k| k.split(' ').any(|w| w.eq_ignore_ascii_case(alias)))
        {
            ""
        } else {
            alias
        };
        Some((c.get(1)?.as_str().to_string(), alias.to_string()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn complete(line: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::new(Config::default(), &folder.path().display().to_string()).unwrap();
        let run = |text: &str| {
            session
                .execute(text)
                .unwrap()
                .for_each(|r| drop(r.unwrap().collect().unwrap()))
        };
        run("CREATE VIEW trips AS SELECT 1 AS fare_amount, 2 AS tip; CREATE DATABASE lake");
        let completer = SqlCompleter::new(session);
        completer.candidates(line, line.find('|').unwrap_or(line.len())).1
    }

    #[test]
    fn candidates_fit_the_place() {
        assert_eq!(complete("SELECT 1 FROM tr"), ["trips"]);
        assert_eq!(complete("SELECT fare| FROM trips"), ["fare_amount"]);
        assert_eq!(complete("SELECT t.| FROM trips AS t WHERE"), ["fare_amount", "tip"]);
        assert_eq!(complete("USE la"), ["lake"]);
        assert_eq!(complete("set memory_"), ["memory_limit"]);
        assert_eq!(complete("sel"), ["select"]);
        assert!(complete("SELECT date_tr").contains(&"date_trunc(".to_string()));
        assert_eq!(complete(".tab"), [".tables"]);
        assert_eq!(complete(".schema tr"), ["trips"]);
        assert_eq!(complete(".explain SELECT * FROM tr"), ["trips"]);
        assert_eq!(complete(".format ma"), ["markdown"]);
        assert_eq!(complete("ü."), Vec::<String>::new());
    }
}
