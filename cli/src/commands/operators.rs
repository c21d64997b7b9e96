//! `operators`: people's accounts, their devices, and who has to wait after wrong tries.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use crate::{human, secret};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::KeyId;
use cmdr_protocol::display::clean;
use cmdr_protocol::operators::{
    By, Create, Delete, Device, List, Lock, Locks, Operator, Revoke, SetPassword, Source, Unlock,
    Update,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{self, TokenKind};
use serde::Serialize;

/// List operators and their devices, make and remove them.
#[derive(Debug, Args)]
pub struct OperatorsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List operators by name.
    #[command(alias = "ls")]
    List,
    /// Make an operator, and a token that lets their first device in.
    Create {
        /// Name: a-z, 0-9, '.', '_', '-' and '@'.
        name: String,
        /// What they may do; left out for rights by groups alone (cmdr groups).
        #[arg(long)]
        role: Option<Role>,
        /// For people.
        #[arg(long, value_name = "TEXT", default_value = "")]
        full_name: String,
        /// Give them a first password instead of a token; they have to change it when they log in.
        ///
        /// On a terminal it is asked for twice. Otherwise it is one line of standard input, which is read once: give
        /// it once, not twice.
        #[arg(long, conflicts_with = "source")]
        password: bool,
        /// They log in with a directory.
        #[arg(long, value_name = "ldap|oidc", value_parser = directory)]
        source: Option<Source>,
    },
    /// Give an operator a new password, or none; their logins by the old one end.
    ///
    /// On a terminal it is asked for twice. Otherwise it is one line of standard input, which is read once: give it
    /// once, not twice. They have to change it when they log in.
    Password {
        /// Whose.
        name: String,
        /// Take it away.
        #[arg(long)]
        none: bool,
    },
    /// Take an operator's second factor away, who has lost it.
    ResetTotp {
        /// Whose.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Shut an operator out; their links are cut.
    Disable {
        /// Whom.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Let an operator in again who was shut out.
    Enable {
        /// Whom.
        name: String,
    },
    /// Remove an operator and revoke all their devices and keys.
    Delete {
        /// Whom.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// List devices by operator.
    Devices {
        /// Of this operator alone.
        name: Option<String>,
    },
    /// List the addresses and names with wrong tries, and how long they have to wait.
    Locks,
    /// Let an address or a name try again.
    Unlock {
        /// Which, as 'operators locks' has it.
        #[arg(required_unless_present = "all")]
        what: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "what")]
        all: bool,
    },
    /// Take a device's rights away and cut its links.
    Revoke {
        /// Key, the beginning of one, or a name that only one has.
        device: String,
        #[command(flatten)]
        yes: Yes,
    },
}

fn directory(text: &str) -> Result<Source, String> {
    match Source::parse(text) {
        source @ (Source::Ldap | Source::Oidc) => Ok(source),
        _ => Err("a directory is ldap or oidc".to_owned()),
    }
}

#[derive(Serialize)]
struct LockRow {
    kind: &'static str,
    what: String,
    tries: u32,
    last: String,
    wait_s: u64,
    #[serde(skip)]
    ago: String,
}

#[derive(Serialize)]
struct DeviceRow {
    operator: String,
    key: String,
    name: String,
    by: By,
    links: u32,
    joined: String,
    expires: Option<String>,
}

fn role_shown(operator: &Operator) -> String {
    let own = (operator.role != Role::NONE).then(|| operator.role.to_string());
    let groups = operator.groups.iter().map(|(group, role)| format!("{role} in {}", clean(group)));
    let all: Vec<_> = own.into_iter().chain(groups).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn state(operator: &Operator) -> Cell {
    let links: u32 = operator.devices.iter().map(|device| device.links).sum();
    match operator {
        one if one.disabled => Cell::painted("shut out", Paint::Bad),
        one if one.wait_s > 0 => {
            Cell::painted(format!("waits {}", human::span(one.wait_s)), Paint::Bad)
        }
        _ if links > 0 => Cell::painted("connected", Paint::Good),
        _ => "-".into(),
    }
}

fn factors(operator: &Operator) -> &'static str {
    match (operator.source, operator.password, operator.second_factor) {
        (Source::Ldap, _, false) => "ldap",
        (Source::Ldap, _, true) => "ldap and code",
        (Source::Oidc, ..) => "oidc",
        (_, false, _) => "key",
        (_, true, false) => "password",
        (_, true, true) => "password and code",
    }
}

pub(super) async fn run(app: &App, args: &OperatorsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => list(app, &hub.ask_all(&List::all()).await?.operators)?,
        Verb::Create { name, role, full_name, password, source } => {
            let first = match password {
                true => Some(secret::ask_new(&format!("First password of {name}")).await?),
                false => None,
            };
            let create = Create {
                name: name.clone(),
                full_name: full_name.clone(),
                role: role.unwrap_or(Role::NONE),
                source: source.unwrap_or(Source::Local),
                password: first.as_ref().map(|password| password.to_string()),
            };
            hub.ask(&create).await?;
            app.out.note(&format!("{name} is an operator now"));
            if first.is_none() && source.is_none() {
                first_device(app, &hub, name).await?;
            }
        }
        Verb::Password { name, none } => {
            let password = match none {
                true => None,
                false => Some(secret::ask_new(&format!("New password of {name}")).await?),
            };
            let password = password.as_ref().map(|password| password.to_string());
            hub.ask(&SetPassword { name: name.clone(), password }).await?;
            app.out.note(&match none {
                true => format!("{name} has no password now"),
                false => format!("{name} has to change the new password at the next login"),
            });
        }
        Verb::ResetTotp { name, yes } => {
            let question = format!("Let {name} log in without the second factor?");
            let reset = cmdr_protocol::totp::Reset { name: name.clone() };
            hub.confirm(app, *yes, (&reset, None), (&question, "yes")).await?;
            hub.ask(&reset).await?;
            app.out.note(&format!("{name} has no second factor now"));
        }
        Verb::Disable { name, yes } => {
            let (shut, question) = (disabled(name, true), format!("Shut {name} out?"));
            hub.confirm(app, *yes, (&shut, None), (&question, "yes")).await?;
            hub.ask(&shut).await?;
            app.out.note(&format!("{name} is shut out"));
        }
        Verb::Enable { name } => {
            hub.ask(&disabled(name, false)).await?;
            app.out.note(&format!("{name} may come in again"));
        }
        Verb::Delete { name, yes } => {
            let question = format!("Remove {name}, and revoke all their devices and keys?");
            let delete = Delete { name: name.clone() };
            hub.confirm(app, *yes, (&delete, None), (&question, "yes")).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("{name} is removed"));
        }
        Verb::Devices { name } => {
            let all = hub.ask_all(&List::all()).await?.operators;
            devices(app, &all, name.as_deref())?;
        }
        Verb::Locks => locks(app, &hub).await?,
        Verb::Unlock { what, .. } => unlock(app, &hub, what.as_deref()).await?,
        Verb::Revoke { device, yes } => {
            let all = hub.ask_all(&List::all()).await?.operators;
            let (key, name) = match find(&all, device) {
                Ok(one) => (one.key, one.name.as_str()),
                // A device without rights is in no list, but the hub knows what it did to its key.
                Err(failure) => (device.parse().map_err(|_| failure)?, "a device"),
            };
            let (revoke, question) = (Revoke { key }, format!("Revoke {name} ({key})?"));
            hub.confirm(app, *yes, (&revoke, None), (&question, "yes")).await?;
            let revoked = hub.ask(&revoke).await?;
            app.out.note(&revoked.told(&format!("{name} ({key})")));
        }
    }
    Ok(Exit::Ok)
}

fn disabled(name: &str, disabled: bool) -> Update {
    Update { name: name.to_owned(), full_name: None, disabled: Some(disabled) }
}

async fn first_device(app: &App, hub: &Hub, name: &str) -> Result<(), Failure> {
    let create = tokens::Create {
        kind: TokenKind::Operator,
        operator: name.to_owned(),
        ttl_s: 24 * 3600,
        uses: 1,
        ..tokens::Create::default()
    };
    let created = hub.ask(&create).await?;
    app.out.data(&format!("{}\n", created.text))?;
    app.out.note(&format!(
        "{name} uses it once, until {}: cmdr login TOKEN. It is shown only now",
        human::moment(created.expires_ms)
    ));
    Ok(())
}

fn list(app: &App, all: &[Operator]) -> Result<(), Failure> {
    let columns = [
        Column::text("NAME", |r: &Operator| clean(&r.name).into_owned().into()),
        Column::text("ROLE", |r| role_shown(r).as_str().into()),
        Column::text("LOGS IN BY", |r| factors(r).into()),
        Column::figure("DEVICES", |r| r.devices.len().to_string().into()),
        Column::text("STATE", state),
        Column::text("FULL NAME", |r: &Operator| clean(&r.full_name).into_owned().into()).wide(),
        Column::text("MADE", |r: &Operator| human::moment(r.created_ms).into()).wide(),
        Column::text("BY", |r: &Operator| clean(&r.created_by).into_owned().into()).wide(),
    ];
    app.out.list(all, &columns, |r| r.name.clone())
}

fn devices(app: &App, all: &[Operator], only: Option<&str>) -> Result<(), Failure> {
    let of = all.iter().filter(|one| only.is_none_or(|name| one.name == name));
    let row = |operator: &Operator, device: &Device| DeviceRow {
        operator: operator.name.clone(),
        key: device.key.to_string(),
        name: device.name.clone(),
        by: device.by,
        links: device.links,
        joined: human::moment(device.joined_ms),
        expires: device.expires_ms.map(human::moment),
    };
    let rows: Vec<_> =
        of.flat_map(|one| one.devices.iter().map(move |device| row(one, device))).collect();
    let columns = [
        Column::text("OPERATOR", |r: &DeviceRow| clean(&r.operator).into_owned().into()),
        Column::text("DEVICE", |r| clean(&r.name).into_owned().into()),
        Column::text("BY", |r| r.by.as_str().into()),
        Column::figure("LINKS", |r| r.links.to_string().into()),
        Column::text("EXPIRES", |r| r.expires.as_deref().unwrap_or("never").into()),
        Column::text("JOINED", |r: &DeviceRow| r.joined.as_str().into()).wide(),
        Column::text("KEY", |r| r.key.as_str().into()),
    ];
    app.out.list(&rows, &columns, |r| r.key.clone())
}

async fn locks(app: &App, hub: &Hub) -> Result<(), Failure> {
    let now = clock::now_ms();
    let locked = hub.ask(&Locks {}).await?;
    let row = |kind, one: Lock| LockRow {
        kind,
        last: human::moment(one.last_ms),
        ago: human::ago(Some(one.last_ms), now),
        what: one.address,
        tries: one.tries,
        wait_s: one.wait_s,
    };
    let addresses = locked.addresses.into_iter().map(|one| row("address", one));
    let names = locked.operators.into_iter().map(|one| row("name", one));
    let rows: Vec<_> = addresses.chain(names).collect();
    let columns = [
        Column::text("KIND", |r: &LockRow| r.kind.into()),
        Column::text("ADDRESS OR NAME", |r| clean(&r.what).into_owned().into()),
        Column::figure("WRONG TRIES", |r| r.tries.to_string().into()),
        Column::text("LAST", |r| r.ago.as_str().into()),
        Column::text("WAITS", |r| match r.wait_s {
            0 => "-".into(),
            seconds => human::span(seconds).into(),
        }),
    ];
    app.out.list(&rows, &columns, |r| r.what.clone())
}

async fn unlock(app: &App, hub: &Hub, what: Option<&str>) -> Result<(), Failure> {
    let is_address = what.is_some_and(|what| what.parse::<std::net::IpAddr>().is_ok());
    let given = what.map(str::to_owned);
    let unlock = Unlock {
        address: given.clone().filter(|_| is_address),
        operator: given.filter(|_| !is_address),
    };
    let count = hub.ask(&unlock).await?.count;
    if let (0, Some(what)) = (count, what) {
        return Err(Failure::new(Exit::NoMatch, format!("there were no wrong tries from {what}"))
            .hint("those with some: cmdr operators locks"));
    }
    app.out.note(&match (count, what) {
        (_, Some(what)) => format!("{what} may try again"),
        (count, None) => format!("{count} may try again"),
    });
    Ok(())
}

/// The one device that a key, the beginning of one, or a name means.
fn find<'a>(all: &'a [Operator], text: &str) -> Result<&'a Device, Failure> {
    let lower = text.to_ascii_lowercase();
    let named: Vec<_> = all
        .iter()
        .flat_map(|operator| &operator.devices)
        .filter(|one| {
            one.name == text || (text.len() >= 4 && one.key.to_string().starts_with(&lower))
        })
        .collect();
    match named.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(Exit::NoMatch, format!("no device with rights matches '{text}'"))
            .hint("all of them: cmdr operators devices; one that was revoked is no longer listed")),
        many => {
            let keys: Vec<_> = many
                .iter()
                .map(|one: &&Device| one.key)
                .map(|key: KeyId| key.to_string())
                .collect();
            Err(Failure::usage(format!("'{text}' means {} devices; give the key", many.len()))
                .hint(keys.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(byte: u8, name: &str) -> Operator {
        let device = Device {
            key: KeyId([byte; 16]),
            name: name.into(),
            by: By::Token,
            joined_ms: 0,
            expires_ms: None,
            links: 0,
        };
        Operator { name: name[..3].to_owned(), devices: vec![device], ..Operator::default() }
    }

    #[test]
    fn a_device_is_found_by_key_or_by_a_name_that_only_one_has() {
        let all = [operator(1, "ann@a"), operator(2, "bob@b"), operator(3, "bob@b")];
        let key = all[1].devices[0].key.to_string();
        assert_eq!(find(&all, "ann@a").unwrap(), &all[0].devices[0]);
        assert_eq!(find(&all, &key[..6].to_uppercase()).unwrap(), &all[1].devices[0]);
        assert_eq!(find(&all, "bob@b").unwrap_err().exit, Exit::Usage);
        assert_eq!(find(&all, "eve@e").unwrap_err().exit, Exit::NoMatch);
    }

    #[test]
    fn a_role_is_shown_with_those_in_groups() {
        let mut one = operator(1, "ann@a");
        assert_eq!(role_shown(&one), "-");
        one.groups = vec![("web".to_owned(), Role::OPERATOR)];
        assert_eq!(role_shown(&one), "operator in web");
        one.role = Role::OBSERVER;
        assert_eq!(role_shown(&one), "observer, operator in web");
    }
}
