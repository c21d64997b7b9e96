//! The folder in which one playbook runs: itself, what stands beside it, whom it may reach, and how Ansible is to
//! reach them. Nobody but the hub's user may look into it, and it is gone when the playbook is over.

use super::cage::PROGRAMS;
use super::{Play, Settings, room};
use crate::runbooks::PLAYBOOK;
use cmdr_link::files;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Our parts of Ansible: where they go, and their texts.
const PLUGINS: &[(&str, &str)] = &[
    ("connection/cmdr.py", include_str!("ansible/connection_cmdr.py")),
    ("connection/local.py", include_str!("ansible/connection_local.py")),
    ("become/cmdr.py", include_str!("ansible/become_cmdr.py")),
    ("callback/cmdr.py", include_str!("ansible/callback_cmdr.py")),
];
/// What the keeper reads.
const JOB: &str = "job.json";
/// As whom Ansible thinks to be on the host when a step does not say.
const USER: &str = "root";
/// Where programs are looked for, after the folder of `ansible-playbook` itself.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the keeper runs, and what that may read beside the system's programs and its folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: BTreeMap<String, OsString>,
    pub(super) reads: Vec<PathBuf>,
}

impl Job {
    /// The one that was put into this folder.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let bytes = files::read_private(&folder.join(JOB), 1 << 20)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// Removes what an earlier hub has left. Blocks.
pub(crate) fn clear(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        // Its keeper may be at it as well.
        if let Err(e) = room::remove(&entry.path())
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("removing {}: {}", entry.path().display(), files::reason(&e));
        }
    }
}

/// Makes one for a playbook on this host. Blocks. It need not be on disk when this returns: it lives no longer than a step.
pub(super) fn make(
    place: &Path,
    id: &str,
    host: &str,
    play: &Play,
    settings: &Settings,
) -> Result<PathBuf, String> {
    let program = settings.program.clone().unwrap_or_default();
    let reads = reads(&program, settings);
    exposed(place, &reads)?;
    let folder = place.join(id);
    fill(place, &folder, host, play, &program, settings, reads)
        .map_err(|e| {
            room::remove(&folder).ok();
            format!("preparing the playbook in {}: {}", folder.display(), files::reason(&e))
        })
        .map(|()| folder)
}

fn fill(
    place: &Path,
    folder: &Path,
    host: &str,
    play: &Play,
    program: &Path,
    settings: &Settings,
    reads: Vec<PathBuf>,
) -> io::Result<()> {
    let user = play.user.as_deref().unwrap_or(USER);
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if user.is_empty() || !user.bytes().all(letter) {
        return Err(io::Error::other("the step's 'user' is no name of a user"));
    }
    files::private_dir(place)?;
    files::private_dir(folder)?;
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
    };
    for dir in ["home", "tmp"] {
        files::private_dir(&folder.join(dir))?;
    }
    for (name, text) in PLUGINS {
        put(&format!("plugins/{name}"), text)?;
    }
    put(&format!("book/{PLAYBOOK}"), &play.playbook)?;
    for (name, text) in &play.files {
        put(&format!("book/{name}"), text)?;
    }
    put("ansible.cfg", "[defaults]\n")?;
    let inventory = json!({ "all": { "hosts": { host: {} } } });
    put("inventory.json", &inventory.to_string())?;
    put("vars.yml", &vars(&play.vars))?;
    let job = Job {
        program: program.to_owned(),
        args: arguments(folder, play),
        env: environment(folder, host, user, play, program, settings),
        reads,
    };
    put(JOB, &serde_json::to_string(&job)?)
}

fn arguments(folder: &Path, play: &Play) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    args.extend(["--inventory".into(), folder.join("inventory.json").into()]);
    let mut vars = OsString::from("@");
    vars.push(folder.join("vars.yml"));
    args.extend(["--extra-vars".into(), vars]);
    for (option, tags) in [("--tags", &play.tags), ("--skip-tags", &play.skip_tags)] {
        if !tags.is_empty() {
            args.extend([option.into(), tags.join(",").into()]);
        }
    }
    for (option, on) in [("--check", play.check), ("--diff", play.diff)] {
        if on {
            args.push(option.into());
        }
    }
    args.push(folder.join("book").join(PLAYBOOK).into());
    args
}

/// All that is in its environment.
fn environment(
    folder: &Path,
    host: &str,
    user: &str,
    play: &Play,
    program: &Path,
    settings: &Settings,
) -> BTreeMap<String, OsString> {
    let mut env: BTreeMap<String, OsString> = BTreeMap::new();
    let mut set = |name: &str, value: OsString| drop(env.insert(name.to_owned(), value));
    let mut path = program.parent().map(|dir| dir.as_os_str().to_owned()).unwrap_or_default();
    path.push(":");
    path.push(PATH);
    set("PATH", path);
    for (name, at) in [
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
        ("ANSIBLE_HOME", "home/ansible"),
        ("ANSIBLE_LOCAL_TEMP", "tmp/ansible"),
        ("ANSIBLE_CONFIG", "ansible.cfg"),
        ("ANSIBLE_CONNECTION_PLUGINS", "plugins/connection"),
        ("ANSIBLE_BECOME_PLUGINS", "plugins/become"),
        ("ANSIBLE_CALLBACK_PLUGINS", "plugins/callback"),
    ] {
        set(name, folder.join(at).into());
    }
    let library = |part: &str, also: &[&str]| {
        let own = settings.library.iter().map(|dir| dir.join(part));
        let all: Vec<_> = own.chain(also.iter().map(PathBuf::from)).collect();
        std::env::join_paths(all).unwrap_or_default()
    };
    set(
        "ANSIBLE_ROLES_PATH",
        library("roles", &["/usr/share/ansible/roles", "/etc/ansible/roles"]),
    );
    let collections = library("collections", &["/usr/share/ansible/collections"]);
    set("ANSIBLE_COLLECTIONS_PATH", collections.clone());
    // As releases before 2.19 call it.
    set("ANSIBLE_COLLECTIONS_PATHS", collections);
    for (name, value) in [
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONNOUSERSITE", "1"),
        ("OPENSSL_CONF", "/dev/null"),
        ("ANSIBLE_TRANSPORT", "cmdr"),
        ("ANSIBLE_BECOME_METHOD", "cmdr"),
        ("ANSIBLE_CALLBACKS_ENABLED", "cmdr"),
        ("ANSIBLE_STDOUT_CALLBACK", "default"),
        ("ANSIBLE_INVENTORY_ENABLED", "yaml"),
        ("ANSIBLE_PIPELINING", "True"),
        ("ANSIBLE_FORKS", "1"),
        ("ANSIBLE_NOCOLOR", "True"),
        ("ANSIBLE_NOCOWS", "True"),
        ("ANSIBLE_RETRY_FILES_ENABLED", "False"),
        ("ANSIBLE_DEPRECATION_WARNINGS", "False"),
        ("ANSIBLE_PYTHON_INTERPRETER", "auto_silent"),
    ] {
        set(name, value.into());
    }
    set("ANSIBLE_REMOTE_USER", user.into());
    set("CMDR_HOST", host.into());
    // The name that stands for the agent's own user.
    if play.user.is_none() {
        set("CMDR_OWN_USER", user.into());
    }
    env
}

/// What the program needs beside the system's own: the folders of a virtual environment and of the Python that it
/// was made from, and the library.
fn reads(program: &Path, settings: &Settings) -> Vec<PathBuf> {
    let mut reads = settings.library.clone();
    let Some(root) = program.parent().and_then(Path::parent) else { return reads };
    if let Ok(text) = std::fs::read_to_string(root.join("pyvenv.cfg")) {
        reads.push(root.to_owned());
        let home = text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "home").then(|| PathBuf::from(value.trim()))
        });
        reads.extend(home.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    reads
}

/// An error when the hub's data lies where playbooks may read.
fn exposed(place: &Path, reads: &[PathBuf]) -> Result<(), String> {
    let data = place.parent().unwrap_or(place);
    let Ok(data) = data.canonicalize() else { return Ok(()) };
    let roots = PROGRAMS.iter().map(Path::new).chain(reads.iter().map(PathBuf::as_path));
    for root in roots.filter_map(|root| root.canonicalize().ok()) {
        if data.starts_with(&root) {
            return Err(format!(
                "the hub's data folder {} lies in {}, which playbooks may read; nothing was played",
                data.display(),
                root.display()
            ));
        }
    }
    Ok(())
}

/// Variables as Ansible reads them. Each text is marked as one that is no template: what is between braces in a value
/// would be run otherwise.
fn vars(vars: &BTreeMap<String, Value>) -> String {
    let mut text = String::from("{");
    for (key, value) in vars {
        text.extend([&quoted(key), ": "]);
        literal(value, &mut text);
        text += ",\n";
    }
    text + "}\n"
}

fn literal(value: &Value, text: &mut String) {
    match value {
        Value::String(value) => text.extend(["!unsafe ", &quoted(value)]),
        Value::Array(list) => {
            text.push('[');
            for value in list {
                literal(value, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (key, value) in map {
                text.extend([&quoted(key), ": "]);
                literal(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => *text += &value.to_string(),
    }
}

/// A text in quotes, with nothing in it that YAML could read in another way.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            // A String takes everything.
            c => drop(write!(quoted, "\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn values_are_marked_as_no_templates_and_escaped() {
        let values = BTreeMap::from([
            ("a".to_owned(), json!("{{ lookup('pipe', 'id') }}\n\"x\\ \u{7f}容\u{1f600}")),
            ("b".to_owned(), json!([1, "x", true])),
        ]);
        assert_eq!(
            vars(&values),
            "{\"a\": !unsafe \"{{ lookup('pipe', 'id') }}\\U0000000A\\\"x\\\\ \\U0000007F\\U00005BB9\\U0001F600\",\n\
             \"b\": [1,!unsafe \"x\",true,],\n}\n"
        );
    }

    #[test]
    fn a_folder_is_for_its_owner_alone_and_says_all_that_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let files = BTreeMap::from([("templates/a.j2".to_owned(), "x".to_owned())]);
        let tags = vec!["one".to_owned(), "two".to_owned()];
        let play = Play { files, tags, check: true, ..Play::default() };
        let settings = Settings {
            program: Some("/usr/bin/ansible-playbook".into()),
            library: vec!["/srv/ansible".into()],
            ..Settings::default()
        };
        let place = dir.path().join("playbooks");
        let folder = make(&place, "r.1.0", "web1", &play, &settings).unwrap();
        for path in ["", "vars.yml", "book/playbook.yml", "job.json"] {
            let mode = std::fs::metadata(folder.join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{path}");
        }
        assert_eq!(std::fs::read_to_string(folder.join("book/templates/a.j2")).unwrap(), "x");
        let job = Job::read(&folder).unwrap();
        let args: Vec<_> = job.args.iter().filter_map(|arg| arg.to_str()).collect();
        assert!(args.contains(&"one,two") && args.contains(&"--check"), "{args:?}");
        assert_eq!(job.env["CMDR_HOST"], "web1");
        assert!(job.env["ANSIBLE_ROLES_PATH"].to_str().unwrap().starts_with("/srv/ansible/roles:"));
        assert_eq!(job.reads, [PathBuf::from("/srv/ansible")]);
        let odd = Play { user: Some("{{ x }}".into()), ..Play::default() };
        assert!(make(&place, "r.1.1", "web1", &odd, &settings).is_err());
        clear(&place);
        assert!(std::fs::read_dir(&place).unwrap().next().is_none());
    }

    #[test]
    fn a_library_that_the_hubs_data_lies_in_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { library: vec![dir.path().to_owned()], ..Settings::default() };
        let place = dir.path().join("data/playbooks");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let refused = make(&place, "r.0.0", "web1", &Play::default(), &settings).unwrap_err();
        assert!(refused.contains("which playbooks may read"), "{refused}");
        assert!(exposed(&place, &[dir.path().join("data/other")]).is_ok());
    }

    #[test]
    fn a_virtual_environment_may_read_itself_and_its_python() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pyvenv.cfg"), "home = /opt/python/bin\n").unwrap();
        let program = dir.path().join("bin/ansible-playbook");
        let found = reads(&program, &Settings::default());
        assert_eq!(found, [dir.path().to_owned(), PathBuf::from("/opt/python")]);
        assert!(reads(Path::new("/usr/bin/ansible-playbook"), &Settings::default()).is_empty());
    }
}
