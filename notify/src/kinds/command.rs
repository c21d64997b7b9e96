//! A program on this machine: title, an empty line and the body on its standard input. No shell, nothing of our
//! environment but a path, a process group of its own that is killed when its time is over or nobody waits any more.

use crate::config::{Command, Place};
use crate::content::Content;
use crate::failure::{Failure, Sent, words};
use crate::fit::Limit;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::time::timeout;

pub(super) const LIMIT: Limit = Limit::Bytes(64 * 1024);
/// Bytes of its output that are kept; the rest is read and let go.
const OUTPUT: usize = 4096;
/// Bytes after which it talks too much, and is ended.
const TOO_MUCH: u64 = 16 << 20;
/// What `sysexits.h` calls a failure that goes by.
const TEMPFAIL: i32 = 75;

/// Ends the group when it is dropped, unless it has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // That it is gone already is as good.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

pub(super) async fn send(place: &Place, to: &Command, content: &Content) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let [program, arguments @ ..] = to.argv.as_slice() else {
        return Err(Failure::never("the program is missing"));
    };
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CMDR_NOTICE", &content.id)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| {
        use std::io::ErrorKind::{NotFound, PermissionDenied};
        let what = format!("starting {program}: {e}");
        match e.kind() {
            NotFound | PermissionDenied => Failure::never(what),
            _ => Failure::later(what),
        }
    })?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let ran = timeout(to.patience(), talk(&mut child, format!("{title}\n\n{body}"))).await;
    // Whatever it has left running ends with it.
    drop(group);
    let (status, said) = match ran {
        Err(_) => {
            let seconds = to.patience().as_secs();
            return Err(Failure::later(format!(
                "{program} did not end within {seconds} s and was killed"
            )));
        }
        Ok(Err(what)) => return Err(Failure::later(format!("{program}: {what}"))),
        Ok(Ok(ended)) => ended,
    };
    let said = words(&String::from_utf8_lossy(&said), &[]);
    match status.code() {
        Some(0) => Ok(Sent::default()),
        Some(code @ 64..=78) if code != TEMPFAIL => {
            Err(Failure::never(format!("{program} ended with {code}{said}")))
        }
        Some(code) => Err(Failure::later(format!("{program} ended with {code}{said}"))),
        None => Err(Failure::later(format!("{program} was ended by a signal{said}"))),
    }
}

/// Gives it the message, hears what it says, waits for its end.
async fn talk(child: &mut Child, message: String) -> Result<(ExitStatus, Vec<u8>), String> {
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(out), Some(err)) = (stdin, out, err) else {
        return Err("it has no input and output".to_owned());
    };
    let write = async {
        // A program that does not want to read all of it may still succeed.
        stdin.write_all(message.as_bytes()).await.ok();
        stdin.shutdown().await.ok();
        drop(stdin);
        Ok(())
    };
    let (out, err, ()) = tokio::try_join!(hear(out), hear(err), write)?;
    let status = child.wait().await.map_err(|e| format!("waiting for its end: {e}"))?;
    Ok((status, if err.is_empty() { out } else { err }))
}

async fn hear(from: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let (mut from, mut kept) = (from.take(TOO_MUCH), Vec::new());
    let mut piece = vec![0; 8192];
    loop {
        match from.read(&mut piece).await.map_err(|e| format!("reading its output: {e}"))? {
            0 if from.limit() == 0 => {
                return Err("it said more than 16 MiB and was killed".to_owned());
            }
            0 => return Ok(kept),
            read => {
                let room = OUTPUT.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(&piece[..room]);
            }
        }
    }
}
