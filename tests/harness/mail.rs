//! A mail server (aiosmtpd) that takes what it gets and tells of it. Refuses `nobody@…` for good and `later@…` for now.

use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The server; ends with this.
pub struct MailServer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    mails: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl MailServer {
    /// Starts one that wants neither encryption nor a login.
    pub async fn start() -> Self {
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
        // What scripts/install-tools has put there.
        let mut child = Command::new(format!("{cache}/commander-tools/aiosmtpd-1.4.6/bin/python"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../notify/tests/smtp_server.py"))
            .args(["plain", "-", "-", "-", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut mails = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = mails.next_line().await.unwrap().unwrap().parse().unwrap();
        Self { port, mails, _child: child }
    }

    /// The text of the next mail that it took.
    pub async fn mail(&mut self) -> String {
        let line = self.mails.next_line().await.unwrap().unwrap();
        let mail: serde_json::Value = serde_json::from_str(&line).unwrap();
        // What is quoted for the way is joined again.
        mail["text"].as_str().unwrap().replace("=\r\n", "")
    }

    /// A notifier that tells somebody by this server.
    pub fn notifier(&self, to: &str) -> String {
        format!(
            "to:\n  kind: email\n  host: 127.0.0.1\n  port: {}\n  encryption: none\n  from: cmdr@example.com\n  to: [{to}]\n",
            self.port
        )
    }
}
