use super::*;
use crate::format::lines::CHUNK;
use crate::format::testing::{ask, read_file};
use crate::types::{parse_type, type_name};

fn rows(text: &str, columns: &[(&str, &str)]) -> Result<Vec<String>> {
    let format = JsonFormat::new(&Options::default())?;
    read_file(&format, "x.json", text.as_bytes(), false, |_| ask(columns))
}

#[test]
fn columns_are_inferred_from_all_lines() {
    let text = "{\"a\":1,\"b\":[{\"x\":1}],\"n\":null}\n\n{\"a\":2.5,\"B\":[{\"y\":\"t\"}],\"c\":{\"d\":true}}\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    std::fs::write(&path, text).unwrap();
    let location = crate::storage::Location::parse(path.to_str().unwrap()).unwrap();
    let file = crate::storage::list(&location).unwrap().remove(0);
    let info = JsonFormat::new(&Options::default())
        .unwrap()
        .inspect(&file, true)
        .unwrap();
    let shown: Vec<String> = info
        .columns
        .iter()
        .map(|(n, t)| format!("{n} {}", type_name(t)))
        .collect();
    assert_eq!(
        shown,
        [
            "a double",
            "b array(row(x bigint, y varchar))",
            "n varchar",
            "c row(d boolean)"
        ]
    );
}

#[test]
fn declared_types_are_read() {
    let text = "{\"Id\":1,\"tags\":[\"a\",null],\"m\":{\"k\":1},\"d\":\"2020-01-01\",\"p\":12.345,\"s\":{\"X\":7}}\n{\"s\":null,\"id\":3.0,\"x\":1}\n";
    let columns = [
        ("id", "bigint"),
        ("tags", "array(varchar)"),
        ("m", "map(varchar, int)"),
        ("d", "date"),
        ("p", "decimal(5,2)"),
        ("s", "row(x int)"),
        ("x", "varchar"),
    ];
    let rows = rows(text, &columns).unwrap();
    assert_eq!(rows[0], "1|[a, ]|{k: 1}|2020-01-01|12.35|{x: 7}|");
    assert_eq!(rows[1], "3||||||1");
    assert!(parse_type("int").is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let message = |text: &str, t: &str| rows(text, &[("a", t)]).unwrap_err().message().to_string();
    let error = message("{\"a\":1}\n{\"a\":\"x\"}\n", "bigint");
    assert!(
        error.contains("line 2") && error.contains("\"a\"") && error.contains("\"x\""),
        "{error}"
    );
    let error = message("{\"a\":1}\n{\"a\":\n", "bigint");
    assert!(error.contains("line 2") && error.contains("not JSON"), "{error}");
    let error = message("[1]\n", "bigint");
    assert!(error.contains("an array"), "{error}");
    assert!(message("{\"a\":[1]}\n", "bigint").contains("an array"));
    assert!(message(&"[".repeat(100_000), "bigint").contains("EOF"));
}

#[test]
fn ranges_give_each_line_once() {
    let line = |i: usize| format!("{{\"a\":{i},\"t\":\"{}\"}}\n", "x".repeat(i % 50));
    let text: String = (0..400_000).map(line).collect();
    assert!(text.len() as u64 > 2 * CHUNK);
    let rows = rows(&text, &[("a", "bigint")]).unwrap();
    assert!(rows.iter().enumerate().all(|(i, r)| *r == i.to_string()));
    assert_eq!(rows.len(), 400_000);
}
