//! CREATE and DROP: the way from a statement to what the catalog remembers. The way back is in `show_create.rs`.

use super::guards::declared_location;
use super::table_format::{split_properties, table_format};
use super::write_format::WRITE_OPTIONS;
use super::{Session, StatementResult};
use crate::catalog::{
    Bucketing, CatalogObject, ColumnDefinition, DatabaseDefinition, IfExists, Journal, PURGED, TEMPLATES,
    TableDefinition, ViewDefinition, check_projection, template_base,
};
use crate::error::{Error, Result};
use crate::format::FormatEntry;
use crate::sql::{self, CreateDatabase, CreateTable, CreateView, ObjectName};
use crate::storage::{Folder, Location, check_allowed, has_secret_location, shown_location};

/// Table properties that only describe, besides those that writing a table looks at. Others are kept when
/// they have a dot in their name, as those of other engines do.
const PROPERTIES: &[&str] = &[
    "classification",
    "comment",
    "has_encrypted_data",
    "bucketing_format",
    "bucketing_version",
    "typeofdata",
    "created_by",
];

impl Session {
    /// The database and name that a statement means.
    pub(super) fn qualified(&self, name: &ObjectName) -> (String, String) {
        (
            name.database.clone().unwrap_or_else(|| self.database()),
            name.name.clone(),
        )
    }

    pub(super) fn create_database(&self, statement: &CreateDatabase) -> Result<StatementResult> {
        let name = statement.name.name.clone();
        let done = Ok(StatementResult::done("CREATE DATABASE"));
        if self.catalog().database(&name)?.is_some() && (statement.if_not_exists || self.temporary_ddl()) {
            return done;
        }
        let database = DatabaseDefinition {
            name,
            comment: statement.comment.clone(),
            location: statement.location.as_deref().map(declared_location).transpose()?,
            properties: statement.properties.clone(),
        };
        self.catalog()
            .create_database(database, self.temporary_ddl())
            .map_err(|e| e.with_span(statement.name.span))?;
        done
    }

    pub(super) fn drop_database(&self, name: &str, if_exists: bool, cascade: bool) -> Result<StatementResult> {
        if if_exists && self.catalog().database(name)?.is_none() {
            return Ok(StatementResult::done("DROP DATABASE"));
        }
        self.catalog().require_database(name)?;
        let objects = self.catalog().objects(name)?;
        if !objects.is_empty() && !cascade {
            let names: Vec<&str> = objects.iter().take(5).map(CatalogObject::name).collect();
            return Err(
                Error::plan(format!("database \"{name}\" is not empty, it has {}", names.join(", ")))
                    .with_hint("DROP DATABASE … CASCADE drops its tables and views, too"),
            );
        }
        for object in &objects {
            self.drop_definition(object)?;
        }
        self.catalog().drop_database(name)?;
        if self.database() == name {
            self.use_database(crate::catalog::DEFAULT_DATABASE)?;
        }
        Ok(StatementResult::done("DROP DATABASE"))
    }

    /// What has the name that something is to get; a temporary object hides others.
    pub(super) fn existing(&self, database: &str, name: &str, temporary: bool) -> Result<Option<CatalogObject>> {
        match temporary && !self.catalog().is_temporary(database, name) {
            true => Ok(None),
            false => self.catalog().object(database, name),
        }
    }

    pub(super) fn create_view(&self, statement: &CreateView) -> Result<StatementResult> {
        let (database, name) = self.qualified(&statement.name);
        let done = Ok(StatementResult::done("CREATE VIEW"));
        if statement.if_not_exists && self.existing(&database, &name, statement.temporary)?.is_some() {
            return done;
        }
        // Bound once so that a view that cannot work is not made.
        let plan = self.bind(&statement.query, &[])?;
        let columns = &statement.columns;
        if !columns.is_empty() && columns.len() != plan.schema().len() {
            return Err(Error::plan(format!(
                "view \"{name}\" names {} columns, its query has {}",
                columns.len(),
                plan.schema().len()
            ))
            .with_span(statement.name.span));
        }
        let shown: Vec<&str> = match columns.is_empty() {
            true => plan.schema().iter().map(|f| f.name.as_ref()).collect(),
            false => columns.iter().map(String::as_str).collect(),
        };
        unique(&shown, &format!("view \"{name}\""))?;
        if has_secret_location(&statement.text) {
            return Err(Error::unsupported("a view with credentials in a location")
                .with_hint("make a TEMPORARY table over the location, and the view over that"));
        }
        let view = ViewDefinition {
            database,
            name,
            query: statement.text.clone(),
            current_database: self.database(),
            columns: columns.clone(),
            column_comments: statement.column_comments.clone(),
            properties: statement.properties.clone(),
            comment: statement.comment.clone(),
        };
        let if_exists = match statement.or_replace || self.temporary_ddl() {
            true => IfExists::Replace,
            false => IfExists::Error,
        };
        let temporary = statement.temporary || self.temporary_ddl();
        let created = self.catalog().create(CatalogObject::View(view), if_exists, temporary);
        created.map_err(|e| e.with_span(statement.name.span))?;
        done
    }

    pub(super) fn create_table(&self, statement: &CreateTable) -> Result<StatementResult> {
        let definition = self.table_definition(statement)?;
        // Declaring an external table again in the very same words asks for nothing that is not so: a job can be run twice.
        // One that lasts longer may be gone when this session still needs it.
        let temporary = statement.temporary || self.temporary_ddl();
        let as_lasting = temporary == self.catalog().is_temporary(&definition.database, &definition.name);
        let unchanged = |existing: &CatalogObject| {
            as_lasting && matches!(existing, CatalogObject::Table(t) if t.external && *t == definition)
        };
        let existing = self.existing(&definition.database, &definition.name, statement.temporary)?;
        if existing.is_some_and(|existing| statement.if_not_exists || unchanged(&existing)) {
            return Ok(StatementResult::done("CREATE TABLE"));
        }
        if definition.columns.is_empty() && !definition.external {
            return Err(Error::plan(format!("table \"{}\" has no columns", definition.name))
                .with_hint("declare them, or make an EXTERNAL table with a LOCATION whose files tell"));
        }
        self.register(definition, statement)?;
        Ok(StatementResult::done("CREATE TABLE"))
    }

    /// Remembers a table.
    pub(super) fn register(&self, definition: TableDefinition, statement: &CreateTable) -> Result<()> {
        definition.check_columns()?;
        let temporary = statement.temporary || self.temporary_ddl();
        let if_exists = match self.temporary_ddl() {
            true => IfExists::Replace,
            false => IfExists::Error,
        };
        let created = self
            .catalog()
            .create(CatalogObject::Table(definition), if_exists, temporary);
        created.map_err(|e| match &statement.name {
            Some(name) => e.with_span(name.span),
            None => e,
        })
    }

    /// What CREATE TABLE says, with everything it leaves out filled in.
    pub(super) fn table_definition(&self, statement: &CreateTable) -> Result<TableDefinition> {
        let name = statement
            .name
            .as_ref()
            .ok_or_else(|| Error::internal("CREATE TABLE without a name"))?;
        let (database, table) = self.qualified(name);
        self.catalog()
            .require_open_database(&database)
            .map_err(|e| e.with_span(name.span))?;
        if statement.external && statement.location.is_none() {
            return Err(Error::plan(format!("external table \"{table}\" needs a LOCATION")).with_span(name.span));
        }
        let location = match &statement.location {
            // Credentials in it are not written down; what ends with the session has them in memory.
            Some(location) if statement.temporary || self.temporary_ddl() => {
                let location = shown_location(location.trim_end_matches('/'))?;
                check_allowed(&location)?;
                location
            }
            Some(location) => declared_location(location)?,
            None if statement.temporary || self.temporary_ddl() => self.temporary_location()?,
            None => self.free_location(&database, &table)?,
        };
        let entry = table_format(statement, &location)?;
        let (options, mut properties) = split_properties(entry, statement)?;
        let columns = |list: &[sql::ColumnDefinition]| -> Vec<ColumnDefinition> {
            let typed = list.iter().filter_map(|c| Some((c, c.data_type.as_ref()?)));
            typed
                .map(|(c, t)| ColumnDefinition::new(c.name.to_lowercase(), t, c.comment.clone()))
                .collect()
        };
        if statement.query.is_none()
            && let Some(untyped) = statement.partitioned_by.iter().find(|c| c.data_type.is_none())
        {
            return Err(
                Error::plan(format!("partition column \"{}\" needs a type", untyped.name)).with_span(untyped.span),
            );
        }
        let comment = properties.remove("comment");
        let definition = TableDefinition {
            external: statement.external || statement.location.is_some(),
            format: entry.name().to_string(),
            serde: statement.row_format.as_ref().and_then(|r| r.serde.clone()),
            options,
            location,
            columns: columns(&statement.columns),
            partitioned_by: columns(&statement.partitioned_by),
            bucketing: bucketing(statement)?,
            comment: statement.comment.clone().or(comment),
            properties,
            database,
            name: table,
        };
        definition.check_columns()?;
        if statement.query.is_none() {
            check_projection(&definition)?;
        }
        let template = TEMPLATES.iter().find_map(|name| definition.properties.get(*name));
        if let Some(base) = template.map(|t| template_base(t)).filter(|base| !base.ends_with('/')) {
            declared_location(base)?;
        }
        Ok(definition)
    }

    pub(super) fn drop_object(&self, name: &ObjectName, if_exists: bool, kind: &str) -> Result<StatementResult> {
        let (database, object) = self.qualified(name);
        let done = Ok(StatementResult::done(format!("DROP {}", kind.to_uppercase())));
        let found = match self.catalog().object(&database, &object)? {
            Some(found) => found,
            None if if_exists => return done,
            None => return Err(self.catalog().unknown(&database, &object).with_span(name.span)),
        };
        if found.kind() != kind {
            return Err(Error::plan(format!("\"{object}\" is a {}, not a {kind}", found.kind()))
                .with_span(name.span)
                .with_hint(format!("DROP {} drops it", found.kind().to_uppercase())));
        }
        self.drop_definition(&found)?;
        done
    }

    /// Forgets an object; the files of a managed table, or of one whose property says so, go with it.
    fn drop_definition(&self, object: &CatalogObject) -> Result<()> {
        let table = match object {
            CatalogObject::Table(table) => table,
            CatalogObject::View(view) => return self.catalog().drop(&view.database, &view.name),
        };
        let elsewhere = match table.owns_files() {
            true => self.files_elsewhere(table)?.replaced_elsewhere,
            false => vec![],
        };
        if table.external && table.owns_files() {
            require_purgeable(table)?;
        }
        Journal::drop_table(self.catalog(), table, elsewhere)
    }
}

/// # Errors
/// When a name occurs twice, without regard to case.
pub(super) fn unique(names: &[&str], what: &str) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|n| !seen.insert(n.to_lowercase())) {
        None => Ok(()),
        Some(name) => Err(
            Error::plan(format!("column \"{name}\" occurs more than once in {what}"))
                .with_hint("give the columns different names with AS"),
        ),
    }
}

/// # Errors
/// When the files of an external table cannot go with it: what would be left of them nobody knew.
fn require_purgeable(table: &TableDefinition) -> Result<()> {
    let location = Location::exact(&table.location)?;
    check_allowed(&table.location)?;
    location.check_writable()?;
    if Location::parse(&table.location)?.is_pattern() || Folder::at(&location)?.head("")?.is_some() {
        return Err(Error::plan(format!(
            "the files of table \"{}\" are to go with it ({PURGED}), but {} is no folder",
            table.name, table.location
        ))
        .with_hint(format!(
            "ALTER TABLE … UNSET TBLPROPERTIES ('{PURGED}') keeps the files"
        )));
    }
    Ok(())
}

/// # Errors
/// When only one of `bucketed_by` and `bucket_count` is given.
fn bucketing(statement: &CreateTable) -> Result<Option<Bucketing>> {
    let Some(given) = &statement.bucketing else {
        return Ok(None);
    };
    match (given.columns.is_empty(), given.count) {
        (true, None) => {
            return Err(Error::plan("sorted_by needs bucketed_by and bucket_count")
                .with_hint("ORDER BY in the query keeps rows in order without buckets"));
        }
        (false, Some(count)) if count > 0 => {}
        (false, Some(_)) => return Err(Error::plan("a table has at least one bucket")),
        (false, None) => return Err(Error::plan("bucketed_by needs bucket_count")),
        (true, Some(_)) => return Err(Error::plan("bucket_count needs bucketed_by")),
    }
    Ok(Some(Bucketing {
        columns: given.columns.clone(),
        count: given.count.unwrap_or(0),
        sorted_by: given.sorted_by.clone(),
    }))
}

/// # Errors
/// When the table's format or a CTAS does not take the property; with `any_name`, one that nobody knows is kept.
pub(super) fn check_property(
    entry: &FormatEntry,
    name: &str,
    value: &str,
    statement: &CreateTable,
    any_name: bool,
) -> Result<()> {
    let known = || {
        WRITE_OPTIONS
            .iter()
            .flat_map(|names| names.iter().copied())
            .chain(PROPERTIES.iter().copied())
    };
    let on = value.eq_ignore_ascii_case("true");
    if name == "transactional" && on {
        return Err(Error::unsupported("transactional tables"));
    }
    let of_parquet = ["parquet", "row_group", "bloom_filter"]
        .iter()
        .any(|start| name.starts_with(start));
    if statement.query.is_some() && of_parquet && !name.contains('.') && entry.name() != "PARQUET" {
        return Err(Error::plan(format!(
            "format {} has no property \"{name}\"",
            entry.name()
        )));
    }
    if statement.query.is_some() && name.starts_with("orc") {
        return Err(Error::unsupported(format!("property \"{name}\": format ORC")));
    }
    // WITH (…) of a CTAS is a closed list; TBLPROPERTIES of other tables may say anything.
    if statement.query.is_none() || any_name || known().any(|k| k == name) || name.contains('.') {
        return Ok(());
    }
    Err(Error::plan(format!("there is no table property \"{name}\"")).with_nearest(name, known()))
}
