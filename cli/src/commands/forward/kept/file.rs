//! Files with forwards: what they say, and what that would change.

use crate::exit::Failure;
use cmdr_protocol::display::clean;
use cmdr_protocol::forwards::kept::{Forward, Password, Row};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};

pub(super) const FILE: &str = "\
A forward of a file is like this; several are divided by lines with three dashes.

  name: shop-db
  host: edge1                     # the host that listens
  listen: 127.0.0.1:5432
  via: db1                        # the host that connects; without it the one that listens
  to: 127.0.0.1:5432
  ---
  name: out
  kind: http                      # tcp, udp, http, socks5, socks5-udp, ssh-local, ssh-remote, ssh-dynamic
  host: edge1
  listen: 127.0.0.1:3128
  user: ann
  password_file: out.password     # beside this file; without it the password stays as it is
  ---
  name: printer
  kind: ssh-local
  host: edge1
  listen: 127.0.0.1:9100
  ssh: deploy@10.0.0.9            # the machine; 'to' is what it sees
  to: 127.0.0.1:9100
  key_file: printer.key           # or password_file";

/// The longest file with a password or a key that is read.
const LONGEST: u64 = 64 * 1024;

/// The forwards of files.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Forward>, Failure> {
    let mut all: Vec<Forward> = Vec::new();
    for file in files {
        let text = crate::commands::runbook::read(file)?;
        for document in text.split("\n---") {
            let document = document.trim_start_matches("---").trim();
            if document.is_empty() {
                continue;
            }
            let wrong = |e: String| Failure::usage(format!("{}: {e}", file.display()));
            let forward = one(file, document).map_err(wrong)?;
            if all.iter().any(|other| other.name == forward.name) {
                return Err(wrong(format!("the forward '{}' stands there twice", forward.name)));
            }
            all.push(forward);
        }
    }
    Ok(all)
}

/// A password or a key, alone in a file.
pub(super) fn secret(path: &Path) -> Result<Password, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(LONGEST).read_to_string(&mut text));
    read.map_err(|e| format!("reading {}: {e}", path.display()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    // A key ends with a line of its own.
    let end = if text.contains('\n') { "\n" } else { "" };
    Ok(Password(format!("{text}{end}")))
}

fn one(file: &Path, document: &str) -> Result<Forward, String> {
    let known = [
        "name",
        "kind",
        "host",
        "listen",
        "via",
        "to",
        "user",
        "password_file",
        "ssh",
        "key_file",
        "note",
    ];
    let mut value: serde_json::Value =
        serde_saphyr::from_str(document).map_err(|e| e.to_string())?;
    let fields = value.as_object_mut().ok_or("a forward is a map")?;
    if fields.contains_key("password") || fields.contains_key("key") {
        return Err("no password and no key stands in a file that others read: write password_file or key_file, and it alone into that file"
            .to_owned());
    }
    if let Some(odd) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("a forward has no '{}'; it has {}", clean(odd), known.join(", ")));
    }
    let mut secrets = [Password::default(), Password::default()];
    for (name, secret_) in ["password_file", "key_file"].into_iter().zip(&mut secrets) {
        if let Some(path) = fields.remove(name) {
            let path = path.as_str().ok_or_else(|| format!("{name} is the name of a file"))?;
            *secret_ = secret(&file.parent().unwrap_or(Path::new("")).join(path))?;
        }
    }
    let mut forward = Forward::deserialize(&value).map_err(|e| e.to_string())?;
    [forward.password, forward.key] = secrets;
    forward.check()?;
    Ok(forward)
}

/// What is to be put, with a line each. One whose password alone may be another is put without a word: the hub knows whether
/// it is.
pub(super) fn compare(wanted: &[Forward], there: &[Row]) -> Vec<(Forward, String)> {
    let way = |f: &Forward| {
        let via = if f.via.is_empty() { &f.host } else { &f.via };
        let to = match (f.kind.is_proxy(), f.user.as_str()) {
            (true, "") => "anywhere".to_owned(),
            (true, user) => format!("anywhere for {user}"),
            (false, _) => f.to.to_string(),
        };
        let over = if f.ssh.is_empty() { String::new() } else { format!(" over {}", f.ssh) };
        format!("{} {} {} -> {via} {to}{over}", f.kind, f.host, f.listen)
    };
    let mut changes = Vec::new();
    for forward in wanted {
        let shown =
            Forward { password: Password::default(), key: Password::default(), ..forward.clone() };
        let secret = !(forward.password.is_empty() && forward.key.is_empty());
        let line = match there.iter().find(|row| row.forward.name == forward.name) {
            Some(row) if row.forward == shown && !secret => continue,
            Some(row) if row.forward == shown => String::new(),
            Some(row) => {
                format!("~ {}: {}, now {}", forward.name, way(forward), way(&row.forward))
            }
            None => format!("+ {}: {}", forward.name, way(forward)),
        };
        let line = if line.is_empty() { line } else { clean(&line).into_owned() + "\n" };
        changes.push((forward.clone(), line));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::forwards::Place;

    #[test]
    fn a_plan_names_what_is_new_and_what_is_another_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.yaml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(std::slice::from_ref(&file))
        };
        let wanted = read(
            "name: db\nhost: edge\nlisten: 127.0.0.1:5432\nvia: db1\nto: 127.0.0.1:5432\n---\n\
             name: web\nhost: edge\nlisten: 127.0.0.1:80\nto: 10.0.0.7:80\n",
        )
        .unwrap();
        let there = Row { forward: wanted[0].clone(), ..Row::default() };
        let plan = compare(&wanted, std::slice::from_ref(&there));
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].1, "+ web: tcp edge 127.0.0.1:80 -> edge 10.0.0.7:80\n");
        let mut other = there;
        other.forward.to = Place::parse("10.0.0.9:5432").unwrap();
        let plan = compare(&wanted[..1], &[other]);
        assert!(plan[0].1.contains("now tcp edge 127.0.0.1:5432 -> db1 10.0.0.9:5432"), "{plan:?}");
        assert!(read("name: db\nport: 1\n").unwrap_err().message.contains("no 'port'"));
        assert!(read("name: db\nto: nowhere\n").is_err());
    }

    #[test]
    fn the_password_of_a_proxy_comes_from_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.yaml");
        std::fs::write(dir.path().join("secret"), "a password\n").unwrap();
        let text = "name: p\nkind: http\nhost: edge\nlisten: 127.0.0.1:3128\nuser: ann\n";
        let read = |more: &str| {
            std::fs::write(&file, format!("{text}{more}")).unwrap();
            read(std::slice::from_ref(&file))
        };
        let wanted = read("password_file: secret\n").unwrap();
        assert_eq!(wanted[0].password.0, "a password");
        assert!(read("password: x\n").unwrap_err().message.contains("password_file"));
        assert!(read("password_file: none\n").unwrap_err().message.contains("reading"));
        let mut shown = Row { forward: wanted[0].clone(), ..Row::default() };
        shown.forward.password = Password::default();
        let plan = compare(&wanted, std::slice::from_ref(&shown));
        assert_eq!(
            (plan.len(), plan[0].1.as_str()),
            (1, ""),
            "the hub knows whether it is another"
        );
        assert_eq!(compare(&read("").unwrap(), &[shown]), []);
    }
}
