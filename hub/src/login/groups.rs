//! From groups to a role, as `[[login.ldap.groups]]` and `[[login.oidc.groups]]` say.

use cmdr_protocol::role::Role;
use cmdr_protocol::selector::glob;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Whoever is in this group has this role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// A group's name or DN; `*` and `?` stand for anything. One with `=` in it is a DN and is compared
    /// without regard to case and to spaces after commas; a name is compared as it is written.
    pub group: String,
    /// The role.
    #[serde(deserialize_with = "role")]
    pub role: Role,
}

// In a message a name that cannot be a role's is no role; in a configuration it is a mistake.
fn role<'de, D: Deserializer<'de>>(d: D) -> Result<Role, D::Error> {
    Role::parse(&String::deserialize(d)?).map_err(D::Error::custom)
}

/// A DN in the one spelling in which DNs are compared.
fn spelled(dn: &str) -> String {
    let parts: Vec<_> = dn.split(',').map(str::trim).collect();
    parts.join(",").to_lowercase()
}

impl Mapping {
    fn fits(&self, group: &str) -> bool {
        match (self.group.contains('='), group.contains('=')) {
            (true, true) => glob(&spelled(&self.group), &spelled(group)),
            (false, false) => glob(&self.group, group),
            _ => false,
        }
    }
}

/// The role that the first fitting mapping gives; None when nothing fits: such a person may not log in.
pub fn role_of(groups: &[String], mappings: &[Mapping]) -> Option<Role> {
    mappings.iter().find(|m| groups.iter().any(|group| m.fits(group))).map(|m| m.role)
}

/// What is wrong with the mappings of the section of this name.
pub(super) fn check(mappings: &[Mapping], section: &str) -> Result<(), String> {
    if mappings.is_empty() {
        return Err(format!(
            "{section}: no group is mapped to a role, so nobody could log in; add [[{section}.groups]] \
             with group and role"
        ));
    }
    match mappings.iter().find(|m| m.group.is_empty()) {
        Some(_) => Err(format!("{section}: a mapping names no group")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(groups: &[&str], mappings: &[(&str, Role)]) -> Option<Role> {
        let groups: Vec<_> = groups.iter().map(|&g| g.to_owned()).collect();
        let mappings: Vec<_> =
            mappings.iter().map(|&(g, role)| Mapping { group: g.to_owned(), role }).collect();
        role_of(&groups, &mappings)
    }

    #[test]
    fn the_first_fitting_mapping_decides_and_none_means_no_role() {
        let mappings = [("ops", Role::OPERATOR), ("dev-*", Role::DEVELOPER), ("*", Role::OBSERVER)];
        assert_eq!(of(&["dev-web", "ops"], &mappings), Some(Role::OPERATOR));
        assert_eq!(of(&["dev-web"], &mappings), Some(Role::DEVELOPER));
        assert_eq!(of(&["others"], &mappings), Some(Role::OBSERVER));
        assert_eq!(of(&[], &mappings), None);
        assert_eq!(of(&["Ops"], &mappings[..2]), None);
    }

    #[test]
    fn dns_are_compared_without_case_and_spaces_and_never_with_names() {
        let dn = "CN=Ops, OU=Groups,dc=example,DC=com";
        let admin = Role::ADMINISTRATOR;
        assert_eq!(of(&[dn], &[("cn=ops,ou=groups,dc=example,dc=com", admin)]), Some(admin));
        assert_eq!(of(&[dn], &[("cn=*,ou=groups,dc=example,dc=com", admin)]), Some(admin));
        assert_eq!(of(&[dn], &[("cn=ops,ou=other,dc=example,dc=com", admin)]), None);
        assert_eq!(of(&[dn], &[("C*", admin)]), None);
        assert_eq!(of(&["ops"], &[("cn=ops", admin)]), None);
    }

    #[test]
    fn a_mapping_to_what_cannot_be_a_role_is_a_mistake() {
        let text = "group = \"ops\"\nrole = \"Big Boss\"";
        let path = std::path::Path::new("hub.toml");
        let error = cmdr_link::settings::parse::<Mapping>(path, text).unwrap_err();
        assert!(error.to_string().contains("'Big Boss' cannot name a role"), "{error}");
        assert!(check(&[], "login.ldap").unwrap_err().contains("nobody could log in"));
    }
}
