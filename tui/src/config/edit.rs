//! Changes one thing in the settings file and leaves the rest as its owner wrote it, comments
//! included. A file that cannot be read, or that would come to mean something else, is not touched.

use crate::view::View;
use std::fmt::Write as _;
use std::path::Path;
use toml::{Table, Value};

/// What is to be changed.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The theme.
    Theme(&'a str),
    /// The columns of a table; none for the usual ones.
    Columns(&'a str, &'a [String]),
    /// A view, in the place of the one of its name.
    View(&'a View),
    /// This view no longer.
    Forget(&'a View),
}

/// Changes the file. It is written beside and renamed, so that a full disk leaves the old one.
pub fn save(path: &Path, change: Change<'_>) -> Result<(), String> {
    let failed =
        |e: std::io::Error| format!("writing {}: {e}; nothing was changed", path.display());
    // Through a link to where the file really is, so that the link stays one.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match std::fs::read_to_string(&real) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(failed(e)),
    };
    if let Err(error) = super::parse(path, &old) {
        return Err(format!("{error}; mend the file first, nothing was written to it"));
    }
    let new = edited(&old, change);
    if meaning(&new) != wanted(&old, change) || super::parse(path, &new).is_err() {
        return Err(format!(
            "{} is written in a way that cannot be changed without harm; change it by hand",
            path.display()
        ));
    }
    if let Some(folder) = real.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    replace(&real, &new).map_err(failed)
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mode = std::fs::metadata(path).map(|meta| meta.permissions());
    cmdr_link::files::write_private(path, text.as_bytes())?;
    mode.map_or(Ok(()), |mode| std::fs::set_permissions(path, mode))
}

/// What a text says; a section without anything in it says nothing. `None` when it is not TOML.
fn meaning(text: &str) -> Option<Table> {
    text.parse().ok().map(dense)
}

fn dense(mut table: Table) -> Table {
    table.retain(|_, value| {
        !value.as_table().is_some_and(Table::is_empty) && value.as_array() != Some(&Vec::new())
    });
    table
}

/// What the file should say after the change.
fn wanted(old: &str, change: Change<'_>) -> Option<Table> {
    let mut table = meaning(old)?;
    match change {
        Change::Theme(name) => {
            table.insert("theme".into(), Value::String(name.into()));
        }
        Change::Columns(of, columns) => {
            let empty = || Value::Table(Table::new());
            let all = table.entry("columns").or_insert_with(empty).as_table_mut()?;
            if columns.is_empty() {
                all.remove(of);
            } else {
                let words = columns.iter().map(|c| Value::String(c.clone()));
                all.insert(of.into(), Value::Array(words.collect()));
            }
        }
        Change::View(view) | Change::Forget(view) => {
            let empty = || Value::Array(Vec::new());
            let all = table.entry("views").or_insert_with(empty).as_array_mut()?;
            let is = |value: &Value| {
                let text = |key| value.get(key).and_then(Value::as_str).unwrap_or_default();
                view.is(text("table"), text("name"))
            };
            let at = all.iter().position(is);
            if let Change::View(_) = change {
                let new = meaning(&written(view))?.get("views")?.get(0)?.clone();
                match at {
                    Some(at) => all[at] = new,
                    None => all.push(new),
                }
            } else if let Some(at) = at {
                all.remove(at);
            }
        }
    }
    Some(dense(table))
}

/// A `[header]` and the lines that belong to it; comments before the next header belong to that.
struct Section {
    header: String,
    lines: std::ops::Range<usize>,
}

fn sections(lines: &[String]) -> Vec<Section> {
    let is_header = |line: &&String| line.trim_start().starts_with('[');
    let mut sections = Vec::new();
    let mut from = 0;
    let mut header = String::new();
    for at in 0..=lines.len() {
        let next = lines.get(at).filter(is_header);
        if at < lines.len() && next.is_none() {
            continue;
        }
        let said = |line: &String| !line.trim().is_empty() && !line.trim().starts_with('#');
        let end = (from..at).rev().find(|n| said(&lines[*n])).map_or(from, |n| n + 1);
        sections.push(Section { header: std::mem::take(&mut header), lines: from..end });
        if let Some(next) = next {
            let name = next.split('#').next().unwrap_or_default();
            header = name.chars().filter(|c| !c.is_whitespace()).collect();
            from = at;
        }
    }
    sections
}

/// Whether a line sets this key.
fn sets(line: &str, key: &str) -> bool {
    line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
}

fn edited(old: &str, change: Change<'_>) -> String {
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    let sections = sections(&lines);
    let within =
        |range: &std::ops::Range<usize>, key: &str| range.clone().find(|n| sets(&lines[*n], key));
    match change {
        Change::Theme(name) => {
            let line = format!("theme = {}", quoted(name));
            match within(&sections[0].lines, "theme") {
                Some(at) => lines[at] = line,
                None => lines.insert(0, line),
            }
        }
        Change::Columns(of, columns) => {
            let section = sections.iter().find(|section| section.header == "[columns]");
            let at = section.and_then(|section| within(&section.lines, of));
            let line = format!("{of} = {}", list(columns));
            match (section, at) {
                (_, Some(at)) if columns.is_empty() => drop(lines.remove(at)),
                (_, Some(at)) => lines[at] = line,
                (_, None) if columns.is_empty() => {}
                (Some(section), None) => lines.insert(section.lines.start + 1, line),
                (None, None) => append(&mut lines, &format!("[columns]\n{line}")),
            }
        }
        Change::View(view) | Change::Forget(view) => {
            let is = |section: &&Section| {
                let text = lines[section.lines.clone()].join("\n");
                let read = meaning(&text);
                let view_of = |table: &Table| {
                    let read = table.get("views")?.get(0)?;
                    let text = |key| read.get(key).and_then(Value::as_str).unwrap_or_default();
                    Some(view.is(text("table"), text("name")))
                };
                section.header == "[[views]]" && read.as_ref().and_then(view_of) == Some(true)
            };
            let at = sections.iter().find(is).map(|section| section.lines.clone());
            let text = match change {
                Change::View(_) => written(view),
                _ => String::new(),
            };
            match at {
                Some(range) => drop(lines.splice(range, text.lines().map(str::to_owned))),
                None if text.is_empty() => {}
                None => append(&mut lines, &text),
            }
        }
    }
    let mut text = lines.join("\n");
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn append(lines: &mut Vec<String>, text: &str) {
    if lines.last().is_some_and(|line| !line.trim().is_empty()) {
        lines.push(String::new());
    }
    lines.extend(text.lines().map(str::to_owned));
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// A view as it stands in the file.
fn written(view: &View) -> String {
    let mut out = "[[views]]".to_owned();
    let mut line = |key: &str, value: String| {
        // Writing to a String cannot fail.
        write!(out, "\n{key} = {value}").ok();
    };
    line("name", quoted(&view.name));
    line("table", quoted(&view.table));
    let key = view.key.clone().unwrap_or_default();
    for (name, value) in [("key", &key), ("filter", &view.filter), ("sort", &view.sort)] {
        if !value.is_empty() {
            line(name, quoted(value));
        }
    }
    if view.reverse {
        line("reverse", "true".to_owned());
    }
    if !view.columns.is_empty() {
        line("columns", list(&view.columns));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use std::path::PathBuf;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tui.toml");
        std::fs::write(&path, text).expect("write");
        (folder, path)
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).expect("read")
    }

    fn view(name: &str, filter: &str) -> View {
        let (name, filter) = (name.to_owned(), filter.to_owned());
        View { name, filter, table: "hosts".into(), ..View::default() }
    }

    #[test]
    fn a_saved_theme_leaves_the_rest_of_the_file_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cmdr/tui.toml");
        save(&path, Change::Theme("nord")).expect("new file");
        assert_eq!(load(&path).expect("reads").theme.as_deref(), Some("nord"));
        std::fs::write(&path, "# mine\nlang = \"zh\"\ntheme = \"nord\"\n").expect("write");
        save(&path, Change::Theme("light")).expect("old file");
        assert_eq!(text(&path), "# mine\nlang = \"zh\"\ntheme = \"light\"\n");
    }

    #[test]
    fn views_and_columns_come_and_go_between_what_others_wrote() {
        let old = "# mine\n\n[keys] # few\nhelp = \"h\"\n\n# the end\n";
        let (_folder, path) = file(old);
        let columns = ["cpu:8".to_owned(), "name".to_owned()];
        save(&path, Change::Columns("hosts", &columns)).expect("columns");
        let busy = View {
            key: Some("<f5>".into()),
            sort: "cpu".into(),
            columns: vec!["name".into()],
            ..view("busy \"ones\"", "a\\.b")
        };
        save(&path, Change::View(&busy)).expect("view");
        save(&path, Change::View(&view("web", "web"))).expect("another");
        let config = load(&path).expect("reads");
        assert_eq!(config.columns["hosts"], columns);
        assert_eq!(config.views, [busy.clone(), view("web", "web")]);
        save(&path, Change::View(&view("web", "^web"))).expect("changed");
        save(&path, Change::Forget(&busy)).expect("forgotten");
        assert_eq!(load(&path).expect("reads").views, [view("web", "^web")]);
        save(&path, Change::Forget(&view("web", ""))).expect("forgotten");
        save(&path, Change::Columns("hosts", &[])).expect("usual");
        assert!(text(&path).starts_with(old.trim_end()), "{}", text(&path));
        assert_eq!(load(&path).expect("reads").views, []);
    }

    #[test]
    fn a_file_with_a_mistake_is_never_written_over() {
        let (_folder, path) = file("theme = \"nord\nlang = 1\n");
        let error = save(&path, Change::Theme("light")).expect_err("a mistake");
        assert!(error.contains("tui.toml:1: ") && error.contains("mend the file first"), "{error}");
        assert_eq!(text(&path), "theme = \"nord\nlang = 1\n");
    }

    #[test]
    fn a_file_that_would_come_to_mean_something_else_is_left_alone() {
        let old = "columns = { hosts = [\"cpu\"] }\n";
        let (_folder, path) = file(old);
        let columns = ["name".to_owned()];
        let error = save(&path, Change::Columns("hosts", &columns)).expect_err("in one line");
        assert!(error.contains("by hand"), "{error}");
        assert_eq!(text(&path), old);
    }

    #[test]
    fn a_link_stays_a_link_and_the_file_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, path) = file("");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("mode");
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        save(&link, Change::Theme("nord")).expect("saves");
        assert!(link.is_symlink());
        assert_eq!(text(&path), "theme = \"nord\"\n");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    }
}
