//! A role as a file: what `roles show` prints and `roles set` reads.

use crate::exit::{Exit, Failure};
use cmdr_link::settings;
use cmdr_protocol::roles::{Definition, Grant};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::path::Path;

/// The most that is read.
const MAX: u64 = 1 << 20;

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RoleFile {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(rename = "grant")]
    pub(super) grants: Vec<Grant>,
}

pub(super) fn read(path: &Path) -> Result<RoleFile, Failure> {
    let stdin = path == Path::new("-");
    let mut text = String::new();
    let source: std::io::Result<Box<dyn std::io::Read>> = if stdin {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|f| Box::new(f) as _)
    };
    source
        .and_then(|source| source.take(MAX).read_to_string(&mut text))
        .map_err(|e| Failure::usage(format!("reading {}: {e}", path.display())))?;
    let name = if stdin { Path::new("standard input") } else { path };
    parse(name, &text)
}

pub(super) fn parse(name: &Path, text: &str) -> Result<RoleFile, Failure> {
    settings::parse(name, text).map_err(|e| Failure::usage(e.to_string()))
}

pub(super) fn write(role: &Definition) -> Result<String, Failure> {
    let file = RoleFile { description: role.description.clone(), grants: role.grants.clone() };
    toml::to_string(&file)
        .map_err(|e| Failure::new(Exit::Fault, format!("writing the role {}: {e}", role.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::role::Role;
    use cmdr_protocol::roles::{Hours, Limit, OnRequest};

    #[test]
    fn a_role_that_is_shown_can_be_set_again() {
        let hours = Hours { days: vec!["mon".into()], from: "08:00".into(), to: "18:00".into() };
        let grants = vec![
            Grant { verbs: vec!["@read".into()], ..Grant::default() },
            Grant {
                verbs: vec!["exec.start".into()],
                resources: vec!["command:/usr/bin/systemctl".into()],
                hosts: "role=web,env!=prod".into(),
                hours: Some(hours),
                limit: Some(Limit { hosts: 20, minutes: 60 }),
                on_request: Some(OnRequest { approvals: 1, longest_minutes: 30 }),
            },
        ];
        let role = Definition {
            name: Role::OPERATOR,
            description: "restarts \"web\"".into(),
            grants,
            ..Definition::default()
        };
        let text = write(&role).unwrap();
        let again: RoleFile = settings::parse(Path::new("x"), &text).unwrap();
        assert_eq!((again.description, again.grants), (role.description, role.grants));
    }

    #[test]
    fn a_slip_in_the_file_is_named_with_its_line() {
        let text = "[[grant]]\nverbs = [\"*\"]\nhost = \"web*\"\n";
        let error =
            settings::parse::<RoleFile>(Path::new("web.toml"), text).unwrap_err().to_string();
        assert!(
            error.contains("web.toml") && error.contains('3') && error.contains("hosts"),
            "{error}"
        );
    }
}
