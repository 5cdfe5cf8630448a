use super::*;
use crate::format::Options;
use crate::format::testing::{ask, read_file};
use crate::types::type_name;

fn inspect(name: &str, content: &[u8]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    let location = crate::storage::Location::parse(path.to_str().unwrap()).unwrap();
    let file = crate::storage::list(&location).unwrap().remove(0);
    let format = CsvFormat::new("CSV", CsvOptions::csv(&Options::default()).unwrap());
    let info = format.inspect(&file, true).unwrap();
    info.columns
        .iter()
        .map(|(n, t)| format!("{n} {}", type_name(t)))
        .collect()
}

fn csv(text: &str, sample: bool, columns: &[(&str, &str)]) -> Result<Vec<String>> {
    let format = CsvFormat::new("CSV", CsvOptions::csv(&Options::default())?);
    read_file(&format, "x.csv", text.as_bytes(), sample, |_| ask(columns))
}

#[test]
fn header_delimiter_and_types_are_found() {
    let text = "id,when,ok,x,note\r\n1,2020-01-01 10:00:00,true,1.5,a\r\n2,,,,\r\n";
    assert_eq!(
        inspect("a.csv", text.as_bytes()),
        ["id bigint", "when timestamp", "ok boolean", "x double", "note varchar"]
    );
    assert_eq!(
        inspect("a.csv", b"1;2020-01-01\n2;2020-01-02\n"),
        ["column0 bigint", "column1 date"]
    );
    assert_eq!(inspect("a.tsv", b"a\tb\n\"x,\ty\"\t1\n"), ["a varchar", "b bigint"]);
    assert_eq!(
        inspect("a.csv", b"\xEF\xBB\xBFname,name\nx,1\n"),
        ["name varchar", "name_1 bigint"]
    );
    assert_eq!(inspect("a.csv", b""), Vec::<String>::new());
    assert_eq!(inspect("a.csv", b"a,b\n"), ["a varchar", "b varchar"]);
}

#[test]
fn rows_are_read_with_declared_types() {
    let columns = [
        ("a", "int"),
        ("b", "varchar"),
        ("c", "decimal(5,2)"),
        ("missing", "int"),
    ];
    let rows = csv("a,b,c\n1,\"x\ny\",1.005\n2,,\n3,\"\",-7\n", true, &columns).unwrap();
    assert_eq!(rows, ["1|x\ny|1.01|", "2|||", "3||-7.00|"]);
}

#[test]
fn hive_text_has_its_own_rules() {
    let options = CsvOptions::text(&Options::new([("field.delim", "|"), ("escape.delim", "\\")])).unwrap();
    let format = CsvFormat::new("TEXTFILE", options);
    let text = "1|a\\|b|\\N\n|\"q\"|x\n";
    let rows = read_file(&format, "x", text.as_bytes(), false, |_| {
        ask(&[("a", "int"), ("b", "string"), ("c", "string")])
    });
    assert_eq!(rows.unwrap(), ["1|a|b|", "|\"q\"|x"]);
    let format = CsvFormat::new("OPENCSV", CsvOptions::open_csv(&Options::default()).unwrap());
    let rows = read_file(&format, "x", b"\"0\",\"86400000\"\n", false, |_| {
        ask(&[("d", "date"), ("t", "timestamp")])
    });
    assert_eq!(rows.unwrap(), ["1970-01-01|1970-01-02T00:00:00"]);
}

#[test]
fn malformed_rows_are_named() {
    let error = csv("a,b\n1,2\n3,x\n", true, &[("a", "int"), ("b", "int")]).unwrap_err();
    for part in ["x.csv", "line 3", "\"b\"", "\"x\"", "integer"] {
        assert!(error.message().contains(part), "{error}");
    }
    let error = csv("1,2\n3\n", false, &[("a", "int"), ("b", "int")]).unwrap_err();
    assert!(
        error
            .message()
            .contains("line 2: the row has 1 fields, other rows of the file have 2"),
        "{error}"
    );
    let error = csv("1,2\n3,\"4\n", false, &[("a", "int")]).unwrap_err();
    assert!(error.message().contains("not closed"), "{error}");
    let error = csv("1,\u{1}\n", false, &[("a", "int"), ("b", "array(int)")]).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
}

/// Chunks that begin at every byte of rows with line ends and quotes inside and outside of quotes.
#[test]
fn chunks_may_begin_anywhere_in_a_row() {
    let rows = [
        ("1,\"a\nb\"\n", "1|a\nb"),
        ("2,\"say \"\"x\"\"\r\n,\"\r\n", "2|say \"x\"\r\n,"),
        ("3,5\" pipe\r", "3|5\" pipe"),
        ("4,\"\n\n\n\"\n", "4|\n\n\n"),
        ("5,\"\"\n", "5|"),
    ];
    let one: String = rows.iter().map(|(text, _)| *text).collect();
    let times = 2 * CHUNK as usize / one.len() + 10;
    for padding in 0..=one.len() {
        let text = format!("0,{}\n{}", "p".repeat(padding), one.repeat(times));
        let mut expected = vec![format!("0|{}", "p".repeat(padding))];
        (0..times).for_each(|_| expected.extend(rows.iter().map(|(_, shown)| shown.to_string())));
        assert_eq!(
            csv(&text, false, &[("a", "int"), ("b", "varchar")]).unwrap(),
            expected,
            "{padding}"
        );
        // The same without quotes: every end of a line ends a row.
        let text = text.replace('"', "q");
        let format = CsvFormat::new(
            "TEXTFILE",
            CsvOptions::text(&Options::new([("delimiter", "|")])).unwrap(),
        );
        let lines = read_file(&format, "x.txt", text.as_bytes(), false, |_| ask(&[("a", "varchar")])).unwrap();
        let ends = text.replace("\r\n", "\n").replace('\r', "\n");
        assert!(lines.iter().map(String::as_str).eq(ends.lines()), "{padding}");
    }
}

#[test]
fn footers_are_left_out_wherever_chunks_end() {
    let options = Options::new([("skip", "1"), ("skip_footer", "2"), ("header", "true")]);
    let format = CsvFormat::new("CSV", CsvOptions::csv(&options).unwrap());
    for rows in [0, 1, 500, 3000] {
        let data: String = (0..rows).map(|i| format!("{i},x\n")).collect();
        let text = format!("a \"preamble\nid,name\n{data}total \"{rows}\nend\n\n");
        for (name, content) in [
            ("x.csv", text.clone().into_bytes()),
            (
                "x.csv.gz",
                crate::storage::Compression::Gzip
                    .compress(text.clone().into_bytes(), None)
                    .unwrap(),
            ),
        ] {
            let read = read_file(&format, name, &content, false, |_| ask(&[("id", "bigint")])).unwrap();
            assert!(
                read.iter().cloned().eq((0..rows).map(|i| i.to_string())),
                "{name} {rows}"
            );
        }
    }
}

#[test]
fn ranges_give_each_row_once_whatever_is_quoted() {
    let plain = |i: usize| format!("{i},{}\n", "y".repeat(i % 70));
    let quoted = |i: usize| format!("{i},\"a\n\"\"{i},\n\"\n");
    for (row, shown) in [(&plain as &dyn Fn(usize) -> String, false), (&quoted, true)] {
        let text: String = (0..500_000).map(row).collect();
        assert!(text.len() as u64 > CHUNK);
        let rows = csv(&text, false, &[("a", "bigint"), ("b", "varchar")]).unwrap();
        assert_eq!(rows.len(), 500_000);
        let right = |(i, r): (usize, &String)| {
            *r == if shown {
                format!("{i}|a\n\"{i},\n")
            } else {
                format!("{i}|{}", "y".repeat(i % 70))
            }
        };
        assert!(rows.iter().enumerate().all(right));
    }
}

#[test]
fn compressed_files_are_one_partition() {
    let text = "a,b\n".to_string() + &"1,2\n".repeat(10_000);
    let zstd = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
    let format = CsvFormat::new("CSV", CsvOptions::csv(&Options::default()).unwrap());
    let rows = read_file(&format, "x.csv.zst", &zstd, true, |_| ask(&[("a", "int")])).unwrap();
    assert_eq!(rows.len(), 10_000);
    assert!(
        read_file(&format, "x.csv.zst", &zstd[..zstd.len() - 20], false, |_| ask(&[(
            "a", "varchar"
        )]))
        .is_err()
    );
}
