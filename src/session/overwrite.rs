//! What INSERT OVERWRITE replaces: the whole table, the partitions that PARTITION names, or those that rows were written for.

use crate::catalog::commit::{Changes, EVERYTHING};
use crate::catalog::{TableDefinition, partition_folder, partition_keys, partition_value};
use crate::error::{Error, Result};
use crate::storage::Object;
use crate::types::ScalarValue;

/// See the module.
#[derive(Debug)]
pub(super) enum Overwrite {
    All,
    /// Partitions whose keys have these values.
    Partitions(Vec<(String, ScalarValue)>),
    /// Partitions that rows are written for, as Hive does it when the statement leaves a key open.
    Written,
}

impl Overwrite {
    /// `fixed` are the keys to which the statement gives values; with `all` the partitions that get no rows go, too, as in
    /// Spark's static mode.
    pub fn of(table: &TableDefinition, fixed: Vec<(String, ScalarValue)>, all: bool) -> Self {
        match (table.partitioned_by.len(), fixed.len()) {
            (0, _) => Self::All,
            (keys, given) if keys == given => Self::Partitions(fixed),
            (_, 0) if all => Self::All,
            _ if all => Self::Partitions(fixed),
            _ => Self::Written,
        }
    }

    /// The changes of a write: of the files in the table `before` the write and `now`, those that it replaces. `written` are
    /// the folders that it wrote files for.
    ///
    /// # Errors
    /// `Conflict` when somebody added, changed or removed such files meanwhile.
    pub fn changes(
        &self,
        table: &TableDefinition,
        before: &[Object],
        now: Vec<Object>,
        written: &[String],
    ) -> Result<Changes> {
        let written: Vec<Vec<ScalarValue>> = match self {
            Self::Written => written
                .iter()
                .map(|folder| values(table, &format!("{folder}/")))
                .collect::<Result<_>>()?,
            _ => vec![],
        };
        let concerned = |files: &[Object]| -> Result<Vec<Object>> {
            let mut found = vec![];
            for file in files {
                if self.concerns(table, &file.path, &written)? {
                    found.push(file.clone());
                }
            }
            Ok(found)
        };
        let (before, replaced) = (concerned(before)?, concerned(&now)?);
        if let Some(other) = first_difference(&before, &replaced) {
            return Err(Error::conflict(format!(
                "somebody else wrote to table \"{}\" at the same time: {other} is another now",
                table.name
            ))
            .with_hint("nothing was changed; run the statement again"));
        }
        Ok(Changes {
            operation: "INSERT OVERWRITE",
            scope: self.scope(table, &replaced),
            replaced,
            alone: false,
        })
    }

    fn concerns(&self, table: &TableDefinition, path: &str, written: &[Vec<ScalarValue>]) -> Result<bool> {
        Ok(match self {
            Self::All => true,
            Self::Written => written.contains(&values(table, path)?),
            Self::Partitions(fixed) => {
                let found = values(table, path)?;
                let names = table.partitioned_by.iter().map(|c| &c.name);
                names
                    .zip(&found)
                    .all(|(name, value)| fixed.iter().all(|(k, v)| k != name || v == value))
            }
        })
    }

    /// What others must not write to at the same time; folders with new files come on top.
    fn scope(&self, table: &TableDefinition, replaced: &[Object]) -> Vec<String> {
        let folder = |file: &Object| {
            file.path
                .rsplit_once('/')
                .map_or(String::new(), |(folder, _)| folder.to_string())
        };
        match self {
            Self::Partitions(fixed) if fixed.len() == table.partitioned_by.len() => {
                let value = |name: &str| fixed.iter().find(|(k, _)| k == name).map(|(_, v)| v);
                let text = |v: &ScalarValue| (*v != ScalarValue::Null).then(|| v.to_string());
                let keys = table.partitioned_by.iter().map(|c| c.name.as_str());
                let folders: Vec<String> = keys
                    .map(|k| partition_folder(k, value(k).and_then(text).as_deref()))
                    .collect();
                vec![folders.join("/")]
            }
            Self::Written => replaced.iter().map(folder).collect(),
            _ => vec![EVERYTHING.into()],
        }
    }
}

/// The values of the table's partition keys for a path below its folder.
fn values(table: &TableDefinition, path: &str) -> Result<Vec<ScalarValue>> {
    let keys = partition_keys(path);
    let value = |column: &crate::catalog::ColumnDefinition| {
        let text = keys.iter().rev().find(|(k, _)| k.eq_ignore_ascii_case(&column.name));
        let text = text.and_then(|(_, text)| text.as_deref());
        partition_value(path, &column.name, text, &column.data_type()?)
    };
    table.partitioned_by.iter().map(value).collect()
}

/// A file that only one of two listings has, or that differs. Both are sorted by path.
fn first_difference<'a>(before: &'a [Object], now: &'a [Object]) -> Option<&'a str> {
    let differs = |(a, b): (&'a Object, &'a Object)| (a != b).then_some(a.path.as_str());
    let pairs = before.iter().zip(now).find_map(differs);
    let longer = if before.len() > now.len() { before } else { now };
    pairs.or_else(|| longer.get(before.len().min(now.len())).map(|file| file.path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ColumnDefinition;
    use crate::types::DataType;

    fn table() -> TableDefinition {
        TableDefinition {
            name: "t".into(),
            partitioned_by: ["y", "m"]
                .map(|k| ColumnDefinition::new(k, &DataType::Int32, None))
                .into(),
            ..Default::default()
        }
    }

    fn file(path: &str) -> Object {
        Object {
            path: path.into(),
            size: 1,
            modified: 0,
            etag: None,
        }
    }

    fn replaced(overwrite: &Overwrite, written: &[&str]) -> Vec<String> {
        let files: Vec<Object> = ["y=1/m=01/a", "y=1/m=2/b", "y=2/m=1/c"].map(file).into();
        let written: Vec<String> = written.iter().map(|f| f.to_string()).collect();
        let changes = overwrite.changes(&table(), &files, files.clone(), &written).unwrap();
        changes.replaced.into_iter().map(|f| f.path).collect()
    }

    #[test]
    fn partitions_are_compared_by_value() {
        let one = vec![
            ("y".to_string(), ScalarValue::Int32(1)),
            ("m".to_string(), ScalarValue::Int32(1)),
        ];
        assert_eq!(
            replaced(&Overwrite::of(&table(), one.clone(), false), &[]),
            ["y=1/m=01/a"]
        );
        let year = vec![one[0].clone()];
        assert_eq!(
            replaced(&Overwrite::of(&table(), year.clone(), true), &[]),
            ["y=1/m=01/a", "y=1/m=2/b"]
        );
        assert_eq!(
            replaced(&Overwrite::of(&table(), year, false), &["y=1/m=1", "y=1/m=9"]),
            ["y=1/m=01/a"]
        );
        assert_eq!(
            replaced(&Overwrite::of(&table(), vec![], false), &["y=2/m=1"]),
            ["y=2/m=1/c"]
        );
        assert_eq!(replaced(&Overwrite::of(&table(), vec![], true), &[]).len(), 3);
    }

    #[test]
    fn what_others_write_meanwhile_is_a_conflict() {
        let (before, now) = (vec![file("y=1/m=1/a")], vec![file("y=1/m=1/a"), file("y=1/m=2/b")]);
        let changes = |written: &str| Overwrite::Written.changes(&table(), &before, now.clone(), &[written.into()]);
        assert!(changes("y=1/m=1").is_ok());
        assert_eq!(changes("y=1/m=2").unwrap_err().kind(), crate::ErrorKind::Conflict);
    }
}
