//! Variables that the host gives to those who log in: `/etc/environment`, and the files beside the
//! profile by name. The environment of processes is not shown to anybody.

use crate::Config;
use crate::text::{lines, lossy};
use cmdr_protocol::system::{Found, Variable};
use std::fs::File;
use std::io::Read as _;

/// The most of a file that is read.
const FILE: u64 = 256 * 1024;
/// The most variables that are told of.
const MOST: usize = 2000;
/// Parts of names whose values are not shown.
const SECRET: [&str; 13] = [
    "PASS",
    "SECRET",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "AUTH",
    "PRIVATE",
    "PWD",
    "SIGNATURE",
    "DSN",
    "SALT",
    "COOKIE",
    "CERT",
];

pub(super) fn read(config: &Config, mask: bool) -> Found<Variable> {
    let mut found = Found::default();
    let path = config.etc_root.join("environment");
    let shown = path.display().to_string();
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(FILE).read_to_end(&mut bytes)) {
        Ok(_) => parse(&bytes, &shown, mask, &mut found.rows),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            found.notes.push(format!("there is no {shown}"));
        }
        Err(e) => found.notes.push(format!("{shown}: {e}")),
    }
    let folder = config.etc_root.join("profile.d");
    let mut names: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names.into_iter().take(500) {
        let source = entry.path().to_string_lossy().into_owned();
        found.rows.push(Variable { source, ..Variable::default() });
    }
    found
}

/// Lines `NAME=value`, as the login programs read them; others are left out.
pub(super) fn parse(bytes: &[u8], source: &str, mask: bool, rows: &mut Vec<Variable>) {
    for line in lines(bytes).take(MOST) {
        let text = lossy(line);
        let text = text.trim();
        let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
        let Some((name, value)) = text.split_once('=').filter(|_| !text.starts_with('#')) else {
            continue;
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(fits) {
            continue;
        }
        let value = value.trim();
        let quoted =
            ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let value = quoted.unwrap_or(value);
        let masked = mask && is_secret(name, value);
        rows.push(Variable {
            name: name.to_owned(),
            value: if masked { String::new() } else { value.to_owned() },
            masked,
            source: source.to_owned(),
        });
    }
}

/// Whether a variable looks like a secret: by its name, or because an address in it has a password.
fn is_secret(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let with_password = value.split_once("://").is_some_and(|(_, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        host.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    with_password || SECRET.iter().any(|part| upper.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str, mask: bool) -> Vec<(String, String, bool)> {
        let mut rows = Vec::new();
        parse(text.as_bytes(), "e", mask, &mut rows);
        rows.into_iter().map(|v| (v.name, v.value, v.masked)).collect()
    }

    #[test]
    fn variables_are_read_and_what_looks_like_a_secret_is_struck_out() {
        let text = "# PATH=/no\nPATH=\"/usr/bin:/bin\"\nexport LANG='C'\nbad line\nA B=1\n\
                    DB_PASSWORD=hunter2\naws_access_key_id=AKIA\n\
                    PROXY=http://li:hunter2@proxy:3128/\nHTTP=http://proxy:3128\n";
        let shown = rows(text, true);
        let expected = [
            ("PATH", "/usr/bin:/bin", false),
            ("LANG", "C", false),
            ("DB_PASSWORD", "", true),
            ("aws_access_key_id", "", true),
            ("PROXY", "", true),
            ("HTTP", "http://proxy:3128", false),
        ];
        let expected = expected.map(|(n, v, m)| (n.to_owned(), v.to_owned(), m));
        assert_eq!(shown, expected);
        assert!(rows(text, false).iter().any(|(_, value, _)| value == "hunter2"));
    }

    #[test]
    fn files_beside_the_profile_are_named_and_a_missing_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("profile.d")).unwrap();
        std::fs::write(dir.path().join("profile.d/x.sh"), "export SECRET=1").unwrap();
        let mut config = Config::new("/nonexistent".into());
        config.etc_root = dir.path().into();
        let found = read(&config, false);
        assert_eq!(found.rows.len(), 1);
        assert!(found.rows[0].source.ends_with("profile.d/x.sh") && found.rows[0].value.is_empty());
        assert_eq!(found.notes.len(), 1);
    }

    proptest! {
        #[test]
        fn any_file_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes, "e", true, &mut Vec::new());
        }
    }
}
