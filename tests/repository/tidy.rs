//! The style that a machine can check. Each rule is a function of text, and is shown to go red.

use crate::root;
use std::path::{Path, PathBuf};

/// Lines a source file may have, its tests apart.
const FILE_LINES_MAX: usize = 500;
/// Lines a function may have, its tests apart.
const FUNCTION_LINES_MAX: usize = 70;

/// Crates whose clock and randomness come in as arguments.
const PURE: &[&str] = &[
    "chain/statement/src",
    "chain/log/src",
    "chain/ledger/src",
    "exchange/domain/src",
    "exchange/store/src",
    "exchange/market/src",
    "mpc/plan/src",
    "mpc/protocol/src",
    "mpc/query/src",
];

const AMBIENT: &[&str] =
    &["SystemTime::now", "Instant::now", "Utc::now", "OsRng", "thread_rng", "getrandom::", "from_entropy", "from_os_rng", "now_v7"];

const SKIPPED_FOLDERS: &[&str] = &[".git", "target", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

struct Source {
    path: PathBuf,
    text: String,
}

fn sources(extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("folder").map(|entry| entry.expect("entry")) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    open.push(path);
                }
            } else if extensions.iter().any(|e| path.extension().is_some_and(|found| found == *e)) {
                let text = std::fs::read_to_string(&path).expect("UTF-8 source");
                found.push(Source { path: path.strip_prefix(root()).expect("inside").to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The text before the file's tests.
fn without_tests(text: &str) -> &str {
    let end = ["\n#[cfg(test)]\nmod ", "\n#[cfg(test)]\n#[path"].iter().filter_map(|mark| text.find(mark)).min();
    end.map_or(text, |end| &text[..end])
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "benches")))
}

fn too_long(text: &str) -> Option<usize> {
    let lines = without_tests(text).lines().count();
    (lines > FILE_LINES_MAX).then_some(lines)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Functions with more lines than fit: in formatted code a function ends at the first closing brace that is indented as it is.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = without_tests(text).lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let words = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        if !["fn ", "async fn ", "const fn "].iter().any(|begin| words.starts_with(begin)) {
            continue;
        }
        let end =
            lines[start..].iter().position(|l| indentation(l) == indentation(line) && (l.trim() == "}" || l.trim_end().ends_with(';')));
        let length = end.unwrap_or(0) + 1;
        if length > FUNCTION_LINES_MAX {
            found.push((start + 1, length));
        }
    }
    found
}

/// Words that must not stand in a source, in pieces so that this file does not find itself.
fn forbidden(extension: &str) -> Vec<String> {
    let join = |words: &[&str]| words.concat();
    let mut words = vec![join(&["TO", "DO"]), join(&["FIX", "ME"]), join(&["XX", "X"]), join(&["HA", "CK"])];
    if extension == "rs" {
        words.extend([
            join(&["#[al", "low("]),
            join(&["#![al", "low("]),
            join(&["#[ig", "nore"]),
            join(&["to", "do!("]),
            join(&["unimple", "mented!("]),
        ]);
    }
    if extension == "py" {
        words.extend([join(&["# no", "qa"]), join(&["pytest.mark.sk", "ip"]), join(&["xf", "ail"])]);
    }
    words
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_part(before) && (!word.ends_with(char::is_alphanumeric) || !is_part(after))
    })
}

fn ambient(text: &str) -> Vec<(usize, &'static str)> {
    let lines = without_tests(text).lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.flat_map(|(n, line)| AMBIENT.iter().filter(move |word| line.contains(**word)).map(move |word| (n + 1, *word))).collect()
}

/// Columns of a migration's tables without a comment of their own, on their line or the lines before.
fn uncommented_columns(sql: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut inside, mut commented) = (false, false);
    for (n, line) in sql.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.to_uppercase().starts_with("CREATE TABLE") {
            inside = true;
        } else if trimmed.starts_with(')') {
            inside = false;
        } else if trimmed.starts_with("--") {
            commented = true;
            continue;
        } else if inside && trimmed.starts_with(|c: char| c.is_ascii_lowercase()) && !commented && !trimmed.contains("--") {
            found.push(n + 1);
        }
        commented = false;
    }
    found
}

#[test]
fn files_and_functions_fit() {
    let mut wrong = Vec::new();
    for source in sources(&["rs", "py"]) {
        if source.path.file_name().is_none_or(|name| name != "tests.rs")
            && let Some(lines) = too_long(&source.text)
        {
            wrong.push(format!("{}: {lines} lines without tests; at most {FILE_LINES_MAX}", source.path.display()));
        }
        if source.path.extension().is_some_and(|e| e == "rs") && !is_test(&source.path) {
            for (line, length) in long_functions(&source.text) {
                wrong.push(format!("{}:{line}: a function of {length} lines; at most {FUNCTION_LINES_MAX}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    let mut wrong = Vec::new();
    for source in sources(&["rs", "py", "sql", "proto", "toml"]) {
        let extension = source.path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        for word in forbidden(extension) {
            let lines = source.text.lines().enumerate().filter(|(_, line)| has_word(line, &word));
            wrong.extend(lines.map(|(n, _)| format!("{}:{}: {word}", source.path.display(), n + 1)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_say_something() {
    let wrong: Vec<_> = sources(&["rs", "py"])
        .into_iter()
        .filter(|s| s.path.with_extension("").iter().any(|part| EMPTY_NAMES.iter().any(|name| part == *name)))
        .map(|s| s.path)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_take_clock_and_randomness_as_arguments() {
    let mut wrong = Vec::new();
    for source in sources(&["rs"]).iter().filter(|s| PURE.iter().any(|pure| s.path.starts_with(pure)) && !is_test(&s.path)) {
        wrong.extend(ambient(&source.text).into_iter().map(|(line, word)| format!("{}:{line}: {word}", source.path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_column_has_a_comment() {
    let migrations = sources(&["sql"]);
    assert!(!migrations.is_empty(), "there are no migrations");
    let wrong: Vec<_> = migrations
        .iter()
        .flat_map(|s| uncommented_columns(&s.text).into_iter().map(|line| format!("{}:{line}", s.path.display())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<_> =
        sources(&["rs"]).into_iter().filter(|s| !is_test(&s.path) && !s.text.starts_with("//! ")).map(|s| s.path).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn each_rule_goes_red() {
    let long = "x\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(too_long(&long), Some(FILE_LINES_MAX + 1));
    assert_eq!(too_long(&format!("x\n\n#[cfg(test)]\nmod tests {{\n{long}}}\n")), None);

    let function = format!("impl X {{\n    pub async fn f() {{\n{}    }}\n}}\n", "        x;\n".repeat(FUNCTION_LINES_MAX));
    assert_eq!(long_functions(&function), [(2, FUNCTION_LINES_MAX + 2)]);
    assert!(long_functions("fn f() {\n    x;\n}\n").is_empty());

    let word = ["TO", "DO"].concat();
    assert!(has_word(&format!("// {word}: later"), &word) && !has_word("TODOS_MAX", &word));
    assert!(has_word(&["#[al", "low(dead_code)]"].concat(), &["#[al", "low("].concat()));

    assert_eq!(ambient("let now = SystemTime::now();"), [(1, "SystemTime::now")]);
    assert!(ambient("// SystemTime::now\n").is_empty());

    let sql = "CREATE TABLE t (\n  -- The id.\n  id TEXT,\n  name TEXT,\n  PRIMARY KEY (id)\n);\n";
    assert_eq!(uncommented_columns(sql), [4]);
}
