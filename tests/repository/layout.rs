//! The crate graph, as DESIGN draws it. An arrow gives the whole subtree behind it.

use crate::root;
use cargo_metadata::{CargoOpt, Dependency, DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};

/// Whom a crate may name. Everything those name is allowed as well.
const ARROWS: &[(&str, &[&str])] = &[
    // Lets a test kill the process at a named point; nothing at all in a release.
    ("entrepot-failpoint", &[]),
    ("entrepot-chain-statement", &[]),
    ("entrepot-chain-log", &["entrepot-chain-statement"]),
    ("entrepot-chain-ledger", &["entrepot-chain-log"]),
    // One connection between two parties that know each other's keys.
    ("entrepot-link", &["entrepot-chain-statement"]),
    ("entrepot-chain-consensus", &["entrepot-chain-log", "entrepot-failpoint", "entrepot-link"]),
    ("entrepot-chain-node", &["entrepot-chain-ledger", "entrepot-chain-consensus", "entrepot-failpoint"]),
    ("entrepot-exchange-domain", &["entrepot-chain-statement"]),
    ("entrepot-exchange-store", &["entrepot-exchange-domain"]),
    // Its tests, and the server's, keep a ledger in memory where the binary has a node.
    (
        "entrepot-exchange-market",
        &["entrepot-exchange-domain", "entrepot-exchange-store", "entrepot-mpc-plan", "entrepot-chain-ledger", "entrepot-failpoint"],
    ),
    ("entrepot-mpc-plan", &["entrepot-exchange-domain"]),
    ("entrepot-mpc-protocol", &[]),
    ("entrepot-mpc-query", &["entrepot-mpc-plan", "entrepot-mpc-protocol"]),
    ("entrepot-worker", &["entrepot-mpc-query", "entrepot-chain-log", "entrepot-api-wire", "entrepot-link", "entrepot-failpoint"]),
    ("entrepot-api-wire", &[]),
    ("entrepot-api-server", &["entrepot-exchange-market", "entrepot-api-wire", "entrepot-chain-log"]),
    ("entrepot-api-cli", &["entrepot-api-server", "entrepot-chain-node", "entrepot-worker"]),
    ("entrepot-sdk-native", &["entrepot-chain-statement", "entrepot-chain-log", "entrepot-mpc-plan"]),
    // They speak the formats, but run the binary as a stranger would.
    ("entrepot-tests", &["entrepot-chain-log", "entrepot-api-wire", "entrepot-mpc-plan", "entrepot-failpoint"]),
    ("entrepot-benches", &["entrepot-chain-statement"]),
];

/// Crates that only one of ours may name.
const OWNED: &[(&str, &str)] = &[
    ("polars", "entrepot-worker"),
    ("rocksdb", "entrepot-chain-node"),
    ("arc-malachitebft-core-consensus", "entrepot-chain-consensus"),
    ("arc-malachitebft-core-types", "entrepot-chain-consensus"),
    ("sqlx", "entrepot-exchange-store"),
    ("tfhe", "entrepot-mpc-fhe"),
    ("clap", "entrepot-api-cli"),
    ("pyo3", "entrepot-sdk-native"),
    ("anyhow", "entrepot-api-cli"),
];

/// What `api/server` and its tests must compile without.
const HEAVY: &[&str] =
    &["tfhe", "polars", "polars-core", "rocksdb", "librocksdb-sys", "entrepot-chain-node", "entrepot-worker", "entrepot-mpc-query"];

/// Later issues bring these, each to its own crate.
const LATER: &[&str] = &["tfhe", "bulletproofs", "wasmi", "async-nats", "arc-malachitebft-app-channel", "openssl-sys", "aws-lc-sys"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        // Only what is compiled here: the rest may never have been downloaded.
        .other_options(["--locked", "--filter-platform", platform().as_str()].map(str::to_owned))
        .exec()
        .expect("cargo metadata")
}

fn platform() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn allowed(name: &str) -> BTreeSet<&'static str> {
    let direct = ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to).unwrap_or_default();
    direct.iter().flat_map(|to| allowed(to).into_iter().chain([*to])).collect()
}

fn members(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

/// Everything that is compiled for a package and its tests: its normal, build and dev dependencies, and what those need.
fn tree<'a>(metadata: &'a Metadata, name: &str) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&PackageId, _> = metadata.resolve.iter().flat_map(|r| &r.nodes).map(|node| (&node.id, node)).collect();
    let start = members(metadata).into_iter().find(|p| p.name == name).map(|p| &p.id);
    let mut found = BTreeSet::new();
    let mut open: Vec<(&PackageId, bool)> = start.into_iter().map(|id| (id, true)).collect();
    while let Some((id, is_start)) = open.pop() {
        for dependency in &nodes[id].deps {
            let counts = is_start || dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if counts && found.insert(&dependency.pkg) {
                open.push((&dependency.pkg, false));
            }
        }
    }
    found.into_iter().map(|id| metadata[id].name.as_str()).collect()
}

#[test]
fn crates_depend_on_each_other_as_the_design_draws_it() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = members(&metadata).iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in members(&metadata) {
        if !ARROWS.iter().any(|(from, _)| *from == package.name.as_str()) {
            wrong.push(format!("{} is not in the drawing", package.name));
        }
        let allowed = allowed(&package.name);
        // Benchmarks measure whatever crate they are in.
        let counts = |d: &&Dependency| d.name != "entrepot-benches" || d.kind != DependencyKind::Development;
        let named = package.dependencies.iter().filter(counts).map(|d| d.name.as_str()).filter(|name| ours.contains(name));
        wrong.extend(named.filter(|name| !allowed.contains(name)).map(|name| format!("{} must not depend on {name}", package.name)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_drawing_has_no_circle() {
    for (name, _) in ARROWS {
        assert!(!allowed(name).contains(name), "{name} depends on itself");
    }
}

#[test]
fn heavy_libraries_are_named_by_their_owners_alone() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in members(&metadata) {
        for (library, owner) in OWNED {
            if package.name != *owner && package.dependencies.iter().any(|d| d.name == *library) {
                wrong.push(format!("{} names {library}, which belongs to {owner}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_server_and_its_tests_compile_nothing_heavy() {
    let metadata = metadata();
    let tree = tree(&metadata, "entrepot-api-server");
    assert!(tree.contains("axum"), "the tree was not read");
    let heavy: Vec<_> = HEAVY.iter().filter(|name| tree.contains(**name)).collect();
    assert!(heavy.is_empty(), "{heavy:?}");
    // The same walk does find them where they belong.
    let binary = self::tree(&metadata, "entrepot-api-cli");
    assert!(["polars", "librocksdb-sys"].iter().all(|name| binary.contains(name)), "the walk misses what the binary compiles");
}

#[test]
fn nothing_of_later_issues_is_compiled_yet() {
    let metadata = metadata();
    let names: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let early: Vec<_> = LATER.iter().filter(|name| names.contains(**name)).collect();
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn manifests_take_versions_and_lints_from_the_workspace() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in members(&metadata) {
        let text = std::fs::read_to_string(&package.manifest_path).expect("manifest");
        let manifest: toml::Table = text.parse().expect("toml");
        if manifest.get("lints").and_then(|l| l.get("workspace")) != Some(&toml::Value::Boolean(true)) {
            wrong.push(format!("{}: [lints] workspace = true is missing", package.name));
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                if value.get("workspace") != Some(&toml::Value::Boolean(true)) || value.get("features").is_some() {
                    wrong.push(format!("{}: {name} must be `workspace = true` and nothing else", package.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
