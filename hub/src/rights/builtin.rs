//! The roles that every hub has.

use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};

fn grant(verbs: &[&str], hosts: &str) -> Grant {
    Grant {
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        hosts: hosts.to_owned(),
        ..Grant::default()
    }
}

/// All of them, the mightiest first.
pub(super) fn all() -> [Definition; 4] {
    let role = |name, description: &str, grants| Definition {
        name,
        description: description.to_owned(),
        grants,
        built_in: true,
        operators: 0,
    };
    [
        role(Role::ADMINISTRATOR, "everything", vec![grant(&["*"], "")]),
        role(
            Role::OPERATOR,
            "looks and acts on all hosts; does not change who and what belongs to the fleet",
            vec![grant(&["@read", "@act"], "")],
        ),
        role(
            Role::DEVELOPER,
            "looks at all hosts, acts on those that are not labelled env=prod",
            vec![grant(&["@read"], ""), grant(&["@act"], "env!=prod")],
        ),
        role(Role::OBSERVER, "looks, changes nothing", vec![grant(&["@read"], "")]),
    ]
}
