//! The lines of the form: which setting of a container each is, and how that is written there. Lists are words with
//! blanks between them; quotes hold a word together.

use crate::panes::sessions::words;
use cmdr_protocol::containers::Spec;
use std::collections::BTreeMap;

/// How a setting is written.
#[derive(Clone, Copy)]
pub(super) enum Sort {
    /// As it is.
    Line(fn(&mut Spec) -> &mut String),
    /// Words.
    Words(fn(&mut Spec) -> &mut Vec<String>),
    /// Words `NAME=VALUE`.
    Pairs(fn(&mut Spec) -> &mut BTreeMap<String, String>),
    /// A whole number; none for 0.
    Number(fn(&mut Spec) -> &mut i64),
    /// Yes or no.
    Switch(fn(&mut Spec) -> &mut bool),
    /// A command for the container's shell, or behind `CMD` program and arguments.
    Check,
}

/// A line.
pub(super) struct Line {
    /// The setting, as problems and YAML call it.
    pub(super) setting: &'static str,
    /// Keys of its name and of its hint.
    pub(super) name: &'static str,
    pub(super) hint: &'static str,
    pub(super) sort: Sort,
}

const fn line(setting: &'static str, name: &'static str, hint: &'static str, sort: Sort) -> Line {
    Line { setting, name, hint, sort }
}

/// All of them, the usual ones first.
pub(super) const LINES: &[Line] = &[
    line(
        "image",
        "containers.run.image",
        "containers.run.image_hint",
        Sort::Line(|s| &mut s.image),
    ),
    line("name", "containers.run.name", "containers.run.name_hint", Sort::Line(|s| &mut s.name)),
    line(
        "command",
        "containers.run.command",
        "containers.run.command_hint",
        Sort::Words(|s| &mut s.command),
    ),
    line(
        "ports",
        "containers.run.ports",
        "containers.run.ports_hint",
        Sort::Words(|s| &mut s.ports),
    ),
    line(
        "environment",
        "containers.run.environment",
        "containers.run.environment_hint",
        Sort::Pairs(|s| &mut s.environment),
    ),
    line(
        "volumes",
        "containers.run.volumes",
        "containers.run.volumes_hint",
        Sort::Words(|s| &mut s.volumes),
    ),
    line(
        "network",
        "containers.run.network",
        "containers.run.network_hint",
        Sort::Line(|s| &mut s.network),
    ),
    line(
        "restart",
        "containers.run.restart",
        "containers.run.restart_hint",
        Sort::Line(|s| &mut s.restart),
    ),
    line(
        "mem_limit",
        "containers.run.memory",
        "containers.run.memory_hint",
        Sort::Line(|s| &mut s.mem_limit),
    ),
    line("cpus", "containers.run.cpus", "containers.run.cpus_hint", Sort::Line(|s| &mut s.cpus)),
    line(
        "pids_limit",
        "containers.run.pids",
        "containers.run.pids_hint",
        Sort::Number(|s| &mut s.pids_limit),
    ),
    line("healthcheck", "containers.run.check", "containers.run.check_hint", Sort::Check),
    line(
        "healthcheck",
        "containers.run.check_interval",
        "containers.run.check_interval_hint",
        Sort::Line(|s| &mut s.healthcheck.interval),
    ),
    line(
        "healthcheck",
        "containers.run.check_timeout",
        "containers.run.check_timeout_hint",
        Sort::Line(|s| &mut s.healthcheck.timeout),
    ),
    line(
        "healthcheck",
        "containers.run.check_retries",
        "containers.run.check_retries_hint",
        Sort::Number(|s| &mut s.healthcheck.retries),
    ),
    line(
        "labels",
        "containers.run.labels",
        "containers.run.labels_hint",
        Sort::Pairs(|s| &mut s.labels),
    ),
    line(
        "entrypoint",
        "containers.run.entrypoint",
        "containers.run.entrypoint_hint",
        Sort::Words(|s| &mut s.entrypoint),
    ),
    line(
        "working_dir",
        "containers.run.folder",
        "containers.run.folder_hint",
        Sort::Line(|s| &mut s.working_dir),
    ),
    line("user", "containers.run.user", "containers.run.user_hint", Sort::Line(|s| &mut s.user)),
    line(
        "hostname",
        "containers.run.hostname",
        "containers.run.hostname_hint",
        Sort::Line(|s| &mut s.hostname),
    ),
    line(
        "extra_hosts",
        "containers.run.extra_hosts",
        "containers.run.extra_hosts_hint",
        Sort::Words(|s| &mut s.extra_hosts),
    ),
    line(
        "tmpfs",
        "containers.run.tmpfs",
        "containers.run.tmpfs_hint",
        Sort::Words(|s| &mut s.tmpfs),
    ),
    line(
        "auto_remove",
        "containers.run.auto_remove",
        "containers.run.auto_remove_hint",
        Sort::Switch(|s| &mut s.auto_remove),
    ),
    line("init", "containers.run.init", "containers.run.init_hint", Sort::Switch(|s| &mut s.init)),
    line(
        "read_only",
        "containers.run.read_only",
        "containers.run.read_only_hint",
        Sort::Switch(|s| &mut s.read_only),
    ),
    line("tty", "containers.run.tty", "containers.run.tty_hint", Sort::Switch(|s| &mut s.tty)),
    line(
        "stdin_open",
        "containers.run.stdin",
        "containers.run.stdin_hint",
        Sort::Switch(|s| &mut s.stdin_open),
    ),
    line(
        "devices",
        "containers.run.devices",
        "containers.run.devices_hint",
        Sort::Words(|s| &mut s.devices),
    ),
    line(
        "cap_add",
        "containers.run.cap_add",
        "containers.run.cap_add_hint",
        Sort::Words(|s| &mut s.cap_add),
    ),
    line(
        "cap_drop",
        "containers.run.cap_drop",
        "containers.run.cap_drop_hint",
        Sort::Words(|s| &mut s.cap_drop),
    ),
    line(
        "privileged",
        "containers.run.privileged",
        "containers.run.privileged_hint",
        Sort::Switch(|s| &mut s.privileged),
    ),
];

/// What is wrong with a line: key of what is said, and of what.
pub(super) type Wrong = (&'static str, String);

/// A word so that [`words`] reads it as it is; as bare as can be.
fn quoted(word: &str) -> String {
    let bare = |c: char| !c.is_whitespace() && !matches!(c, '\'' | '"' | '\\');
    match word {
        _ if !word.is_empty() && word.chars().all(bare) => word.to_owned(),
        _ if !word.contains('\'') => format!("'{word}'"),
        _ => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

impl Line {
    /// What stands in it.
    pub(super) fn text(&self, spec: &Spec) -> String {
        // The ways to a setting lead to one that can be changed.
        let mut spec = spec.clone();
        match self.sort {
            Sort::Line(at) => at(&mut spec).clone(),
            Sort::Words(at) => joined(at(&mut spec).iter().map(String::as_str)),
            Sort::Pairs(at) => {
                let pair = |(name, value): (&String, &String)| match value.as_str() {
                    "" => format!("{}=", quoted(name)),
                    value => format!("{}={}", quoted(name), quoted(value)),
                };
                at(&mut spec).iter().map(pair).collect::<Vec<_>>().join(" ")
            }
            Sort::Number(at) => match at(&mut spec) {
                0 => String::new(),
                n => n.to_string(),
            },
            Sort::Switch(at) => if *at(&mut spec) { "x" } else { "" }.to_owned(),
            Sort::Check => match spec.healthcheck.test.as_slice() {
                [kind, text] if kind == "CMD-SHELL" => text.clone(),
                test => joined(test.iter().map(String::as_str)),
            },
        }
    }

    /// Whether it is yes or no.
    pub(super) const fn is_switch(&self) -> bool {
        matches!(self.sort, Sort::Switch(_))
    }

    /// Takes what stands in it.
    pub(super) fn put(&self, spec: &mut Spec, text: &str) -> Result<(), Wrong> {
        let split = |text: &str| words(text).ok_or(("shell.open_quote", String::new()));
        match self.sort {
            Sort::Line(at) => text.trim().clone_into(at(spec)),
            Sort::Words(at) => *at(spec) = split(text)?,
            Sort::Pairs(at) => {
                let mut pairs = BTreeMap::new();
                for word in split(text)? {
                    let Some((name, value)) = word.split_once('=') else {
                        return Err(("containers.run.no_pair", word));
                    };
                    pairs.insert(name.to_owned(), value.to_owned());
                }
                *at(spec) = pairs;
            }
            Sort::Number(at) => {
                let text = text.trim();
                let number = if text.is_empty() { Ok(0) } else { text.parse() };
                *at(spec) = number.map_err(|_| ("containers.run.no_number", text.to_owned()))?;
            }
            Sort::Switch(at) => *at(spec) = !text.is_empty(),
            Sort::Check => {
                let text = text.trim();
                spec.healthcheck.test = match text.split_once(' ').unwrap_or((text, "")) {
                    ("", _) => Vec::new(),
                    ("CMD" | "NONE", _) => split(text)?,
                    _ => vec!["CMD-SHELL".to_owned(), text.to_owned()],
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_reads_what_it_has_written() {
        let mut spec = Spec {
            image: "nginx:1".into(),
            command: vec!["sh".into(), "-c".into(), "echo 'a b' \"$X\" \\".into(), String::new()],
            ports: vec!["8080:80".into(), "53:53/udp".into()],
            environment: [("A".into(), "b c".into()), ("E".into(), String::new())].into(),
            pids_limit: -1,
            init: true,
            ..Spec::default()
        };
        spec.healthcheck.test = vec!["CMD-SHELL".into(), "curl -f 'http://x' || exit 1".into()];
        assert_eq!(LINES[3].text(&spec), "8080:80 53:53/udp");
        assert_eq!(LINES[4].text(&spec), "A='b c' E=");
        let mut again = Spec::default();
        for line in LINES {
            line.put(&mut again, &line.text(&spec)).expect("reads");
        }
        assert_eq!(again, spec);
        let check = LINES.iter().find(|line| matches!(line.sort, Sort::Check)).expect("a line");
        check.put(&mut spec, "CMD curl -f x").expect("reads");
        assert_eq!(spec.healthcheck.test, ["CMD", "curl", "-f", "x"]);
        assert_eq!(check.text(&spec), "CMD curl -f x");
    }

    #[test]
    fn each_line_is_a_setting_and_what_is_no_pair_or_number_is_said() {
        for line in LINES {
            assert!(Spec::FIELDS.contains(&line.setting), "{}", line.setting);
        }
        let of = |name: &str| LINES.iter().find(|line| line.setting == name).expect("a line");
        let mut spec = Spec::default();
        assert_eq!(
            of("environment").put(&mut spec, "A"),
            Err(("containers.run.no_pair", "A".into()))
        );
        assert_eq!(
            of("pids_limit").put(&mut spec, "x").map_err(|e| e.0),
            Err("containers.run.no_number")
        );
        assert_eq!(of("ports").put(&mut spec, "'80").map_err(|e| e.0), Err("shell.open_quote"));
    }
}
