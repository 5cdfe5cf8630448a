//! What INSERT OVERWRITE replaces: the whole table, the partitions that PARTITION names, or those that rows were written for.

use crate::catalog::commit::{Changes, EVERYTHING};
use crate::catalog::{PartitionPlaces, TableDefinition, TableFile};
use crate::error::{Error, Result};
use crate::types::ScalarValue;
use std::collections::HashSet;

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
    /// the partitions that it wrote files for.
    ///
    /// # Errors
    /// `Conflict` when somebody added, changed or removed such files meanwhile.
    pub fn changes(
        &self,
        places: &PartitionPlaces,
        table: &TableDefinition,
        before: &[TableFile],
        now: &[TableFile],
        written: &[Vec<ScalarValue>],
    ) -> Result<Changes> {
        let written: HashSet<&[ScalarValue]> = written.iter().map(Vec::as_slice).collect();
        let concerned = |files: &[TableFile]| -> Vec<TableFile> {
            let files = files.iter().filter(|file| self.concerns(table, &file.values, &written));
            files.cloned().collect()
        };
        let (before, replaced) = (concerned(before), concerned(now));
        if let Some(other) = first_difference(&before, &replaced) {
            return Err(Error::conflict(format!(
                "somebody else wrote to table \"{}\" at the same time: {other} is another now",
                table.name
            ))
            .with_hint("nothing was changed; run the statement again"));
        }
        let mut changes = Changes {
            operation: "INSERT OVERWRITE",
            scope: self.scope(places, table, &replaced)?,
            ..Default::default()
        };
        changes.replace(replaced)?;
        Ok(changes)
    }

    /// Whether a write replaces the files of a partition.
    fn concerns(&self, table: &TableDefinition, values: &[ScalarValue], written: &HashSet<&[ScalarValue]>) -> bool {
        match self {
            Self::All => true,
            Self::Written => written.contains(values),
            Self::Partitions(fixed) => {
                let names = table.partitioned_by.iter().map(|c| &c.name);
                names
                    .zip(values)
                    .all(|(name, value)| fixed.iter().all(|(k, v)| k != name || v == value))
            }
        }
    }

    /// What others must not write to at the same time; folders with new files come on top.
    fn scope(&self, places: &PartitionPlaces, table: &TableDefinition, replaced: &[TableFile]) -> Result<Vec<String>> {
        Ok(match self {
            Self::Partitions(_) => match self.only_partition(table) {
                Some(values) => vec![places.place_name(&values)?],
                None => vec![EVERYTHING.into()],
            },
            Self::Written => replaced.iter().map(TableFile::place).collect(),
            Self::All => vec![EVERYTHING.into()],
        })
    }

    /// The values of the one partition that is replaced, when all of its keys are given.
    pub fn only_partition(&self, table: &TableDefinition) -> Option<Vec<ScalarValue>> {
        let Self::Partitions(fixed) = self else { return None };
        let value = |name: &str| fixed.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        table.partitioned_by.iter().map(|c| value(&c.name)).collect()
    }

    /// The values that are given to some of the keys.
    pub fn fixed(&self) -> &[(String, ScalarValue)] {
        match self {
            Self::Partitions(fixed) => fixed,
            Self::All | Self::Written => &[],
        }
    }
}

/// A file that only one of two listings has, or that differs. Both are sorted by path.
fn first_difference<'a>(before: &'a [TableFile], now: &'a [TableFile]) -> Option<&'a str> {
    let differs = |(a, b): (&'a TableFile, &'a TableFile)| (a != b).then_some(a.object.path.as_str());
    let pairs = before.iter().zip(now).find_map(differs);
    let longer = if before.len() > now.len() { before } else { now };
    pairs.or_else(|| {
        longer
            .get(before.len().min(now.len()))
            .map(|file| file.object.path.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ColumnDefinition;
    use crate::storage::Object;
    use crate::types::DataType;

    fn table() -> TableDefinition {
        TableDefinition {
            name: "t".into(),
            location: "/lake/t".into(),
            partitioned_by: ["y", "m"]
                .map(|k| ColumnDefinition::new(k, &DataType::Int32, None))
                .into(),
            ..Default::default()
        }
    }

    fn places() -> PartitionPlaces {
        PartitionPlaces::new(&table(), None, 1).unwrap()
    }

    fn file(path: &str) -> TableFile {
        TableFile {
            elsewhere: None,
            object: Object {
                path: path.into(),
                size: 1,
                modified: 0,
                etag: None,
            },
            values: places().values_in(path).unwrap(),
        }
    }

    fn changes(overwrite: &Overwrite, before: &[TableFile], now: &[TableFile], written: &[&str]) -> Result<Changes> {
        let value = |folder: &&str| places().values_in(&format!("{folder}/")).unwrap();
        let written: Vec<_> = written.iter().map(value).collect();
        overwrite.changes(&places(), &table(), before, now, &written)
    }

    fn replaced(overwrite: &Overwrite, written: &[&str]) -> Vec<String> {
        let files: Vec<TableFile> = ["y=1/m=01/a", "y=1/m=2/b", "y=2/m=1/c"].map(file).into();
        let changes = changes(overwrite, &files, &files, written).unwrap();
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
        let changes = |written: &str| changes(&Overwrite::Written, &before, &now, &[written]);
        assert!(changes("y=1/m=1").is_ok());
        assert_eq!(changes("y=1/m=2").unwrap_err().kind(), crate::ErrorKind::Conflict);
    }
}
