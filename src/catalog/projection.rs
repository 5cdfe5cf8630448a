//! Partition projection: table properties that say which partitions there are, so that nothing has to be listed or
//! registered (Athena user guide, "Partition projection with Amazon Athena").

use super::definition::TableDefinition;
use super::partition_filter::PartitionFilter;
use super::partitioned::{FoundPartitions, TablePartition, default_location};
use super::partitions::{partition_text, partition_value};
use super::table::{PartitionCounts, TableColumn};
use crate::error::{Error, ErrorKind, Result};
use crate::functions::scalar::DatePattern;
use crate::storage::absolute_path;
use crate::types::{DataType, ScalarValue};
use chrono::{DateTime, Months, TimeDelta, Utc};

/// So many partitions are looked at by one query at most.
const MAX_PARTITIONS: usize = 1_000_000;
/// Spans of so many values are not divided further.
const SMALL: u64 = 8;

/// What the properties of a table say about the values of its keys.
#[derive(Debug)]
pub struct Projection {
    keys: Vec<Values>,
    /// `s3://bucket/${year}/${month}/`
    template: Option<String>,
}

/// The values of one key, numbered from 0.
#[derive(Debug)]
enum Values {
    Enum(Vec<String>),
    Integer {
        min: i64,
        interval: i64,
        count: u64,
        /// Width to which zeros are added in front.
        digits: usize,
    },
    Date {
        pattern: DatePattern,
        /// Microseconds since 1970.
        from: i64,
        step: Step,
        count: u64,
        /// Whether later dates are larger texts.
        ordered: bool,
    },
    /// Whatever the query asks for.
    Injected,
}

/// From one date to the next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Months(u32),
    Micros(i64),
}

/// The names of the property that says where partitions are, Athena's and Trino's.
pub const TEMPLATES: &[&str] = &["storage.location.template", "partition_projection_location_template"];

const UNITS: &[(&str, Step)] = &[
    ("YEAR", Step::Months(12)),
    ("MONTH", Step::Months(1)),
    ("WEEK", Step::Micros(7 * 86_400_000_000)),
    ("DAY", Step::Micros(86_400_000_000)),
    ("HOUR", Step::Micros(3_600_000_000)),
    ("MINUTE", Step::Micros(60_000_000)),
    ("SECOND", Step::Micros(1_000_000)),
    ("MILLISECOND", Step::Micros(1_000)),
];

/// Whether the properties switch projection on, in Athena's or Trino's spelling.
pub fn is_projected(definition: &TableDefinition) -> bool {
    let on = |name: &str| {
        let value = definition.properties.get(name);
        value.is_some_and(|v| v.trim().eq_ignore_ascii_case("true"))
    };
    on("projection.enabled") || on("partition_projection_enabled")
}

/// # Errors
/// When the properties of a partition projection that is switched on do not fit together.
pub fn check_projection(definition: &TableDefinition) -> Result<()> {
    Projection::of(definition).map(|_| ())
}

impl Projection {
    /// The projection of a table that has one switched on.
    ///
    /// # Errors
    /// When a key is not configured or its properties make no sense.
    pub fn of(definition: &TableDefinition) -> Result<Option<Self>> {
        if !is_projected(definition) || definition.partitioned_by.is_empty() {
            return Ok(None);
        }
        let property = |name: &str| definition.properties.get(name).map(String::as_str);
        let kind = |name: &str| property(&format!("projection.{name}.type"));
        let names = definition.partitioned_by.iter().map(|c| c.name.as_str());
        let missing: Vec<&str> = names.clone().filter(|name| kind(name).is_none()).collect();
        let within = |e: Error| e.context(format!("table \"{}\"", definition.name));
        if !missing.is_empty() {
            return Err(Error::plan(format!(
                "table \"{}\" is configured for partition projection, but the following partition columns are missing \
                 projection configuration: [{}]",
                definition.name,
                missing.join(", ")
            )));
        }
        let keys = definition.partitioned_by.iter().map(|column| {
            let values = Values::of(&column.name, &property)?;
            let text = column.data_type()? == DataType::Utf8View;
            match values {
                Values::Injected if !text => Err(Error::plan(format!(
                    "projection.{}.type = 'injected' needs a column of type string, not {}",
                    column.name, column.type_text
                ))),
                other => Ok(other),
            }
        });
        let keys = keys.collect::<Result<Vec<_>>>().map_err(within)?;
        let template = TEMPLATES.iter().find_map(|name| property(name));
        if let Some(template) = template
            && let Some(name) = names.clone().find(|name| !template.contains(&format!("${{{name}}}")))
        {
            return Err(within(Error::plan(format!(
                "storage.location.template '{template}' lacks ${{{name}}}"
            ))));
        }
        Ok(Some(Self {
            keys,
            template: template.map(absolute_path).transpose().map_err(within)?,
        }))
    }

    /// The partitions that may have rows for the filter.
    ///
    /// # Errors
    /// When an injected key has no condition that lists its values, or there are too many partitions.
    pub(super) fn partitions(
        &self,
        definition: &TableDefinition,
        columns: &[TableColumn],
        filter: &PartitionFilter,
    ) -> Result<FoundPartitions> {
        let mut walk = Walk {
            projection: self,
            definition,
            columns,
            filter,
            known: vec![None; columns.len()],
            texts: vec![],
            found: vec![],
        };
        walk.key(0)?;
        let partitions = walk.found;
        let count = |n: usize, values: &Values| n.saturating_mul(usize::try_from(values.count()).unwrap_or(usize::MAX));
        let injected = self.keys.iter().any(|v| matches!(v, Values::Injected));
        Ok(FoundPartitions {
            counts: PartitionCounts {
                read: partitions.len(),
                known: self.keys.iter().fold(1, count).max(partitions.len()),
                complete: !injected,
            },
            partitions,
        })
    }

    /// The folder that all partitions of a template are below.
    pub(super) fn template_base(&self) -> Option<&str> {
        self.template.as_deref().map(template_base)
    }

    /// The location of a partition that is written to.
    ///
    /// # Errors
    /// For values that the projection does not have: what is written there would never be read.
    pub(super) fn location_of(&self, definition: &TableDefinition, values: &[ScalarValue]) -> Result<String> {
        let mut texts = vec![];
        for ((key, column), value) in self.keys.iter().zip(&definition.partitioned_by).zip(values) {
            let Some(text) = key.text_of(value) else {
                return Err(outside(definition, &column.name, key, value));
            };
            // A text with slashes makes several folders, none of which may lead out of the others.
            if self.template.is_some() && text.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(Error::execution(format!(
                    "the value \"{text}\" of partition column \"{}\" makes no folder in storage.location.template",
                    column.name
                )));
            }
            texts.push(Some(text));
        }
        Ok(self.location(definition, &texts))
    }

    fn location(&self, definition: &TableDefinition, texts: &[Option<String>]) -> String {
        let Some(template) = &self.template else {
            return default_location(definition, texts);
        };
        let mut location = template.clone();
        for (column, text) in definition.partitioned_by.iter().zip(texts) {
            location = location.replace(&format!("${{{}}}", column.name), text.as_deref().unwrap_or_default());
        }
        location
    }
}

/// The part of a template up to the folder with the first key.
pub fn template_base(template: &str) -> &str {
    let fixed = template.split("${").next().unwrap_or(template);
    fixed.rsplit_once('/').map_or("", |(folders, _)| folders)
}

/// The error for a value that is written to a projected table, and that the projection does not have.
fn outside(definition: &TableDefinition, column: &str, key: &Values, value: &ScalarValue) -> Error {
    let property = match key {
        Values::Enum(_) => "values",
        Values::Integer { .. } | Values::Date { .. } => "range",
        Values::Injected => "type",
    };
    let name = format!("projection.{column}.{property}");
    let given = definition.properties.get(&name).map_or("", String::as_str);
    let shown = partition_text(value).map_or_else(|| "NULL".to_string(), |text| format!("\"{text}\""));
    Error::execution(format!(
        "table \"{}\": {shown} is not among the projected values of partition column \"{column}\", where rows would never \
         be read",
        definition.name
    ))
    .with_hint(format!("the table has {name} = '{given}'"))
}

/// The way through the values of all keys, one inside the other.
struct Walk<'a> {
    projection: &'a Projection,
    definition: &'a TableDefinition,
    columns: &'a [TableColumn],
    filter: &'a PartitionFilter,
    known: Vec<Option<ScalarValue>>,
    texts: Vec<Option<String>>,
    found: Vec<TablePartition>,
}

impl Walk<'_> {
    /// All values of key `k` that fit the values of the keys before it.
    fn key(&mut self, k: usize) -> Result<()> {
        let (Some(values), Some(column)) = (self.projection.keys.get(k), self.columns.get(k)) else {
            return self.partition();
        };
        let listed = self.filter.listed_values(k);
        match (values, listed) {
            (Values::Injected, None) => Err(Error::plan(format!(
                "table \"{}\": the injected partition column \"{}\" needs a condition that gives its values",
                self.definition.name, column.name
            ))
            .with_hint(format!(
                "add WHERE {} = '…' or {} IN ('…', …)",
                column.name, column.name
            ))),
            (_, Some(listed)) => {
                let mut texts: Vec<String> = listed.iter().filter_map(|v| values.text_of(v)).collect();
                texts.sort();
                texts.dedup();
                texts.into_iter().try_for_each(|text| self.value(k, column, text))
            }
            (values, None) => self.span(k, column, values, 0, values.count()),
        }
    }

    /// The values of key `k` from one number on, up to another; halves that cannot match are left out.
    fn span(&mut self, k: usize, column: &TableColumn, values: &Values, from: u64, to: u64) -> Result<()> {
        if to.saturating_sub(from) <= SMALL || self.filter.is_empty() || !values.is_ordered(&column.data_type) {
            return (from..to).try_for_each(|i| self.value(k, column, values.text(i)));
        }
        let value = |i: u64| self.typed(column, &values.text(i));
        let (min, max) = (value(from)?, value(to - 1)?);
        if !self.filter.may_match_between(k, (&min, &max), &self.known) {
            return Ok(());
        }
        let middle = from + (to - from) / 2;
        self.span(k, column, values, from, middle)?;
        self.span(k, column, values, middle, to)
    }

    fn typed(&self, column: &TableColumn, text: &str) -> Result<ScalarValue> {
        let place = format!("the projection of table \"{}\"", self.definition.name);
        partition_value(&place, &column.name, Some(text), &column.data_type)
    }

    fn value(&mut self, k: usize, column: &TableColumn, text: String) -> Result<()> {
        let value = self.typed(column, &text)?;
        if let Some(known) = self.known.get_mut(k) {
            *known = Some(value);
        }
        self.texts.push(Some(text));
        let result = match self.filter.may_match(&self.known) {
            true => self.key(k + 1),
            false => Ok(()),
        };
        self.texts.pop();
        if let Some(known) = self.known.get_mut(k) {
            *known = None;
        }
        result
    }

    fn partition(&mut self) -> Result<()> {
        if self.found.len() >= MAX_PARTITIONS {
            return Err(Error::new(
                ErrorKind::ResourcesExhausted,
                format!(
                    "the query reads more than {MAX_PARTITIONS} projected partitions of table \"{}\"",
                    self.definition.name
                ),
            )
            .with_hint("add a condition on the partition columns"));
        }
        self.found.push(TablePartition {
            location: self.projection.location(self.definition, &self.texts),
            texts: self.texts.clone(),
            values: self
                .known
                .iter()
                .map(|v| v.clone().unwrap_or(ScalarValue::Null))
                .collect(),
        });
        Ok(())
    }
}

impl Values {
    fn of<'p>(column: &str, property: &dyn Fn(&str) -> Option<&'p str>) -> Result<Self> {
        let named = |name: &str| format!("projection.{column}.{name}");
        let optional = |name: &str| property(&named(name));
        let required = |name: &str| {
            optional(name)
                .ok_or_else(|| Error::plan(format!("partition projection needs the property {}", named(name))))
        };
        let kind = required("type")?.trim().to_lowercase();
        match kind.as_str() {
            "enum" => Ok(Self::Enum(required("values")?.split(',').map(str::to_string).collect())),
            "integer" => {
                let (min, max) = range(&named("range"), required("range")?)?;
                let whole = |text: &str| {
                    let wrong = || Error::plan(format!("{} = '{text}': expected a whole number", named("range")));
                    text.trim().parse::<i64>().map_err(|_| wrong())
                };
                let (min, max) = (whole(min)?, whole(max)?);
                let interval = positive(&named("interval"), optional("interval"))?;
                Ok(Self::Integer {
                    min,
                    interval,
                    count: match max >= min {
                        true => max.abs_diff(min) / interval.unsigned_abs() + 1,
                        false => 0,
                    },
                    digits: match optional("digits") {
                        Some(_) => positive(&named("digits"), optional("digits"))?.clamp(1, 100) as usize,
                        None => 0,
                    },
                })
            }
            "date" => Self::date(&named, &optional, required("format")?, required("range")?),
            "injected" => Ok(Self::Injected),
            other => Err(Error::plan(format!("{} = '{other}' is not known", named("type")))
                .with_nearest(other, ["enum", "integer", "date", "injected"])),
        }
    }

    fn date<'p>(
        named: &dyn Fn(&str) -> String,
        optional: &dyn Fn(&str) -> Option<&'p str>,
        format: &str,
        span: &str,
    ) -> Result<Self> {
        let pattern = DatePattern::new(format).map_err(|e| e.context(named("format")))?;
        let (from, to) = range(&named("range"), span)?;
        let bound = |text: &str| match relative(text, Utc::now()) {
            Some(time) => Ok(time.timestamp_micros()),
            None => pattern.read(text.trim()).map_err(|e| {
                e.context(named("range"))
                    .with_hint("expected two dates in the format, or NOW, NOW-3YEARS, NOW+1MONTH")
            }),
        };
        let (from, to) = (bound(from)?, bound(to)?);
        let finest = [('d', "DAY"), ('M', "MONTH")]
            .into_iter()
            .find(|(letter, _)| format.contains(*letter));
        let finer = format.contains(['H', 'h', 'k', 'K', 'm', 's', 'S']);
        let unit = match (optional("interval.unit"), finest) {
            (Some(unit), _) => unit.trim().to_uppercase(),
            (None, Some((_, unit))) if !finer => unit.to_string(),
            (None, _) => {
                return Err(Error::plan(format!(
                    "the dates of {} are neither days nor months: {} and {} are needed",
                    named("format"),
                    named("interval"),
                    named("interval.unit")
                )));
            }
        };
        let singular = unit.strip_suffix('S').unwrap_or(&unit);
        let Some((_, step)) = UNITS.iter().find(|(name, _)| *name == singular) else {
            return Err(
                Error::plan(format!("{} = '{unit}' is not known", named("interval.unit")))
                    .with_nearest(singular, UNITS.iter().map(|(name, _)| *name)),
            );
        };
        let interval = positive(&named("interval"), optional("interval"))?;
        let step = match *step {
            Step::Months(n) => Step::Months(n.saturating_mul(u32::try_from(interval).unwrap_or(u32::MAX))),
            Step::Micros(n) => Step::Micros(n.saturating_mul(interval)),
        };
        Ok(Self::Date {
            count: step.count(from, to),
            ordered: is_ordered(format),
            pattern,
            from,
            step,
        })
    }

    fn count(&self) -> u64 {
        match self {
            Self::Enum(values) => values.len() as u64,
            Self::Integer { count, .. } | Self::Date { count, .. } => *count,
            Self::Injected => 1,
        }
    }

    fn text(&self, i: u64) -> String {
        match self {
            Self::Enum(values) => values.get(i as usize).cloned().unwrap_or_default(),
            Self::Integer {
                min, interval, digits, ..
            } => padded(min.wrapping_add((i as i64).wrapping_mul(*interval)), *digits),
            Self::Date {
                pattern, from, step, ..
            } => pattern.write(step.after(*from, i)),
            Self::Injected => String::new(),
        }
    }

    /// The text of a value that a query asks for, if it is among the projected ones.
    fn text_of(&self, value: &ScalarValue) -> Option<String> {
        let text = partition_text(value)?;
        match self {
            Self::Enum(values) => values.contains(&text).then_some(text),
            Self::Injected => (!text.is_empty()).then_some(text),
            Self::Integer {
                min,
                interval,
                count,
                digits,
            } => {
                let number: i64 = text.parse().ok()?;
                let steps = number.checked_sub(*min)?;
                let fits = steps >= 0 && steps % interval == 0 && ((steps / interval) as u64) < *count;
                let projected = padded(number, *digits);
                let same = projected == text || value.as_str().is_none();
                (fits && same).then_some(projected)
            }
            Self::Date {
                pattern,
                from,
                step,
                count,
                ..
            } => {
                let time = pattern.read(&text).ok()?;
                let projected = pattern.write(time);
                let i = step.steps(*from, time);
                // The first value may begin within the span that its text names.
                let near = [i.saturating_sub(1), i, i + 1].into_iter().filter(|i| i < count);
                let mut near = near.map(|i| pattern.write(step.after(*from, i)));
                (projected == text && near.any(|t| t == text)).then_some(text)
            }
        }
    }

    /// Whether values of this column type grow with their numbers.
    fn is_ordered(&self, column: &DataType) -> bool {
        match self {
            Self::Enum(_) | Self::Injected => false,
            Self::Integer {
                min,
                interval,
                count,
                digits,
            } => {
                let max = i128::from(*min) + i128::from(*interval) * i128::from(count.saturating_sub(1));
                *column != DataType::Utf8View || (*min >= 0 && max.to_string().len() <= *digits)
            }
            Self::Date { ordered, .. } => *ordered || *column != DataType::Utf8View,
        }
    }
}

impl Step {
    fn after(self, from: i64, steps: u64) -> i64 {
        match self {
            Self::Months(months) => {
                let months = u32::try_from(steps.saturating_mul(u64::from(months))).unwrap_or(u32::MAX);
                let start = DateTime::from_timestamp_micros(from);
                let end = start.and_then(|t| t.checked_add_months(Months::new(months)));
                end.map_or(i64::MAX, |t| t.timestamp_micros())
            }
            Self::Micros(micros) => from.saturating_add((steps as i64).saturating_mul(micros)),
        }
    }

    /// How many steps lie between two times, rounded down.
    fn steps(self, from: i64, to: i64) -> u64 {
        let micros = match self {
            // A little too many, then back.
            Self::Months(months) => i64::from(months).saturating_mul(28 * 86_400_000_000),
            Self::Micros(micros) => micros,
        };
        let mut steps = to.saturating_sub(from).max(0).unsigned_abs() / micros.max(1).unsigned_abs();
        if let Self::Months(months) = self {
            // Months are up to 31/28 longer than assumed.
            let mut low = steps / 10 * 9;
            let months = u64::from(months.max(1));
            low = low.saturating_sub(2 * 12 / months.min(12));
            while low < steps && self.after(from, low + 1) <= to {
                low += 1;
            }
            steps = low;
        }
        steps
    }

    fn count(self, from: i64, to: i64) -> u64 {
        match to < from {
            true => 0,
            false => self.steps(from, to).saturating_add(1),
        }
    }
}

fn padded(number: i64, digits: usize) -> String {
    match number < 0 {
        true => format!("-{:0digits$}", number.unsigned_abs()),
        false => format!("{number:0digits$}"),
    }
}

/// `a,b`
fn range<'t>(name: &str, text: &'t str) -> Result<(&'t str, &'t str)> {
    text.split_once(',').ok_or_else(|| {
        Error::plan(format!(
            "{name} = '{text}': expected two bounds with a comma between them"
        ))
    })
}

fn positive(name: &str, text: Option<&str>) -> Result<i64> {
    let Some(text) = text else { return Ok(1) };
    match text.trim().parse::<i64>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(Error::plan(format!(
            "{name} = '{text}': expected a whole number above 0"
        ))),
    }
}

/// `NOW`, `NOW-3YEARS`, `NOW + 1 MONTH`; `None` for anything else.
fn relative(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let rest = text.trim().strip_prefix("NOW")?.trim();
    if rest.is_empty() {
        return Some(now);
    }
    let (back, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest.trim()),
        None => (false, rest.strip_prefix('+')?.trim()),
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = rest.split_at_checked(digits)?;
    let unit = unit.trim();
    let singular = unit.strip_suffix('S').unwrap_or(unit);
    let (_, step) = UNITS
        .iter()
        .find(|(name, _)| *name == singular && *name != "MILLISECOND")?;
    let number: u32 = number.parse().ok()?;
    match (*step, back) {
        (Step::Months(n), true) => now.checked_sub_months(Months::new(number.checked_mul(n)?)),
        (Step::Months(n), false) => now.checked_add_months(Months::new(number.checked_mul(n)?)),
        (Step::Micros(n), true) => now.checked_sub_signed(TimeDelta::microseconds(n.checked_mul(number.into())?)),
        (Step::Micros(n), false) => now.checked_add_signed(TimeDelta::microseconds(n.checked_mul(number.into())?)),
    }
}

/// Whether texts of the format are in the order of time: fields of fixed width, from years downwards.
fn is_ordered(format: &str) -> bool {
    let fields: String = format.chars().filter(char::is_ascii_alphabetic).collect();
    let full = "yyyyMMddHHmmssSSS".replace('y', "Y");
    let fields = fields.replace(['u', 'y'], "Y");
    [
        "YYYY",
        "YYYYMM",
        "YYYYMMdd",
        "YYYYMMddHH",
        "YYYYMMddHHmm",
        "YYYYMMddHHmmss",
        &full,
    ]
    .iter()
    .any(|known| *known == fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ColumnDefinition;

    fn definition(columns: &[(&str, &str)], properties: &[(&str, &str)]) -> TableDefinition {
        let column = |(name, type_text): &(&str, &str)| ColumnDefinition {
            name: name.to_string(),
            type_text: type_text.to_string(),
            comment: None,
        };
        let on = ("projection.enabled", "true");
        TableDefinition {
            name: "t".into(),
            location: "/lake/t".into(),
            partitioned_by: columns.iter().map(column).collect(),
            properties: properties
                .iter()
                .chain([&on])
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            ..Default::default()
        }
    }

    /// The folders that the projection has, without conditions.
    fn folders(definition: &TableDefinition) -> Result<Vec<String>> {
        let projection = Projection::of(definition)?.expect("projection is switched on");
        let columns: Vec<TableColumn> = definition
            .partitioned_by
            .iter()
            .map(|c| TableColumn {
                name: c.name.as_str().into(),
                data_type: c.data_type().unwrap(),
                nullable: true,
            })
            .collect();
        let found = projection.partitions(definition, &columns, &PartitionFilter::default())?;
        Ok(found.partitions.into_iter().map(|p| p.location).collect())
    }

    #[test]
    fn values_of_all_types() {
        let t = definition(
            &[("e", "string"), ("n", "int")],
            &[
                ("projection.e.type", " Enum "),
                ("projection.e.values", "a, b"),
                ("projection.n.type", "integer"),
                ("projection.n.range", "-1,9"),
                ("projection.n.interval", "5"),
                ("projection.n.digits", "2"),
            ],
        );
        let expected = ["a/n=-01", "a/n=04", "a/n=09", " b/n=-01", " b/n=04", " b/n=09"];
        assert_eq!(folders(&t).unwrap(), expected.map(|e| format!("/lake/t/e={e}")));
        let t = definition(
            &[("d", "string")],
            &[
                ("projection.d.type", "date"),
                ("projection.d.format", "yyyy/MM"),
                ("projection.d.range", "2019/11,2020/02"),
                ("storage.location.template", "s3://b/${d}/x/"),
            ],
        );
        let months = ["2019/11", "2019/12", "2020/01", "2020/02"];
        assert_eq!(folders(&t).unwrap(), months.map(|m| format!("s3://b/{m}/x/")));
    }

    #[test]
    fn months_and_years_are_counted_exactly() {
        let at = |text: &str| DatePattern::new("yyyy-MM-dd").unwrap().read(text).unwrap();
        let cases = [
            (Step::Months(1), "1900-01-31", "2024-02-29", 1489 + 1),
            (Step::Months(1), "2020-01-15", "2020-02-14", 1),
            (Step::Months(1), "2020-01-15", "2020-02-15", 2),
            (Step::Months(12), "0001-01-01", "9000-01-01", 9000),
            (Step::Micros(86_400_000_000), "2020-01-01", "2020-12-31", 366),
        ];
        for (step, from, to, count) in cases {
            assert_eq!(step.count(at(from), at(to)), count, "{from} {to}");
        }
    }

    #[test]
    fn now_is_a_bound() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let days = |text: &str| relative(text, now).map(|t| (t - now).num_days());
        assert_eq!(days("NOW"), Some(0));
        assert_eq!(days(" NOW - 2 DAYS "), Some(-2));
        assert_eq!(days("NOW+1WEEK"), Some(7));
        assert_eq!(days("NOW-3YEARS"), Some(-1095));
        assert_eq!(days("NOW-3"), None);
        assert_eq!(days("2020-01-01"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = folders(&definition(
            &[("a", "string"), ("c", "int")],
            &[("projection.a.type", "injected")],
        ));
        assert!(
            error
                .unwrap_err()
                .message()
                .contains("missing projection configuration: [c]")
        );
        let error = folders(&definition(&[("a", "string")], &[("projection.a.type", "injected")]));
        assert!(error.unwrap_err().message().contains("injected partition column \"a\""));
        let hourly = [
            ("projection.d.type", "date"),
            ("projection.d.format", "yyyy-MM-dd-HH"),
            ("projection.d.range", "2020-01-01-00,NOW"),
        ];
        let error = folders(&definition(&[("d", "string")], &hourly)).unwrap_err();
        assert!(error.message().contains("projection.d.interval.unit"), "{error}");
    }
}
