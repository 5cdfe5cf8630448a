//! Variables in query text: `:name` becomes a SQL literal, `${name}` and `${hivevar:name}` become text.

use crate::error::{Error, Result, nearest};
use std::collections::BTreeMap;

/// Names and values, from `-v name=value`, `-- --name=value` and the defaults of a query file.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The built-in `run_id`: the time of the run as `20200131T235959Z`, different for each run of a job.
    pub fn new() -> Self {
        let run_id = chrono::Utc::now().format("%Y%m%dT%H%M%S%3fZ").to_string();
        Self(BTreeMap::from([("run_id".to_string(), run_id)]))
    }

    /// Reads `name=value`.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        match assignment.split_once('=') {
            Some((name, value)) if is_name(name.trim()) => {
                self.0.insert(name.trim().to_string(), value.to_string());
                Ok(())
            }
            _ => Err(Error::syntax(format!(
                "expected name=value for a variable, found \"{assignment}\""
            ))),
        }
    }

    /// These variables and the defaults that a text gives for others.
    pub fn with_defaults(&self, text: &str) -> Result<Self> {
        let mut variables = self.clone();
        variables.add_defaults(text)?;
        Ok(variables)
    }

    /// Adds the defaults that a file gives in its leading comments: `-- @default name = value`.
    pub fn add_defaults(&mut self, text: &str) -> Result<()> {
        let leading = text
            .lines()
            .map(str::trim)
            .take_while(|l| l.is_empty() || l.starts_with("--"));
        for line in leading {
            let Some(rest) = line.trim_start_matches('-').trim_start().strip_prefix("@default ") else {
                continue;
            };
            let (name, value) = rest
                .split_once('=')
                .ok_or_else(|| Error::syntax(format!("expected \"-- @default name = value\", found \"{line}\"")))?;
            if !self.0.contains_key(name.trim()) {
                let value = self.expand_text(value.trim())?;
                self.0.insert(name.trim().to_string(), value);
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).ok_or_else(|| {
            let error = Error::syntax(format!("variable \"{name}\" is not set"));
            match nearest(name, self.0.keys().map(String::as_str)) {
                Some(best) => error.with_hint(format!("did you mean \"{best}\"?")),
                None => error.with_hint(format!("give it with -v {name}=…")),
            }
        })
    }

    /// Replaces the variables in query text. `:name` counts outside of quotes and comments only, `${name}` also inside
    /// quotes.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut previous = ' ';
        while let Some(c) = rest.chars().next() {
            let taken = if rest.starts_with("--") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else if matches!(c, '\'' | '"' | '`') {
                let end = rest[1..].find(c).map_or(rest.len(), |end| end + 2);
                // In the template of a table's folders `${key}` is a partition key, unless there is such a variable.
                let text = match is_template(&out) {
                    true => self.expand_known(&rest[..end], true)?,
                    false => self.expand_text(&rest[..end])?,
                };
                out.push_str(&text);
                rest = &rest[end..];
                previous = c;
                continue;
            } else if rest.starts_with("${") {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                out.push_str(&self.expand_text(&rest[..end])?);
                rest = &rest[end..];
                previous = '}';
                continue;
            } else if c == ':' && !matches!(previous, ':' | '`' | '"') && !previous.is_alphanumeric() {
                let name: String = rest[1..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if is_name(&name) {
                    out.push_str(&literal(self.get(&name)?));
                    rest = &rest[1 + name.len()..];
                    previous = 'x';
                    continue;
                }
                1
            } else {
                c.len_utf8()
            };
            out.push_str(&rest[..taken]);
            previous = rest[..taken].chars().next_back().unwrap_or(' ');
            rest = &rest[taken..];
        }
        Ok(out)
    }

    /// Replaces `${name}` and `${hivevar:name}` only.
    fn expand_text(&self, text: &str) -> Result<String> {
        self.expand_known(text, false)
    }

    /// With `lenient`, what names no variable stays as it is.
    fn expand_known(&self, text: &str, lenient: bool) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else { break };
            let name = rest[start + 2..start + length].trim();
            let name = name.strip_prefix("hivevar:").unwrap_or(name);
            out.push_str(&rest[..start]);
            match self.get(name) {
                Err(_) if lenient => out.push_str(&rest[start..start + length + 1]),
                value => out.push_str(value?),
            }
            rest = &rest[start + length + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Whether the text that comes next is the value of the property `storage.location.template`.
fn is_template(before: &str) -> bool {
    let name = before
        .trim_end()
        .strip_suffix('=')
        .map(|t| t.trim_end().trim_end_matches(['\'', '"']));
    name.is_some_and(|name| name.to_lowercase().ends_with("location.template") || name.ends_with("location_template"))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// A number stays a number, anything else is a quoted text.
fn literal(value: &str) -> String {
    let number = value.strip_prefix('-').unwrap_or(value);
    let is_number =
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.') && number.parse::<f64>().is_ok();
    if is_number {
        value.to_string()
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_replaced_where_they_count() {
        let mut variables = Variables::new();
        variables.set("month=2020-01").unwrap();
        variables.set("n=-5").unwrap();
        variables.set("name=O'Brien").unwrap();
        let text = "SELECT :n, :name, ':n', x::int, '${month}/a', ${n} -- :unset\n/* ${unset} */";
        let expanded = "SELECT -5, 'O''Brien', ':n', x::int, '2020-01/a', -5 -- :unset\n/* ${unset} */";
        assert_eq!(variables.expand(text).unwrap(), expanded);
        assert!(
            variables
                .expand("SELECT :mont")
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("month")
        );
    }

    #[test]
    fn keys_in_a_template_of_folders_are_no_variables() {
        let mut variables = Variables::new();
        variables.set("bucket=b").unwrap();
        let text = "('storage.location.template' = 's3://${bucket}/${day}/', 'x' = '${bucket}')";
        let expanded = "('storage.location.template' = 's3://b/${day}/', 'x' = 'b')";
        assert_eq!(variables.expand(text).unwrap(), expanded);
        assert!(variables.expand("('other' = '${day}')").is_err());
    }

    #[test]
    fn defaults_give_way_to_what_is_set() {
        let mut variables = Variables::new();
        variables.set("a=1").unwrap();
        variables
            .add_defaults("-- @default a = 2\n-- @default b = x/${a}\nSELECT 1")
            .unwrap();
        assert_eq!(variables.expand("${a} ${b}").unwrap(), "1 x/1");
    }
}
