//! `[login.ldap]`: where people are, and how they are found there.

use super::dn;
use crate::login::groups::{self, Mapping};
use crate::login::person::Unable;
use ldap3_proto::{LdapFilter, parse_ldap_filter_str};
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// Seconds that one question may take, at most.
const LONGEST_TIMEOUT: u64 = 60;

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `ldaps://host`, or `ldap://host`; with `:port` if it is not the usual one.
    pub url: Server,
    /// Where people are: all below this DN.
    #[serde(default)]
    pub base: String,
    /// The attribute that holds the name with which one logs in.
    #[serde(default = "uid")]
    pub name: String,
    /// The attribute that holds what somebody is called.
    #[serde(default = "cn")]
    pub full_name: String,
    /// Who else than by name must fit, such as `(!(pwdAccountLockedTime=*))`.
    #[serde(default)]
    pub filter: Option<Query>,
    /// Instead of a search: the DN of a person, with `{name}` where the name stands.
    #[serde(default)]
    pub person_dn: Option<String>,
    /// The attribute of a person that holds the DNs of their groups; empty for none.
    #[serde(default = "member_of")]
    pub member_of: String,
    /// Where groups are that name their members; none when only `member_of` counts.
    #[serde(default)]
    pub group_base: Option<String>,
    /// The attribute of a group that holds its members.
    #[serde(default = "member")]
    pub group_member: String,
    /// What that attribute holds.
    #[serde(default)]
    pub group_member_is: MemberBy,
    /// What else a group must fit.
    #[serde(default)]
    pub group_filter: Option<Query>,
    /// The hub's own name in the directory; empty for none.
    #[serde(default)]
    pub bind_dn: String,
    /// Its password, by the name of a secret that the hub keeps.
    #[serde(default)]
    pub bind_password_secret: String,
    /// Or a file with it, for its owner alone.
    #[serde(default)]
    pub bind_password_file: Option<PathBuf>,
    /// Begin TLS on the port of `ldap://`.
    #[serde(default)]
    pub start_tls: bool,
    /// Lets passwords go over the network as they are.
    #[serde(default)]
    pub allow_plain: bool,
    /// The certificates that the directory must prove itself by, instead of those the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Seconds until the directory counts as down.
    #[serde(default = "ten")]
    pub timeout_s: u64,
    /// Which groups have which role; the first that fits decides.
    #[serde(default)]
    pub groups: Vec<Mapping>,
}

/// What a group's list of members holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberBy {
    /// DNs, as in `groupOfNames`.
    #[default]
    Dn,
    /// Names, as in `posixGroup`.
    Name,
}

fn uid() -> String {
    "uid".to_owned()
}

fn cn() -> String {
    "cn".to_owned()
}

fn member_of() -> String {
    "memberOf".to_owned()
}

fn member() -> String {
    "member".to_owned()
}

const fn ten() -> u64 {
    10
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken from the first byte.
    pub tls: bool,
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || {
            let shown = cmdr_protocol::display::clean_to_width(&text, 80);
            format!("'{shown}' is neither ldaps://HOST nor ldap://HOST, with or without :PORT")
        };
        let (kind, rest) = text.split_once("://").ok_or_else(bad)?;
        let (tls, usual) = match kind {
            "ldaps" => (true, 636),
            "ldap" => (false, 389),
            _ => return Err(bad()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let full = match rest.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => rest.to_owned(),
            _ => format!("{rest}:{usual}"),
        };
        cmdr_protocol::address::check(&full).map_err(|_| bad())?;
        let (host, port) = full.rsplit_once(':').ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: port.parse().map_err(|_| bad())?, tls })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.tls { "ldaps" } else { "ldap" };
        if self.host.contains(':') {
            write!(f, "{kind}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{kind}://{}:{}", self.host, self.port)
        }
    }
}

impl Server {
    /// Whether it is this machine, by an address that no packet leaves.
    pub(super) fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

/// A filter of RFC 4515, understood when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Query(LdapFilter);

impl TryFrom<String> for Query {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let shown = cmdr_protocol::display::clean_to_width(&text, 80);
        if text.len() > 4096 {
            return Err(format!("'{shown}' is longer than 4096 bytes"));
        }
        parse_ldap_filter_str(&text)
            .map(Self)
            .map_err(|e| format!("'{shown}' is no LDAP filter such as (objectClass=person): {e}"))
    }
}

impl Query {
    pub(super) const fn filter(&self) -> &LdapFilter {
        &self.0
    }
}

impl Settings {
    /// What is wrong with them, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("login.ldap: {what}"));
        if self.url.tls && self.start_tls {
            return wrong("start_tls goes with ldap://, not with ldaps://");
        }
        if !(self.url.tls || self.start_tls || self.allow_plain || self.url.is_here()) {
            return wrong(
                "passwords would go over the network as they are; use ldaps:// or start_tls = true \
                 (or say allow_plain = true)",
            );
        }
        match &self.person_dn {
            Some(pattern) if pattern.matches(dn::PLACE).count() != 1 => {
                return wrong("person_dn has {name} once, such as uid={name},ou=people,dc=example");
            }
            None if self.base.is_empty() => {
                return wrong("base names no DN below which people are");
            }
            _ => {}
        }
        if self.name.is_empty() || self.full_name.is_empty() || self.group_member.is_empty() {
            return wrong("name, full_name and group_member each name an attribute");
        }
        let given = usize::from(!self.bind_password_secret.is_empty())
            + usize::from(self.bind_password_file.is_some());
        if given != usize::from(!self.bind_dn.is_empty()) {
            return wrong(
                "bind_dn goes with one of bind_password_secret and bind_password_file, and they with it",
            );
        }
        if !(1..=LONGEST_TIMEOUT).contains(&self.timeout_s) {
            return wrong(&format!("timeout_s is from 1 to {LONGEST_TIMEOUT}"));
        }
        groups::check(&self.groups, "login.ldap")
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// A DN that nobody has.
    pub(super) fn nobody(&self) -> String {
        format!("cn=nobody-of-this-name-ever,{}", self.base)
    }

    /// The hub's own password there: the one that is given, else that in the file. None when the hub has
    /// no name there.
    pub(super) fn own_password(
        &self,
        given: Option<&Zeroizing<String>>,
    ) -> Result<Option<Zeroizing<String>>, Unable> {
        if self.bind_dn.is_empty() {
            return Ok(None);
        }
        let password = match (given, &self.bind_password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(path)) => crate::login::secret_in(path)
                .map_err(|why| Unable::Misconfigured(format!("login.ldap: {why}")))?,
            (None, None) => {
                return Err(Unable::Misconfigured(format!(
                    "login.ldap: there is no secret '{}' with the password of bind_dn",
                    self.bind_password_secret
                )));
            }
        };
        if password.is_empty() {
            // It would be a bind without a name, which succeeds.
            return Err(Unable::Misconfigured(
                "login.ldap: bind_dn's password is empty".to_owned(),
            ));
        }
        Ok(Some(password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::settings;
    use std::path::Path;

    const SMALL: &str = "url = \"ldaps://ldap.example\"\nbase = \"dc=example\"\n\
                         groups = [{ group = \"ops\", role = \"operator\" }]\n";

    fn read(text: &str) -> Result<Settings, String> {
        settings::parse::<Settings>(Path::new("hub.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn servers_are_read_with_and_without_port() {
        let server = |text: &str| Server::try_from(text.to_owned());
        for (text, shown) in [
            ("ldaps://ldap.example", "ldaps://ldap.example:636"),
            ("ldap://ldap.example/", "ldap://ldap.example:389"),
            ("ldap://127.0.0.1:3389", "ldap://127.0.0.1:3389"),
            ("ldaps://[2001:db8::1]", "ldaps://[2001:db8::1]:636"),
            ("ldaps://[::1]:1636", "ldaps://[::1]:1636"),
        ] {
            assert_eq!(server(text).unwrap().to_string(), shown);
        }
        for text in
            ["ldap.example", "http://x", "ldap://", "ldap://a:b", "ldap://u@h", "ldap://h/dc=x"]
        {
            assert!(server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_in_the_clear_need_a_word_unless_they_stay_on_this_machine() {
        read(SMALL).unwrap().check().unwrap();
        let plain = SMALL.replace("ldaps", "ldap");
        assert!(read(&plain).unwrap().check().unwrap_err().contains("as they are"));
        read(&format!("start_tls = true\n{plain}")).unwrap().check().unwrap();
        read(&format!("allow_plain = true\n{plain}")).unwrap().check().unwrap();
        read(&plain.replace("ldap.example", "127.0.0.1")).unwrap().check().unwrap();
        read(&plain.replace("ldap.example", "[::1]")).unwrap().check().unwrap();
        assert!(
            read(&plain.replace("ldap.example", "127.0.0.1.example")).unwrap().check().is_err()
        );
    }

    #[test]
    fn mistakes_are_found_before_anybody_logs_in() {
        for (line, what) in [
            ("filter = \"(uid=\"", "no LDAP filter"),
            ("role = 1", "unknown key 'role'"),
            ("start_tls = true", "not with ldaps"),
            ("person_dn = \"uid=x\"", "has {name} once"),
            ("bind_dn = \"cn=hub\"", "goes with one of"),
            ("bind_password_secret = \"x\"", "goes with one of"),
            ("timeout_s = 0", "from 1 to 60"),
        ] {
            let error = read(&format!("{line}\n{SMALL}")).and_then(|s| s.check()).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
