//! What the variables are: lines of the file with what looks like a secret struck out, and the files beside the
//! profile by name.

use super::line::{self, Line};
use crate::Config;
use crate::text::lossy;
use cmdr_protocol::environment::Variable;
use cmdr_protocol::system::Found;

/// The most variables that are told of.
const MOST: usize = 2000;
/// The most lines without sense that are.
const ODD: usize = 20;
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

/// All there is; `text` is the file's, if there is one.
pub(super) fn all(config: &Config, text: Option<&[u8]>, mask: bool) -> Found<Variable> {
    let mut found = Found::default();
    let shown = config.etc_root.join("environment").display().to_string();
    match text {
        Some(text) => parse(text, &shown, mask, &mut found),
        None => found.notes.push(format!("there is no {shown}")),
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

/// Its lines, as the login programs read them; those that say nothing are told.
pub(super) fn parse(bytes: &[u8], source: &str, mask: bool, found: &mut Found<Variable>) {
    for (n, text) in lossy(bytes).lines().enumerate() {
        if found.rows.len() >= MOST {
            found.notes.push(format!("{source} has more variables; {MOST} are shown"));
            return;
        }
        let at = u32::try_from(n + 1).unwrap_or(u32::MAX);
        match line::parse(text) {
            Line::Odd if found.notes.len() < ODD => {
                found.notes.push(format!("line {at} of {source} says nothing"));
            }
            Line::Empty | Line::Odd => {}
            Line::Variable { name, raw } => {
                let value = line::value(raw.trim());
                let masked = mask && is_secret(name, value);
                let value = if masked { String::new() } else { value.to_owned() };
                let (name, source) = (name.to_owned(), source.to_owned());
                found.rows.push(Variable { name, value, masked, source, line: at });
            }
        }
    }
}

/// Whether a variable looks like a secret: by its name, or because an address in it has a password.
pub(crate) fn is_secret(name: &str, value: &str) -> bool {
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
        let mut found = Found::default();
        parse(text.as_bytes(), "e", mask, &mut found);
        found.rows.into_iter().map(|v| (v.name, v.value, v.masked)).collect()
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
    fn lines_are_numbered_as_the_file_has_them_and_odd_ones_are_told() {
        let mut found = Found::default();
        parse(b"# all\nPATH=/bin\n\nodd line\nLANG=C\n", "e", true, &mut found);
        let lines: Vec<_> = found.rows.iter().map(|v| (v.name.as_str(), v.line)).collect();
        assert_eq!(lines, [("PATH", 2), ("LANG", 5)]);
        assert_eq!(found.notes, ["line 4 of e says nothing"]);
    }

    #[test]
    fn files_beside_the_profile_are_named_and_a_missing_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("profile.d")).unwrap();
        std::fs::write(dir.path().join("profile.d/x.sh"), "export SECRET=1").unwrap();
        let mut config = Config::new("/nonexistent".into());
        config.etc_root = dir.path().into();
        let found = all(&config, None, false);
        assert_eq!(found.rows.len(), 1);
        assert!(found.rows[0].source.ends_with("profile.d/x.sh") && found.rows[0].value.is_empty());
        assert_eq!(found.notes.len(), 1);
    }

    proptest! {
        #[test]
        fn any_file_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes, "e", true, &mut Found::default());
        }
    }
}
