//! `operators`: which devices may act, and as what.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::operators::{List, Locks, Operator, Revoke, Unlock};
use cmdr_protocol::role::Role;
use serde::Serialize;

/// List operators' devices and revoke them.
#[derive(Debug, Args)]
pub struct OperatorsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List devices by name.
    List,
    /// List the addresses from which wrong tokens came, and how long they have to wait.
    Locks,
    /// Let an address try again.
    Unlock {
        /// Which, as 'operators locks' has it.
        #[arg(required_unless_present = "all")]
        address: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "address")]
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

#[derive(Serialize)]
struct LockRow {
    address: String,
    tries: u32,
    last: String,
    wait_s: u64,
    #[serde(skip)]
    ago: String,
}

#[derive(Serialize)]
struct Row {
    key: String,
    name: String,
    role: Role,
    links: u32,
    joined: String,
    last_seen: Option<String>,
    #[serde(skip)]
    seen: String,
}

impl Row {
    fn new(one: &Operator, now: u64) -> Self {
        Self {
            key: one.key.to_string(),
            name: one.name.clone(),
            role: one.role,
            links: one.links,
            joined: human::moment(one.joined_ms),
            last_seen: one.last_seen_ms.map(human::moment),
            seen: if one.links > 0 { "now".into() } else { human::ago(one.last_seen_ms, now) },
        }
    }
}

pub(super) async fn run(app: &App, args: &OperatorsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match &args.verb {
        Some(Verb::Locks) => return locks(app, &hub).await,
        Some(Verb::Unlock { address, .. }) => return unlock(app, &hub, address.as_ref()).await,
        _ => {}
    }
    let all = hub.ask(&List {}).await?.operators;
    match &args.verb {
        None | Some(Verb::List | Verb::Locks | Verb::Unlock { .. }) => {
            let now = clock::now_ms();
            let rows: Vec<_> = all.iter().map(|one| Row::new(one, now)).collect();
            let columns = [
                Column::text("NAME", |r: &Row| r.name.as_str().into()),
                Column::text("ROLE", |r: &Row| r.role.to_string().into()),
                Column::figure("LINKS", |r: &Row| r.links.to_string().into()),
                Column::text("SEEN", |r: &Row| r.seen.as_str().into()),
                Column::text("JOINED", |r: &Row| r.joined.as_str().into()).wide(),
                Column::text("KEY", |r: &Row| r.key.as_str().into()),
            ];
            app.out.list(&rows, &columns, |r| r.key.clone())?;
        }
        Some(Verb::Revoke { device, yes }) => {
            let (key, name) = match find(&all, device) {
                Ok(one) => (one.key, one.name.as_str()),
                // A device without rights is in no list, but the hub knows what it did to its key.
                Err(failure) => (device.parse().map_err(|_| failure)?, "a device"),
            };
            let question = format!("Revoke {name} ({key})?");
            app.out.confirm(yes.yes, &question, "yes").await?;
            let revoked = hub.ask(&Revoke { key }).await?;
            app.out.note(&revoked.told(&format!("{name} ({key})")));
        }
    }
    Ok(Exit::Ok)
}

async fn locks(app: &App, hub: &Hub) -> Result<Exit, Failure> {
    let now = clock::now_ms();
    let rows: Vec<_> = hub
        .ask(&Locks {})
        .await?
        .addresses
        .into_iter()
        .map(|one| LockRow {
            last: human::moment(one.last_ms),
            ago: human::ago(Some(one.last_ms), now),
            address: one.address,
            tries: one.tries,
            wait_s: one.wait_s,
        })
        .collect();
    let columns = [
        Column::text("ADDRESS", |r: &LockRow| r.address.as_str().into()),
        Column::figure("WRONG TRIES", |r| r.tries.to_string().into()),
        Column::text("LAST", |r| r.ago.as_str().into()),
        Column::text("WAITS", |r| match r.wait_s {
            0 => "-".into(),
            seconds => human::span(seconds).into(),
        }),
    ];
    app.out.list(&rows, &columns, |r| r.address.clone())?;
    Ok(Exit::Ok)
}

async fn unlock(app: &App, hub: &Hub, address: Option<&String>) -> Result<Exit, Failure> {
    let count = hub.ask(&Unlock { address: address.cloned() }).await?.count;
    if let (0, Some(address)) = (count, address) {
        return Err(Failure::new(
            Exit::NoMatch,
            format!("there were no wrong tries from {address}"),
        )
        .hint("those with some: cmdr operators locks"));
    }
    app.out.note(&match count {
        1 => "1 address may try again".to_owned(),
        count => format!("{count} addresses may try again"),
    });
    Ok(Exit::Ok)
}

pub(super) fn find<'a>(all: &'a [Operator], text: &str) -> Result<&'a Operator, Failure> {
    let lower = text.to_ascii_lowercase();
    let named: Vec<_> = all
        .iter()
        .filter(|one| {
            one.name == text || (text.len() >= 4 && one.key.to_string().starts_with(&lower))
        })
        .collect();
    match named.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(Exit::NoMatch, format!("no device with rights matches '{text}'"))
            .hint("all of them: cmdr operators; one that was revoked is no longer listed")),
        many => {
            let keys: Vec<_> = many.iter().map(|one| one.key.to_string()).collect();
            Err(Failure::usage(format!("'{text}' means {} devices; give the key", many.len()))
                .hint(keys.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::KeyId;

    fn operator(byte: u8, name: &str) -> Operator {
        Operator {
            key: KeyId([byte; 16]),
            name: name.into(),
            role: Role::OPERATOR,
            joined_ms: 0,
            last_seen_ms: None,
            links: 0,
        }
    }

    #[test]
    fn a_device_is_found_by_key_or_by_a_name_that_only_one_has() {
        let all = [operator(1, "ann@a"), operator(2, "bob@b"), operator(3, "bob@b")];
        let key = all[1].key.to_string();
        assert_eq!(find(&all, "ann@a").unwrap(), &all[0]);
        assert_eq!(find(&all, &key[..6].to_uppercase()).unwrap(), &all[1]);
        assert_eq!(find(&all, "bob@b").unwrap_err().exit, Exit::Usage);
        assert_eq!(find(&all, "eve@e").unwrap_err().exit, Exit::NoMatch);
    }
}
