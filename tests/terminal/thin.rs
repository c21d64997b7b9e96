//! The client at the end of a line of 10 KB/s with 150 ms each way: every page can be used, whatever the
//! line carries, the screen or the link to the hub.

use crate::local::Home;
use harness::process::program;
use harness::thin::{Thin, ThinTerminal};
use harness::{Fault, Proxy};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Key to changed screen at most: there and back is 0.3 s of it, and a whole new screen half a second. What
/// it takes on a quiet machine stands in docs/performance.md; other tests run beside this one.
const LONGEST: Duration = Duration::from_secs(3);
/// The same where what a page shows comes over the thin line first, behind what the page before had asked
/// for.
const FETCHED: Duration = Duration::from_secs(12);
/// Bytes a second that a page draws which nobody touches.
const BUDGET: u64 = 2000;
const DELAY: Duration = Duration::from_millis(150);
const RATE: u32 = 10_000;

fn client(home: &Home, extra: &[&str]) -> Command {
    let mut command = Command::new(program("cmdr-tui"));
    command
        .args(["--lang", "en"])
        .args(extra)
        .env("CMDR_HOME", home.dir.path())
        .env("XDG_CONFIG_HOME", home.dir.path().join("config"))
        .env("TERM", "xterm-256color")
        .env_remove("COLORTERM");
    command
}

fn on_thin_line(home: &Home, extra: &[&str]) -> ThinTerminal {
    let thin = Thin { rate: f64::from(RATE), delay: DELAY, buffer: 64 * 1024 };
    let log = home.dir.path().join("client.err");
    ThinTerminal::start((120, 40), thin, &mut client(home, extra), &log)
}

/// Pages, the key that leads there from the one before, and what then stands on the screen and did not
/// before; with `!` what no longer does. Of several texts (`|`) one is enough.
const PAGES: &[(&str, &str, &str)] = &[
    ("overview", "\r", "Cores"),
    ("processes", "2", "COMMAND"),
    ("sorted", "<", "USER▲"),
    // The first process of all is there to stay.
    ("its first row", "g", "▌       1 "),
    ("details", "\r", "parent"),
    ("details closed", "\x1b", "!parent"),
    ("ports", "3", "PROGRAM"),
    // Without a service manager it says so.
    ("services", "4", "UNIT|systemd"),
    ("mounts", "5", "MOUNT"),
    ("interfaces", "]", "ADDRESSES"),
    ("logins", "]", "TERMINAL"),
    ("packages", "]", "VERSION"),
    // Without an engine it says so.
    ("docker", "6", "No Docker here|STATUS"),
    ("files", "7", "MODIFIED"),
    ("logs", "8", "ROTATED"),
    ("sessions", "9", "No session is open here"),
    ("session", "n", "you drive"),
    ("its screen", "echo $((40 + 2)) is it\r", "42 is it"),
    ("its end", "exit\r", "it has ended"),
    ("sessions again", "\x1b", "No session is open here"),
    ("fleet again", "\x1b", "LOAD"),
    ("audit", "A", "following"),
    ("records", "O", "operations"),
    ("rights", "I", "verbs"),
    ("help", "?", "Everywhere"),
    ("help closed", "\x1b", "!Everywhere"),
    ("finder", "\x10", "╭ Find"),
];

/// Goes through all pages; the longest time and who needed it.
fn walk(terminal: &ThinTerminal) -> Vec<(&'static str, Duration, u64)> {
    let mut rows = Vec::new();
    for (page, key, shows) in PAGES {
        let begin = Instant::now();
        terminal.keys(key);
        terminal.until(page, |screen| match shows.strip_prefix('!') {
            Some(gone) => !screen.contains(gone),
            None => shows.split('|').any(|text| screen.contains(text)),
        });
        let took = begin.elapsed();
        // The rest of the page's first moments is not what it draws when nobody touches it.
        terminal.watch(Duration::from_millis(1500));
        let bytes = terminal.watch(Duration::from_secs(2)) / 2;
        rows.push((*page, took, bytes));
    }
    rows
}

fn check(rows: &[(&str, Duration, u64)], longest: Duration) {
    for (page, took, bytes) in rows {
        // The host asks its package manager first: that is no time of the line's.
        let longest = if *page == "packages" { longest.max(FETCHED) } else { longest };
        assert!(*took < longest, "{page} came after {took:?}");
        assert!(*bytes < BUDGET, "{page} draws {bytes} bytes a second");
    }
}

/// Has the host ask its package manager, whose answer it keeps: that takes as long as it takes, and longer while
/// other stories run.
fn ask_for_packages(home: &Home) {
    let packages = home.json(&["system", "packages", "*", "-o", "json"]);
    assert!(packages.as_array().is_some_and(|packages| !packages.is_empty()));
}

#[test]
fn every_page_can_be_used_when_the_terminal_is_at_the_end_of_a_thin_line() {
    let home = Home::up();
    ask_for_packages(&home);
    let terminal = on_thin_line(&home, &["--thin"]);
    terminal.until("the fleet", |screen| screen.contains("1 online"));
    // How much is drawn stands in the top line, and is counted.
    let counted = |top: &str| top.split('✎').nth(1).is_some_and(|meter| meter[..13].contains('K'));
    terminal.until("the meter", |screen| screen.lines().next().is_some_and(counted));
    check(&walk(&terminal), LONGEST);
}

#[test]
fn without_being_told_the_client_finds_out_how_slow_the_line_is() {
    let home = Home::up();
    let terminal = on_thin_line(&home, &[]);
    terminal.until("the fleet", |screen| screen.contains("1 online"));
    terminal.keys("\r");
    terminal.until("charts", |screen| screen.contains("Cores"));
    terminal.keys("2");
    terminal.until("processes", |screen| screen.contains("COMMAND"));
    terminal.watch(Duration::from_secs(6));
    // A key held down for three seconds: what it does is on the screen soon after it is let go.
    for _ in 0..90 {
        terminal.keys("j");
        terminal.watch(Duration::from_millis(33));
    }
    let begin = Instant::now();
    terminal.keys("?");
    terminal.until("help", |screen| screen.contains("In lists"));
    let took = begin.elapsed();
    assert!(took < LONGEST * 2, "{took:?}");
}

/// A home whose client reaches its hub through a proxy.
struct Behind {
    home: Home,
    proxy: Proxy,
    file: PathBuf,
    text: String,
}

impl Behind {
    async fn up() -> Self {
        let home = Home::up();
        let file = home.dir.path().join("client/hub.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let address = text.lines().find_map(|line| line.strip_prefix("address = ")).unwrap();
        let address = address.trim_matches('"').to_owned();
        let target = tokio::net::lookup_host(&address).await.unwrap().next().unwrap();
        let proxy = Proxy::start(target).await;
        std::fs::write(&file, text.replace(&address, &proxy.address().to_string())).unwrap();
        Self { home, proxy, file, text }
    }

    /// The client there, on a terminal that is not thin.
    fn client(&self, extra: &[&str]) -> ThinTerminal {
        let fast = Thin { rate: 1e9, delay: Duration::ZERO, buffer: 64 * 1024 };
        let log = self.home.dir.path().join("client.err");
        ThinTerminal::start((120, 40), fast, &mut client(&self.home, extra), &log)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // What takes the home down goes the straight way.
        std::fs::write(&self.file, &self.text).ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_can_be_used_when_the_link_to_the_hub_is_thin() {
    let behind = Behind::up().await;
    tokio::task::block_in_place(|| ask_for_packages(&behind.home));
    behind.proxy.set(Fault::Thin(RATE, DELAY));
    let rows = tokio::task::block_in_place(|| {
        let terminal = behind.client(&["--thin"]);
        terminal.until("the fleet", |screen| screen.contains("1 online"));
        walk(&terminal)
    });
    check(&rows, FETCHED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_cost_the_link_to_the_hub_a_third_when_it_is_said_to_be_thin() {
    let behind = Behind::up().await;
    let cost = |extra: &[&str]| {
        tokio::task::block_in_place(|| {
            let terminal = behind.client(extra);
            terminal.until("the fleet", |screen| screen.contains("1 online"));
            terminal.keys("\r");
            terminal.until("charts", |screen| screen.contains("Cores"));
            terminal.watch(Duration::from_secs(3));
            let before = behind.proxy.carried();
            terminal.watch(Duration::from_secs(12));
            behind.proxy.carried() - before
        })
    };
    let (usual, thin) = (cost(&["--fresh"]), cost(&["--fresh", "--thin"]));
    assert!(thin * 2 < usual, "{thin} bytes with --thin and {usual} without in 12 s");
}
