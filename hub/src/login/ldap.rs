//! People in an LDAP directory, by their password: `[login.ldap]`.
//!
//! A person is found by a search (with the hub's own name and password, or without) or at a DN made from
//! a pattern; then the directory is asked to accept the password for that DN. What somebody typed never
//! becomes a filter's or a DN's text: filters are sent as trees, and every odd byte in a DN is escaped.

mod dn;
mod settings;
mod wire;

pub use settings::{MemberBy, Query, Server, Settings};

use super::person::{MOST_GROUPS, Person, Unable, is_name, words};
use ldap3_proto::proto::{
    LdapFilter, LdapResult, LdapResultCode as Code, LdapSearchResultEntry as Entry,
    LdapSearchScope as Scope,
};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use wire::{Search, Wire, said};
use zeroize::Zeroizing;

/// A wrong answer takes at least so long, so that its time tells nothing.
const WRONG_TAKES: Duration = Duration::from_millis(400);

/// More entries than were asked for.
struct TooMany;

/// Whether the directory accepts this password for this name, and who that is.
pub async fn authenticate(
    settings: &Settings,
    bind_password: Option<&Zeroizing<String>>,
    name: &str,
    password: &str,
) -> Result<Person, Unable> {
    let begin = Instant::now();
    settings.check().map_err(Unable::Misconfigured)?;
    // A bind without a password succeeds: it is one without a name, too (RFC 4513, 5.1.2).
    let person = if password.is_empty() || !is_name(name) {
        Err(Unable::Wrong)
    } else {
        let own = settings.own_password(bind_password)?;
        within(settings, Asking::prove(settings, own.as_ref(), name, password)).await
    };
    if person == Err(Unable::Wrong) {
        sleep_until(begin + WRONG_TAKES).await;
    }
    person
}

/// Whether somebody is still there, with which groups: to renew a login without their password. None
/// when they are gone.
pub async fn look_up(
    settings: &Settings,
    bind_password: Option<&Zeroizing<String>>,
    name: &str,
) -> Result<Option<Person>, Unable> {
    settings.check().map_err(Unable::Misconfigured)?;
    if !is_name(name) {
        return Ok(None);
    }
    let own = settings.own_password(bind_password)?;
    within(settings, Asking::find(settings, own.as_ref(), name)).await
}

async fn within<T>(
    settings: &Settings,
    asking: impl Future<Output = Result<T, Unable>>,
) -> Result<T, Unable> {
    let patience = settings.patience();
    timeout(patience, asking).await.unwrap_or_else(|_| {
        Err(down(settings, &format!("no answer within {} s", patience.as_secs())))
    })
}

fn down(settings: &Settings, why: &str) -> Unable {
    Unable::Down(format!("asking the directory {}: {why}", settings.url))
}

struct Asking<'a> {
    settings: &'a Settings,
    own: Option<&'a Zeroizing<String>>,
    wire: Wire,
}

impl<'a> Asking<'a> {
    async fn open(
        settings: &'a Settings,
        own: Option<&'a Zeroizing<String>>,
    ) -> Result<Self, Unable> {
        let wire = Wire::open(settings).await.map_err(|why| down(settings, &why))?;
        Ok(Self { settings, own, wire })
    }

    async fn prove(
        settings: &'a Settings,
        own: Option<&'a Zeroizing<String>>,
        name: &str,
        password: &str,
    ) -> Result<Person, Unable> {
        let mut asking = Self::open(settings, own).await?;
        let person = if let Some(pattern) = &settings.person_dn {
            let dn = dn::fill(pattern, name);
            asking.bind_person(&dn, password).await?;
            // Their own entry is read with their own rights, or with the hub's if it has some.
            if own.is_some() {
                asking.bind_own().await?;
            }
            let entry = asking.entry_at(&dn).await?;
            let entry = entry.ok_or_else(|| {
                Unable::Refused("it shows no entry that login.ldap's filter lets in".to_owned())
            })?;
            asking.person(name, &entry).await
        } else {
            asking.bind_own().await?;
            let entry = asking.entry_of(name).await?;
            // Nobody of this name: a question all the same, for a name that nobody has.
            let dn = entry.as_ref().map_or_else(|| settings.nobody(), |entry| entry.dn.clone());
            asking.bind_person(&dn, password).await?;
            let entry = entry.ok_or(Unable::Wrong)?;
            asking.bind_own().await?;
            asking.person(name, &entry).await
        }?;
        asking.wire.close().await;
        Ok(person)
    }

    async fn find(
        settings: &'a Settings,
        own: Option<&'a Zeroizing<String>>,
        name: &str,
    ) -> Result<Option<Person>, Unable> {
        let mut asking = Self::open(settings, own).await?;
        asking.bind_own().await?;
        let entry = match &settings.person_dn {
            Some(pattern) => asking.entry_at(&dn::fill(pattern, name)).await?,
            None => asking.entry_of(name).await?,
        };
        let person = match entry {
            Some(entry) => Some(asking.person(name, &entry).await?),
            None => None,
        };
        asking.wire.close().await;
        Ok(person)
    }

    fn down(&self, why: &str) -> Unable {
        down(self.settings, why)
    }

    /// As the hub itself; as nobody when it has no name there.
    async fn bind_own(&mut self) -> Result<(), Unable> {
        let settings = self.settings;
        let (dn, password) = match self.own {
            Some(password) => (settings.bind_dn.as_str(), password.as_str()),
            None => ("", ""),
        };
        let answer = self.wire.bind(dn, password).await.map_err(|why| self.down(&why))?;
        let who = if dn.is_empty() { "a bind without a name" } else { dn };
        match answer.code {
            Code::Success => Ok(()),
            Code::Busy | Code::Unavailable => Err(self.down(&said(&answer))),
            _ => Err(Unable::Misconfigured(format!(
                "the directory {} refuses {who}: {}; check bind_dn and its password",
                settings.url,
                said(&answer)
            ))),
        }
    }

    async fn bind_person(&mut self, dn: &str, password: &str) -> Result<(), Unable> {
        let answer = self.wire.bind(dn, password).await.map_err(|why| self.down(&why))?;
        match answer.code {
            Code::Success => Ok(()),
            Code::InvalidCredentials => Err(match refusal(&answer.message) {
                Some(why) => Unable::Refused(why.to_owned()),
                None => Unable::Wrong,
            }),
            // What a made-up DN or an entry without a password earns.
            Code::NoSuchObject
            | Code::InvalidDNSyntax
            | Code::InappropriateAuthentication
            | Code::NamingViolation => Err(Unable::Wrong),
            Code::UnwillingToPerform
            | Code::ConstraintViolation
            | Code::InsufficentAccessRights => Err(Unable::Refused(said(&answer))),
            Code::ConfidentialityRequired | Code::StrongerAuthRequired => {
                Err(Unable::Misconfigured(format!(
                    "the directory {} takes no password here ({}); use ldaps:// or start_tls = true",
                    self.settings.url,
                    said(&answer)
                )))
            }
            _ => Err(self.down(&said(&answer))),
        }
    }

    /// The one entry of this name.
    async fn entry_of(&mut self, name: &str) -> Result<Option<Entry>, Unable> {
        let settings = self.settings;
        let named = LdapFilter::Equality(settings.name.clone(), name.to_owned());
        let filter = also(named, settings.filter.as_ref());
        self.entry(&settings.base, Scope::Subtree, filter).await
    }

    /// The entry at this DN.
    async fn entry_at(&mut self, dn: &str) -> Result<Option<Entry>, Unable> {
        let any = LdapFilter::Present("objectClass".to_owned());
        self.entry(dn, Scope::Base, also(any, self.settings.filter.as_ref())).await
    }

    async fn entry(
        &mut self,
        base: &str,
        scope: Scope,
        filter: LdapFilter,
    ) -> Result<Option<Entry>, Unable> {
        let settings = self.settings;
        let at_dn = scope == Scope::Base;
        let mut attributes = vec![settings.name.as_str(), settings.full_name.as_str()];
        attributes.extend(Some(settings.member_of.as_str()).filter(|a| !a.is_empty()));
        let search = Search { base, scope, filter, attributes: &attributes, most: 1 };
        let (mut entries, done) =
            self.wire.search(search, settings.timeout_s).await.map_err(|why| self.down(&why))?;
        match done {
            Ok(done) if done.code == Code::Success => Ok(entries.pop()),
            Ok(done) if done.code == Code::NoSuchObject && at_dn => Ok(None),
            Ok(done) => Err(self.unsearched(base, &done)),
            Err(TooMany) => {
                tracing::warn!(
                    "more than one entry below {base} has the same {}: none may log in by it",
                    settings.name
                );
                Ok(None)
            }
        }
    }

    fn unsearched(&self, base: &str, done: &LdapResult) -> Unable {
        match done.code {
            Code::Busy | Code::Unavailable | Code::TimeLimitExceeded | Code::AdminLimitExceeded => {
                self.down(&said(done))
            }
            Code::Referral => Unable::Misconfigured(format!(
                "the directory {} has '{base}' on another server, which is not followed; name that \
                 one: {}",
                self.settings.url,
                words(&done.referral.join(" "))
            )),
            _ => Unable::Misconfigured(format!(
                "the directory {} cannot be searched at '{base}': {}; check base, group_base and what \
                 bind_dn may read",
                self.settings.url,
                said(done)
            )),
        }
    }

    /// Who that is, with the groups that the entry names and those that name the entry.
    async fn person(&mut self, asked: &str, entry: &Entry) -> Result<Person, Unable> {
        let settings = self.settings;
        let names = values(entry, &settings.name);
        let name = names
            .iter()
            .find(|name| name.to_lowercase() == asked.to_lowercase())
            .or(names.first())
            .ok_or_else(|| Unable::Refused(format!("the entry has no {}", settings.name)))?;
        let full_name = values(entry, &settings.full_name).into_iter().next();
        let mut dns = values(entry, &settings.member_of);
        if let Some(base) = &settings.group_base {
            let member = match settings.group_member_is {
                MemberBy::Dn => entry.dn.clone(),
                MemberBy::Name => name.clone(),
            };
            let member = LdapFilter::Equality(settings.group_member.clone(), member);
            let search = Search {
                base,
                scope: Scope::Subtree,
                filter: also(member, settings.group_filter.as_ref()),
                // No attributes at all (RFC 4511, 4.5.1.8): the DN says it.
                attributes: &["1.1"],
                most: MOST_GROUPS,
            };
            let (entries, done) = self
                .wire
                .search(search, settings.timeout_s)
                .await
                .map_err(|why| self.down(&why))?;
            match done {
                Ok(done) if done.code == Code::Success => {}
                Ok(done) => return Err(self.unsearched(base, &done)),
                Err(TooMany) => {
                    return Err(Unable::Refused(format!("more than {MOST_GROUPS} groups")));
                }
            }
            dns.extend(entries.into_iter().map(|entry| entry.dn));
        }
        if dns.len() > MOST_GROUPS {
            return Err(Unable::Refused(format!("more than {MOST_GROUPS} groups")));
        }
        dns.sort();
        dns.dedup();
        // By DN and by name. A name that looks like a DN must not pass for one.
        let mut groups: Vec<_> =
            dns.iter().filter_map(|dn| dn::first_value(dn)).filter(|n| !n.contains('=')).collect();
        groups.sort();
        groups.dedup();
        groups.truncate(MOST_GROUPS);
        let person = Person::new(name, &full_name.unwrap_or_default(), groups)?;
        let with_dns = Person::new(name, "", dns)?;
        Ok(Person { groups: [person.groups, with_dns.groups].concat(), ..person })
    }
}

/// Both.
fn also(filter: LdapFilter, other: Option<&Query>) -> LdapFilter {
    match other {
        Some(other) => LdapFilter::And(vec![filter, other.filter().clone()]),
        None => filter,
    }
}

/// An attribute's values that are text.
fn values(entry: &Entry, attribute: &str) -> Vec<String> {
    let of = |a: &&ldap3_proto::LdapPartialAttribute| a.atype.eq_ignore_ascii_case(attribute);
    let found = entry.attributes.iter().find(of);
    let values = found.map(|a| a.vals.as_slice()).unwrap_or_default();
    values.iter().filter_map(|value| String::from_utf8(value.clone()).ok()).collect()
}

/// Active Directory says with the same code as for a wrong password why it refuses a right one, or one
/// of an account that is locked.
fn refusal(message: &str) -> Option<&'static str> {
    let (_, data) = message.split_once(", data ")?;
    match data.split([',', ' ', '\0']).next()? {
        "530" => Some("not at this time"),
        "531" => Some("not from here"),
        "532" => Some("the password has expired"),
        "533" => Some("the account is disabled"),
        "701" => Some("the account has expired"),
        "773" => Some("the password must be changed first"),
        "775" => Some("the account is locked"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_active_directory_tell_disabled_from_wrong() {
        let text = |data| {
            format!(
                "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data {data}, v4563\0"
            )
        };
        assert_eq!(refusal(&text("52e")), None);
        assert_eq!(refusal(&text("525")), None);
        assert_eq!(refusal(&text("533")), Some("the account is disabled"));
        assert_eq!(refusal(&text("773")), Some("the password must be changed first"));
        assert_eq!(refusal(""), None);
    }
}
