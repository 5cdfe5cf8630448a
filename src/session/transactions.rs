//! Writes that are not done: showing, finishing and giving them up (`lakebed txn`).

use super::{Session, StatementResult};
use crate::catalog::{ABANDONED_AFTER, CatalogObject, Transaction, abort, gc, recover_older, resume, transactions};
use crate::error::{Error, Result};
use crate::storage::Location;
use std::time::Duration;

/// What is to be done about writes. A `target` is a table, a folder or a URL; without one all tables are meant.
#[derive(Debug, Clone)]
pub enum TransactionCommand {
    /// The writes that are not done.
    List { target: Option<String> },
    /// One of them in detail.
    Show { id: String, target: Option<String> },
    /// Finishes one that is committed, or of which everything is written.
    Resume { id: String, target: Option<String> },
    /// Gives one up that is not committed.
    Abort { id: String, target: Option<String> },
    /// Finishes what is committed and removes what writers left behind that have written nothing for so long.
    Gc {
        target: Option<String>,
        older_than: Option<Duration>,
    },
}

impl Session {
    /// Does what `lakebed txn` is asked for.
    ///
    /// # Errors
    /// When there is no such write or it cannot be brought to that end.
    pub fn transactions(&self, command: &TransactionCommand) -> Result<StatementResult> {
        use TransactionCommand::*;
        if !matches!(command, List { .. } | Show { .. }) {
            self.check_read_only("ending writes of others")?;
        }
        match command {
            List { target } => self.list_transactions(target.as_deref()),
            Show { id, target } => self.show_transaction(id, target.as_deref()),
            Resume { id, target } => self.end_transaction(id, target.as_deref(), resume, "RESUME"),
            Abort { id, target } => self.end_transaction(id, target.as_deref(), abort, "ABORT"),
            Gc { target, older_than } => self.collect_garbage(target.as_deref(), older_than.unwrap_or(ABANDONED_AFTER)),
        }
    }

    /// The places that a target means.
    fn written_to(&self, target: Option<&str>) -> Result<Vec<Location>> {
        let Some(target) = target else {
            let mut places = vec![];
            for database in self.catalog().databases()? {
                for object in self.catalog().objects(&database.name)? {
                    if let CatalogObject::Table(table) = object {
                        places.push(Location::exact(&table.location)?);
                    }
                }
            }
            places.retain(Location::is_writable);
            return Ok(places);
        };
        let (database, name) = match target.split_once('.') {
            Some((database, name)) => (database.to_lowercase(), name.to_lowercase()),
            None => (self.database(), target.to_lowercase()),
        };
        let known = (!target.contains('/'))
            .then(|| self.catalog().object(&database, &name))
            .transpose()?;
        let place = match known.flatten() {
            Some(CatalogObject::Table(table)) => table.location,
            Some(CatalogObject::View(_)) => {
                return Err(Error::plan(format!("\"{target}\" is a view: it has no files")));
            }
            None => target.to_string(),
        };
        Ok(vec![Location::exact(&place)?])
    }

    fn list_transactions(&self, target: Option<&str>) -> Result<StatementResult> {
        let mut rows = vec![];
        for place in self.written_to(target)? {
            for t in transactions(&place)? {
                rows.push(vec![
                    Some(t.id.clone()),
                    Some(t.state.name().to_string()),
                    t.operation.clone(),
                    t.since.map(time),
                    Some(t.files.to_string()),
                    Some(t.bytes.to_string()),
                    Some(place.base().to_string()),
                ]);
            }
        }
        StatementResult::text(
            &["id", "state", "operation", "since", "files", "bytes", "location"],
            rows,
        )
    }

    /// Where the write is.
    fn transaction(&self, id: &str, target: Option<&str>) -> Result<(Location, Transaction)> {
        let mut known = vec![];
        for place in self.written_to(target)? {
            for t in transactions(&place)? {
                if t.id == id {
                    return Ok((place, t));
                }
                known.push(t.id);
            }
        }
        let error =
            Error::plan(format!("there is no open write {id}")).with_nearest(id, known.iter().map(String::as_str));
        Err(match target {
            None if known.is_empty() => error.with_hint("tables of the catalog were looked at; name another location"),
            _ => error,
        })
    }

    fn show_transaction(&self, id: &str, target: Option<&str>) -> Result<StatementResult> {
        let (place, t) = self.transaction(id, target)?;
        let row = |name: &str, value: Option<String>| vec![Some(name.to_string()), value];
        let rows = vec![
            row("id", Some(t.id.clone())),
            row("location", Some(place.base().to_string())),
            row("state", Some(t.state.name().to_string())),
            row("operation", t.operation.clone()),
            row("since", t.since.map(time)),
            row("files", Some(t.files.to_string())),
            row("bytes", Some(t.bytes.to_string())),
            row("replaces", Some(format!("{} files", t.replaced))),
        ];
        StatementResult::text(&["property", "value"], rows)
    }

    fn end_transaction(
        &self,
        id: &str,
        target: Option<&str>,
        end: fn(&Location, &str) -> Result<()>,
        what: &str,
    ) -> Result<StatementResult> {
        let (place, _) = self.transaction(id, target)?;
        end(&place, id)?;
        recover_older(self.catalog(), ABANDONED_AFTER);
        Ok(StatementResult::done(what))
    }

    fn collect_garbage(&self, target: Option<&str>, older_than: Duration) -> Result<StatementResult> {
        let mut rows = vec![];
        if target.is_none() {
            recover_older(self.catalog(), older_than);
        }
        for place in self.written_to(target)? {
            let swept = gc(&place, older_than)?;
            if swept.finished + swept.removed > 0 || swept.unlisted.is_some() || target.is_some() {
                rows.push(vec![
                    Some(place.base().to_string()),
                    Some(swept.finished.to_string()),
                    Some(swept.removed.to_string()),
                    swept.unlisted.map(|e| e.message().to_string()),
                ]);
            }
        }
        StatementResult::text(&["location", "finished", "removed", "note"], rows)
    }
}

/// `2026-11-22 14:15:00 UTC`
fn time(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => "unknown".into(),
    }
}
