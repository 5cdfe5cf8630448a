//! Every module imports only from modules above it in the list of `src/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// Module names in import order: the numbered lines of `src/README.md`.
fn layers() -> Vec<String> {
    let text = fs::read_to_string("src/README.md").unwrap();
    let is_numbered = |line: &&str| line.split_once(". `").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    text.lines()
        .filter(is_numbered)
        .map(|line| line.split('`').nth(1).unwrap().to_string())
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
            files.push(path);
        }
    }
    files
}

/// Unit tests in files of their own may look further, too.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests")
}

/// The part of a file before its unit tests, which may look further.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn modules_import_only_from_above() {
    let layers = layers();
    assert!(layers.len() > 10, "the list of rooms is read: {layers:?}");
    let mut wrong = vec![];
    for (position, module) in layers.iter().enumerate() {
        let folder = PathBuf::from("src").join(module);
        let files = if folder.is_dir() {
            rust_files(&folder)
        } else {
            vec![folder.with_extension("rs")]
        };
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            for below in &layers[position + 1..] {
                if code(&text).contains(&format!("crate::{below}::")) {
                    wrong.push(format!(
                        "{} ({module}) uses {below}, which stands below it",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn strangers_stay_strangers() {
    for (module, strangers) in [
        ("sql", ["optimizer", "physical"]),
        ("optimizer", ["sql", "physical"]),
        ("physical", ["sql", "optimizer"]),
    ] {
        for file in &rust_files(&Path::new("src").join(module)) {
            let text = fs::read_to_string(file).unwrap();
            for stranger in strangers {
                assert!(
                    !code(&text).contains(&format!("crate::{stranger}::")),
                    "{} uses {stranger}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn unsafe_code_lives_in_vector_only_and_says_why() {
    for file in rust_files(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let line = line.trim_start();
            if !line.starts_with("//")
                && (line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"))
            {
                assert!(
                    file.starts_with("src/vector"),
                    "{}:{} is unsafe outside src/vector",
                    file.display(),
                    number + 1
                );
                let reasons = &lines[number.saturating_sub(6)..number];
                assert!(
                    reasons.iter().any(|l| l.contains("SAFETY:") || l.contains("# Safety")),
                    "{}:{} has no SAFETY line",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}
