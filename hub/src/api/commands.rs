//! One command on one host, whose result is posted back: the request of an older system, as it stands there.

use super::bearer::Program;
use super::body::Json;
use super::files;
use super::problem::{Problem, ProblemsOfBody};
use super::runs::{begun, content, key};
use axum::http::HeaderMap;
use axum::response::Response;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::hosts::{self, Host};
use cmdr_protocol::runs::{Callback, Line, Order, Push, Script, Start};
use serde::Deserialize;
use std::net::IpAddr;
use utoipa::ToSchema;

/// The longest `id`.
const LONGEST_ID: usize = 256;
/// Whoever may run the file may read it; nobody else may change it.
const MODE: u32 = 0o755;

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
    /// An address of the host: one that it dials from or has.
    #[schema(value_type = String, example = "192.0.2.7")]
    minion_ip: String,
}

/// The one host that has an address.
async fn host_of(program: &Program, text: &str) -> Result<Host, Problem> {
    let shown = clean_to_width(text, 60);
    let address: IpAddr = text
        .parse()
        .map_err(|_| Problem::malformed(format!("minion_ip: '{shown}' is no address")))?;
    let address = address.to_canonical();
    let is = |text: &str| text.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical() == address);
    let has = |host: &Host| {
        is(&host.address)
            || host.facts.as_ref().is_some_and(|facts| facts.addresses.iter().any(|one| is(one)))
    };
    let mut hosts = program.ask(&hosts::List::default()).await?.hosts;
    hosts.retain(has);
    match hosts.len() {
        0 => Err(Problem::not_found(format!(
            "no host has the address {address}; GET /v1/hosts lists them with theirs"
        ))),
        1 => Ok(hosts.remove(0)),
        many => {
            let names: Vec<_> = hosts.into_iter().take(5).map(|host| host.name).collect();
            Err(Problem::from(cmdr_protocol::CallError::new(
                cmdr_protocol::ErrorKind::Conflict,
                format!(
                    "{many} hosts have the address {address} ({}); begin a run by name instead: POST /v1/runs",
                    names.join(", ")
                ),
            )))
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
    Json(mut command): Json<Command>,
) -> Result<Response, Problem> {
    if command.id.len() > LONGEST_ID {
        return Err(Problem::malformed(format!("id has at most {LONGEST_ID} bytes")));
    }
    let host = host_of(&program, &command.minion_ip).await?;
    let order = command.order(&program).await?;
    let callback = command.callback_url.take().map(|url| Callback { url, id: command.id.clone() });
    let start = Start {
        key: key(&headers)?,
        hosts: host.name,
        only: host.id.into_iter().collect(),
        order,
        callback,
        ..Start::default()
    };
    Ok(begun(program.ask(&start).await?))
}
