//! The real client on a made-up fleet: `cargo run -p cmdr-tui --example demo [THEME] [LANG] [HOSTS]`.
//! For trying looks and manners without a hub.

#[path = "../tests/support/log.rs"]
mod log;
#[path = "../tests/support/tapes.rs"]
mod tapes;

use cmdr_protocol::HostId;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::hosts::{self, Figures, History, Host, HostState};
use cmdr_protocol::methods::METHODS;
use cmdr_protocol::metrics::{
    Cpu, DiskIo, Memory, Metrics, Mount, Network, Pressure, Temperature, Watch as MetricsWatch,
};
use cmdr_protocol::processes::{self, Process};
use cmdr_protocol::role::Role;
use cmdr_protocol::version::Health;
use cmdr_protocol::{approvals, audit};
use cmdr_tui::app::{App, Kept, Options};
use cmdr_tui::i18n::Lang;
use cmdr_tui::journal::Journal;
use cmdr_tui::keymap::Keymap;
use cmdr_tui::link::fake::Far;
use cmdr_tui::link::{Link, LinkState, Peer};
use cmdr_tui::theme::Depth;
use cmdr_tui::widgets::chart::Glyphs;
use std::time::Duration;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

fn wave(n: u64, period: f64, phase: f64) -> f64 {
    (n as f64 / period + phase).sin().mul_add(0.5, 0.5)
}

fn id(n: usize) -> HostId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    HostId(bytes)
}

fn host(n: usize, now_ms: u64) -> Host {
    let kinds = ["web", "db", "edge-北京-", "cache", "worker"];
    let kind = kinds[n % kinds.len()];
    let state = match n {
        6 => HostState::Away,
        11 => HostState::Pending,
        _ => HostState::Online,
    };
    let labels = [
        ("role", kind.trim_end_matches('-')),
        ("env", if n.is_multiple_of(4) { "prod" } else { "test" }),
    ];
    Host {
        id: Some(id(n)),
        name: format!("{kind}{}", n / kinds.len() + 1),
        state,
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        agent: if n % 7 == 3 { "0.0.9".into() } else { "0.1.0".into() },
        facts: Some(Facts {
            os: "debian".into(),
            os_version: "Debian GNU/Linux 12 (bookworm)".into(),
            kernel: "6.1.0-18-amd64".into(),
            arch: "x86_64".into(),
            cores: 8,
            ..Facts::default()
        }),
        link: Some(Health { skew_ms: Some(3), ..Health::default() }),
        address: format!("10.0.{}.{}", n / 250, n % 250 + 1),
        online_since_ms: Some(now_ms - 86_400_000),
        last_seen_ms: Some(now_ms - 489_000),
        last_drop: "the link was reset by the peer".into(),
        joined_ms: now_ms - 864_000_000,
    }
}

fn figures(n: usize, t: u64, dice: &mut Dice) -> Figures {
    let busy = wave(t, 17.0 + n as f64, n as f64) * 700.0 + dice.roll(250) as f64;
    Figures {
        id: id(n),
        cpu: busy as u16,
        memory_used: ((3.0 + wave(t, 90.0, n as f64 * 2.0) * 10.0) * f64::from(1 << 30)) as u64,
        memory_total: 16 << 30,
        load: (busy as u32) + 20,
        disk: (100 + n as u64 * 137 % 860) as u16,
        received: dice.roll(90_000_000),
        sent: dice.roll(9_000_000),
        rtt_us: 400 + dice.roll(30_000) as u32,
    }
}

fn metrics(t: u64, at_ms: u64, dice: &mut Dice) -> Metrics {
    let user = wave(t, 40.0, 0.0) * 500.0 + dice.roll(120) as f64;
    let total = 32u64 << 30;
    let used = (wave(t, 300.0, 1.0) * 12.0 + 8.0) * f64::from(1 << 30);
    Metrics {
        at_ms,
        cpu: Cpu { user: user as u16, system: 90 + dice.roll(60) as u16, iowait: 14, steal: 2 },
        cores: (0..8).map(|c| (wave(t, 9.0, f64::from(c)) * 800.0) as u16 + 100).collect(),
        load: [420, 310, 188],
        memory: Memory {
            total,
            available: total - used as u64,
            free: 2 << 30,
            buffers: 300 << 20,
            cached: 7 << 30,
            swap_total: 4 << 30,
            swap_used: 300 << 20,
        },
        disks: vec![
            DiskIo {
                name: "nvme0n1".into(),
                read: dice.roll(9_000_000),
                written: 14_000_000,
                busy: 120,
            },
            DiskIo { name: "sda".into(), read: 0, written: dice.roll(90_000), busy: 3 },
        ],
        mounts: vec![
            Mount { mount: "/".into(), total: 446 << 30, free: 348 << 30 },
            Mount { mount: "/data".into(), total: 4 << 40, free: 900 << 30 },
            Mount { mount: "/var/lib/docker".into(), total: 200 << 30, free: 9 << 30 },
        ],
        networks: vec![
            Network {
                name: "eth0".into(),
                received: dice.roll(90_000_000),
                sent: 3_000_000,
                errors: 0,
            },
            Network { name: "docker0".into(), received: 1200, sent: 900, errors: 2 },
        ],
        sockets: 1204,
        processes: [312, 4],
        temperatures: vec![Temperature { name: "Package id 0".into(), tenths: 612 }],
        pressure: Some(Pressure { cpu: 312, memory: 0, io: 45 }),
        uptime_s: 3_542_400 + t,
        groups: Vec::new(),
        containers: Vec::new(),
    }
}

fn process(pid: u32, ppid: u32, user: &str, command: &str, now_s: u64) -> Process {
    let program = command.split(' ').next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default().trim_end_matches(':');
    Process {
        pid,
        ppid,
        start: u64::from(pid) * 100,
        started_s: now_s - u64::from(90_000 / pid.max(1)) * 60,
        user: user.into(),
        name: name.into(),
        command: command.into(),
        state: "S".into(),
        threads: pid % 30 + 1,
        memory: u64::from(pid) * 777_000 % (2 << 30),
        read: Some(0),
        written: (user != "root").then_some(0),
        ..Process::default()
    }
}

fn table(now_s: u64) -> Vec<Process> {
    let mut table = vec![
        process(1, 0, "root", "/sbin/init", now_s),
        process(412, 1, "root", "/usr/sbin/sshd -D [listener]", now_s),
        process(880, 412, "li", "sshd: li@pts/0", now_s),
        process(881, 880, "li", "-bash", now_s),
        process(960, 881, "li", "vim 节点说明.md", now_s),
        process(500, 1, "root", "nginx: master process /usr/sbin/nginx -g daemon on;", now_s),
        process(700, 1, "postgres", "/usr/lib/postgresql/15/bin/postgres -D /var/lib/pg", now_s),
        process(990, 1, "nobody", "/opt/evil/\u{1b}[31mred\u{1b}]0;owned\u{7} --flag", now_s),
    ];
    for n in 0..8 {
        table.push(process(501 + n, 500, "www", "nginx: worker process", now_s));
        table.push(process(710 + n, 700, "postgres", "postgres: walwriter", now_s));
    }
    table.push(Process {
        command: String::new(),
        name: "kthreadd".into(),
        ..process(2, 0, "root", "", now_s)
    });
    for n in 0..40 {
        let name = format!("kworker/{n}:1-events");
        table.push(Process { name, ..process(10 + n, 2, "root", "", now_s) });
    }
    table
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let theme = args.next().unwrap_or_else(|| "dark".into());
    let lang = args.next().and_then(|l| Lang::parse(&l)).unwrap_or_default();
    let count: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(24);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let far = Far::default();
        tokio::spawn(live(far.clone(), count));
        let options = Options {
            read_only: false,
            lang,
            theme,
            depth: Depth::True,
            thin: false,
            meter: false,
            glyphs: Glyphs::Braille,
            terminal: cmdr_tui::config::Terminal::default(),
            alerts: cmdr_tui::config::Alerts::default(),
            opener: None,
            keys: Keymap::default(),
            kept: Kept::default(),
            drafts: None,
            config: std::env::var_os("CMDR_DEMO_SETTINGS").map(Into::into),
            memory: None,
            restore: false,
            hints: false,
            now_ms: cmdr_link::clock::now_ms,
            utc_offset_s: 0,
            journal: Journal::default(),
        };
        let mut app = App::new(options, Link::fake(far)).map_err(anyhow::Error::msg)?;
        cmdr_tui::terminal::run(&mut app).await
    })
}

/// Feeds whoever looks, once a second; loses the hub for a while after a minute and a half.
async fn live(far: Far, count: usize) {
    let mut dice = Dice(88_172_645_463_325_252);
    let peer = Peer {
        name: "li@laptop".into(),
        role: Role::ADMINISTRATOR,
        verbs: METHODS.iter().map(|m| m.name.to_owned()).collect(),
        version: "0.1.0".into(),
    };
    let mut peer = peer;
    for verb in ["approvals.watch", "approvals.ask", "approvals.end", "approvals.decide"] {
        peer.verbs.push(verb.to_owned());
    }
    let began_ms = cmdr_link::clock::now_ms();
    let hosts: Vec<_> = (0..count).map(|n| (id(n), host(n, began_ms).name)).collect();
    let records = log::records(began_ms, &hosts, 4000);
    let newest = records.first().map_or(0, |record| record.seq);
    let known_hosts = hosts.clone();
    let recordings = tapes::recordings(&records);
    let listed = recordings.clone();
    far.answer_feeds(move |asked| tapes::feeds(&recordings, &tapes::events(), 10, asked));
    far.answer(move |asked| {
        let answer = tapes::answer(&listed, asked)
            .or_else(|| log::answer(began_ms, &records, &known_hosts, asked));
        answer.unwrap_or_else(|| Ok(serde_json::Value::Object(serde_json::Map::new())))
    });
    far.set_state(LinkState::Up(peer.clone()));
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut known: Vec<(Option<HostId>, &'static str)> = Vec::new();
    for beat in 0u64.. {
        ticks.tick().await;
        let now_ms = cmdr_link::clock::now_ms();
        let t = beat / 10;
        if beat % 10 == 0 {
            let rtt_us = Some(12_300 + dice.roll(900) as u32);
            let (received, sent) = (t * 9_400, t * 310);
            far.set_health(Health { rtt_us, received, sent, ..Health::default() });
        }
        let feeds = far.open_feeds();
        for (to, method) in &feeds {
            let new = !known.contains(&(*to, *method));
            if !new && beat % 10 != 0 {
                continue;
            }
            match (to, *method) {
                (None, "hosts.watch") => {
                    let mut change = hosts::Change { reset: new, ..hosts::Change::default() };
                    if new {
                        change.put = (0..count).map(|n| host(n, now_ms)).collect();
                        change.history = (0..count)
                            .map(|n| History {
                                id: id(n),
                                cpu: (0..60).map(|s| figures(n, t + s, &mut dice).cpu).collect(),
                            })
                            .collect();
                    }
                    change.figures = (0..count).map(|n| figures(n, t + 60, &mut dice)).collect();
                    far.push::<hosts::Watch>(None, &change);
                }
                (None, "approvals.watch") => {
                    if new {
                        let approvals = log::approvals(began_ms);
                        far.push::<approvals::Watch>(
                            None,
                            &approvals::Listing { approvals, may_ask: None },
                        );
                    }
                }
                (None, "audit.watch") => {
                    if t % 5 == 4 {
                        let mut record = log::records(now_ms, &hosts, 5).remove(0);
                        record.seq = newest + 1 + t / 5;
                        let items = audit::Items { records: vec![record], missed: 0 };
                        far.push::<audit::Watch>(None, &items);
                    }
                }
                (host, "metrics.watch") => {
                    let past = if new { 600 } else { 0 };
                    for back in (0..=past).rev().filter(|b| !(200..240).contains(b)) {
                        let sample = metrics(600 + t - back, now_ms - back * 1000, &mut dice);
                        far.push::<MetricsWatch>(*host, &sample);
                    }
                }
                (host, _) => {
                    let mut change =
                        processes::Change { reset: new, ..processes::Change::default() };
                    let all = table(now_ms / 1000);
                    if new {
                        change.put.clone_from(&all);
                    }
                    for process in all.iter().filter(|p| !p.command.is_empty()) {
                        if dice.roll(4) == 0 {
                            let most = if process.user == "www" { 1400 } else { 120 };
                            change.cpu.push((process.pid, dice.roll(most) as u32));
                        }
                    }
                    far.push::<processes::Watch>(*host, &change);
                }
            }
        }
        known = feeds;
        match beat {
            900 => far.set_state(LinkState::Connecting {
                attempt: 3,
                last_error: Some("connection reset by peer".into()),
                retry_in: Some(Duration::from_secs(4)),
            }),
            1050 => far.set_state(LinkState::Up(peer.clone())),
            _ => {}
        }
    }
}
