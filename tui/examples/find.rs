//! How long the finder takes for a key among very many entries: `scripts/bench-finder`.

#![allow(clippy::print_stdout, reason = "what it measured")]

use cmdr_tui::finds::search::{Items, Search};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is typed, and taken back letter by letter.
const TYPED: &[&str] =
    &["web12 nginx", "worker", "db7 postgres wal", "e", "0421", "zzzz", "by bj", "ssh lis"];

fn entries(count: usize) -> Vec<String> {
    let programs = [
        "nginx: worker process",
        "/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main walwriter",
        "/usr/sbin/sshd -D [listener] 0 of 10-100 startups",
        "[kworker/3:1-events]",
        "/opt/java/bin/java -Xmx4g -jar /srv/app/service.jar --port 8080",
        "python3 /srv/worker.py --queue mail",
        "redis-server 127.0.0.1:6379",
    ];
    let roles = ["web", "db", "cache", "edge-北京-", "worker"];
    let entry = |n: usize| {
        let (host, program) = (n / 200, programs[n % programs.len()]);
        format!("{}{host} {} {program}", roles[host % roles.len()], 300 + n % 30_000)
    };
    (0..count).map(entry).collect()
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let texts = entries(count);
    let begin = Instant::now();
    let items = Arc::new(Items::new(texts.iter().map(String::as_str), &[]));
    let opened = begin.elapsed();
    let mut search = Search::new(items, Arc::default());
    let (mut took, mut ran): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    let mut worst = (Duration::ZERO, String::new());
    for _ in 0..5 {
        for typed in TYPED {
            let ends = (1..=typed.len()).filter(|end| typed.is_char_boundary(*end));
            let forth: Vec<usize> = ends.collect();
            for end in forth.iter().chain(forth.iter().rev().skip(1)) {
                let (begin, run) = (Instant::now(), on_cpu());
                let found = search.find(0, &typed[..*end]);
                let time = begin.elapsed();
                assert!(found.is_some());
                worst = worst.max((time, typed[..*end].to_owned()));
                took.push(time);
                ran.push(on_cpu().saturating_sub(run));
            }
        }
    }
    let keys = took.len();
    println!("entries {count}, keys {keys}, opened in {:.1} ms", opened.as_secs_f64() * 1000.0);
    let show = |what: &str, mut times: Vec<Duration>| {
        times.sort_unstable();
        let at = |share| times[((keys - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        println!("{what}: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms", at(0.5), at(0.99), at(1.0));
    };
    show("key to answer", took);
    show("of it on a processor, this thread", ran);
    println!("worst for {:?}", worst.1);
}

/// How long this thread ran so far: what else the machine does is not in it.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0))
}
