//! Lists what can be read: files under the folders that the host's owner allows, and units.

use super::access::{Access, changed_ms, rotation};
use super::{container, journal};
use crate::Agent;
use cmdr_protocol::logs::{JournalState, Kind, Listing, Source};
use cmdr_protocol::selector::glob;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files that are listed.
const MOST: usize = 4000;
/// Names that are looked at.
const LOOKED_AT: usize = 50_000;
/// Folders within folders.
const DEEPEST: usize = 8;
/// Files that hold no lines, by their names.
const NO_LINES: [&str; 5] = ["wtmp", "btmp", "lastlog", "faillog", "tallylog"];

/// Whether a path is one that a pattern means: `*` and `?` within a name, `**` for any number of folders.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    fn parts(pattern: &[&str], path: &[&str]) -> bool {
        match pattern {
            [] => path.is_empty(),
            ["**", rest @ ..] => (0..=path.len()).any(|n| parts(rest, &path[n..])),
            [first, rest @ ..] => path
                .split_first()
                .is_some_and(|(name, path)| glob(first, name) && parts(rest, path)),
        }
    }
    let split = |text: &'_ str| -> Vec<String> { text.split('/').map(str::to_owned).collect() };
    let (pattern, path) = (split(pattern), split(path));
    // More of them would only take time.
    let stars = pattern.iter().filter(|part| *part == "**").count();
    let borrowed = |list: &'_ [String]| -> Vec<String> { list.to_vec() };
    let (pattern, path) = (borrowed(&pattern), borrowed(&path));
    let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    stars <= 2 && parts(&pattern, &path)
}

/// Walks the folders. Links are not followed.
pub(super) fn files(
    access: &Access,
    roots: &[PathBuf],
    patterns: &[String],
) -> (Vec<Source>, bool) {
    let mut found = BTreeMap::new();
    let mut left = LOOKED_AT;
    let mut more = false;
    let mut folders: Vec<(PathBuf, usize)> = Vec::new();
    for root in roots {
        let root = root.canonicalize().unwrap_or_else(|_| root.clone());
        match std::fs::symlink_metadata(&root) {
            Ok(meta) if meta.is_dir() => folders.push((root, 0)),
            Ok(meta) if meta.is_file() => put(&mut found, access, &root, &meta, patterns),
            _ => {}
        }
    }
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if left == 0 {
                more = true;
                break;
            }
            left -= 1;
            let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
            if meta.is_dir() && depth < DEEPEST && !path.ends_with("journal") {
                folders.push((path, depth + 1));
            } else if meta.is_file() {
                put(&mut found, access, &path, &meta, patterns);
            }
        }
    }
    let names: Vec<String> = found.keys().cloned().collect();
    let mut rotated: BTreeMap<String, u32> = BTreeMap::new();
    for name in &names {
        if let Some(of) = rotated_from(&found, name) {
            *rotated.entry(of).or_default() += 1;
            found.remove(name);
        }
    }
    for (name, count) in rotated {
        if let Some(source) = found.get_mut(&name) {
            source.rotated = count;
        }
    }
    more |= found.len() > MOST;
    (found.into_values().take(MOST).collect(), more)
}

fn put(
    found: &mut BTreeMap<String, Source>,
    access: &Access,
    path: &Path,
    meta: &std::fs::Metadata,
    patterns: &[String],
) {
    let Some(name) = path.to_str() else { return };
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // What nobody could read is not offered.
    let readable = super::access::packing(file).1 != super::access::Packed::Else;
    let has_lines = readable && !NO_LINES.contains(&file) && !file.ends_with(".journal");
    let wanted = patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name));
    if has_lines && wanted && access.allows(path).is_ok() {
        let source = Source {
            source: format!("{}:{name}", Kind::File),
            kind: Kind::File,
            bytes: Some(meta.size()),
            changed_ms: Some(changed_ms(meta)),
            rotated: 0,
        };
        found.insert(name.to_owned(), source);
    }
}

/// The log that a file was rotated away from, if that is there too.
fn rotated_from(found: &BTreeMap<String, Source>, name: &str) -> Option<String> {
    let cuts = name.char_indices().filter(|(_, c)| matches!(c, '.' | '-')).map(|(at, _)| at);
    cuts.filter(|at| rotation(&name[..*at], name).is_some())
        .map(|at| name[..at].to_owned())
        .find(|of| found.contains_key(of))
}

/// Everything.
pub(super) async fn list(agent: &Agent, patterns: Vec<String>) -> Listing {
    let (access, roots) = (Access::of(agent), agent.policy().logs.paths.clone());
    let all = patterns.is_empty();
    let of_containers = |pattern: &String| pattern.starts_with(container::PREFIX);
    let (containers, patterns): (Vec<_>, Vec<_>) = patterns.into_iter().partition(of_containers);
    let (mut sources, mut more) = if all || !patterns.is_empty() {
        let walked = super::blocking(agent, move || files(&access, &roots, &patterns)).await;
        walked.unwrap_or_default()
    } else {
        (Vec::new(), false)
    };
    if all || !containers.is_empty() {
        let (found, cut) = container::all(agent, &containers).await;
        sources.extend(found);
        more |= cut;
    }
    let mut journal = journal::state(agent);
    if all && journal == JournalState::Here {
        let plain = |source: String, kind| Source { source, kind, ..Source::default() };
        if agent.policy().allows_unit(None).is_ok() {
            sources.push(plain("journal:all".into(), Kind::Journal));
            sources.push(plain("journal:kernel".into(), Kind::Journal));
        }
        match journal::units(agent).await {
            Ok((units, cut)) => {
                more |= cut;
                let unit = |unit| plain(format!("{}:{unit}", Kind::Unit), Kind::Unit);
                sources.extend(units.into_iter().map(unit));
            }
            Err(error) => {
                tracing::debug!("units of the journal: {error}");
                journal = JournalState::None;
                sources.retain(|source| matches!(source.kind, Kind::File | Kind::Container));
            }
        }
    }
    let has = |name: &str| sources.iter().any(|source| source.source == name);
    let main = ["journal:all", "file:/var/log/syslog", "file:/var/log/messages"];
    let main = main.into_iter().find(|name| has(name)).unwrap_or_default().to_owned();
    Listing { sources, more, journal, main }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_name_and_two_of_them_do_not() {
        for (pattern, path, wanted) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/nginx/a.log", false),
            ("/var/log/**/*.log", "/var/log/nginx/a.log", true),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**", "/var/log/a/b", true),
            ("/var/log/sys?og", "/var/log/syslog", true),
            ("/var/log", "/var/log/a", false),
            ("/**/**/**/**/x", "/a/x", false),
        ] {
            assert_eq!(matches(pattern, path), wanted, "{pattern} {path}");
        }
    }
}
