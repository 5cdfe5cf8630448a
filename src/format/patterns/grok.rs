//! Grok: regular expressions made of named ones, `%{IP:client}`.

use crate::error::{Error, Result};
use std::collections::HashMap;

/// Patterns inside of patterns at most: a pattern that contains itself has no end.
const DEPTH: usize = 32;

/// The patterns that every grok knows, by the names that logs of servers need.
const STANDARD: &[(&str, &str)] = &[
    ("USERNAME", r"[a-zA-Z0-9._-]+"),
    ("USER", "%{USERNAME}"),
    ("INT", r"(?:[+-]?(?:[0-9]+))"),
    (
        "BASE10NUM",
        r"(?<![0-9.+-])(?>[+-]?(?:(?:[0-9]+(?:\.[0-9]+)?)|(?:\.[0-9]+)))",
    ),
    ("NUMBER", "(?:%{BASE10NUM})"),
    ("BASE16NUM", r"(?<![0-9A-Fa-f])(?:[+-]?(?:0x)?(?:[0-9A-Fa-f]+))"),
    ("POSINT", r"\b(?:[1-9][0-9]*)\b"),
    ("NONNEGINT", r"\b(?:[0-9]+)\b"),
    ("WORD", r"\b\w+\b"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("DATA", ".*?"),
    ("GREEDYDATA", ".*"),
    (
        "QUOTEDSTRING",
        r#"(?:"(?:\\.|[^\\"])*"|'(?:\\.|[^\\'])*'|`(?:\\.|[^\\`])*`)"#,
    ),
    ("QS", "%{QUOTEDSTRING}"),
    ("UUID", "[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}"),
    ("MAC", "(?:[A-Fa-f0-9]{2}[:.-]?){5}[A-Fa-f0-9]{2}"),
    (
        "IPV4",
        r"(?<![0-9])(?:(?:25[0-5]|2[0-4][0-9]|[0-1]?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|[0-1]?[0-9]{1,2})(?![0-9])",
    ),
    (
        "IPV6",
        r"(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){0,6}(?::[0-9A-Fa-f]{1,4}){1,7}|(?:[0-9A-Fa-f]{1,4}:){1,7}:|::)(?:%.+)?",
    ),
    ("IP", "(?:%{IPV6}|%{IPV4})"),
    (
        "HOSTNAME",
        r"\b(?:[0-9A-Za-z][0-9A-Za-z-]{0,62})(?:\.(?:[0-9A-Za-z][0-9A-Za-z-]{0,62}))*(?:\.?|\b)",
    ),
    ("HOST", "%{HOSTNAME}"),
    ("IPORHOST", "(?:%{IP}|%{HOSTNAME})"),
    ("HOSTPORT", "%{IPORHOST}:%{POSINT}"),
    ("PATH", "(?:%{UNIXPATH}|%{WINPATH})"),
    ("UNIXPATH", r"(?:/[\w_%!$@:.,+~-]*)+"),
    ("WINPATH", r"(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+"),
    ("URIPROTO", r"[A-Za-z]+(?:\+[A-Za-z+]+)?"),
    ("URIHOST", "%{IPORHOST}(?::%{POSINT})?"),
    ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_\-]*)+"),
    ("URIPARAM", r"\?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]<>]*"),
    ("URIPATHPARAM", "%{URIPATH}(?:%{URIPARAM})?"),
    (
        "URI",
        "%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?",
    ),
    (
        "MONTH",
        r"\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b",
    ),
    ("MONTHNUM", "(?:0?[1-9]|1[0-2])"),
    ("MONTHDAY", "(?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9])"),
    (
        "DAY",
        "(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)",
    ),
    ("YEAR", r"(?:\d\d){1,2}"),
    ("HOUR", "(?:2[0123]|[01]?[0-9])"),
    ("MINUTE", "(?:[0-5][0-9])"),
    ("SECOND", r"(?:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?)"),
    ("TIME", "(?<![0-9])%{HOUR}:%{MINUTE}(?::%{SECOND})(?![0-9])"),
    ("DATE_US", "%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"),
    ("DATE_EU", "%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"),
    ("DATE", "(?:%{DATE_US}|%{DATE_EU})"),
    ("ISO8601_TIMEZONE", "(?:Z|[+-]%{HOUR}(?::?%{MINUTE}))"),
    (
        "TIMESTAMP_ISO8601",
        "%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?%{ISO8601_TIMEZONE}?",
    ),
    ("DATESTAMP", "%{DATE}[- ]%{TIME}"),
    ("HTTPDATE", "%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}"),
    ("SYSLOGTIMESTAMP", "%{MONTH} +%{MONTHDAY} %{TIME}"),
    ("PROG", r"(?:[\w._/%-]+)"),
    ("SYSLOGPROG", r"%{PROG:program}(?:\[%{POSINT:pid}\])?"),
    ("SYSLOGHOST", "%{IPORHOST}"),
    ("SYSLOGFACILITY", "<%{NONNEGINT:facility}.%{NONNEGINT:priority}>"),
    (
        "SYSLOGBASE",
        "%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:",
    ),
    (
        "LOGLEVEL",
        "(?:[Aa]lert|ALERT|[Tt]race|TRACE|[Dd]ebug|DEBUG|[Nn]otice|NOTICE|[Ii]nfo|INFO|[Ww]arn(?:ing)?|WARN(?:ING)?|[Ee]rr(?:or)?|ERR(?:OR)?|[Cc]rit(?:ical)?|CRIT(?:ICAL)?|[Ff]atal|FATAL|[Ss]evere|SEVERE|EMERG(?:ENCY)?|[Ee]merg(?:ency)?)",
    ),
    (
        "COMMONAPACHELOG",
        r#"%{IPORHOST:clientip} %{USER:ident} %{USER:auth} \[%{HTTPDATE:timestamp}\] "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})" %{NUMBER:response} (?:%{NUMBER:bytes}|-)"#,
    ),
    ("COMBINEDAPACHELOG", "%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}"),
];

/// The regular expression for a pattern, whose group `n3` caught what the fourth name stands for. `custom` has a pattern per
/// line: its name, a blank, the pattern. A part without a name of its own is called as its pattern when it stands in the
/// pattern itself.
pub(super) fn translate(pattern: &str, custom: &str) -> Result<(String, Vec<String>)> {
    let mut known: HashMap<&str, &str> = STANDARD.iter().copied().collect();
    // A property has its line ends written as such or as `\n`.
    let custom = custom.replace("\\n", "\n");
    for line in custom.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let Some((name, text)) = line.split_once(char::is_whitespace) else {
            return Err(Error::plan(format!(
                "a custom pattern is a name, a blank and a pattern, found \"{line}\""
            )));
        };
        known.insert(name, text.trim());
    }
    let mut grok = Grok { known, names: vec![] };
    let mut out = String::new();
    grok.expand(pattern, 0, &mut out)?;
    Ok((out, grok.names))
}

struct Grok<'a> {
    known: HashMap<&'a str, &'a str>,
    names: Vec<String>,
}

impl Grok<'_> {
    fn expand(&mut self, pattern: &str, depth: usize, out: &mut String) -> Result<()> {
        if depth > DEPTH {
            return Err(Error::plan(format!("grok pattern \"{pattern}\" contains itself")));
        }
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((part, behind)) = after.split_once('}') else {
                return Err(Error::plan(format!("\"%{{{after}\" in a grok pattern has no end")));
            };
            out.push_str(before);
            rest = behind;
            // `%{IP:client:string}`: the type is the column's to say.
            let mut words = part.split(':');
            let name = words.next().unwrap_or_default();
            let called = words.next().or((depth == 0).then_some(name)).map(str::to_string);
            let Some(text) = self.known.get(name).copied() else {
                let error = Error::plan(format!("there is no grok pattern \"{name}\""));
                return Err(error.with_nearest(name, self.known.keys().copied()));
            };
            match called.filter(|c| !self.names.iter().any(|n| n.eq_ignore_ascii_case(c))) {
                Some(called) => {
                    out.push_str(&format!("(?P<n{}>", self.names.len()));
                    self.names.push(called);
                }
                None => out.push_str("(?:"),
            }
            self.expand(text, depth + 1, out)?;
            out.push(')');
        }
        out.push_str(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_standard_patterns_are_regular_expressions() {
        for (name, _) in STANDARD {
            let (text, _) = translate(&format!("%{{{name}}}"), "").unwrap();
            fancy_regex::Regex::new(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    #[test]
    fn parts_have_names() {
        let (text, names) = translate("%{IP:client} %{CODE} %{GREEDYDATA:rest}", "CODE [A-F]{2}").unwrap();
        assert_eq!(names, ["client", "CODE", "rest"]);
        let regex = fancy_regex::Regex::new(&text).unwrap();
        let found = regex.captures("10.0.0.1 AF all else").unwrap().unwrap();
        let part = |n: &str| found.name(n).unwrap().as_str().to_string();
        assert_eq!([part("n0"), part("n1"), part("n2")], ["10.0.0.1", "AF", "all else"]);
        assert!(translate("%{IPP:x}", "").unwrap_err().hint().unwrap().contains("IP"));
        assert!(translate("%{A}", "A x%{A}").is_err());
        assert!(translate("%{IP", "").is_err());
    }
}
