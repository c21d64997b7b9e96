//! Pushes by rule: a message for people, or the result for a program.

use super::callbacks::results;
use super::results::{self, Results};
use super::{Fate, Letter, sign};
use crate::api::RunView;
use crate::outward::Place;
use crate::records::{PostRecord, prefix, push_rule_key};
use crate::server::Hub;
use crate::store::{Store, StoreError};
use cmdr_protocol::display::clean;
use cmdr_protocol::pushes::{Form, Rule, When};
use cmdr_protocol::runs::Group;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, ErrorKind, RunId};
use serde::Serialize;
use std::fmt::Write as _;

/// The part of the hub that uses the secrets of rules.
const PART: &str = "pushes";
/// Groups of equal ends in one message.
const GROUPS: usize = 5;
/// Lines and columns of output of each.
const LINES: usize = 10;
const COLUMNS: usize = 160;

/// All rules, by name.
pub(super) fn rules(store: &Store) -> Result<Vec<Rule>, StoreError> {
    Ok(store.scan::<Rule>(prefix::PUSH_RULE)?.into_iter().flatten().map(|(_, rule)| rule).collect())
}

/// Whether a rule is about a run that is over.
pub(super) fn fits(hub: &Hub, rule: &Rule, run: RunId) -> bool {
    let Some(record) = hub.runs.ended(run) else { return false };
    let Some(end) = &record.end else { return false };
    let bad = end.counts.bad() > 0;
    if rule.when == When::Failed && !bad {
        return false;
    }
    // Steps of a runbook are told by the run that they are steps of.
    if record.parent.is_some() {
        return false;
    }
    if !rule.operator.is_empty() && rule.operator != record.author.operator {
        return false;
    }
    if rule.hosts.trim().is_empty() {
        return true;
    }
    let Ok(selector) = Selector::parse(&rule.hosts) else { return false };
    let host = |id| hub.fleet.host(id).is_some_and(|host| selector.matches(&host));
    hub.runs.hosts_of(run).into_iter().any(host)
}

/// What is posted to a webhook.
#[derive(Serialize)]
struct Body<'a, R> {
    event: &'static str,
    rule: &'a str,
    run: Option<RunView>,
    results: R,
}

/// A message.
#[derive(Serialize)]
struct Message {
    text: String,
}

fn secret(hub: &Hub, name: &str) -> Result<String, Fate> {
    match hub.vault.secret(name, PART) {
        Ok(Some(value)) => match std::str::from_utf8(value.trim_ascii()) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Fate::Later(format!("the secret {name} is not text"))),
        },
        Ok(None) => Err(Fate::Later(format!(
            "the hub has no secret {name}; put it: cmdr secrets put {name}"
        ))),
        Err(e) => Err(Fate::Later(e.to_string())),
    }
}

/// Where the posts of a rule go.
fn place_of(hub: &Hub, rule: &Rule) -> Result<Place, Fate> {
    let url = secret(hub, &rule.url_secret)?;
    let outward = hub.outbox.outward().map_err(Fate::Later)?;
    // The address itself is a secret.
    outward.place(&url).map(Place::hidden).map_err(|_| {
        Fate::Later(format!(
            "the secret {} holds no address that may be posted to: https://, and a public one unless the configuration allows its network",
            rule.url_secret
        ))
    })
}

fn letter(hub: &Hub, rule: &Rule, place: Place, body: Vec<u8>) -> Result<Letter, Fate> {
    let headers = match rule.form {
        Form::Webhook => {
            let key = secret(hub, &rule.signing_secret)?;
            sign::headers(key.as_bytes(), &body)
        }
        Form::Slack | Form::Unknown => Vec::new(),
    };
    Ok(Letter { place, headers, body: body.into() })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fate> {
    serde_json::to_vec(value).map_err(|e| Fate::Never(e.to_string()))
}

fn gone(what: &str) -> Fate {
    Fate::Never(format!("{what} is not there any more"))
}

fn rule(hub: &Hub, post: &PostRecord) -> Result<Rule, Fate> {
    let rule: Option<Rule> = hub.store.get(&push_rule_key(&post.rule))?;
    rule.ok_or_else(|| gone("the rule"))
}

/// Where it goes.
pub(super) fn place(hub: &Hub, post: &PostRecord) -> Result<Place, Fate> {
    place_of(hub, &rule(hub, post)?)
}

/// Reads the run: blocks.
pub(super) fn compose(hub: &Hub, post: &PostRecord, place: Place) -> Result<Letter, Fate> {
    let rule = rule(hub, post)?;
    let run = post.run.ok_or_else(|| gone("the run"))?;
    let mut read = results::read(hub, run).map_err(|e| match e.kind {
        ErrorKind::NotFound => gone("the run"),
        _ => Fate::Later(e.message),
    })?;
    let body = match rule.form {
        Form::Slack => json(&Message { text: message(&read) })?,
        Form::Webhook => {
            let results = results(&mut read);
            let run = Some(read.run.into());
            json(&Body { event: "run.ended", rule: &rule.name, run, results })?
        }
        Form::Unknown => return Err(Fate::Never("a newer hub made this rule".to_owned())),
    };
    letter(hub, &rule, place, body)
}

/// Posts a line for a try; the status that was answered.
pub(crate) async fn test(hub: &Hub, rule: &Rule) -> Result<u16, CallError> {
    let said = |fate| match fate {
        Fate::Later(why) | Fate::Never(why) => CallError::failed(format!("not posted: {why}")),
    };
    let text = format!("Commander: a try of the rule {}", rule.name);
    let body = match rule.form {
        Form::Slack | Form::Unknown => json(&Message { text }),
        Form::Webhook => {
            json(&Body { event: "test", rule: &rule.name, run: None, results: [(); 0] })
        }
    };
    let posted = body.and_then(|body| letter(hub, rule, place_of(hub, rule)?, body));
    let letter = posted.map_err(said)?;
    let outward = hub.outbox.outward().map_err(CallError::failed)?;
    let posted = outward.post(&letter.place, &letter.headers, letter.body).await;
    posted.map_err(|why| CallError::failed(format!("not posted: {why}")))
}

/// Text that means nothing to whoever shows it, and cannot harm there.
fn plain(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "ʼ")
}

fn count(n: u32, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// What people read about a run.
fn message(results: &Results) -> String {
    let run = &results.run;
    let counts = &run.counts;
    let sign = if counts.bad() == 0 { ":white_check_mark:" } else { ":x:" };
    let mut text = format!(
        "{sign} `{}` by {} on {}: {} ok",
        plain(&run.what),
        plain(&run.operator),
        count(counts.targets, "host"),
        counts.ok
    );
    let bad = [
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.cancelled, "cancelled"),
        (counts.lost, "lost"),
        (counts.unreachable, "unreachable"),
        (counts.refused, "refused"),
    ];
    for (n, word) in bad.into_iter().filter(|(n, _)| *n > 0) {
        write!(text, ", {n} {word}").ok();
    }
    if let Some(id) = run.id {
        write!(text, " (run {id})").ok();
    }
    if !run.note.is_empty() {
        write!(text, "\n{}", plain(&run.note)).ok();
    }
    for group in results.groups.iter().take(GROUPS) {
        text += &shown(results, group);
    }
    if results.groups.len() > GROUPS {
        write!(text, "\nand {} more kinds of ends", results.groups.len() - GROUPS).ok();
    }
    text
}

/// One kind of end, with the output that all of it share.
fn shown(results: &Results, group: &Group) -> String {
    let target = results.targets.iter().find(|target| target.index == group.example);
    let name = target.map(|target| plain(&target.name)).unwrap_or_default();
    let who = if group.count == 1 { name } else { format!("{name} and {} more", group.count - 1) };
    let code = group.code.filter(|code| *code != 0).map(|code| format!(" (exit code {code})"));
    let mut text = format!("\n*{}*{}: {who}", group.state, code.unwrap_or_default());
    if let Some(why) = target.map(|target| &target.why).filter(|why| !why.is_empty()) {
        write!(text, ": {}", plain(why)).ok();
    }
    if let Some(output) = results.output.get(&group.example) {
        let all = [output.stdout.as_slice(), &output.stderr].concat();
        let all = String::from_utf8_lossy(&all).into_owned();
        let lines: Vec<_> = all.lines().collect();
        // The end says more than the beginning.
        let left_out = lines.len().saturating_sub(LINES);
        if !lines.is_empty() {
            text += "\n```";
            if left_out > 0 {
                writeln!(text, "… {left_out} lines before").ok();
            }
            for line in lines.iter().skip(left_out) {
                let line = cmdr_protocol::display::clean_to_width(line, COLUMNS);
                writeln!(text, "{}", plain(&line)).ok();
            }
            text += "```";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::results::Output;
    use cmdr_protocol::runs::{Counts, Run, Target, TargetState};

    #[test]
    fn a_message_shows_each_kind_of_end_once_and_nothing_of_it_is_markup() {
        let counts = Counts { targets: 3, ok: 2, failed: 1, ..Counts::default() };
        let run = Run {
            what: "uname <!channel>".into(),
            operator: "ann".into(),
            counts,
            ..Run::default()
        };
        let target = |index, name: &str, state| Target {
            index,
            name: name.into(),
            state,
            ..Target::default()
        };
        let group = |state, code, count, example| Group {
            state,
            code: Some(code),
            count,
            example,
            ..Group::default()
        };
        let output =
            |stdout: &str| Output { stdout: stdout.as_bytes().to_vec(), ..Output::default() };
        let many = (1..=30).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n") + "\n";
        let results = Results {
            run,
            targets: vec![
                target(0, "web1", TargetState::Ok),
                target(1, "web2", TargetState::Ok),
                target(2, "db1", TargetState::Failed),
            ],
            groups: vec![group(TargetState::Ok, 0, 2, 0), group(TargetState::Failed, 2, 1, 2)],
            output: [(0, output("Linux\n```evil\x1b]0;x\x07")), (2, output(&many))].into(),
        };
        let text = message(&results);
        assert!(text.starts_with(":x: `uname &lt;!channel&gt;` by ann on 3 hosts: 2 ok, 1 failed"));
        assert!(text.contains("*ok*: web1 and 1 more"), "{text}");
        assert!(text.contains("*failed* (exit code 2): db1"), "{text}");
        assert!(text.contains("… 20 lines before\nline 21\n") && !text.contains("line 20\n"));
        assert!(!text.contains('\x1b') && text.matches("```").count() == 4, "{text}");
    }
}
