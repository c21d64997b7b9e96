//! Facts out of Linux's small files.

use crate::Config;
use crate::text::{fields, hundredths, lines, lossy, number, small};
use cmdr_protocol::facts::Facts;
use data_encoding::HEXUPPER_PERMISSIVE;
use std::net::Ipv6Addr;
use std::path::Path;

/// Fills in all that is in files.
pub(super) fn fill(facts: &mut Facts, config: &Config) {
    let proc = |name: &str| small(&config.proc_root.join(name));
    let sys = |name: &str| small(&config.sys_root.join(name));
    facts.hostname = proc("sys/kernel/hostname");
    "linux".clone_into(&mut facts.os_type);
    facts.kernel = proc("sys/kernel/osrelease");
    std::env::consts::ARCH.clone_into(&mut facts.arch);
    let mut release = small(&config.etc_root.join("os-release"));
    if release.is_empty() {
        release = small(Path::new("/usr/lib/os-release"));
    }
    facts.os = release_field(&release, "ID");
    facts.os_version = release_field(&release, "PRETTY_NAME");
    let cpuinfo = proc("cpuinfo");
    facts.cores = cores(&proc("stat"));
    facts.cpu = cpu_name(&cpuinfo);
    let memory = proc("meminfo");
    facts.memory = kilobytes(&memory, "MemTotal:");
    facts.swap = kilobytes(&memory, "SwapTotal:");
    let dmi = |name: &str| sys(&format!("class/dmi/id/{name}"));
    facts.board = join_distinct([
        dmi("sys_vendor"),
        dmi("product_name"),
        dmi("board_name"),
        dmi("board_serial"),
        sys("firmware/devicetree/base/model"),
    ]);
    facts.machine_id = small(&config.etc_root.join("machine-id"));
    facts.virtualization = virtualization(config, &cpuinfo);
    let boot = lines(proc("stat").as_bytes()).find_map(|l| number(l.strip_prefix(b"btime ")?));
    facts.booted_at_ms = boot.unwrap_or(0).saturating_mul(1000);
    let uptime = proc("uptime");
    facts.idle_s = fields(uptime.as_bytes())
        .nth(1)
        .and_then(hundredths)
        .map_or(0, |hundredths| hundredths / 100);
    facts.addresses = addresses(&proc("net/fib_trie"), &proc("net/if_inet6"));
}

fn release_field(release: &str, name: &str) -> String {
    let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or("").trim().trim_matches(['"', '\'']).to_owned()
}

fn cores(stat: &str) -> u32 {
    stat.lines().filter(|l| l.starts_with("cpu") && l.as_bytes().get(3) != Some(&b' ')).count()
        as u32
}

fn cpu_name(cpuinfo: &str) -> String {
    // ARM kernels have no model name; the part's implementer is the next best thing.
    let names = ["model name", "Hardware", "cpu model", "Processor", "cpu", "CPU part"];
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    names.iter().find_map(|name| field(name)).unwrap_or_default()
}

fn kilobytes(meminfo: &str, name: &str) -> u64 {
    let value = lines(meminfo.as_bytes()).find_map(|l| number(l.strip_prefix(name.as_bytes())?));
    value.unwrap_or(0).saturating_mul(1024)
}

fn join_distinct<const N: usize>(parts: [String; N]) -> String {
    let mut text = String::new();
    for part in parts {
        let part = part.trim_matches(['\0', ' ', '\n']);
        if !part.is_empty() && part != "None" && !text.contains(part) {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(part);
        }
    }
    text
}

fn virtualization(config: &Config, cpuinfo: &str) -> String {
    let root = config.proc_root.parent().unwrap_or(Path::new("/"));
    let environ = std::fs::read(config.proc_root.join("1/environ")).unwrap_or_default();
    let told = environ.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"container="));
    let cgroup = small(&config.proc_root.join("1/cgroup"));
    let dmi = |name: &str| small(&config.sys_root.join("class/dmi/id").join(name));
    let vendor = format!("{} {} {}", dmi("sys_vendor"), dmi("product_name"), dmi("bios_vendor"));
    let hypervisor = small(&config.sys_root.join("hypervisor/type"));
    let has = |needle: &str| vendor.contains(needle);
    match () {
        () if root.join(".dockerenv").exists() || cgroup.contains("/docker") => "docker".to_owned(),
        () if root.join("run/.containerenv").exists() => "podman".to_owned(),
        () if told.is_some_and(|t| !t.is_empty()) => lossy(told.unwrap_or_default()),
        () if cgroup.contains("kubepods") => "kubernetes".to_owned(),
        () if cgroup.contains("/lxc") => "lxc".to_owned(),
        () if !hypervisor.is_empty() => hypervisor,
        () if has("VMware") => "vmware".to_owned(),
        () if has("VirtualBox") || has("innotek") => "virtualbox".to_owned(),
        () if has("Microsoft") && has("Virtual") => "hyperv".to_owned(),
        () if has("QEMU") || has("KVM") || has("Amazon EC2") || has("Google") => "kvm".to_owned(),
        () if cpuinfo.contains(" hypervisor") => "vm".to_owned(),
        () => "none".to_owned(),
    }
}

/// Addresses other than loopback and link-local ones, out of the routing table and the interface
/// list.
fn addresses(fib_trie: &str, if_inet6: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = "";
    for line in fib_trie.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.trim();
        } else if line.starts_with("/32 host LOCAL")
            && !last.starts_with("127.")
            && !found.iter().any(|known| known == last)
        {
            found.push(last.to_owned());
        }
    }
    for line in if_inet6.lines() {
        let mut parts = line.split_ascii_whitespace();
        let (Some(hex), Some(scope)) = (parts.next(), parts.nth(2)) else { continue };
        // 10 is the loopback, 20 a link.
        if scope == "10" || scope == "20" {
            continue;
        }
        let bytes = HEXUPPER_PERMISSIVE.decode(hex.as_bytes()).ok();
        if let Some(bytes) = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) {
            found.push(Ipv6Addr::from(bytes).to_string());
        }
    }
    found.truncate(64);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_leave_out_loopback_and_link_local_ones() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\nfe80000000000000000000000000abcd 02 40 20 80     eth0\n20010db8000000000000000000000001 02 40 00 80     eth0\n";
        assert_eq!(addresses(trie, v6), ["10.0.0.5", "2001:db8::1"]);
    }

    #[test]
    fn release_fields_lose_their_quotes() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=12\nID=debian\n";
        assert_eq!(release_field(release, "ID"), "debian");
        assert_eq!(release_field(release, "PRETTY_NAME"), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(release_field(release, "MISSING"), "");
    }

    #[test]
    fn a_host_without_any_file_has_empty_facts() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().to_owned());
        config.proc_root = dir.path().join("proc");
        config.sys_root = dir.path().join("sys");
        config.etc_root = dir.path().join("etc");
        let mut facts = Facts::default();
        fill(&mut facts, &config);
        assert_eq!((facts.hostname.as_str(), facts.cores, facts.memory), ("", 0, 0));
        assert_eq!(facts.virtualization, "none");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_ignored(text in "[ -~\n]{0,120}") {
            let _ = (addresses(&text, &text), release_field(&text, "ID"), cpu_name(&text));
        }
    }
}
