//! Somebody whom a directory vouches for, and why one may not. Made by [`super::ldap`] and
//! [`super::oidc`], from what is hostile until it has passed `Person::new`.

use cmdr_protocol::display::{clean_to_width, is_harmful};

/// Bytes of a name.
const LONGEST_NAME: usize = 256;
/// Bytes of a group's name.
const LONGEST_GROUP: usize = 1024;
/// Groups of one person.
pub(super) const MOST_GROUPS: usize = 1000;

/// Somebody whom a directory vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name they log in with, as the directory spells it.
    pub name: String,
    /// What they are called; empty when the directory does not say.
    pub full_name: String,
    /// Their groups: by name, and by DN where there is one.
    pub groups: Vec<String>,
}

/// Why a directory did not vouch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// Name or password is wrong, or there is no such person: never told apart.
    #[error("wrong name or password")]
    Wrong,
    /// The directory says that this person may not: its words.
    #[error("the directory refuses: {0}")]
    Refused(String),
    /// The directory cannot be asked: what was attempted, what went wrong.
    #[error("{0}")]
    Down(String),
    /// The configuration is wrong.
    #[error("{0}")]
    Misconfigured(String),
}

impl Person {
    /// Checks what a directory told. Groups that cannot be shown are left out: they cannot be mapped.
    pub(super) fn new(
        name: &str,
        full_name: &str,
        mut groups: Vec<String>,
    ) -> Result<Self, Unable> {
        if !is_name(name) {
            let shown = clean_to_width(name, 60);
            return Err(Unable::Refused(format!("'{shown}' cannot be an operator's name")));
        }
        if groups.len() > MOST_GROUPS {
            // Which of them decides is not known, so none does.
            return Err(Unable::Refused(format!("more than {MOST_GROUPS} groups")));
        }
        groups.retain(|group| {
            !group.is_empty() && group.len() <= LONGEST_GROUP && !group.contains(is_harmful)
        });
        let full_name = clean_to_width(full_name.trim(), 100);
        Ok(Self { name: name.to_owned(), full_name, groups })
    }
}

/// Whether this may be somebody's name: not too long, and nothing in it that a terminal obeys.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.trim() == name
        && !name.contains(is_harmful)
}

/// A directory's own words, fit to be shown.
pub(super) fn words(text: &str) -> String {
    clean_to_width(text.trim(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_no_name_and_no_group() {
        for name in ["", " alice", "a\u{1b}[31m", "a\nb", "a\u{202e}b", &"x".repeat(257)] {
            assert!(matches!(Person::new(name, "", Vec::new()), Err(Unable::Refused(_))), "{name}");
        }
        let groups = vec!["ops".to_owned(), "a\u{1b}[2J".to_owned(), String::new()];
        let person = Person::new("álice", "A\u{1b}", groups).unwrap();
        assert_eq!(person.groups, ["ops"]);
        assert_eq!(person.full_name, "A␛");
    }

    #[test]
    fn somebody_in_too_many_groups_is_refused_rather_than_judged_by_some_of_them() {
        let groups = vec!["g".to_owned(); MOST_GROUPS + 1];
        assert!(matches!(Person::new("a", "", groups), Err(Unable::Refused(_))));
    }
}
