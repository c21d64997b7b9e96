//! One command on one host, whose result is posted back: the request of an older system, as it stands there.

use super::bearer::Program;
use super::body::{Json, WITH_FILE};
use super::files;
use super::problem::{Problem, ProblemsOfBody};
use super::runs::{begun, content, key};
use axum::http::HeaderMap;
use axum::response::Response;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::hosts::{self, Host};
use cmdr_protocol::runs::{self, Callback, Line, Order, Push, Script, Start};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use serde::Deserialize;
use std::net::IpAddr;
use utoipa::ToSchema;

/// The longest `id`.
const LONGEST_ID: usize = 256;
/// Whoever may run the file may read it; nobody else may change it.
const MODE: u32 = 0o755;
/// The label that says which address a host is known by, where it dials from another or shares it.
const LABEL: &str = "address";

/// What `cmd_line` is.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A line for the host's shell.
    Line,
    /// The name of the script in `file`, and its arguments.
    Script,
    /// Where the content of `file` is put on the host (an absolute path), and arguments: then it is run.
    File,
}

/// How `file` is written.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    /// As it is.
    #[default]
    Text,
    /// In Base64.
    Base64,
}

/// A command for one host.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    /// Given back unchanged with the result.
    #[schema(max_length = 256)]
    id: String,
    /// Where the result is posted to; by default nowhere.
    #[schema(max_length = 2048, example = "https://example.com/results")]
    callback_url: Option<String>,
    /// What to run, with arguments.
    #[schema(min_length = 1, max_length = 65536)]
    cmd_line: String,
    cmd_type: Kind,
    /// The content of the script or file.
    file: Option<String>,
    /// How `file` is written.
    #[serde(default)]
    file_encoding: Encoding,
    /// An address of the host: the one that it dials from, or what its label `address` says.
    #[schema(value_type = String, example = "192.0.2.7")]
    minion_ip: String,
}

/// The one host that has an address.
async fn host_of(program: &Program, text: &str) -> Result<Host, Problem> {
    let shown = clean_to_width(text, 60);
    let address: IpAddr = text
        .parse()
        .map_err(|_| Problem::malformed(format!("minion_ip: '{shown}' is no address")))?;
    let list = hosts::List { brief: true, ..hosts::List::of("") };
    Ok(pick(program.ask_all(list).await?.hosts, address)?)
}

/// What was asked for with the same idempotency key before: the selector, and the one host. Whether all of the request
/// is the same is found out when it is begun again.
async fn earlier(program: &Program, key: &str) -> Option<(String, Option<HostId>)> {
    if key.is_empty() {
        return None;
    }
    let list = runs::List { key: key.to_owned(), limit: 1, ..runs::List::default() };
    let run = program.ask(&list).await.ok()?.runs.pop()?;
    let shown = program.ask(&runs::Show { run: run.id?, from: 0 }).await.ok()?;
    let host = shown.targets.first()?.host;
    Some((run.hosts, host))
}

/// Picks the host of an address: by the label that somebody gave it, else by where its link comes from. What hosts
/// say of themselves picks none: one could say that it has the address of another.
fn pick(hosts: Vec<Host>, address: IpAddr) -> Result<Host, CallError> {
    let address = address.to_canonical();
    let is = |text: &str| text.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical() == address);
    let labelled = |host: &Host| host.labels.get(LABEL).is_some_and(|label| is(label));
    let (mut found, others): (Vec<_>, Vec<_>) = hosts.into_iter().partition(labelled);
    if found.is_empty() {
        // One that has a label is known by that alone.
        let dials = |host: &Host| !host.labels.contains_key(LABEL) && is(&host.address);
        found = others.into_iter().filter(dials).collect();
    }
    match found.len() {
        0 => Err(CallError::not_found(format!(
            "no host dials from {address} or has the label {LABEL}={address}; GET /v1/hosts lists them, and PATCH /v1/hosts/NAME gives one the label"
        ))),
        1 => Ok(found.remove(0)),
        many => {
            let names: Vec<_> = found.into_iter().take(5).map(|host| host.name).collect();
            Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "{many} hosts have the address {address} ({}); give the one that is meant the label {LABEL}={address}, or begin a run by name: POST /v1/runs",
                    names.join(", ")
                ),
            ))
        }
    }
}

/// A line cut into words as a shell would, without anything that a shell would put in place of them.
fn words(line: &str) -> Result<Vec<String>, Problem> {
    match shlex::split(line) {
        Some(words) if !words.is_empty() => Ok(words),
        Some(_) => Err(Problem::malformed("cmd_line is empty")),
        None => Err(Problem::malformed("cmd_line: a quotation mark is not closed")),
    }
}

impl Command {
    fn content(&mut self) -> Result<Vec<u8>, Problem> {
        let file = self.file.take().ok_or_else(|| {
            Problem::malformed("file is missing: with this cmd_type it holds the content")
        })?;
        match self.file_encoding {
            Encoding::Text => content(Some(file), None, "file"),
            Encoding::Base64 => content(None, Some(file), "file"),
        }
    }

    async fn order(&mut self, program: &Program) -> Result<Order, Problem> {
        let order = match self.cmd_type {
            Kind::Line => {
                let line = Some(Line { text: self.cmd_line.clone() });
                Order { line, ..Order::default() }
            }
            Kind::Script => {
                let mut args = words(&self.cmd_line)?;
                let name = args.remove(0);
                let content = self.content()?;
                let script = Some(Script { name, content, args, ..Script::default() });
                Order { script, ..Order::default() }
            }
            Kind::File => {
                let argv = words(&self.cmd_line)?;
                let path = argv[0].clone();
                if !path.starts_with('/') {
                    return Err(Problem::malformed(
                        "cmd_line: with cmd_type file its first word says where the file is put: an absolute path",
                    ));
                }
                let content = self.content()?;
                let file = files::keep(program, content).await?;
                let (mode, then) = (Some(MODE), Some(argv));
                let push = Some(Push { file, path, mode, then, ..Push::default() });
                Order { push, ..Order::default() }
            }
        };
        order.check().map_err(|why| Problem::malformed(format!("cmd_line: {why}")))?;
        Ok(order)
    }
}

/// Runs a command on one host.
///
/// It is answered when the command is on the hub's disk. The result is posted to `callback_url` with `id`
/// unchanged.
#[utoipa::path(
    post, path = "/v1/commands", operation_id = "runCommand", tag = "runs", request_body = Command,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 bytes, another for each command that is meant", min_length = 1, max_length = 128)),
    responses(
        (status = 202, description = "It is begun", body = super::runs::Started, headers(("Location" = String, description = "Where the run is"))),
        ProblemsOfBody
    ),
    security(("key" = []))
)]
pub(super) async fn run(
    program: Program,
    headers: HeaderMap,
    Json(mut command): Json<Command, WITH_FILE>,
) -> Result<Response, Problem> {
    if command.id.len() > LONGEST_ID {
        return Err(Problem::malformed(format!("id has at most {LONGEST_ID} bytes")));
    }
    let key = key(&headers)?;
    let (hosts, host) = match host_of(&program, &command.minion_ip).await {
        Ok(host) => (host.name, host.id),
        // No host has the address any more, or none yet after the hub began: what was begun before is answered all the same.
        Err(problem) => earlier(&program, &key).await.ok_or(problem)?,
    };
    let order = command.order(&program).await?;
    let callback = command.callback_url.take().map(|url| Callback { url, id: command.id.clone() });
    let start =
        Start { key, hosts, only: host.into_iter().collect(), order, callback, ..Start::default() };
    Ok(begun(program.ask(&start).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::facts::Facts;

    fn host(name: &str, dials: &str, says: &str, label: Option<&str>) -> Host {
        Host {
            name: name.into(),
            address: dials.into(),
            facts: Some(Facts { addresses: vec![says.into()], ..Facts::default() }),
            labels: label.map(|label| (LABEL.to_owned(), label.to_owned())).into_iter().collect(),
            ..Host::default()
        }
    }

    fn picked(hosts: &[Host], address: &str) -> Result<String, ErrorKind> {
        let picked = pick(hosts.to_vec(), address.parse().unwrap());
        picked.map(|host| host.name).map_err(|e| e.kind)
    }

    #[test]
    fn a_host_that_claims_the_address_of_another_gets_none_of_its_commands() {
        let hosts = [
            host("db1", "192.0.2.1", "10.0.0.1", None),
            host("evil", "192.0.2.66", "192.0.2.1", None),
            host("liar", "192.0.2.67", "10.0.0.1", None),
        ];
        assert_eq!(picked(&hosts, "192.0.2.1"), Ok("db1".to_owned()));
        assert_eq!(picked(&hosts, "::ffff:192.0.2.1"), Ok("db1".to_owned()));
        // Facts alone pick nobody, whoever says them first.
        assert_eq!(picked(&hosts, "10.0.0.1"), Err(ErrorKind::NotFound));
    }

    #[test]
    fn hosts_behind_one_address_are_told_apart_by_a_label() {
        let hosts = [
            host("web1", "192.0.2.9", "10.0.0.1", Some("10.0.0.1")),
            host("web2", "192.0.2.9", "10.0.0.2", None),
            host("web3", "192.0.2.9", "10.0.0.3", None),
        ];
        assert_eq!(picked(&hosts, "10.0.0.1"), Ok("web1".to_owned()));
        assert_eq!(picked(&hosts, "192.0.2.9"), Err(ErrorKind::Conflict));
        assert_eq!(picked(&hosts[..2], "192.0.2.9"), Ok("web2".to_owned()));
    }
}
