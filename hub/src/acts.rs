//! What agents did on their own, put down in the audit log: armed edits that they undid because nobody
//! confirmed them.
//!
//! An agent keeps how its latest armed edits ended, on its disk, and each has a name of its own. The hub asks
//! for them whenever the link comes up, and follows them while it is. So what happened while the hub was away is
//! told later; and what it has in its log already it knows by name ([`ActsRecord`]): each is there once, whoever is
//! killed when.

use crate::audit::AuditError;
use crate::records::{ActsRecord, acts_key};
use crate::server::Hub;
use crate::store::Batch;
use anyhow::Context as _;
use cmdr_link::{Client, Link};
use cmdr_protocol::audit::{Event, Outcome, Record, Value};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::edits::{ArmedEnd, Confirm, Ended, Pending, Revert};
use cmdr_protocol::events::{Event as Happened, What};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use std::sync::Arc;
use std::time::Duration;

/// After the feed ended, or could not be written down, it is asked for again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// As long as that where the agent does not have it: it is older, or its policy says so.
const SELDOM: Duration = Duration::from_mins(10);
/// Ends that are looked at: more than an agent keeps.
const MOST: usize = 1024;

/// Follows an agent for good; dropped when its link is down.
pub async fn follow(hub: &Arc<Hub>, id: HostId, link: &Link) {
    let client = Client::new(link.clone());
    loop {
        let pause = match listen(hub, id, &client).await {
            Err(e) if matches!(e.kind, ErrorKind::UnknownMethod | ErrorKind::Denied) => SELDOM,
            Ok(()) => PAUSE,
            Err(e) => {
                tracing::debug!(%id, "the feed of armed edits ended: {e}");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn listen(hub: &Arc<Hub>, id: HostId, client: &Client) -> Result<(), CallError> {
    let mut feed = client.feed(Some(id), &Pending::default()).await?;
    while let Some(state) = feed.next().await {
        let mut ended = state?.ended;
        ended.truncate(MOST);
        if !ended.iter().any(is_own) {
            continue;
        }
        // A task of its own: what is half done is ended, whatever becomes of the link.
        let hub = hub.clone();
        let noting = tokio::spawn(async move { note(&hub, id, ended).await });
        let noted = noting.await.map_err(|e| CallError::failed(e.to_string()))?;
        noted.map_err(|e| CallError::failed(format!("{e:#}")))?;
    }
    Ok(())
}

/// Whether it was the agent alone that ended it, and did or tried something.
fn is_own(ended: &Ended) -> bool {
    let did = matches!(ended.how, ArmedEnd::Undone | ArmedEnd::Changed | ArmedEnd::Failed);
    did && ended.who.is_empty() && !ended.id.is_empty()
}

/// Puts down what is not in the log yet, oldest first.
async fn note(hub: &Hub, id: HostId, ended: Vec<Ended>) -> anyhow::Result<()> {
    // One after the other: two links of one host tell the same.
    let _one = hub.acts.lock().await;
    let key = acts_key(id);
    let own: Vec<_> = ended.into_iter().filter(is_own).rev().collect();
    let mut kept: ActsRecord = hub.store.get(&key)?.unwrap_or_default();
    let before = kept.clone();
    // What the agent has forgotten it tells no more.
    kept.noted.retain(|noted| own.iter().any(|ended| ended.id == *noted));
    for ended in own {
        if kept.noted.contains(&ended.id) {
            continue;
        }
        let after = match &kept.begun {
            Some((begun, after)) if *begun == ended.id => *after,
            _ => {
                let after = hub.audit.point().seq;
                kept.begun = Some((ended.id.clone(), after));
                hub.store.apply(Batch::new().put(&key, &kept)).await?;
                after
            }
        };
        if !is_there(hub, id, &ended, after).await? {
            let name = hub.fleet.name(id).unwrap_or_default();
            let seq = hub.audit.append(record(id, name, &ended)).await;
            let seq = seq.map_err(|e: AuditError| anyhow::anyhow!("{e}"))?;
            tracing::info!(host = %id, seq, "an agent undid an edit that nobody confirmed");
            if ended.how == ArmedEnd::Undone {
                let host_name = hub.fleet.name(id).unwrap_or_default();
                hub.fleet.events.tell(Happened {
                    what: What::EditReverted,
                    host: Some(id),
                    host_name,
                    about: resource(&ended.path),
                    message: "by its agent: nobody confirmed it in time".to_owned(),
                    ..Happened::default()
                });
            }
        }
        kept.noted.push(ended.id);
        kept.begun = None;
        hub.store.apply(Batch::new().put(&key, &kept)).await?;
    }
    if kept != before && kept.begun.is_none() {
        hub.store.apply(Batch::new().put(&key, &kept)).await?;
    }
    Ok(())
}

/// Whether the log has it behind this record: the hub was killed before it knew.
async fn is_there(hub: &Hub, id: HostId, ended: &Ended, after: u64) -> anyhow::Result<bool> {
    let last = hub.audit.point().seq;
    let mut tail = hub.audit.follow(Some(after));
    let name = Value::Text(ended.id.clone());
    while tail.seq() < last {
        let records = tail.read().await.context("reading the audit log")?;
        if records.is_empty() {
            break;
        }
        let same = |record: &Record| {
            record.event == Event::Acted
                && record.host == Some(id)
                && record.body.as_ref().and_then(|body| body.get("id")) == Some(&name)
        };
        if records.iter().any(same) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn record(id: HostId, host_name: String, ended: &Ended) -> Record {
    let Ended { id: name, path, by, how, at_ms, words, .. } = ended;
    let by = clean_to_width(by, 64);
    let (outcome, what) = match how {
        ArmedEnd::Undone => (Outcome::Ok, "the agent undid it"),
        ArmedEnd::Changed => {
            (Outcome::Conflict, "the file had been changed meanwhile and was left")
        }
        _ => (Outcome::Failed, "the agent could not undo it"),
    };
    let mut message = format!("nobody confirmed the edit of {by} in time: {what}");
    if !words.is_empty() {
        message.push_str(": ");
        message.push_str(&clean_to_width(words, 300));
    }
    let text = |text: &str| Value::Text(clean_to_width(text, 300));
    Record {
        event: Event::Acted,
        method: Revert::METHOD.to_owned(),
        resource: resource(path),
        host: Some(id),
        host_name,
        outcome: Some(outcome),
        message,
        body: Some(Value::Map(vec![
            ("id".to_owned(), Value::Text(name.clone())),
            ("by".to_owned(), Value::Text(by)),
            ("how".to_owned(), text(how.as_str())),
            ("agent_ms".to_owned(), Value::unsigned(*at_ms)),
        ])),
        ..Record::default()
    }
}

fn resource(path: &FilePath) -> String {
    Confirm { path: path.clone(), id: String::new() }.resource()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::Feed as _;

    #[test]
    fn only_what_the_agent_did_alone_is_its_act() {
        let ended =
            |how, who: &str| Ended { id: "1".into(), how, who: who.into(), ..Ended::default() };
        assert!(is_own(&ended(ArmedEnd::Undone, "")));
        assert!(is_own(&ended(ArmedEnd::Changed, "")));
        assert!(!is_own(&ended(ArmedEnd::Reverted, "")));
        assert!(!is_own(&ended(ArmedEnd::Undone, "ann")));
        assert!(!is_own(&ended(ArmedEnd::Confirmed, "ann")));
        assert!(!is_own(&ended(ArmedEnd::Never, "")));
        assert!(Pending::METHOD.starts_with("edits."));
    }

    #[test]
    fn a_record_names_the_host_the_file_and_whose_edit_it_was_and_steers_no_terminal() {
        let ended = Ended {
            id: "abc".into(),
            path: FilePath::parse("/etc/hosts").unwrap(),
            by: "ann\u{1b}[2J".into(),
            how: ArmedEnd::Changed,
            words: "x\ny".into(),
            ..Ended::default()
        };
        let record = record(HostId([1; 16]), "web1".into(), &ended);
        assert_eq!(
            (record.method.as_str(), record.resource.as_str()),
            ("edits.revert", "path:/etc/hosts")
        );
        assert_eq!(record.outcome, Some(Outcome::Conflict));
        assert!(
            record.message.contains("ann␛[2J") && !record.message.contains('\n'),
            "{}",
            record.message
        );
    }
}
