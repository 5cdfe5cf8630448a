//! Guard rails: what a session refuses to do.

use super::{Session, Shared};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::sql::Statement;
use crate::storage::{self, Whoami};

/// Makes the settings known to the stores. The warehouse is always allowed: whoever starts the program names it.
pub(super) fn apply(config: &Config, warehouse: &str) -> Result<()> {
    storage::configure(&config.stores);
    storage::allow_only(&config.guards.allow)?;
    storage::allow_also(warehouse)
}

/// The location that a statement declares, without a slash at its end.
///
/// # Errors
/// `Refused` when it is outside of the locations that are allowed.
pub(super) fn declared_location(text: &str) -> Result<String> {
    let location = storage::absolute_path(text.trim_end_matches('/'))?;
    storage::check_allowed(&location)?;
    Ok(location)
}

impl Shared {
    /// # Errors
    /// `Refused` when a statement would take away what was set when the session began.
    pub(super) fn check_guards(&self, config: &Config) -> Result<()> {
        config.guards.check_at_least(&self.floor, storage::is_inside)?;
        apply(config, &self.warehouse)?;
        match self.temporary_files.lock().as_ref() {
            Some(folder) => storage::allow_also(&folder.path().to_string_lossy()),
            None => Ok(()),
        }
    }
}

impl Session {
    /// # Errors
    /// `Refused` when the statement writes and the session is for reading only.
    pub(super) fn check_writing(&self, statement: &Statement) -> Result<()> {
        match written_by(statement, self.temporary_ddl()) {
            Some(what) => self.check_read_only(what),
            None => Ok(()),
        }
    }

    /// # Errors
    /// `Refused`, naming `what`, when the session is for reading only.
    pub(super) fn check_read_only(&self, what: &str) -> Result<()> {
        match self.config().guards.read_only {
            true => Err(Error::refused(format!(
                "{what} is refused: the session is for reading only (read_only)"
            ))),
            false => Ok(()),
        }
    }

    /// Where a location is, and which credentials are used for it; no secrets.
    ///
    /// # Errors
    /// When the location is none, or there are no credentials.
    pub fn whoami(&self, location: &str) -> Result<Whoami> {
        storage::whoami(location)
    }
}

/// What a statement writes: files or the catalog. Views that end with the session are in memory only.
fn written_by(statement: &Statement, temporary: bool) -> Option<&'static str> {
    match statement {
        Statement::CreateTable(_) => Some("CREATE TABLE"),
        Statement::CreateView(view) => (!view.temporary && !temporary).then_some("CREATE VIEW"),
        Statement::CreateDatabase(_) => (!temporary).then_some("CREATE DATABASE"),
        Statement::Insert(_) | Statement::InsertEach(_) => Some("INSERT"),
        Statement::Load(_) => Some("LOAD DATA"),
        Statement::Copy(_) => Some("writing files"),
        Statement::DropTable { .. } | Statement::DropView { .. } | Statement::DropDatabase { .. } => Some("DROP"),
        Statement::RepairTable { .. } => Some("MSCK REPAIR TABLE"),
        Statement::AlterTable { .. } | Statement::AlterDatabase { .. } | Statement::AlterView { .. } => Some("ALTER"),
        Statement::CreateTableLike(_) => Some("CREATE TABLE"),
        Statement::Truncate { .. } => Some("TRUNCATE"),
        Statement::Call { .. } => Some("CALL"),
        Statement::Query(_)
        | Statement::Explain(_)
        | Statement::Use(_)
        | Statement::Show(_)
        | Statement::Describe(_)
        | Statement::DescribeDatabase { .. }
        | Statement::DescribeQuery(_)
        | Statement::Set { .. }
        | Statement::Reset(_)
        | Statement::Prepare { .. }
        | Statement::Execute { .. }
        | Statement::ExecuteImmediate { .. }
        | Statement::Deallocate(_) => None,
    }
}
