//! A probe as text: YAML, as rules are. What is wrong is told with line and column, all of it at once.
//!
//! ```yaml
//! name: shop
//! description: the front page of the shop
//! http:
//!   url: https://shop.example/health
//!   contains: ok
//! every: 30s
//! from: env=edge
//! at_least: 3
//! quorum: 2
//! ```

use crate::{certificate, dns, http};
use cmdr_protocol::probes::{
    Dns, Http, Icmp, MAX_AGENTS, Probe, Record, Script, Tcp, Terms, Tls, check_name,
};
use cmdr_protocol::runbooks::Problem;
use cmdr_protocol::selector::Selector;
use cmdr_rules::Span;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

/// Bytes of a text at most.
pub const LARGEST: usize = 64 * 1024;
const DAY_MS: u64 = 86_400_000;
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

/// A text that has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What is asked.
    pub probe: Probe,
    /// What it is for, in a line.
    pub description: String,
    /// The hosts that ask, as a selector; empty for all.
    pub from: String,
    /// So many of them at once.
    pub agents: u32,
    /// When they say together that it is down.
    pub terms: Terms,
    /// It is not run.
    pub off: bool,
}

/// What stands where something is not shown.
const STRUCK: &str = "***";

/// A text without what may be secret in it, the values of headers and the body; nothing when there is no such thing. Where
/// it cannot be told apart from the rest, the whole text is not shown.
pub fn struck(text: &str) -> Option<String> {
    let withheld = || {
        Some(
            "# What this probe sends may be secret: only who may save probes sees it.\n".to_owned(),
        )
    };
    let Ok(written) = read(text) else {
        // Of what cannot be read it is not known what is what.
        let plain = !["headers", "body"].iter().any(|key| text.contains(key));
        return if plain { None } else { withheld() };
    };
    let http = written.probe.http.as_ref()?;
    let mut secret: Vec<&str> = http.headers.values().map(String::as_str).collect();
    secret.push(&http.body);
    secret.retain(|value| !value.is_empty());
    if secret.is_empty() {
        return None;
    }
    // The longest first: a short one may be a part of it.
    secret.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let mut shown = text.to_owned();
    for value in &secret {
        shown = shown.replace(value.trim_end_matches('\n'), &format!("'{STRUCK}'"));
    }
    // Within quotes there are others already.
    for quote in ['"', '\''] {
        shown = shown.replace(&format!("{quote}'{STRUCK}'{quote}"), &format!("'{STRUCK}'"));
    }
    let mut expected = written.clone();
    if let Some(http) = &mut expected.probe.http {
        let strike = |value: &mut String| {
            if !value.is_empty() {
                STRUCK.clone_into(value);
            }
        };
        http.headers.values_mut().for_each(strike);
        strike(&mut http.body);
    }
    // Nothing else has become another, and nothing of it is left.
    let same = read(&shown).is_ok_and(|read| read == expected);
    let left = secret.iter().any(|value| value.len() > 3 && shown.contains(value.trim()));
    if same && !left { Some(shown) } else { withheld() }
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "keys with values: name, one of http, tcp, icmp, dns, tls, script, and more"
)]
struct Raw {
    name: Spanned<String>,
    #[serde(default)]
    description: Option<Spanned<String>>,
    #[serde(default)]
    http: Option<Spanned<RawHttp>>,
    #[serde(default)]
    tcp: Option<Spanned<RawTcp>>,
    #[serde(default)]
    icmp: Option<Spanned<RawIcmp>>,
    #[serde(default)]
    dns: Option<Spanned<RawDns>>,
    #[serde(default)]
    tls: Option<Spanned<RawTls>>,
    #[serde(default)]
    script: Option<Spanned<RawScript>>,
    #[serde(default)]
    every: Option<Spanned<String>>,
    #[serde(default)]
    timeout: Option<Spanned<String>>,
    #[serde(default)]
    from: Option<Spanned<String>>,
    #[serde(default)]
    agents: Option<Spanned<u32>>,
    #[serde(default)]
    at_least: Option<Spanned<u32>>,
    #[serde(default)]
    quorum: Option<Spanned<u32>>,
    #[serde(default)]
    retries: Option<Spanned<u32>>,
    #[serde(default)]
    off: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: url and more")]
struct RawHttp {
    url: Spanned<String>,
    #[serde(default)]
    method: Option<Spanned<String>>,
    #[serde(default)]
    headers: Option<Spanned<BTreeMap<String, String>>>,
    #[serde(default)]
    body: Option<Spanned<String>>,
    #[serde(default)]
    status: Option<Spanned<String>>,
    #[serde(default)]
    contains: Option<String>,
    #[serde(default)]
    matches: Option<Spanned<String>>,
    #[serde(default)]
    redirects: Option<Spanned<u32>>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    authorities: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: host, port, send, expect")]
struct RawTcp {
    host: Spanned<String>,
    port: Spanned<u16>,
    #[serde(default)]
    send: Option<String>,
    #[serde(default)]
    expect: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: host, count")]
struct RawIcmp {
    host: Spanned<String>,
    #[serde(default)]
    count: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: name, record, server, expect")]
struct RawDns {
    name: Spanned<String>,
    #[serde(default)]
    record: Option<Spanned<String>>,
    #[serde(default)]
    server: Option<Spanned<String>>,
    #[serde(default)]
    expect: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: host, port, name, warn, least")]
struct RawTls {
    host: Spanned<String>,
    #[serde(default)]
    port: Option<Spanned<u16>>,
    #[serde(default)]
    name: Option<Spanned<String>>,
    #[serde(default)]
    warn: Option<Spanned<String>>,
    #[serde(default)]
    least: Option<Spanned<String>>,
    #[serde(default)]
    authorities: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys with values: command, user, memory_mb")]
struct RawScript {
    command: Spanned<Vec<String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    memory_mb: Option<Spanned<u32>>,
}

/// Reads a probe, or says all that is wrong, in the order of the text.
pub fn read(text: &str) -> Result<Written, Vec<Problem>> {
    if text.len() > LARGEST {
        let what = format!("it has {} bytes, and at most {LARGEST} are taken", text.len());
        return Err(vec![Problem { line: 1, column: 1, what }]);
    }
    let raw: Raw = cmdr_rules::text::document(text).map_err(|problems| {
        let ours =
            |p: cmdr_rules::Problem| Problem { line: p.line, column: p.column, what: p.what };
        problems.into_iter().map(ours).collect::<Vec<_>>()
    })?;
    let mut reader = Reader::default();
    let written = reader.probe(raw);
    if reader.problems.is_empty() {
        return Ok(written);
    }
    reader.problems.sort();
    Err(reader.problems)
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn bad(&mut self, at: Location, what: impl Into<String>) {
        let of = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = (of(at.line()), of(at.column()));
        self.problems.push(Problem { line, column, what: what.into() });
    }

    fn span(&mut self, from: Option<&Spanned<String>>, usual: u64, [least, most]: [u64; 2]) -> u64 {
        let Some(from) = from else { return usual };
        match Span::parse(&from.value) {
            Ok(span) if (least..=most).contains(&span.0) => return span.0,
            Ok(_) => {
                let (least, most) = (Span(least), Span(most));
                self.bad(from.referenced, format!("this is between {least} and {most}"));
            }
            Err(what) => self.bad(from.referenced, what),
        }
        usual
    }

    fn number(&mut self, from: Option<&Spanned<u32>>, usual: u32, [least, most]: [u32; 2]) -> u32 {
        let Some(from) = from else { return usual };
        if (least..=most).contains(&from.value) {
            return from.value;
        }
        self.bad(from.referenced, format!("this is a number from {least} to {most}"));
        usual
    }

    fn host(&mut self, from: &Spanned<String>) -> String {
        let fine = |c: char| c.is_alphanumeric() || ".-_:[]%".contains(c);
        if from.value.is_empty() || from.value.len() > 255 || !from.value.chars().all(fine) {
            self.bad(from.referenced, "here should be a name such as `db1.example`, or an address");
        }
        from.value.clone()
    }

    fn port(&mut self, from: &Spanned<u16>) -> u16 {
        if from.value == 0 {
            self.bad(from.referenced, "a port is a number from 1 to 65535");
        }
        from.value
    }

    fn probe(&mut self, raw: Raw) -> Written {
        let at = raw.name.referenced;
        if let Err(what) = check_name(&raw.name.value) {
            self.bad(at, what);
        }
        let description = raw.description.as_ref().map_or("", |d| d.value.as_str());
        if let Some(text) = raw.description.as_ref().filter(|d| d.value.len() > 200) {
            self.bad(text.referenced, "a description has at most 200 bytes");
        }
        let kinds = [
            raw.http.as_ref().map(|k| k.referenced),
            raw.tcp.as_ref().map(|k| k.referenced),
            raw.icmp.as_ref().map(|k| k.referenced),
            raw.dns.as_ref().map(|k| k.referenced),
            raw.tls.as_ref().map(|k| k.referenced),
            raw.script.as_ref().map(|k| k.referenced),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let all = "one of http, tcp, icmp, dns, tls and script";
        match (kinds.next(), kinds.next()) {
            (None, _) => self.bad(at, format!("nothing says what is asked; write {all}")),
            (Some(_), Some(second)) => {
                self.bad(second, format!("a probe asks one thing: write only {all}"));
            }
            _ => {}
        }
        let every_ms = self.span(raw.every.as_ref(), 60_000, [5000, DAY_MS]);
        let timeout_ms = self.span(raw.timeout.as_ref(), every_ms.min(10_000), [100, 60_000]);
        if let Some(timeout) = raw.timeout.as_ref().filter(|_| timeout_ms > every_ms) {
            self.bad(
                timeout.referenced,
                "a look that takes longer than `every` meets the next one",
            );
        }
        let from = raw.from.as_ref().map(|f| f.value.trim().to_owned()).unwrap_or_default();
        if let Some(spanned) = raw.from.as_ref().filter(|_| !from.is_empty())
            && let Err(e) = Selector::parse(&from)
        {
            self.bad(spanned.referenced, e.to_string());
        }
        let most = MAX_AGENTS as u32;
        let agents = self.number(raw.agents.as_ref(), most, [1, most]);
        let terms = Terms {
            at_least: self.number(raw.at_least.as_ref(), 1, [1, agents]),
            quorum: self.number(raw.quorum.as_ref(), 0, [1, agents]),
            retries: self.number(raw.retries.as_ref(), 1, [0, 20]),
        };
        let probe = Probe {
            name: raw.name.value.clone(),
            every_ms,
            timeout_ms,
            http: raw.http.map(|http| self.http(http.value)),
            tcp: raw.tcp.map(|tcp| self.tcp(tcp.value)),
            icmp: raw.icmp.map(|icmp| self.icmp(&icmp.value)),
            dns: raw.dns.map(|dns| self.dns(dns.value)),
            tls: raw.tls.map(|tls| self.tls(tls.value)),
            script: raw.script.map(|script| self.script(script.value)),
        };
        Written { probe, description: description.to_owned(), from, agents, terms, off: raw.off }
    }

    fn authorities(&mut self, from: Option<Spanned<String>>) -> Option<String> {
        let from = from?;
        if let Err(what) = certificate::told(&from.value) {
            self.bad(from.referenced, what);
        }
        Some(from.value)
    }

    fn http(&mut self, raw: RawHttp) -> Http {
        if let Err(what) = http::address(&raw.url.value) {
            self.bad(raw.url.referenced, what);
        }
        let method = raw.method.as_ref().map_or("GET", |m| m.value.as_str());
        if let Some(wrong) = raw.method.as_ref().filter(|m| !METHODS.contains(&m.value.as_str())) {
            self.bad(wrong.referenced, format!("a method is one of {}", METHODS.join(", ")));
        }
        let headers = raw.headers.as_ref().map(|h| h.value.clone()).unwrap_or_default();
        if let Some(at) = raw.headers.as_ref().map(|h| h.referenced) {
            if headers.len() > 32 {
                self.bad(at, "at most 32 headers are sent");
            }
            for (name, value) in &headers {
                let made = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                    && hyper::header::HeaderValue::from_str(value).is_ok();
                let ours = ["content-length", "transfer-encoding", "connection", "upgrade"];
                if !made || ours.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                    let name: String = name.chars().take(40).filter(|c| !c.is_control()).collect();
                    self.bad(at, format!("the header `{name}` cannot be sent"));
                }
            }
        }
        if let Some(body) = raw.body.as_ref().filter(|b| b.value.len() > 32 * 1024) {
            self.bad(body.referenced, "at most 32 KiB are sent");
        }
        let status = raw.status.as_ref().map_or(Some(vec![(200, 299)]), |s| statuses(&s.value));
        let status = status.unwrap_or_else(|| {
            let at = raw.status.as_ref().map_or(raw.url.referenced, |s| s.referenced);
            self.bad(at, "statuses are numbers from 100 to 599, such as `200-299, 401`");
            Vec::new()
        });
        if let Some(matches) = &raw.matches
            && let Err(what) = http::expression(&matches.value)
        {
            self.bad(matches.referenced, what);
        }
        Http {
            method: method.to_owned(),
            headers,
            body: raw.body.map(|b| b.value).unwrap_or_default(),
            status,
            contains: raw.contains,
            matches: raw.matches.map(|m| m.value),
            redirects: self.number(raw.redirects.as_ref(), 5, [0, 20]) as u8,
            insecure: raw.insecure,
            authorities: self.authorities(raw.authorities),
            url: raw.url.value,
        }
    }

    fn tcp(&mut self, raw: RawTcp) -> Tcp {
        if let Some(expect) = raw.expect.as_ref().filter(|e| e.value.len() > 1024) {
            self.bad(expect.referenced, "what is expected has at most 1024 bytes");
        }
        Tcp {
            host: self.host(&raw.host),
            port: self.port(&raw.port),
            send: raw.send,
            expect: raw.expect.map(|e| e.value),
        }
    }

    fn icmp(&mut self, raw: &RawIcmp) -> Icmp {
        let count = self.number(raw.count.as_ref(), 3, [1, 10]) as u8;
        Icmp { host: self.host(&raw.host), count }
    }

    fn dns(&mut self, raw: RawDns) -> Dns {
        if let Err(what) = dns::name(&raw.name.value) {
            self.bad(raw.name.referenced, what);
        }
        let record = raw.record.as_ref().map_or(Record::A, |r| Record::parse(&r.value));
        if let Some(wrong) = raw.record.as_ref().filter(|_| record == Record::Unknown) {
            self.bad(wrong.referenced, "a record is one of A, AAAA, CNAME, MX, TXT, NS");
        }
        if let Some(wrong) = raw.server.as_ref().filter(|s| dns::server(&s.value).is_none()) {
            let what =
                "a server is an address such as 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53";
            self.bad(wrong.referenced, what);
        }
        if raw.expect.len() > 32 {
            self.bad(raw.name.referenced, "at most 32 answers are expected");
        }
        let server = raw.server.map(|s| s.value);
        Dns { name: raw.name.value, record, server, expect: raw.expect }
    }

    fn tls(&mut self, raw: RawTls) -> Tls {
        let warn_ms = self.span(raw.warn.as_ref(), 14 * DAY_MS, [0, 366 * DAY_MS]);
        let least_ms = self.span(raw.least.as_ref(), 0, [0, 366 * DAY_MS]);
        if let Some(name) = &raw.name {
            self.host(name);
        }
        Tls {
            host: self.host(&raw.host),
            port: raw.port.as_ref().map_or(443, |port| self.port(port)),
            name: raw.name.map(|n| n.value),
            warn_ms,
            least_ms,
            authorities: self.authorities(raw.authorities),
        }
    }

    fn script(&mut self, raw: RawScript) -> Script {
        let words = &raw.command.value;
        let absolute = words.first().is_some_and(|program| program.starts_with('/'));
        if !absolute || words.len() > 64 || words.iter().any(|word| word.contains('\0')) {
            let what = "a command is a list of at most 64 words, the first one a path such as /usr/lib/nagios/plugins/check_disk";
            self.bad(raw.command.referenced, what);
        }
        let memory = u64::from(self.number(raw.memory_mb.as_ref(), 256, [16, 4096])) << 20;
        Script { command: raw.command.value, user: raw.user, memory }
    }
}

/// `200-299, 401`.
fn statuses(text: &str) -> Option<Vec<(u16, u16)>> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        if !(100..=599).contains(&from) || !(from..=599).contains(&to) || found.len() >= 16 {
            return None;
        }
        found.push((from, to));
    }
    Some(found)
}
