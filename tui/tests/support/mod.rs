//! What the tests of the whole app share: a far end, an app on a test screen, made-up hosts.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod log;
#[macro_use]
pub(crate) mod pictures;
pub(crate) mod tapes;

use cmdr_protocol::Access;
use cmdr_protocol::HostId;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::hosts::{self, Figures, History, Host, HostState};
use cmdr_protocol::methods::METHODS;
use cmdr_protocol::metrics::{Cpu, DiskIo, Memory, Metrics, Mount, Network, Pressure, Temperature};
use cmdr_protocol::processes::{self, Process};
use cmdr_protocol::role::Role;
use cmdr_protocol::version::Health;
use cmdr_tui::app::{App, Options};
use cmdr_tui::config::{self, Config};
use cmdr_tui::event::Event;
use cmdr_tui::i18n::Lang;
use cmdr_tui::journal::Journal;
use cmdr_tui::keymap::parse_keys;
use cmdr_tui::link::fake::Far;
use cmdr_tui::link::{Link, LinkState, Peer};
use cmdr_tui::terminal::Control;
use cmdr_tui::theme::Depth;
use cmdr_tui::widgets::chart::Glyphs;
use cmdr_tui::widgets::terminal::Caret;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::cell::Cell;
use unicode_width::UnicodeWidthStr as _;

/// 2026-11-20 14:02:00 UTC.
pub(crate) const NOW_MS: u64 = 1_795_183_320_000;

thread_local! {
    static CLOCK: Cell<u64> = const { Cell::new(NOW_MS) };
}

fn now_ms() -> u64 {
    CLOCK.get()
}

/// Sets the clock on, without a tick.
pub(crate) fn pass(seconds: u64) {
    CLOCK.set(CLOCK.get() + seconds * 1000);
}

/// What the app asked of the terminal.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) copied: Vec<String>,
    pub(crate) mouse: Vec<bool>,
    pub(crate) suspended: usize,
    pub(crate) carets: Vec<Caret>,
    pub(crate) bells: usize,
}

impl Control for Recorded {
    fn bell(&mut self) -> std::io::Result<()> {
        self.bells += 1;
        Ok(())
    }

    fn copy(&mut self, text: &str) -> std::io::Result<()> {
        if text.starts_with("cmdr ") {
            crate::lines::check(text);
        }
        self.copied.push(text.to_owned());
        Ok(())
    }
    fn mouse(&mut self, on: bool) -> std::io::Result<()> {
        self.mouse.push(on);
        Ok(())
    }
    fn caret(&mut self, caret: Caret) -> std::io::Result<()> {
        self.carets.push(caret);
        Ok(())
    }
    fn suspend(&mut self) -> std::io::Result<()> {
        self.suspended += 1;
        Ok(())
    }
    fn resume(&mut self) -> std::io::Result<()> {
        self.suspended += 1;
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) far: Far,
    /// Boxed: it is large, and tests are futures.
    pub(crate) app: Box<App>,
    pub(crate) terminal: Terminal<TestBackend>,
    pub(crate) control: Recorded,
    pub(crate) lang: Lang,
}

#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) size: (u16, u16),
    pub(crate) role: Role,
    pub(crate) read_only: bool,
    pub(crate) lang: Lang,
    pub(crate) theme: &'static str,
    pub(crate) config: Option<std::path::PathBuf>,
    pub(crate) memory: Option<std::path::PathBuf>,
    pub(crate) hints: bool,
    pub(crate) thin: bool,
    pub(crate) drafts: Option<std::path::PathBuf>,
    /// What opens links.
    pub(crate) opener: Option<std::path::PathBuf>,
    /// Instead of those that the role has.
    pub(crate) verbs: Option<Vec<String>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            size: (120, 40),
            role: Role::ADMINISTRATOR,
            read_only: false,
            lang: Lang::En,
            theme: "dark",
            config: None,
            memory: None,
            hints: false,
            thin: false,
            drafts: None,
            opener: None,
            verbs: None,
        }
    }
}

impl World {
    pub(crate) async fn new(setup: Setup) -> Self {
        CLOCK.set(NOW_MS);
        let far = Far::default();
        far.set_health(Health { rtt_us: Some(12_300), ..Health::default() });
        let settings = setup.config.as_deref().map(|path| config::load(path).expect("settings"));
        let settings: Config = settings.unwrap_or_default();
        let options = Options {
            read_only: setup.read_only,
            lang: setup.lang,
            theme: setup.theme.to_owned(),
            depth: Depth::True,
            thin: setup.thin,
            meter: settings.meter.unwrap_or(setup.thin),
            glyphs: Glyphs::Braille,
            keys: settings.keys.clone(),
            terminal: settings.terminal.clone(),
            alerts: settings.alerts,
            opener: setup.opener.clone(),
            kept: settings.into(),
            drafts: setup.drafts.clone(),
            config: setup.config,
            memory: setup.memory,
            restore: true,
            hints: setup.hints,
            now_ms,
            utc_offset_s: 0,
            journal: Journal::default(),
        };
        let app = Box::new(App::new(options, Link::fake(far.clone())).expect("app"));
        let terminal = Terminal::new(TestBackend::new(setup.size.0, setup.size.1)).expect("screen");
        let lang = setup.lang;
        let mut world = Self { far, app, terminal, control: Recorded::default(), lang };
        world.up_as(setup.role, setup.verbs.unwrap_or_else(|| verbs(setup.role)));
        world.idle().await;
        world
    }

    /// At the processes of web1.
    pub(crate) async fn at_processes(setup: Setup) -> Self {
        let mut world = Self::new(setup).await;
        world.fleet(some_hosts()).await;
        world.press("/web1<enter><enter>2").await;
        world.far.push::<processes::Watch>(Some(id(1)), &some_processes());
        world.idle().await;
        world.calls();
        world
    }

    pub(crate) fn up(&self, role: Role) {
        self.up_as(role, verbs(role));
    }

    pub(crate) fn up_as(&self, role: Role, verbs: Vec<String>) {
        let peer = Peer { name: "li@laptop".into(), role, verbs, version: "0.1.0".into() };
        self.far.set_state(LinkState::Up(peer));
    }

    pub(crate) async fn lose(&mut self) {
        self.far.set_state(LinkState::Connecting {
            attempt: 2,
            last_error: Some("connection reset by peer".into()),
            retry_in: None,
        });
        self.idle().await;
    }

    /// Time goes on, in one tick.
    pub(crate) async fn later(&mut self, seconds: u64) {
        pass(seconds);
        self.events([Event::Tick]).await;
    }

    pub(crate) async fn idle(&mut self) {
        self.events([]).await;
    }

    pub(crate) async fn press(&mut self, keys: &str) {
        let keys = parse_keys(keys).expect("keys");
        self.events(keys.into_iter().map(Event::Key)).await;
    }

    pub(crate) async fn events(&mut self, events: impl IntoIterator<Item = Event>) {
        self.app.run_until_idle(&mut self.terminal, &mut self.control, events).await.expect("runs");
    }

    /// What a terminal shows. The test screen keeps in the cell behind a wide character what stood there before; nobody
    /// sees that.
    pub(crate) fn screen(&self) -> String {
        let buffer = self.terminal.backend().buffer();
        let mut screen = String::new();
        for row in buffer.content().chunks(buffer.area.width.into()) {
            screen.push('"');
            let mut covered = 0;
            for cell in row {
                if covered == 0 {
                    screen.push_str(cell.symbol());
                    covered = cell.symbol().width().max(1);
                }
                covered -= 1;
            }
            screen.push_str("\"\n");
        }
        screen
    }

    /// Draws everything anew: of wide characters that were there before nothing is left in what the test reads.
    pub(crate) async fn anew(&mut self) {
        self.terminal.clear().expect("a test screen");
        self.events([Event::Resize]).await;
    }

    pub(crate) fn check_shows(&self, text: &str) {
        assert!(self.screen().contains(text), "no {text:?} in\n{}", self.screen());
    }

    pub(crate) fn check_hides(&self, text: &str) {
        assert!(!self.screen().contains(text), "{text:?} is in\n{}", self.screen());
    }

    /// Calls that reached the far end; feeds, and what is asked only to know what to offer, left out.
    pub(crate) fn calls(&self) -> Vec<cmdr_tui::link::fake::Asked> {
        let mut asked = self.far.take_asked();
        let asks = |method: &str| {
            !["roles.mine", "roles.matrix", "containers.stats", "notifiers.list"].contains(&method)
        };
        asked.retain(|a| asks(a.method) && a.method.split('.').next_back() != Some("watch"));
        asked
    }

    /// The feeds that are open, without those that always are: of requests for rights, of runs that go on, and of alerts.
    pub(crate) fn feeds(&self) -> Vec<(Option<HostId>, &'static str)> {
        let mut feeds = self.far.open_feeds();
        let always = ["approvals.watch", "runs.list.watch", "alerts.watch"];
        feeds.retain(|(_, method)| !always.contains(method));
        feeds.sort_unstable();
        feeds
    }

    /// With a fleet and a hub that has an audit log, roles and requests for rights.
    pub(crate) async fn with_log(setup: Setup, requests: u64) -> Self {
        let mut world = Self::new(setup).await;
        let hosts = named_hosts();
        let records = log::records(NOW_MS, &hosts, requests);
        world.far.answer(move |asked| {
            let answer = log::answer(NOW_MS, &records, &hosts, asked);
            answer.unwrap_or_else(|| Ok(serde_json::Value::Object(serde_json::Map::new())))
        });
        world.fleet(some_hosts()).await;
        world
    }

    pub(crate) async fn fleet(&mut self, hosts: Vec<Host>) {
        let online = hosts.iter().filter(|h| h.state == HostState::Online);
        let figures: Vec<Figures> =
            online.enumerate().filter_map(|(n, h)| Some(figures(h.id?, n as u16))).collect();
        let history = figures
            .iter()
            .map(|f| History { id: f.id, cpu: (0..60).map(|s| (s * 17 + f.cpu) % 1000).collect() })
            .collect();
        let change =
            hosts::Change { reset: true, put: hosts, figures, history, ..Default::default() };
        self.far.push::<hosts::Watch>(None, &change);
        self.idle().await;
    }
}

/// Names of those that are online, with their ids.
pub(crate) fn named_hosts() -> Vec<(HostId, String)> {
    let online = some_hosts().into_iter().filter(|host| host.state == HostState::Online);
    online.filter_map(|host| Some((host.id?, host.name))).collect()
}

pub(crate) fn id(n: u16) -> HostId {
    let mut bytes = [9; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    HostId(bytes)
}

pub(crate) fn host(n: u16, name: &str, state: HostState) -> Host {
    Host {
        id: Some(id(n)),
        name: name.into(),
        state,
        labels: [("role".to_owned(), name.trim_end_matches(char::is_numeric).to_owned())].into(),
        agent: "0.1.0".into(),
        facts: Some(Facts {
            os: "debian".into(),
            os_version: "Debian GNU/Linux 12".into(),
            kernel: "6.1.0-18".into(),
            arch: "x86_64".into(),
            ..Facts::default()
        }),
        link: Some(Health { skew_ms: Some(3), ..Health::default() }),
        address: "10.0.0.7:5000".into(),
        last_seen_ms: Some(NOW_MS - 89_000),
        last_drop: "link reset".into(),
        ..Host::default()
    }
}

pub(crate) fn figures(id: HostId, n: u16) -> Figures {
    Figures {
        id,
        cpu: (u32::from(n) * 97 % 1000) as u16,
        memory_used: u64::from(n % 8 + 1) << 30,
        memory_total: 8 << 30,
        load: u32::from(n) * 42,
        disk: (u32::from(n) * 131 % 1000) as u16,
        received: u64::from(n) * 100_000,
        sent: u64::from(n) * 7_000,
        rtt_us: 400 + u32::from(n) * 900,
    }
}

/// web1 to web4, db1, one away, one pending, one with a Chinese name.
pub(crate) fn some_hosts() -> Vec<Host> {
    let mut hosts: Vec<Host> =
        (1..=4).map(|n| host(n, &format!("web{n}"), HostState::Online)).collect();
    hosts.push(host(5, "db1", HostState::Online));
    hosts.push(host(6, "db2", HostState::Away));
    hosts.push(host(7, "new7", HostState::Pending));
    hosts.push(host(8, "边缘-北京1", HostState::Online));
    hosts
}

pub(crate) fn sample(at_ms: u64, n: u64) -> Metrics {
    Metrics {
        at_ms,
        cpu: Cpu { user: (n * 7 % 600) as u16, system: 100, iowait: 20, steal: 3 },
        cores: vec![110, 560, 930, 20],
        load: [420, 310, 188],
        memory: Memory {
            total: 32 << 30,
            available: (20 << 30) - (n << 24),
            free: 2 << 30,
            buffers: 300 << 20,
            cached: 7 << 30,
            swap_total: 4 << 30,
            swap_used: 300 << 20,
        },
        disks: vec![DiskIo { name: "sda".into(), read: n * 9000, written: 14_000_000, busy: 120 }],
        mounts: vec![
            Mount { mount: "/".into(), total: 446 << 30, free: 348 << 30 },
            Mount { mount: "/data".into(), total: 4 << 40, free: 400 << 30 },
        ],
        networks: vec![Network {
            name: "eth0".into(),
            received: n % 50 * 100_000,
            sent: 3_000_000,
            errors: 2,
        }],
        sockets: 1204,
        processes: [312, 4],
        temperatures: vec![Temperature { name: "Package id 0".into(), tenths: 612 }],
        pressure: Some(Pressure { cpu: 312, memory: 0, io: 45 }),
        uptime_s: 3_542_400,
        groups: Vec::new(),
        containers: Vec::new(),
    }
}

pub(crate) fn process(pid: u32, ppid: u32, command: &str) -> Process {
    let program = command.split(' ').next().unwrap_or_default();
    Process {
        pid,
        ppid,
        start: u64::from(pid) * 100,
        started_s: NOW_MS / 1000 - u64::from(pid) * 60,
        user: if pid < 100 { "root" } else { "www" }.into(),
        name: program.rsplit('/').next().unwrap_or_default().into(),
        command: command.into(),
        state: "S".into(),
        threads: 2,
        cpu: pid * 37 % 1200,
        memory: u64::from(pid) << 20,
        read: None,
        written: Some(u64::from(pid) * 10),
        ..Process::default()
    }
}

pub(crate) fn some_processes() -> processes::Change {
    let put = vec![
        process(1, 0, "/sbin/init"),
        process(40, 1, "/usr/sbin/nginx -g daemon"),
        process(101, 40, "nginx: worker process"),
        process(102, 40, "nginx: worker process"),
        process(50, 1, "/usr/bin/evil \u{1b}]0;owned\u{7}\u{202e}x"),
        process(103, 50, "python3 节点.py --wide 宽字符"),
    ];
    processes::Change { reset: true, put, ..Default::default() }
}

/// What the hub says that a built-in role can use.
pub(crate) fn verbs(role: Role) -> Vec<String> {
    let most = match role {
        Role::ADMINISTRATOR => Access::Admin,
        Role::OPERATOR => Access::Act,
        _ => Access::Read,
    };
    let mut verbs: Vec<String> =
        METHODS.iter().filter(|m| m.access <= most).map(|m| m.name.to_owned()).collect();
    let asking = [
        ("approvals.watch", Access::Read),
        ("approvals.ask", Access::Act),
        ("approvals.end", Access::Act),
        ("approvals.decide", Access::Admin),
    ];
    for (verb, access) in asking {
        if access <= most && !verbs.iter().any(|known| known == verb) {
            verbs.push(verb.to_owned());
        }
    }
    verbs
}
