//! less, htop and tmux in a session of the client look as they do in tmux alone, line by line where they stand
//! still.

use crate::local::Home;
use crate::vttest::{SIZE, shell};
use harness::process::pause;
use harness::tmux::Terminal;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The same program twice: in a session of the client, and in tmux alone.
struct Both {
    ours: Terminal,
    alone: Terminal,
}

fn lines(terminal: &Terminal) -> Vec<String> {
    terminal.screen().lines().map(|line| line.trim_end().to_owned()).collect()
}

impl Both {
    /// Runs a line of the shell in both; `MINE` in it is a folder of each one's own.
    fn run(home: &Home, line: &str) -> Self {
        let of = |name: &str| -> PathBuf {
            let folder = home.dir.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let mine = |folder: &Path| line.replace("MINE", folder.to_str().unwrap());
        let (first, second) = (of("of-session"), of("of-alone"));
        let ours = shell(home);
        ours.line(&format!("exec env LANG=C.UTF-8 sh -c '{}'", mine(&first)));
        let line = mine(&second);
        let alone = Terminal::start(&second, SIZE, &[("LANG", "C.UTF-8")], &["sh", "-c", &line]);
        alone.resize(SIZE.0, SIZE.1);
        Self { ours, alone }
    }

    fn keys(&self, keys: &[&str]) {
        self.ours.keys(keys);
        self.alone.keys(keys);
    }

    fn line(&self, text: &str) {
        self.ours.line(text);
        self.alone.line(text);
    }

    /// Waits until both show all of these, and the lines that are picked are the same.
    fn same(&self, texts: &[&str], picked: impl Fn(&[String]) -> Vec<String>) {
        let begin = Instant::now();
        loop {
            let (ours, alone) = (lines(&self.ours), lines(&self.alone));
            let has = |lines: &[String]| {
                texts.iter().all(|text| lines.iter().any(|line| line.contains(text)))
            };
            if has(&ours) && has(&alone) && picked(&ours) == picked(&alone) {
                return;
            }
            let late = begin.elapsed() > Duration::from_secs(30);
            let told = || format!("{}\n--- in tmux:\n{}", ours.join("\n"), alone.join("\n"));
            assert!(!late, "waited in vain for {texts:?} and the same:\n{}", told());
            pause();
        }
    }

    fn same_screens(&self, texts: &[&str]) {
        self.same(texts, <[String]>::to_vec);
    }
}

#[test]
fn less_shows_in_a_session_what_it_shows_in_tmux() {
    let home = Home::up();
    let file = home.dir.path().join("pages.txt");
    let mut text = String::new();
    for n in 0..300 {
        let wide = if n % 7 == 0 { "节点 宽字符 ── ◆" } else { "plain" };
        let bold = if n % 5 == 0 { "b\u{8}bo\u{8}ol\u{8}ld\u{8}d _\u{8}u" } else { "-" };
        writeln!(text, "line {n:03} {wide} {bold} {}\x1b[31mred\x1b[0m", "wide ".repeat(n % 40))
            .unwrap();
    }
    text += "the needle is here\nthe last line\n";
    std::fs::write(&file, text).unwrap();
    let less = format!("exec env LESS= LESSHISTFILE=- less -R {}", file.display());
    let both = Both::run(&home, &less);
    both.same_screens(&["line 000", "pages.txt"]);
    both.keys(&["Space"]);
    both.same_screens(&["line 020"]);
    both.keys(&["b"]);
    both.same_screens(&["line 000"]);
    both.line("/needle");
    both.same_screens(&["the needle is here"]);
    both.keys(&["g"]);
    both.same_screens(&["line 000"]);
    // Long lines cut off, and looked at from further right.
    both.keys(&["-", "S", "Enter"]);
    both.keys(&["Enter"]);
    both.keys(&["3", "0", "j"]);
    both.same_screens(&["line 031"]);
    both.keys(&["Right"]);
    both.same(&["wide"], <[String]>::to_vec);
    both.keys(&["G"]);
    both.keys(&["h"]);
    both.same(&["SUMMARY OF LESS COMMANDS"], <[String]>::to_vec);
    both.keys(&["q"]);
    both.keys(&["q"]);
    both.ours.until(&["it has ended"]);
    both.alone.ended();
}

#[test]
fn htop_is_laid_out_in_a_session_as_in_tmux() {
    let home = Home::up();
    let both = Both::run(&home, "HTOPRC=MINE/htoprc exec htop --delay 100");
    // What moves differs from one moment to the next; titles and keys stand still.
    let still = |lines: &[String]| -> Vec<String> {
        let bars = |line: &&String| {
            line.contains("PID") && line.contains("USER") || line.starts_with("F1")
        };
        lines.iter().filter(bars).cloned().collect()
    };
    both.same(&["PID", "USER", "Command", "F1Help", "Mem[", "Tasks:"], still);
    both.keys(&["F1"]);
    both.same(&["trace syscalls"], |lines| {
        lines.iter().filter(|line| line.contains(": ")).cloned().collect()
    });
    both.keys(&["Escape"]);
    both.same(&["F1Help"], still);
    // Below one another, and only those that fit.
    both.keys(&["F4"]);
    both.keys(&["-l", "no such process"]);
    both.same(&["no such process"], |lines| {
        lines.iter().filter(|line| line.contains("Filter")).cloned().collect()
    });
    both.keys(&["Escape"]);
    both.same(&["F1Help"], still);
    both.keys(&["F10"]);
    both.ours.until(&["it has ended"]);
    both.alone.ended();
}

#[test]
fn tmux_shows_in_a_session_what_it_shows_in_tmux() {
    let home = Home::up();
    let config = home.dir.path().join("tmux.conf");
    let settings = "set -g status-right ''\nset -g status-left 'here '\n\
                    set -g automatic-rename off\nset -g escape-time 0\nset -g default-command cat\n";
    std::fs::write(&config, settings).unwrap();
    let tmux = format!(
        "unset TMUX; exec tmux -u -S MINE/inner -f {} new-session -n one",
        config.display()
    );
    let both = Both::run(&home, &tmux);
    both.same_screens(&["here ", "0:one"]);
    both.line("left 节点 ◆");
    both.same_screens(&["left 节点 ◆"]);
    both.keys(&["C-b", "%"]);
    both.line("right");
    both.same_screens(&["│", "right"]);
    both.keys(&["C-b", "\""]);
    both.line("below");
    both.same_screens(&["├", "below"]);
    // One alone, then all again.
    both.keys(&["C-b", "z"]);
    both.same_screens(&["below", "0:one*Z"]);
    both.keys(&["C-b", "z"]);
    both.same_screens(&["├", "left 节点 ◆"]);
    both.keys(&["C-b", "c"]);
    both.line("second");
    both.same_screens(&["second", "1:"]);
    both.keys(&["C-b", "0"]);
    both.same_screens(&["├", "right"]);
    both.keys(&["C-b", "d"]);
    both.ours.until(&["it has ended"]);
    both.alone.ended();
    for name in ["of-session", "of-alone"] {
        let socket = home.dir.path().join(name).join("inner");
        let ended =
            std::process::Command::new("tmux").arg("-S").arg(&socket).arg("kill-server").status();
        assert!(ended.unwrap().success());
    }
}
