//! How much processor time a cycle of the engine takes. `scripts/bench-rules` runs it and says what is good.
//!
//! usage: cycle RULES HOSTS CYCLES; prints, in nanoseconds: all told in the median cycle, the evaluation alone, a cycle
//! in which a tenth of the hosts told something, one in which nobody did; then bytes of memory of a host.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is a measurement")]

use cmdr_rules::{Catalog, Compiled, Engine};
use std::sync::Arc;
use std::time::Instant;

/// Figures that hosts tell each cycle.
const FIGURES: &[&str] = &[
    "cpu.busy",
    "cpu.user",
    "cpu.system",
    "cpu.iowait",
    "cpu.steal",
    "load.1",
    "load.5",
    "memory.used",
    "memory.total",
    "memory.available",
    "swap.used",
    "swap.total",
    "sockets",
    "processes",
    "uptime",
    "clock.skew",
    "link.rtt",
    "pressure.cpu",
    "pressure.memory",
    "pressure.io",
];
const MOUNTS: &[&str] = &["/", "/home", "/var"];

/// The rule of this number: ten shapes with different limits and lengths of windows.
fn rule(n: usize) -> String {
    let (limit, minutes) = (50 + n % 47, [1, 2, 5, 10, 15][n / 10 % 5]);
    match n % 10 {
        0 => format!("cpu.busy > {limit}%"),
        1 => format!("avg(cpu.busy, {minutes}m) > {limit}%"),
        2 => format!("memory.used / memory.total > {limit}% and swap.used > 1GiB"),
        3 => format!("mount.used{{*}} / mount.total{{*}} > {limit}%"),
        4 => format!("max(load.1, {minutes}m) > {limit}"),
        5 => {
            format!("forecast(mount.free{{*}}, 4h, {minutes}m) < 0 and mount.free{{*}} < {limit}GB")
        }
        6 => format!("sockets > {limit}0 or processes > {limit}0"),
        7 => format!("change(memory.used, {minutes}m) > {limit}%"),
        8 => format!("abs(clock.skew) > {limit}ms and not (uptime < {minutes}m)"),
        _ => format!("pressure.io > {limit}% and (cpu.iowait > 1% or cpu.steal > {limit}%)"),
    }
}

/// Nanoseconds of processor time that this thread has used.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn main() {
    let mut words = std::env::args().skip(1).map(|word| word.parse().unwrap());
    let (rules, hosts, cycles): (usize, usize, usize) =
        (words.next().unwrap_or(1000), words.next().unwrap_or(1000), words.next().unwrap_or(120));
    let catalog = Catalog::standard();
    let mut engine = Engine::new(catalog.clone());
    let all: Vec<_> = (0..hosts).map(|n| engine.host(&format!("host{n}"), 0)).collect();
    for n in 0..rules {
        let compiled = Arc::new(Compiled::new(&rule(n), None, &catalog).unwrap());
        engine.put_rule(&format!("rule{n}"), &compiled, &all);
    }
    let before = kib();
    let figures: Vec<_> = FIGURES.iter().map(|name| engine.metric(name).unwrap()).collect();
    let mounts = ["mount.used", "mount.free", "mount.total"].map(|n| engine.metric(n).unwrap());
    let mut seed = 1_u64;
    // Random, for values that differ: a linear congruential generator is random enough.
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as f64 / (1_u64 << 31) as f64
    };
    let (mut whole, mut alone, mut tenth, mut still) = (vec![], vec![], vec![], vec![]);
    let (mut now, mut changes) = (0, 0);
    for cycle in 0..cycles + 60 {
        now += 5000;
        let part = if cycle % 4 == 2 { 10 } else { 1 };
        let (began, clock) = (cpu(), Instant::now());
        if cycle % 4 != 3 {
            for (number, host) in all.iter().enumerate().step_by(part) {
                // A host is as busy as it is, give or take 2 %: most rules say the same as before.
                let base = (number * 37 % 100) as f64 / 100.0;
                for (n, figure) in figures.iter().enumerate() {
                    let size = if n > 4 { 2000.0 } else { 1.0 };
                    engine.tell(*host, *figure, "", (base + random() * 0.02) * size, now);
                }
                for mount in MOUNTS {
                    for (cell, value) in mounts.iter().zip([
                        (base + random() * 0.02) * 1e11,
                        6e10 - now as f64,
                        1e11,
                    ]) {
                        engine.tell(*host, *cell, mount, value, now);
                    }
                }
            }
        }
        let told = cpu();
        changes += engine.cycle(now).len();
        let took = cpu();
        if cycle < 60 || clock.elapsed().is_zero() {
            continue; // until windows are full
        }
        match cycle % 4 {
            2 => tenth.push(took - told),
            3 => still.push(took - told),
            _ => {
                whole.push(took - began);
                alone.push(took - told);
            }
        }
    }
    let median = |mut all: Vec<u64>| {
        all.sort_unstable();
        all[all.len() / 2]
    };
    let memory = (kib().saturating_sub(before)) * 1024 / hosts as u64;
    println!(
        "{} {} {} {} {memory} {changes}",
        median(whole),
        median(alone),
        median(tenth),
        median(still)
    );
}
