//! A private terminal: tmux with a server of its own and a fixed size. Unlike a bare pseudo-terminal it
//! answers what programs ask a terminal.

use crate::process::pause;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One terminal with one program in it; ended when dropped.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Starts `argv` on a terminal of this size with these variables.
    pub fn start(
        dir: &Path,
        (columns, rows): (u16, u16),
        env: &[(&str, &str)],
        argv: &[&str],
    ) -> Self {
        let socket = dir.join("tmux").to_string_lossy().into_owned();
        let terminal = Self { socket };
        let mut command = terminal.tmux();
        command.args(["new-session", "-d", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        for (name, value) in env {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        let status = command.args(argv).status().unwrap();
        assert!(status.success(), "tmux did not start");
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-f", "/dev/null", "-S", &self.socket]).env_remove("TMUX");
        command
    }

    /// Presses keys, named as tmux names them: `Enter`, `Escape`, `Down`, or a character.
    pub fn keys(&self, keys: &[&str]) {
        assert!(self.tmux().arg("send-keys").args(keys).status().unwrap().success());
    }

    /// Changes the size of the window.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = [columns.to_string(), rows.to_string()];
        assert!(
            self.tmux()
                .args(["resize-window", "-x", &size[0], "-y", &size[1]])
                .status()
                .unwrap()
                .success()
        );
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// How the terminal is set: on the other screen, cursor shown, mouse taken.
    pub fn modes(&self) -> String {
        let format = "alternate #{alternate_on} cursor #{cursor_flag} mouse #{mouse_any_flag}";
        let output = self.tmux().args(["display-message", "-p", format]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Types a line as a person does at a shell.
    pub fn line(&self, text: &str) {
        self.keys(&["-l", text]);
        self.keys(&["Enter"]);
    }

    /// Waits until the screen shows all of these.
    pub fn until(&self, texts: &[&str]) -> String {
        let shown = self.within(Duration::from_secs(30), texts);
        shown.unwrap_or_else(|screen| panic!("waited in vain for {texts:?}:\n{screen}"))
    }

    /// The screen as soon as it shows all of these; as it is after this time when it does not.
    pub fn within(&self, time: Duration, texts: &[&str]) -> Result<String, String> {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if texts.iter().all(|text| screen.contains(text)) {
                return Ok(screen);
            }
            if begin.elapsed() >= time {
                return Err(screen);
            }
            pause();
        }
    }

    /// Waits until the program has ended.
    pub fn ended(&self) {
        let begin = Instant::now();
        while self.tmux().arg("has-session").output().unwrap().status.success() {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "it does not end:\n{}",
                self.screen()
            );
            pause();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux().arg("kill-server").output().ok();
    }
}
