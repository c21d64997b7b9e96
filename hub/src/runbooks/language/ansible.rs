//! Steps that are playbooks of Ansible: whether a text can be one, and what may stand beside it. What is in its tasks
//! is Ansible's to judge.

use super::super::{problem, raw};
use super::{Act, Playbook, Reader};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Files beside one playbook.
const MAX_FILES: usize = 64;
/// Variables that one is given.
const MAX_VARS: usize = 64;
/// The longest path of a file beside it, and how deep it may be.
const LONGEST: usize = 200;
const DEEPEST: usize = 8;
/// The playbook's own file.
pub(crate) const PLAYBOOK: &str = "playbook.yml";

/// The keys of a play; what they mean is not looked at.
struct Play(BTreeSet<String>);

impl<'de> Deserialize<'de> for Play {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Play;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a play: keys with values, 'hosts' among them")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Play, A::Error> {
                let mut keys = BTreeSet::new();
                while let Some(key) = map.next_key()? {
                    map.next_value::<IgnoredAny>()?;
                    keys.insert(key);
                }
                Ok(Play(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

const A_LIST: &str = "here should be a list of plays: '- hosts: all' and what follows";

/// All plays, each with its place.
struct Plays(Vec<Spanned<Play>>);

impl<'de> Deserialize<'de> for Plays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Plays;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_LIST)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plays, A::Error> {
                let mut plays = Vec::new();
                while let Some(play) = seq.next_element()? {
                    plays.push(play);
                }
                Ok(Plays(plays))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// What is wrong with the text of a playbook, and where in it.
fn wrong_with(text: &str) -> Option<(u32, u32, String)> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        // Its own tags are Ansible's to know: !vault, !unsafe.
        reject_unsupported_tags: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 20_000,
            max_aliases: 100,
            max_anchors: 100,
        },
    };
    let plays: Plays = match serde_saphyr::from_str_with_options(text, options) {
        Ok(plays) => plays,
        Err(error) => {
            let problem = problem::of_reader(&error);
            // Places that stand in the words are those of the text alone.
            let what = match problem.what.split(" at line ").next().unwrap_or_default() {
                "here should be a list" if problem.line <= 1 => A_LIST,
                what => what,
            };
            return Some((problem.line.max(1), problem.column.max(1), what.to_owned()));
        }
    };
    if plays.0.is_empty() {
        return Some((1, 1, "a playbook is a list of plays, and this one is empty".to_owned()));
    }
    for play in plays.0 {
        let at = problem::at(play.referenced, "");
        let at = |what: &str| Some((at.line.max(1), at.column.max(1), what.to_owned()));
        let keys = play.value.0;
        if keys.contains("import_playbook") || keys.contains("ansible.builtin.import_playbook") {
            return at("a playbook of a step imports no other: make that a step of its own");
        }
        if !keys.contains("hosts") {
            return at("a play says which hosts it is for: 'hosts: all' is the host of the step");
        }
    }
    None
}

/// Whether a text can be the path of a file beside a playbook.
fn is_path(path: &str) -> bool {
    let fits = |part: &str| {
        let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(byte)
    };
    path.len() <= LONGEST
        && path != PLAYBOOK
        && path.split('/').count() <= DEEPEST
        && path.split('/').all(fits)
}

impl Reader<'_> {
    pub(super) fn ansible(&mut self, ansible: raw::Ansible) -> Option<Act> {
        let at = ansible.playbook.referenced;
        let text = ansible.playbook.value;
        if let Some((line, column, what)) = wrong_with(&text) {
            self.problems.push(problem::within(self.text, at, line, column, what));
            return None;
        }
        let files = self.beside(at, ansible.files);
        let mut vars = BTreeMap::new();
        if ansible.vars.len() > MAX_VARS {
            self.wrong(at, format!("a playbook is given at most {MAX_VARS} vars"));
        }
        for (name, value) in ansible.vars {
            let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(letter) {
                let what =
                    "the name of a variable has letters, digits and '_', and begins with no digit";
                self.wrong(value.referenced, what);
            } else if name.starts_with("ansible_") {
                let what = format!(
                    "'{name}' would change how Ansible reaches the host; that is the hub's to say"
                );
                self.wrong(value.referenced, what);
            }
            vars.insert(name, self.template(value, false)?);
        }
        let (tags, skip_tags) = (self.tags(ansible.tags)?, self.tags(ansible.skip_tags)?);
        let (check, diff) = (ansible.check, ansible.diff);
        let playbook = Playbook { text, files, vars, tags, skip_tags, check, diff };
        Some(Act::Ansible(Box::new(playbook)))
    }

    fn beside(
        &mut self,
        at: Location,
        files: BTreeMap<String, Spanned<String>>,
    ) -> BTreeMap<String, String> {
        if files.len() > MAX_FILES {
            self.wrong(at, format!("at most {MAX_FILES} files stand beside a playbook"));
        }
        let mut beside: BTreeMap<String, String> = BTreeMap::new();
        for (path, content) in files {
            if !is_path(&path) {
                let what = "a file beside the playbook has a path like templates/motd.j2: letters, digits, '.', '_' and \
                            '-', no part begins with '.', and it is not playbook.yml";
                self.wrong(content.referenced, what);
            } else if let Some(folder) =
                beside.keys().find(|other| path.starts_with(&format!("{other}/")))
            {
                let what = format!("'{folder}' cannot be a file and a folder");
                self.wrong(content.referenced, what);
            }
            beside.insert(path, content.value);
        }
        beside
    }

    /// Each tag is one: a comma in a value would make two of it.
    fn tags(&mut self, tags: Vec<Spanned<String>>) -> Option<Vec<String>> {
        for tag in &tags {
            let letter =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':');
            if tag.value.is_empty() || tag.value.starts_with('-') || !tag.value.bytes().all(letter)
            {
                self.wrong(tag.referenced, "a tag has letters, digits, '_', '-', '.' and ':'");
                return None;
            }
        }
        Some(tags.into_iter().map(|tag| tag.value).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::runbooks::{Act, read};

    fn wrong(ansible: &str) -> String {
        let text = format!(
            "name: x\nparams:\n- name: key\n  type: secret\nsteps:\n- name: a\n  ansible:\n{ansible}"
        );
        read(&text).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_playbook_with_files_and_vars_is_read_as_it_stands() {
        let book = read(
            "name: x\nparams:\n- name: port\n  type: number\nsteps:\n- name: a\n  user: web\n  ansible:\n    playbook: |\n      \
             - hosts: all\n        tasks:\n        - template: {src: motd.j2, dest: '/etc/{{ x }}'}\n          \
             vars: {a: !unsafe 'x'}\n    files:\n      templates/motd.j2: |\n        {{ port }} {% if x %}\n    \
             vars: {port: '{{port}}'}\n    tags: [one]\n    check: true\n",
        )
        .unwrap_or_else(|problems| panic!("{problems:?}"));
        let Act::Ansible(playbook) = &book.steps[0].act else { panic!("{:?}", book.steps) };
        assert!(playbook.text.contains("dest: '/etc/{{ x }}'"));
        assert_eq!(playbook.files["templates/motd.j2"], "{{ port }} {% if x %}\n");
        assert!(playbook.check && !playbook.diff && playbook.tags == ["one"]);
        assert_eq!(playbook.vars["port"], "{{port}}");
        assert!(book.has_playbook() && book.steps[0].user.as_deref() == Some("web"));
    }

    #[test]
    fn what_is_no_playbook_is_told_where_it_stands() {
        let block = |text: &str| {
            let lines = text.lines().map(|line| format!("      {line}\n"));
            format!("    playbook: |\n{}", lines.collect::<String>())
        };
        for (text, place, what) in [
            ("hosts: all", "9:7", "list of plays"),
            ("- hosts: all\n- name: y", "10:9", "'hosts: all'"),
            ("- hosts: all\n  hosts: web", "10:9", "twice"),
            ("- import_playbook: x.yml", "9:9", "imports no other"),
            ("- hosts: all\n  tasks: [", "10:", "bracket"),
            ("- x", "9:9", "keys with values"),
        ] {
            let told = wrong(&block(text));
            assert!(told.starts_with(place) && told.contains(what), "{text}: {told}");
        }
        assert!(wrong("    playbook: '[]'\n").contains("empty"));
    }

    #[test]
    fn what_stands_beside_it_cannot_lead_elsewhere() {
        let plays = "    playbook: '[{hosts: all}]'\n";
        for (rest, what) in [
            ("    files: {../x: y}\n", "a path like"),
            ("    files: {/etc/x: y}\n", "a path like"),
            ("    files: {playbook.yml: y}\n", "a path like"),
            ("    files: {.ssh/x: y}\n", "a path like"),
            ("    files: {a: x, a/b: y}\n", "a file and a folder"),
            ("    vars: {ansible_connection: local}\n", "the hub's to say"),
            ("    vars: {a-b: x}\n", "letters, digits"),
            ("    vars: {a: '{{gone}}'}\n", "gone"),
            ("    tags: ['a,b']\n", "a tag has"),
            ("    inventory: x\n", "unknown key 'inventory'"),
            ("  cwd: /\n", "no 'cwd'"),
        ] {
            let told = wrong(&format!("{plays}{rest}"));
            assert!(told.contains(what), "{rest}: {told}");
        }
    }
}
