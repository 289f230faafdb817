//! What the documents cite is there.

use crate::root;
use std::fs;

/// Short names that docs/THREATS.md declares.
const SHORT: &[(&str, &str)] =
    &[("hostile/", "tests/scenarios/hostile_exchange/"), ("gate", "worker/src/gate/tests.rs"), ("verify", "chain/log/tests/verify.rs")];

/// What stands between backticks, line by line.
fn quoted(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(n, line)| line.split('`').skip(1).step_by(2).map(move |word| (n + 1, word)))
}

fn path_of(cited: &str) -> String {
    let short = SHORT.iter().find(|(short, _)| if short.ends_with('/') { cited.starts_with(short) } else { cited == *short });
    short.map_or_else(|| cited.to_owned(), |(short, full)| cited.replacen(short, full, 1))
}

fn has_test(source: &str, name: &str) -> bool {
    [format!("fn {name}("), format!("def {name}(")].iter().any(|head| source.contains(head))
}

/// Tests that a document cites and that are not where it says. A name without a file is in the file named before it on its line.
fn missing_tests(text: &str, read: impl Fn(&str) -> Option<String>) -> (usize, Vec<String>) {
    let (mut cited, mut missing) = (0, Vec::new());
    let mut file = (0, String::new());
    for (line, word) in quoted(text) {
        let name = match word.split_once("::") {
            Some((path, name)) if path != "file" => {
                file = (line, path_of(path));
                name
            }
            None if file.0 == line && word.matches('_').count() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => word,
            _ => continue,
        };
        cited += 1;
        if !read(&file.1).is_some_and(|source| has_test(&source, name)) {
            missing.push(format!("line {line}: {}::{name}", file.1));
        }
    }
    (cited, missing)
}

#[test]
fn every_test_that_the_threats_cite_exists() {
    let text = fs::read_to_string(root().join("docs/THREATS.md")).expect("docs/THREATS.md");
    let (cited, missing) = missing_tests(&text, |path| fs::read_to_string(root().join(path)).ok());
    assert!(cited > 60, "only {cited} tests were read from the document");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in ["README.md", "docs/ARCHITECTURE.md", "docs/THREATS.md", "data/README.md", "sdk-python/README.md", "CHANGELOG.md"] {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{document} is missing"));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = path.parent().expect("a folder").join(link.split('#').next().unwrap_or_default());
            if !target.exists() {
                broken.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_test_that_is_gone_is_found() {
    let text = "| `gate::is_there_and_found` and `is_gone_by_now`, `hostile/x.rs::was_never_there` |\n`file::name` `not_after_a_file`\n";
    let read = |path: &str| (path == "worker/src/gate/tests.rs").then(|| "fn is_there_and_found() {}".to_owned());
    let missing = ["line 1: worker/src/gate/tests.rs::is_gone_by_now", "line 1: tests/scenarios/hostile_exchange/x.rs::was_never_there"];
    assert_eq!(missing_tests(text, read), (3, missing.map(str::to_owned).to_vec()));
}
