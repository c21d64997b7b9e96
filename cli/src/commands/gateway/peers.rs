//! A gateway as the configuration of nginx (stream) or haproxy: for those who leave, or stand beside. What those cannot
//! do is said in a comment, never left out silently.

use clap::ValueEnum;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// nginx with its stream module.
    Nginx,
    /// haproxy.
    Haproxy,
}

/// What of a text these configurations have; other keys are told of in a comment.
#[derive(Deserialize)]
struct Gateway {
    listeners: Vec<Listener>,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
struct Listener {
    name: String,
    address: String,
    #[serde(default)]
    transport: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    sni: BTreeMap<String, String>,
    #[serde(default)]
    accept_proxy: bool,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    #[serde(default)]
    balance: String,
    #[serde(default)]
    check: Option<Check>,
    #[serde(default)]
    send_proxy: Option<String>,
    #[serde(default, alias = "upstream")]
    upstreams: Vec<Upstream>,
}

#[derive(Deserialize)]
struct Check {
    kind: String,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct Upstream {
    address: String,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    backup: bool,
    #[serde(default)]
    max_connections: u32,
}

#[derive(Deserialize)]
struct Policy {
    name: String,
    #[serde(default)]
    default: String,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

const fn one() -> u32 {
    1
}

/// The configuration; why there is none, in words.
pub(super) fn written(peer: Peer, name: &str, text: &str) -> Result<String, String> {
    let gateway: Gateway = serde_saphyr::from_str(text)
        .map_err(|e| format!("the text of {name} is not understood: {e}"))?;
    let mut out = format!("# The gateway {name}, as Commander has it.\n");
    // Writing to a text does not fail.
    match peer {
        Peer::Nginx => nginx(&mut out, name, &gateway),
        Peer::Haproxy => haproxy(&mut out, name, &gateway),
    }
    .map_err(|_| "writing failed".to_owned())?;
    Ok(out)
}

/// A word of a configuration: what could be anything else in it is none.
fn word(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-.:[]/*".contains(c) { c } else { '_' })
        .collect()
}

fn nginx(out: &mut String, name: &str, gateway: &Gateway) -> std::fmt::Result {
    writeln!(out, "# It belongs into nginx.conf beside `http`; health checks are passive there.")?;
    writeln!(out, "stream {{")?;
    for group in &gateway.groups {
        writeln!(out, "    upstream {}_{} {{", word(name), word(&group.name))?;
        match group.balance.as_str() {
            "least-connections" => writeln!(out, "        least_conn;")?,
            "random-two" => writeln!(out, "        random two least_conn;")?,
            "source-hash" => writeln!(out, "        hash $remote_addr consistent;")?,
            _ => {}
        }
        for upstream in &group.upstreams {
            write!(out, "        server {}", word(&upstream.address))?;
            match upstream.weight {
                0 => write!(out, " down")?,
                weight => write!(out, " weight={weight}")?,
            }
            // Neither of these two balances knows what a backup is.
            let backs = !matches!(group.balance.as_str(), "source-hash" | "random-two");
            if upstream.backup && backs {
                write!(out, " backup")?;
            }
            if upstream.max_connections > 0 {
                write!(out, " max_conns={}", upstream.max_connections)?;
            }
            writeln!(out, ";")?;
        }
        writeln!(out, "    }}")?;
    }
    for listener in &gateway.listeners {
        let group = |group: &str| format!("{}_{}", word(name), word(group));
        let sni = !listener.sni.is_empty();
        if sni {
            let variable = word(&listener.name).replace(['-', '.', ':', '[', ']', '/', '*'], "_");
            writeln!(out, "    map $ssl_preread_server_name $to_{variable} {{")?;
            writeln!(out, "        hostnames;")?;
            for (server, to) in &listener.sni {
                writeln!(out, "        {} {};", word(server), group(to))?;
            }
            if let Some(rest) = &listener.group {
                writeln!(out, "        default {};", group(rest))?;
            }
            writeln!(out, "    }}")?;
        }
        writeln!(out, "    server {{")?;
        let udp = if listener.transport == "udp" { " udp" } else { "" };
        let proxied = if listener.accept_proxy { " proxy_protocol" } else { "" };
        writeln!(out, "        listen {}{udp}{proxied};", word(&listener.address))?;
        policy(out, gateway, listener.policy.as_deref(), |out, verb, network| {
            writeln!(out, "        {verb} {network};")
        })?;
        if sni {
            let variable = word(&listener.name).replace(['-', '.', ':', '[', ']', '/', '*'], "_");
            writeln!(out, "        ssl_preread on;")?;
            writeln!(out, "        proxy_pass $to_{variable};")?;
        } else if let Some(to) = &listener.group {
            let sends = gateway.groups.iter().find(|g| g.name == *to);
            if sends.is_some_and(|group| group.send_proxy.is_some()) {
                writeln!(out, "        proxy_protocol on;")?;
            }
            writeln!(out, "        proxy_pass {};", group(to))?;
        }
        writeln!(out, "    }}")?;
    }
    writeln!(out, "}}")
}

fn policy(
    out: &mut String,
    gateway: &Gateway,
    name: Option<&str>,
    each: impl Fn(&mut String, &str, &str) -> std::fmt::Result,
) -> std::fmt::Result {
    let Some(policy) = gateway.policies.iter().find(|policy| Some(policy.name.as_str()) == name)
    else {
        return Ok(());
    };
    writeln!(
        out,
        "        # The first network that matches counts there, and here the longest; rates and bans are left out."
    )?;
    let mut all: Vec<(&str, &String)> =
        policy.deny.iter().map(|network| ("deny", network)).collect();
    all.extend(policy.allow.iter().map(|network| ("allow", network)));
    let length = |network: &str| {
        network.split_once('/').and_then(|(_, n)| n.parse::<u32>().ok()).unwrap_or(128)
    };
    all.sort_by_key(|(_, network)| std::cmp::Reverse(length(network)));
    for (verb, network) in all {
        each(out, verb, &word(network))?;
    }
    let rest = if policy.default == "deny" { "deny" } else { "allow" };
    each(out, rest, "all")
}

fn haproxy(out: &mut String, name: &str, gateway: &Gateway) -> std::fmt::Result {
    writeln!(out, "defaults")?;
    writeln!(out, "    mode tcp")?;
    writeln!(out, "    timeout connect 5s")?;
    writeln!(out, "    timeout client 10m")?;
    writeln!(out, "    timeout server 10m")?;
    for listener in &gateway.listeners {
        if listener.transport == "udp" {
            writeln!(
                out,
                "# The listener {} is UDP, which haproxy does not carry.",
                word(&listener.name)
            )?;
            continue;
        }
        writeln!(out, "frontend {}_{}", word(name), word(&listener.name))?;
        let proxied = if listener.accept_proxy { " accept-proxy" } else { "" };
        writeln!(out, "    bind {}{proxied}", word(&listener.address))?;
        policy(out, gateway, listener.policy.as_deref(), |out, verb, network| {
            let verb = if verb == "deny" { "reject" } else { "accept" };
            match network {
                "all" => writeln!(out, "    tcp-request connection {verb}"),
                network => {
                    writeln!(out, "    tcp-request connection {verb} if {{ src {network} }}")
                }
            }
        })?;
        if !listener.sni.is_empty() {
            writeln!(out, "    tcp-request inspect-delay 10s")?;
            writeln!(out, "    tcp-request content accept if {{ req_ssl_hello_type 1 }}")?;
        }
        for (server, to) in &listener.sni {
            let how = match server.strip_prefix('*') {
                Some(end) => format!("-m end -i {}", word(end)),
                None => format!("-m str -i {}", word(server)),
            };
            writeln!(
                out,
                "    use_backend {}_{} if {{ req_ssl_sni {how} }}",
                word(name),
                word(to)
            )?;
        }
        if let Some(to) = &listener.group {
            writeln!(out, "    default_backend {}_{}", word(name), word(to))?;
        }
    }
    for group in &gateway.groups {
        writeln!(out, "backend {}_{}", word(name), word(&group.name))?;
        let balance = match group.balance.as_str() {
            "least-connections" => "leastconn",
            "random-two" => "random(2)",
            "source-hash" => "source",
            _ => "roundrobin",
        };
        writeln!(out, "    balance {balance}")?;
        let check = match &group.check {
            None => "",
            Some(check) if check.kind == "http" => {
                let path = if check.path.is_empty() { "/" } else { &check.path };
                writeln!(out, "    option httpchk GET {}", word(path))?;
                " check"
            }
            Some(check) if check.kind == "tls" => {
                writeln!(out, "    option ssl-hello-chk")?;
                " check"
            }
            Some(_) => " check",
        };
        for (at, upstream) in group.upstreams.iter().enumerate() {
            write!(out, "    server s{} {}{check}", at + 1, word(&upstream.address))?;
            write!(out, " weight {}", upstream.weight.min(256))?;
            if upstream.backup {
                write!(out, " backup")?;
            }
            if upstream.max_connections > 0 {
                write!(out, " maxconn {}", upstream.max_connections)?;
            }
            match group.send_proxy.as_deref() {
                Some("v2") => write!(out, " send-proxy-v2")?,
                Some(_) => write!(out, " send-proxy")?,
                None => {}
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
