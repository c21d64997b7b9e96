//! A name has the records that are expected.

use crate::look::{Ended, Fault, Look, shown, since};
use cmdr_protocol::probes::{Dns, Record, Verdict};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use std::net::{IpAddr, SocketAddr};
use tokio::time::Instant;

/// Answers that are told.
const ANSWERS: usize = 32;

/// A name server as it is written: an address with or without a port.
pub(crate) fn server(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let plain = || bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    text.parse().ok().or_else(plain)
}

/// Whether a name can be asked for.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    let mut name =
        Name::from_utf8(text).map_err(|e| format!("`{}` is no name: {e}", shown(text)))?;
    // Asked for as it stands, whatever this host would search.
    name.set_fqdn(true);
    Ok(name)
}

fn resolver(look: &Look<'_>, dns: &Dns) -> Result<TokioResolver, Fault> {
    let builder = match &dns.server {
        None => TokioResolver::builder_tokio()
            .map_err(|e| Fault::Unsaid(format!("reading which name servers to ask: {e}")))?,
        Some(text) => {
            let at = server(text).ok_or_else(|| {
                Fault::Unsaid(format!("'{}' is no address of a name server", shown(text)))
            })?;
            look.means.allows(at.ip()).map_err(Fault::Unsaid)?;
            let mut one = NameServerConfig::udp_and_tcp(at.ip());
            for connection in &mut one.connections {
                connection.port = at.port();
            }
            let config = ResolverConfig::from_name_servers(vec![one]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let mut builder = builder;
    let options = builder.options_mut();
    options.timeout = look.left() / 2;
    options.attempts = 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    builder.build().map_err(|e| Fault::Unsaid(format!("asking name servers: {e}")))
}

const fn kind(record: Record) -> Option<RecordType> {
    Some(match record {
        Record::A => RecordType::A,
        Record::Aaaa => RecordType::AAAA,
        Record::Cname => RecordType::CNAME,
        Record::Mx => RecordType::MX,
        Record::Txt => RecordType::TXT,
        Record::Ns => RecordType::NS,
        Record::Unknown => return None,
    })
}

pub(crate) async fn ask(look: &mut Look<'_>, dns: &Dns) -> Ended {
    let wanted = kind(dns.record).ok_or_else(|| {
        Fault::Unsaid("this agent does not know this sort of record; upgrade it".to_owned())
    })?;
    let asked = name(&dns.name).map_err(Fault::Unsaid)?;
    let resolver = resolver(look, dns)?;
    let what = format!("{} of {}", dns.record, shown(&dns.name));
    look.seen.address = dns.server.clone().unwrap_or_default();
    look.doing(format!("asking for {what}"));
    let begun = Instant::now();
    let answer = resolver.lookup(asked, wanted).await;
    look.seen.phases.first_us = Some(since(begun));
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) if e.is_nx_domain() => {
            return Err(Fault::Down(format!("asking for {what}: there is no such name")));
        }
        Err(e) if e.is_no_records_found() => {
            return Err(Fault::Down(format!("asking for {what}: the name has no such record")));
        }
        Err(e) => return Err(Fault::Down(format!("asking for {what}: {e}"))),
    };
    let records = answer.answers().iter().filter(|record| record.record_type() == wanted);
    let mut answers: Vec<String> =
        records.take(ANSWERS).map(|record| shown(&record.data.to_string())).collect();
    answers.sort_unstable();
    look.seen.answers.clone_from(&answers);
    if answers.is_empty() {
        return Err(Fault::Down(format!("asking for {what}: the name has no such record")));
    }
    let missing: Vec<_> = dns
        .expect
        .iter()
        .filter(|expected| !answers.iter().any(|answer| same(expected, answer)))
        .map(|expected| shown(expected))
        .collect();
    let said = answers.join(", ");
    if !missing.is_empty() {
        return Err(Fault::Down(format!(
            "{what}: {} is not among the answers: {said}",
            missing.join(", ")
        )));
    }
    Ok((Verdict::Up, format!("{what}: {said}")))
}

/// Whether an answer is the one that is expected. The place of a mail server need not be told.
fn same(expected: &str, answer: &str) -> bool {
    let plain =
        |text: &str| text.trim().trim_matches('"').trim_end_matches('.').to_ascii_lowercase();
    let (expected, answer) = (plain(expected), plain(answer));
    expected == answer
        || answer.split_once(' ').is_some_and(|(place, host)| {
            place.bytes().all(|b| b.is_ascii_digit()) && host == expected
        })
}
