//! vttest in a session of the client: what its pages show is what they are to show, line by line. Beside it
//! another vttest runs in tmux alone; pages that tmux gets wrong are compared with what vttest asks for.

use crate::local::Home;
use harness::process::{pause, program};
use harness::tmux::Terminal;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const SIZE: (u16, u16) = (80, 24);
/// What each page ends with.
const PUSH: &str = "Push <RETURN>";
/// What each menu ends with.
const CHOICE: &str = "Enter choice number";

/// What a page is to show.
enum Page {
    /// As in tmux.
    Same,
    /// These lines, counted from 0; tmux shows something else.
    Lines(&'static [(usize, &'static str)]),
}

use Page::{Lines, Same};

/// Letters at both margins in their order, where lines wrap between them.
const WRAPPED: Page = Lines(&[
    (2, "I                                                                              i"),
    (3, "J                                                                              j"),
    (10, "Q                                                                              q"),
    (19, "Z                                                                              z"),
]);

/// Cursor movements.
const MOVEMENTS: &[Page] = &[Same, Same, WRAPPED, WRAPPED, Same, Same];

/// Features of the screen.
const FEATURES: &[Page] = &[
    // Wrapping, and tabs.
    Same,
    Same,
    // 80 columns with light and dark ground.
    Same,
    Same,
    Same,
    Same,
    // Regions that scroll, within margins and without.
    Same,
    Same,
    Same,
    Same,
    // Origin mode.
    Lines(&[
        (22, "This line should be the one above the bottom of the screen. Push <RETURN>"),
        (23, "Origin mode test. This line should be at the bottom of the screen."),
    ]),
    Same,
    // How letters look, then saved and restored cursors.
    Same,
    Same,
    Lines(&[
        (11, "line:      ──────────  ──────────  ──────────  ──────────  ──────────"),
        (15, "diamonds:  ◆◆◆◆◆◆◆◆◆◆  ◆◆◆◆◆◆◆◆◆◆  ◆◆◆◆◆◆◆◆◆◆  ◆◆◆◆◆◆◆◆◆◆  ◆◆◆◆◆◆◆◆◆◆"),
    ]),
];

/// Inserting and deleting of characters and lines.
const VT102: &[Page] =
    &[Same, Same, Same, Same, Same, Same, Same, Same, Same, Same, Same, Same, Same, Same];

/// A vttest on a terminal.
struct Seat {
    terminal: Terminal,
    pid: i32,
}

impl Seat {
    fn lines(&self) -> Vec<String> {
        self.terminal.screen().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn shows(&self, text: &str) -> bool {
        self.terminal.screen().contains(text)
    }

    /// Bytes that vttest has written so far.
    fn written(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid)).unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Types a line, and waits until vttest has written something and come to its next question.
    fn answer(&self, text: &str) {
        let before = self.written();
        if !text.is_empty() {
            self.terminal.keys(&["-l", text]);
        }
        self.terminal.keys(&["Enter"]);
        let begin = Instant::now();
        let mut last = (0, Instant::now());
        loop {
            let now = self.written();
            if now != last.0 {
                last = (now, Instant::now());
            }
            // It writes a page in one go but for pauses of its own.
            let rests = last.1.elapsed() > Duration::from_millis(300);
            if now > before && rests && (self.shows(PUSH) || self.shows(CHOICE)) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(40), "{}", self.terminal.screen());
            pause();
        }
    }
}

/// The process that runs vttest and whose environment names this.
fn find(mark: &str) -> i32 {
    let begin = Instant::now();
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            if let (true, Some(pid)) = (name.trim() == "vttest", pid)
                && String::from_utf8_lossy(&environment).contains(mark)
            {
                return pid;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "vttest did not start");
        pause();
    }
}

fn in_tmux(dir: &Path) -> Seat {
    let mark = format!("{}/alone", dir.display());
    let env = [("LANG", "C.UTF-8"), ("VTTEST_OF", mark.as_str())];
    let folder = dir.join("alone");
    std::fs::create_dir(&folder).unwrap();
    let argv = ["vttest", "24x80.80"];
    let terminal = Terminal::start(&folder, SIZE, &env, &argv);
    terminal.resize(SIZE.0, SIZE.1);
    terminal.until(&[CHOICE]);
    Seat { terminal, pid: find(&mark) }
}

/// A shell in the client, on the whole screen.
pub(crate) fn shell(home: &Home) -> Terminal {
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let config = home.dir.path().join("config").to_string_lossy().into_owned();
    let client = program("cmdr-tui").to_string_lossy().into_owned();
    let env = [
        ("CMDR_HOME", home_dir.as_str()),
        ("XDG_CONFIG_HOME", config.as_str()),
        ("LANG", "C.UTF-8"),
    ];
    let folder = home.dir.path().join("client-terminal");
    std::fs::create_dir(&folder).unwrap();
    let terminal = Terminal::start(&folder, SIZE, &env, &[client.as_str(), "--lang", "en"]);
    terminal.resize(SIZE.0, SIZE.1);
    terminal.until(&["1 online"]);
    terminal.keys(&["s"]);
    terminal.until(&["you drive"]);
    // On the whole screen it has the size of the other one.
    terminal.keys(&["C-\\", "z"]);
    let begin = Instant::now();
    while !terminal.screen().contains("24 80") {
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", terminal.screen());
        terminal.line("clear; stty size");
        pause();
    }
    terminal
}

fn in_client(home: &Home) -> Seat {
    let terminal = shell(home);
    let mark = format!("{}/vttest", home.dir.path().display());
    terminal.line(&format!("VTTEST_OF={mark} exec vttest 24x80.80"));
    terminal.until(&[CHOICE]);
    Seat { terminal, pid: find(&mark) }
}

/// Goes through a menu's pages on both, and back to the menu.
fn compare(menu: &str, pages: &[Page], ours: &Seat, other: &Seat) {
    ours.answer(menu);
    other.answer(menu);
    for (n, page) in pages.iter().enumerate() {
        let begin = Instant::now();
        loop {
            let (shown, wanted) = (ours.lines(), other.lines());
            let holds = match page {
                Same => shown == wanted,
                Lines(lines) => {
                    lines.iter().all(|(at, text)| shown.get(*at).is_some_and(|line| line == text))
                }
            };
            if holds {
                break;
            }
            let told = || format!("{}\n--- in tmux:\n{}", shown.join("\n"), wanted.join("\n"));
            let late = begin.elapsed() > Duration::from_secs(20);
            assert!(!late, "page {n} of menu {menu} is\n{}", told());
            pause();
        }
        ours.answer("");
        other.answer("");
    }
    assert!(ours.shows(CHOICE) && other.shows(CHOICE), "{}", ours.terminal.screen());
}

#[test]
fn the_pages_of_vttest_show_in_a_session_what_they_are_to_show() {
    let home = Home::up();
    let (ours, other) = (in_client(&home), in_tmux(home.dir.path()));
    compare("1", MOVEMENTS, &ours, &other);
    compare("2", FEATURES, &ours, &other);
    compare("8", VT102, &ours, &other);
    // What the terminal answers when it is asked how it is, where its cursor stands and what it is.
    ours.answer("6");
    ours.answer("3");
    ours.terminal.until(&["means \"TERMINAL OK\"", "<27> [ 5 ; 1 R  -- OK"]);
    ours.answer("");
    ours.answer("4");
    ours.terminal.until(&["<27> [ ? 6 c  -- means VT102"]);
    ours.answer("");
    ours.answer("0");
    ours.terminal.line("0");
    ours.terminal.until(&["it has ended"]);
}
