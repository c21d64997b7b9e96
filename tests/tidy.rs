//! Rules of this repository as tests: who may use whom, how large a file may grow, what must not be
//! forgotten.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file that git knows or would add, below `dir`, that ends so.
fn files(dir: &str, ending: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, ending, found);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(dir), ending, &mut found);
    found.sort();
    found
}

const CRATES: [&str; 14] = [
    "protocol", "link", "history", "recorder", "chart", "rules", "probes", "notify", "agentd",
    "hub", "tui", "cli", "gateway", "tests",
];

#[test]
fn crates_use_only_the_crates_they_may() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let dependencies = package["dependencies"].as_array().unwrap();
        let ordinary = dependencies.iter().filter(|d| d["kind"] != "dev");
        let names = ordinary.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
        uses.insert(package["name"].as_str().unwrap().to_owned(), names);
    }
    // Who must not use what, and why.
    let forbidden = [
        ("cmdr-protocol", vec!["tokio", "snow", "rmp-serde", "cmdr-link"], "it is types only"),
        (
            "cmdr-link",
            vec!["cmdr-hub", "cmdr-agentd", "cmdr", "cmdr-tui", "ratatui", "sled"],
            "it is below them all",
        ),
        (
            "cmdr-rules",
            vec!["tokio", "cmdr-link", "cmdr-hub", "cmdr-agentd", "cmdr", "cmdr-tui"],
            "it is logic only",
        ),
        (
            "cmdr-probes",
            vec!["cmdr-link", "cmdr-hub", "cmdr-agentd", "cmdr", "cmdr-tui"],
            "it is lent what it needs",
        ),
        (
            "cmdr-notify",
            vec!["cmdr-link", "cmdr-hub", "cmdr-agentd", "cmdr", "cmdr-tui", "cmdr-rules"],
            "it sends what it is given",
        ),
        (
            "cmdr-history",
            vec!["cmdr-protocol", "cmdr-link", "cmdr-hub", "tokio", "sled"],
            "it keeps numbers and knows nothing else",
        ),
        (
            "cmdr-recorder",
            vec!["cmdr-protocol", "cmdr-link", "cmdr-agentd", "cmdr-hub", "tokio", "sysinfo"],
            "it looks at the kernel's files and its own, and knows nothing else",
        ),
        (
            "cmdr-hub",
            vec![
                "ratatui",
                "bollard",
                "sysinfo",
                "cmdr-agentd",
                "cmdr",
                "cmdr-tui",
                "snow",
                "rmp-serde",
                "yamux",
            ],
            "it relays and keeps; it neither shows nor samples",
        ),
        (
            "cmdr-agentd",
            vec!["cmdr-hub", "ratatui", "sled", "snow", "rmp-serde", "yamux"],
            "it works without a hub",
        ),
        (
            "cmdr-tui",
            vec![
                "cmdr",
                "cmdr-hub",
                "cmdr-agentd",
                "bollard",
                "sysinfo",
                "sled",
                "snow",
                "rmp-serde",
                "yamux",
            ],
            "it shows what comes over the link",
        ),
        (
            "cmdr",
            vec![
                "cmdr-tui",
                "cmdr-hub",
                "cmdr-agentd",
                "ratatui",
                "sled",
                "snow",
                "rmp-serde",
                "yamux",
            ],
            "it asks over the link",
        ),
        (
            "cmdr-gateway",
            vec!["cmdr-protocol", "cmdr-link", "cmdr-hub", "cmdr-agentd", "cmdr", "cmdr-tui"],
            "it moves bytes by a file and knows nobody",
        ),
    ];
    for (user, used, reason) in forbidden {
        let has = &uses[user];
        let bad: Vec<_> = used.iter().filter(|name| has.iter().any(|h| h == *name)).collect();
        assert!(bad.is_empty(), "{user} must not use {bad:?}: {reason}");
    }
}

/// Lines before the first test module, which is what a reader has to hold in mind.
fn lines_without_tests(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}

#[test]
fn no_file_grows_beyond_six_hundred_lines() {
    let large: Vec<_> = CRATES
        .iter()
        .flat_map(|dir| files(dir, ".rs"))
        .map(|path| (lines_without_tests(&path), path))
        .filter(|(lines, _)| *lines > 600)
        .collect();
    assert!(large.is_empty(), "more than one idea in a file? {large:?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<_> = CRATES
        .iter()
        .flat_map(|dir| files(dir, ".rs"))
        .filter(|path| {
            !path.ends_with("tests.rs")
                && !std::fs::read_to_string(path).unwrap().starts_with("//!")
        })
        .collect();
    assert!(silent.is_empty(), "these files begin without a module comment: {silent:?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
    ];
    for path in CRATES.iter().flat_map(|dir| files(dir, ".rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for mark in marks {
            assert!(!text.contains(mark), "{} has {mark}", path.display());
        }
    }
}

#[test]
fn only_link_knows_the_wire_only_the_store_an_engine_only_one_file_the_terminal() {
    let allowed = [
        ("snow::", "link/src/"),
        ("yamux::", "link/src/"),
        ("rmp_serde::", "link/src/"),
        ("sled::", "hub/src/store/"),
        ("enable_raw_mode", "tui/src/terminal.rs"),
    ];
    for path in ["link", "agentd", "hub", "tui", "cli"]
        .iter()
        .flat_map(|dir| files(&format!("{dir}/src"), ".rs"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        for (word, place) in allowed {
            assert!(
                shown.starts_with(place) || !text.contains(word),
                "{shown} names {word}, which only {place} may"
            );
        }
    }
}

#[test]
fn no_test_file_is_forgotten() {
    for (dir, main) in
        [("tests/system", "main.rs"), ("tests/terminal", "main.rs"), ("tui/tests", "main.rs")]
    {
        let list = std::fs::read_to_string(root().join(dir).join(main)).unwrap();
        for path in files(dir, ".rs") {
            let mut path = path;
            if path.ends_with("mod.rs") {
                path.pop();
            }
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            // A file in a folder of its own belongs to the file of the folder's name.
            let folder = path.parent().unwrap();
            let list = match folder.file_name().map(|f| f.to_string_lossy().into_owned()) {
                Some(f) if dir.ends_with(&f) => list.clone(),
                _ => std::fs::read_to_string(folder.with_extension("rs"))
                    .or_else(|_| std::fs::read_to_string(folder.join("mod.rs")))
                    .unwrap(),
            };
            assert!(
                name == "main" || list.contains(&format!("mod {name};")),
                "{} is listed nowhere",
                path.display()
            );
        }
    }
}

#[test]
fn every_feature_has_its_file_in_every_crate() {
    for feature in ["hosts", "metrics", "processes", "exec", "ports", "services", "system"] {
        let mut places =
            vec![format!("protocol/src/{feature}.rs"), format!("tests/system/{feature}.rs")];
        places.push(match feature {
            "hosts" => "hub/src/services/hosts.rs".to_owned(),
            _ => format!("agentd/src/services/{feature}.rs"),
        });
        for place in places {
            assert!(root().join(&place).exists(), "{place} is missing");
        }
    }
}

#[test]
fn the_table_of_methods_in_the_documentation_is_the_real_one() {
    use cmdr_protocol::methods::{BETWEEN, INNER, METHODS};
    let mut table = String::from("| method | kind | needs | answered by |\n|---|---|---|---|\n");
    for m in METHODS {
        writeln!(table, "| `{}` | {} | {:?} | {:?} |", m.name, m.kind, m.access, m.place).unwrap();
    }
    for m in INNER {
        writeln!(table, "| `{}` | {} | the hub alone | {:?} |", m.name, m.kind, m.place).unwrap();
    }
    for m in BETWEEN {
        writeln!(
            table,
            "| `{}` | {} | another host, with a ticket | {:?} |",
            m.name, m.kind, m.place
        )
        .unwrap();
    }
    let path = root().join("docs/protocol.md");
    let text = std::fs::read_to_string(&path).unwrap();
    if !text.contains(&table) && std::env::var_os("CMDR_BLESS").is_some() {
        let (head, rest) = text.split_once("<!-- methods -->\n").unwrap();
        let (_, tail) = rest.split_once("<!-- end -->").unwrap();
        std::fs::write(&path, format!("{head}<!-- methods -->\n{table}<!-- end -->{tail}"))
            .unwrap();
        return;
    }
    assert!(
        text.contains(&table),
        "docs/protocol.md is stale; run this test once with CMDR_BLESS=1"
    );
}

#[test]
fn the_description_of_the_http_interface_in_the_documentation_is_the_real_one() {
    let (path, real) = (root().join("docs/openapi.json"), cmdr_hub::api::document::text());
    if std::env::var_os("CMDR_BLESS").is_some() {
        std::fs::write(&path, &real).unwrap();
    }
    let copy = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(copy == real, "docs/openapi.json is stale; run this test once with CMDR_BLESS=1");
}
