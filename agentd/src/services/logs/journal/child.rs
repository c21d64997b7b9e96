//! `journalctl` as a child of a supervisor: it and its output are gone when this is dropped, or when the
//! agent is, however it went.

use crate::Agent;
use crate::launch::{Launched, NotLaunched, launch};
use crate::supervise::Job;
use cmdr_link::files::reason;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Read at once.
const CHUNK: usize = 64 << 10;
/// Words of its complaint that are kept.
const WORDS: usize = 400;

/// The program, and what it writes.
#[derive(Debug)]
pub(super) struct Child {
    _launched: Launched,
    output: pipe::Receiver,
    complaint: pipe::Receiver,
    words: Vec<u8>,
    complains: bool,
    wrote: bool,
}

impl Child {
    /// Starts it with these arguments.
    pub(super) async fn start(agent: &Agent, arguments: &[String]) -> Result<Self, CallError> {
        let fault =
            |e: io::Error| CallError::failed(format!("reading the journal: {}", reason(&e)));
        let Some(program) = super::program() else {
            return Err(CallError::not_found("this host has no journalctl to read a journal with"));
        };
        let mut args = vec!["--quiet".to_owned(), "--no-pager".to_owned()];
        if let Some(dir) = &agent.policy().logs.journal {
            args.push(format!("--directory={}", dir.display()));
        }
        args.extend_from_slice(arguments);
        let job = Job {
            program: program.into(),
            arg0: program.to_owned(),
            args,
            env: [("LC_ALL".to_owned(), "C".to_owned()), ("TZ".to_owned(), "UTC".to_owned())]
                .into(),
            cwd: "/".into(),
            rights: None,
        };
        let stdin = OwnedFd::from(File::open("/dev/null").map_err(fault)?);
        let (read_out, stdout) = io::pipe().map_err(fault)?;
        let (read_err, stderr) = io::pipe().map_err(fault)?;
        let launched = launch(agent, &job, [stdin, stdout.into(), stderr.into()]).await;
        let launched = launched.map_err(|e| match e {
            NotLaunched::Refused(e) | NotLaunched::Fault(e) => fault(e),
        })?;
        let pipe = |fd: io::PipeReader| pipe::Receiver::from_owned_fd(fd.into()).map_err(fault);
        let (output, complaint) = (pipe(read_out)?, pipe(read_err)?);
        let (words, complains, wrote) = (Vec::new(), true, false);
        Ok(Self { _launched: launched, output, complaint, words, complains, wrote })
    }

    /// Adds what it has written; false at its end. An end without a word of output and with a complaint
    /// is an error.
    pub(super) async fn read(&mut self, into: &mut Vec<u8>) -> Result<bool, CallError> {
        loop {
            let mut words = [0; 512];
            into.reserve(CHUNK);
            let mut room = bytes::BufMut::limit(&mut *into, CHUNK);
            tokio::select! {
                biased;
                n = self.complaint.read(&mut words), if self.complains => {
                    let n = n.unwrap_or(0);
                    let room = WORDS.saturating_sub(self.words.len());
                    self.words.extend_from_slice(&words[..n.min(room)]);
                    self.complains = n > 0;
                }
                n = self.output.read_buf(&mut room) => {
                    if n.unwrap_or(0) > 0 {
                        self.wrote = true;
                        return Ok(true);
                    }
                    if self.wrote || self.words.trim_ascii().is_empty() {
                        return Ok(false);
                    }
                    return Err(CallError::failed(self.why("the journal cannot be read")));
                }
            }
        }
    }

    /// What it said of why it ended.
    pub(super) fn why(&self, what: &str) -> String {
        let words = String::from_utf8_lossy(self.words.trim_ascii()).replace('\n', "; ");
        if words.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {}", clean_to_width(&words, 300))
        }
    }
}
