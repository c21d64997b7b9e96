//! All about one container, for reading: what the engine knows of it, its processes, what its files have become.

use super::One;
use super::acts::LONG;
use crate::action::{Action, Make, PATIENCE, reason};
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::containers::{
    Became, Diff, Differences, Inspect, Inspected, MASK, Processes, Top, Values, short,
};
use cmdr_protocol::display::clean;
use cmdr_protocol::{Call as _, HostId};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// Rows of a table that are shown.
const MOST: usize = 5000;
/// What of a health check's last words is shown.
const WORDS: usize = 400;

/// Fetches and shows what the engine knows of it.
pub(super) fn show(context: &Context<'_>, one: &One) -> Action {
    let call = Inspect { container: one.id.clone(), size: false };
    let (host, name) = (one.host, one.name.clone());
    let command = format!("cmdr docker inspect {}", one.words(context));
    Action::fetch(Some(host), call, PATIENCE, move |answer| match answer {
        Ok(inspected) => {
            (None, Action::Make(Box::new(Shown { host, inspected, command, whole: false })))
        }
        Err(error) => (None, Action::Complain(format!("{}: {}", clean(&name), reason(&error)))),
    })
}

/// What came, to be shown.
struct Shown {
    host: HostId,
    inspected: Inspected,
    command: String,
    /// Nothing is struck out.
    whole: bool,
}

impl Make for Shown {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { host, inspected, command, whole } = *self;
        let title = clean(inspected.name.trim_start_matches('/')).into_owned();
        let Ok(json) = serde_json::from_str::<Value>(&inspected.json) else {
            return Action::Complain(texts.fill("containers.detail.unread", &[&title]));
        };
        let lines = Lines::of(context, &inspected, &json);
        let raw = serde_json::to_string_pretty(&json).unwrap_or_default();
        let raw = raw.lines().map(|line| vec![(Role::Text, clean(line).into_owned())]).collect();
        let raw = Pager::new(title.clone(), raw).with_wrap().copying_command(command.clone());
        let mut pager = Pager::new(title, lines)
            .with_wrap()
            .with_key('J', texts.get("containers.detail.json"), Action::Open(Box::new(raw)))
            .copying(clean(&inspected.id).into_owned())
            .copying_command(command);
        let offered = context.store.offer(Values::METHOD, false, &[host]) != Offer::No;
        if !whole && !inspected.masked.is_empty() && offered {
            let ask = reveal(context, host, &inspected);
            pager = pager.with_key('v', texts.get("containers.detail.reveal"), ask);
        }
        Action::Open(Box::new(pager))
    }
}

/// Asks whether the values that were struck out are to be seen.
fn reveal(context: &Context<'_>, host: HostId, inspected: &Inspected) -> Action {
    let texts = context.texts;
    let name = clean(inspected.name.trim_start_matches('/')).into_owned();
    let on = context.store.hosts.name(host);
    let command = format!(
        "cmdr docker inspect --values {} {}",
        crate::panes::hosts::quoted(&on),
        crate::panes::hosts::quoted(inspected.name.trim_start_matches('/'))
    );
    let title = texts.fill("containers.reveal.ask", &[&name, &on]);
    let masked: Vec<_> = inspected.masked.iter().map(|name| clean(name).into_owned()).collect();
    let about = vec![masked.join("  "), texts.get("containers.reveal.about").to_owned()];
    let what = texts.fill("containers.reveal.what", &[&name]);
    let call = Values { container: inspected.id.clone() };
    let line = command.clone();
    let act = Action::call(what, Some(host), call, move |inspected| {
        (None, Action::Make(Box::new(Shown { host, inspected, command: line, whole: true })))
    });
    Action::Open(Box::new(Confirm::one(title, act).about(about).copying(command)))
}

/// Lines as they are put together.
struct Lines<'a> {
    context: &'a Context<'a>,
    lines: Vec<Vec<Piece>>,
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    clean(&text).into_owned()
}

fn at(json: &Value, pointer: &str) -> String {
    json.pointer(pointer).map(text).unwrap_or_default()
}

fn number(json: &Value, pointer: &str) -> i64 {
    json.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn each<'a>(json: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    json.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// A moment of the engine's, as far as seconds.
fn moment(text: &str) -> String {
    // What never was has the year 1.
    if text.is_empty() || text.starts_with("0001-") {
        return String::new();
    }
    let seconds: String = text.chars().take(19).collect();
    format!("{} UTC", seconds.replace('T', " "))
}

impl<'a> Lines<'a> {
    fn of(context: &'a Context<'a>, inspected: &Inspected, json: &Value) -> Vec<Vec<Piece>> {
        let mut lines = Self { context, lines: Vec::new() };
        lines.base(inspected, json);
        lines.limits(json);
        lines.reach(inspected, json);
        lines.variables(inspected, json);
        let labels = each(json, "/Config/Labels").map(|(name, value)| {
            vec![(Role::Soft, format!("{}=", clean(name))), (Role::Text, text(value))]
        });
        let labels = labels.collect();
        lines.section("containers.detail.labels", labels);
        lines.lines
    }

    fn fact(&mut self, key: &'static str, text: String) {
        self.coloured(key, text, Role::Text);
    }

    fn coloured(&mut self, key: &'static str, text: String, role: Role) {
        if text.is_empty() {
            return;
        }
        let word = self.context.texts.get(key);
        let pad = " ".repeat(16usize.saturating_sub(word.width()).max(1));
        self.lines.push(vec![(Role::Soft, format!("{word}{pad}")), (role, text)]);
    }

    fn section(&mut self, key: &'static str, lines: Vec<Vec<Piece>>) {
        if lines.is_empty() {
            return;
        }
        self.lines.push(Vec::new());
        self.lines.push(vec![(Role::Title, self.context.texts.get(key).to_owned())]);
        let indented = lines.into_iter().map(|mut line| {
            line.insert(0, (Role::Text, "  ".to_owned()));
            line
        });
        self.lines.extend(indented);
    }

    fn base(&mut self, inspected: &Inspected, json: &Value) {
        self.fact("containers.detail.id", clean(short(&inspected.id)).into_owned());
        self.fact("containers.detail.image", at(json, "/Config/Image"));
        self.fact("containers.detail.image_id", {
            let id = at(json, "/Image");
            short(&id).to_owned()
        });
        self.fact("containers.detail.created", moment(&at(json, "/Created")));
        let (state, code) = (at(json, "/State/Status"), number(json, "/State/ExitCode"));
        let role = match state.as_str() {
            "running" => Role::Ok,
            "exited" if code != 0 => Role::Bad,
            "dead" => Role::Bad,
            "exited" | "created" => Role::Soft,
            _ => Role::Warn,
        };
        let told = if state == "exited" { format!("{state} ({code})") } else { state };
        self.coloured("containers.detail.state", told, role);
        self.coloured("containers.detail.error", at(json, "/State/Error"), Role::Bad);
        if json.pointer("/State/OOMKilled") == Some(&Value::Bool(true)) {
            let text = self.context.texts.get("containers.detail.oom").to_owned();
            self.coloured("containers.detail.error", text, Role::Bad);
        }
        self.fact("containers.detail.started", moment(&at(json, "/State/StartedAt")));
        self.fact("containers.detail.finished", moment(&at(json, "/State/FinishedAt")));
        let pid = number(json, "/State/Pid");
        self.fact("containers.detail.pid", if pid > 0 { pid.to_string() } else { String::new() });
        let policy = at(json, "/HostConfig/RestartPolicy/Name");
        let retries = number(json, "/HostConfig/RestartPolicy/MaximumRetryCount");
        let policy = if retries > 0 { format!("{policy}:{retries}") } else { policy };
        self.fact("containers.detail.restart", policy);
        let restarts = number(json, "/RestartCount");
        if restarts > 0 {
            self.coloured("containers.detail.restarts", restarts.to_string(), Role::Warn);
        }
        self.health(json);
        let program = [at(json, "/Path"), at(json, "/Args")];
        let program: Vec<_> = program.into_iter().filter(|part| !part.is_empty()).collect();
        self.fact("containers.detail.command", program.join(" "));
        self.fact("containers.detail.entrypoint", at(json, "/Config/Entrypoint"));
        self.fact("containers.detail.folder", at(json, "/Config/WorkingDir"));
        self.fact("containers.detail.user", at(json, "/Config/User"));
        self.fact("containers.detail.hostname", at(json, "/Config/Hostname"));
        self.fact("containers.detail.log", at(json, "/HostConfig/LogConfig/Type"));
        let powers: Vec<_> = inspected.powers.iter().map(|power| clean(power)).collect();
        self.coloured("containers.detail.powers", powers.join(", "), Role::Warn);
    }

    fn health(&mut self, json: &Value) {
        let health = at(json, "/State/Health/Status");
        let role = match health.as_str() {
            "healthy" => Role::Ok,
            "unhealthy" => Role::Bad,
            _ => Role::Warn,
        };
        self.coloured("containers.detail.health", health, role);
        self.fact("containers.detail.health_test", at(json, "/Config/Healthcheck/Test"));
        let log = json.pointer("/State/Health/Log").and_then(Value::as_array);
        if let Some(last) = log.and_then(|log| log.last()) {
            let said: String = at(last, "/Output").chars().take(WORDS).collect();
            let said = format!("({}) {said}", number(last, "/ExitCode"));
            self.fact("containers.detail.health_said", said);
        }
    }

    fn limits(&mut self, json: &Value) {
        let bytes = |pointer| match number(json, pointer) {
            n if n > 0 => format::size(n.unsigned_abs()),
            _ => String::new(),
        };
        let count = |pointer| match number(json, pointer) {
            n if n > 0 => n.to_string(),
            _ => String::new(),
        };
        let cpus = match number(json, "/HostConfig/NanoCpus") {
            n if n > 0 => format::hundredths((n / 10_000_000).try_into().unwrap_or(u32::MAX)),
            _ => String::new(),
        };
        self.fact("containers.detail.memory", bytes("/HostConfig/Memory"));
        self.fact("containers.detail.cpus", cpus);
        self.fact("containers.detail.cpu_shares", count("/HostConfig/CpuShares"));
        self.fact("containers.detail.cpuset", at(json, "/HostConfig/CpusetCpus"));
        self.fact("containers.detail.pids", count("/HostConfig/PidsLimit"));
    }

    /// Ports, networks, mounts.
    fn reach(&mut self, inspected: &Inspected, json: &Value) {
        let mut ports = Vec::new();
        for (port, bound) in each(json, "/NetworkSettings/Ports") {
            let port = clean(port).into_owned();
            let bound = bound.as_array().map(Vec::as_slice).unwrap_or_default();
            if bound.is_empty() {
                ports.push(vec![(Role::Soft, port.clone())]);
            }
            for one in bound {
                let (address, at) = (at(one, "/HostIp"), at(one, "/HostPort"));
                let address = if address.contains(':') { format!("[{address}]") } else { address };
                let from = (Role::Text, format!("{address}:{at}"));
                ports.push(vec![from, (Role::Soft, format!(" → {port}"))]);
            }
        }
        self.section("containers.detail.ports", ports);
        let networks = each(json, "/NetworkSettings/Networks").map(|(name, network)| {
            let more = ["/IPAddress", "/GlobalIPv6Address", "/MacAddress", "/Aliases"];
            let more = more.iter().map(|pointer| at(network, pointer));
            let more: Vec<_> = more.filter(|text| !text.is_empty()).collect();
            vec![
                (Role::Strong, clean(name).into_owned()),
                (Role::Text, format!("  {}", more.join("  "))),
            ]
        });
        let networks = networks.collect();
        self.section("containers.detail.networks", networks);
        let mounts = json.pointer("/Mounts").and_then(Value::as_array);
        let mounts = mounts.into_iter().flatten().map(|mount| {
            let (name, source) = (at(mount, "/Name"), at(mount, "/Source"));
            let from = if name.is_empty() { source } else { name };
            let only = mount.pointer("/RW") == Some(&Value::Bool(false));
            let power = inspected.powers.iter().any(|power| *power == format!("mount:{from}"));
            vec![
                (if power { Role::Warn } else { Role::Text }, from),
                (Role::Soft, format!(" → {}", at(mount, "/Destination"))),
                (Role::Faint, if only { "  ro".to_owned() } else { String::new() }),
            ]
        });
        let mounts = mounts.collect();
        self.section("containers.detail.mounts", mounts);
    }

    fn variables(&mut self, inspected: &Inspected, json: &Value) {
        let env = json.pointer("/Config/Env").and_then(Value::as_array);
        let env = env.into_iter().flatten().map(|variable| {
            let variable = text(variable);
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            let masked = value == MASK && inspected.masked.iter().any(|known| known == name);
            let role = if masked { Role::Faint } else { Role::Text };
            vec![(Role::Soft, format!("{name}=")), (role, value.to_owned())]
        });
        let env = env.collect();
        self.section("containers.detail.environment", env);
    }
}

/// Rows of texts as lines with columns.
fn table(titles: &[String], rows: &[Vec<String>]) -> Vec<Vec<Piece>> {
    let clean = |row: &Vec<String>| -> Vec<String> {
        row.iter().map(|text| clean(text).into_owned()).collect()
    };
    let titles = clean(&titles.to_vec());
    let rows: Vec<Vec<String>> = rows.iter().take(MOST).map(clean).collect();
    let widths: Vec<usize> = (0..titles.len())
        .map(|at| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|text| text.width());
            cells.chain([titles[at].width()]).max().unwrap_or(0).min(40)
        })
        .collect();
    let line = |row: &Vec<String>, role: Role| -> Vec<Piece> {
        let last = row.len().saturating_sub(1);
        let cell = |(at, text): (usize, &String)| {
            let pad = widths.get(at).copied().unwrap_or(0).saturating_sub(text.width()) + 2;
            let pad = if at == last { 0 } else { pad };
            (role, format!("{text}{}", " ".repeat(pad)))
        };
        row.iter().enumerate().map(cell).collect()
    };
    let head = line(&titles, Role::Title);
    std::iter::once(head).chain(rows.iter().map(|row| line(row, Role::Text))).collect()
}

/// Its processes.
pub(super) fn top(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let (title, left_out) = (clean(&one.name).into_owned(), texts.get("containers.left_out"));
    let none = texts.get("containers.top.none");
    let command = format!("cmdr docker top {}", one.words(context));
    let again = Top { container: one.id.clone() };
    Action::fetch(Some(one.host), again, PATIENCE, move |answer| {
        let Processes { titles, rows, left_out: more } = match answer {
            Ok(processes) => processes,
            Err(error) => return (None, Action::Complain(format!("{title}: {}", reason(&error)))),
        };
        let mut lines = table(&titles, &rows);
        if rows.is_empty() {
            lines = vec![vec![(Role::Soft, none.to_owned())]];
        }
        if more > 0 {
            lines.push(vec![(Role::Warn, left_out.replacen("{}", &more.to_string(), 1))]);
        }
        let pager = Pager::new(title, lines).with_wrap().copying_command(command);
        (None, Action::Open(Box::new(pager)))
    })
}

/// What its files have become beside its image's.
pub(super) fn diff(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let (title, left_out) = (clean(&one.name).into_owned(), texts.get("containers.left_out"));
    let none = texts.get("containers.diff.none");
    let command = format!("cmdr docker diff {}", one.words(context));
    // Of one that has written much the engine takes its time.
    let call = Diff { container: one.id.clone() };
    Action::fetch(Some(one.host), call, LONG, move |answer| {
        let Differences { paths, left_out: more } = match answer {
            Ok(differences) => differences,
            Err(error) => return (None, Action::Complain(format!("{title}: {}", reason(&error)))),
        };
        let line = |one: &cmdr_protocol::containers::Difference| {
            let (sign, role) = match one.became {
                Became::Added => ("A ", Role::Ok),
                Became::Deleted => ("D ", Role::Bad),
                Became::Changed => ("C ", Role::Warn),
                Became::Unknown => ("? ", Role::Soft),
            };
            vec![(role, sign.to_owned()), (Role::Text, clean(&one.path).into_owned())]
        };
        let mut lines: Vec<Vec<Piece>> = paths.iter().take(MOST).map(line).collect();
        let more = more + paths.len().saturating_sub(MOST) as u64;
        if lines.is_empty() {
            lines = vec![vec![(Role::Soft, none.to_owned())]];
        }
        if more > 0 {
            lines.push(vec![(Role::Warn, left_out.replacen("{}", &more.to_string(), 1))]);
        }
        let pager = Pager::new(title, lines).with_wrap().copying_command(command);
        (None, Action::Open(Box::new(pager)))
    })
}
