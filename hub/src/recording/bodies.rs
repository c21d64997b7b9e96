//! What the recorder has to know of a command or of somebody's time at a session: how it is shown, what
//! it says, how it ended. The only place that reads bodies of `exec.start`, `ssh.open`, `inside.*` and `sessions.*`, on the
//! recorder's threads and beside the data path. Their items have the same names for the same things.

use cmdr_link::codec;
use cmdr_link::relay::GIVEN_UP;
use cmdr_protocol::exec::{Item, Outcome, Start};
use cmdr_protocol::sessions::{Attach, Join, Open, Size};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, inside, ssh};
use serde::Deserialize;
use std::marker::PhantomData;

/// The longest text that a command is shown by, in bytes.
const TITLE: usize = 1024;

/// A command, or a seat at a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// As people read it.
    pub(super) title: String,
    /// All that it is told to do, its script included.
    pub(super) text: String,
    /// The session, when it is known already.
    pub(super) session: String,
    /// The size of the terminal, if there is one.
    pub(super) terminal: Option<Size>,
}

/// Reads a request.
pub(super) fn command(method: &str, request: &[u8]) -> Command {
    match method {
        Open::METHOD => opened(request),
        Attach::METHOD => codec::decode::<Attach>(request)
            .map_or_else(|_| Command::default(), |a| seat("session", a.id, a.size)),
        Join::METHOD => codec::decode::<Join>(request)
            .map_or_else(|_| Command::default(), |j| seat("joined session", j.id, j.size)),
        ssh::Open::METHOD => far(request),
        inside::Open::METHOD => codec::decode::<inside::Open>(request).map_or_else(
            |_| Command::default(),
            |open| within(&open.container, &open.argv, Some(open.size)),
        ),
        inside::Exec::METHOD => codec::decode::<inside::Exec>(request)
            .map_or_else(|_| Command::default(), |exec| within(&exec.container, &exec.argv, None)),
        _ => started(request),
    }
}

fn far(request: &[u8]) -> Command {
    let Ok(open) = codec::decode::<ssh::Open>(request) else { return Command::default() };
    let title = format!("ssh {} {}", quoted(&open.target()), open.command);
    Command { terminal: Some(open.size), text: open.command, ..cut(title.trim_end().to_owned()) }
}

fn within(container: &str, argv: &[String], terminal: Option<Size>) -> Command {
    let words: Vec<_> = argv.iter().map(|word| quoted(word)).collect();
    let what = if words.is_empty() { "attach".to_owned() } else { words.join(" ") };
    let title = format!("{what} in {}", quoted(container));
    Command { terminal, text: argv.join(" "), ..cut(title) }
}

fn opened(request: &[u8]) -> Command {
    let Ok(open) = codec::decode::<Open>(request) else { return Command::default() };
    let words: Vec<_> = open.argv.iter().map(|word| quoted(word)).collect();
    let title = if words.is_empty() { "shell".to_owned() } else { words.join(" ") };
    let title = match &open.user {
        Some(user) => format!("{title} as {}", quoted(user)),
        None => title,
    };
    Command { terminal: Some(open.size), text: open.argv.join(" "), ..cut(title) }
}

fn seat(what: &str, mut id: String, size: Size) -> Command {
    id.truncate(id.floor_char_boundary(16));
    Command { terminal: Some(size), session: id.clone(), ..cut(format!("{what} {id}")) }
}

fn cut(mut title: String) -> Command {
    title.truncate(title.floor_char_boundary(TITLE));
    Command { title, ..Command::default() }
}

fn started(request: &[u8]) -> Command {
    let Ok(start) = codec::decode::<Start>(request) else { return Command::default() };
    let words: Vec<_> = start.argv.iter().map(|word| quoted(word)).collect();
    let mut title = words.join(" ");
    let mut text = start.argv.join(" ");
    if let Some(script) = &start.script {
        title.insert_str(0, &format!("{} ", quoted(&script.name)));
        title.truncate(title.trim_end().len());
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&script.content));
    }
    Command { text, ..cut(title) }
}

/// A word as a shell would have to be given it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What an item holds, in place.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Output<'a> {
    #[serde(rename = "o", with = "serde_bytes", borrow)]
    pub(super) stdout: &'a [u8],
    #[serde(rename = "e", with = "serde_bytes", borrow)]
    pub(super) stderr: &'a [u8],
    /// The terminal has this size before the output beside it.
    #[serde(rename = "z")]
    pub(super) size: Option<Size>,
    #[serde(rename = "b")]
    pub(super) begun: Option<Begun<'a>>,
}

/// Which session it is.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Begun<'a> {
    #[serde(borrow)]
    pub(super) id: &'a str,
}

/// Reads an item.
pub(super) fn output(item: &[u8]) -> Output<'_> {
    codec::decode_with(item, PhantomData::<Output<'_>>).unwrap_or_default()
}

/// What an input holds.
pub(super) fn input(item: &[u8]) -> &[u8] {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Data<'a> {
        #[serde(rename = "d", with = "serde_bytes", borrow)]
        data: &'a [u8],
    }
    codec::decode_with(item, PhantomData::<Data<'_>>).unwrap_or_default().data
}

/// How it ended, in words; one `leaves` a session that goes on.
pub(super) fn ended(leaves: bool, result: &Result<(), CallError>, last: Option<&[u8]>) -> String {
    match result {
        Err(e) if leaves && e.kind == ErrorKind::Cancelled && e.message == GIVEN_UP => {
            "detached".to_owned()
        }
        Err(e) => format!("{}: {}", e.kind, e.message),
        Ok(()) => match last.and_then(|l| codec::decode::<Item>(l).ok()).and_then(|l| l.exit) {
            Some(exit) => match exit.outcome {
                Outcome::Signalled => format!("signal {}", exit.code),
                Outcome::TimedOut => "timed out".to_owned(),
                Outcome::Closed => "closed".to_owned(),
                _ => format!("exit {}", exit.code),
            },
            None => "ended".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::exec::{Exit, Input, Script};
    use cmdr_protocol::sessions;

    #[test]
    fn a_command_is_shown_as_a_shell_would_have_to_be_given_it() {
        let show = |start: &Start| command(Start::METHOD, &codec::encode(start).unwrap());
        let argv = ["sh", "-c", "echo it's", "", "容器"].map(str::to_owned).to_vec();
        let shown = show(&Start { argv, ..Start::default() });
        assert_eq!(shown.title, r"sh -c 'echo it'\''s' '' 容器");
        assert_eq!(shown.text, "sh -c echo it's  容器");
        let script = Script { name: "clean.sh".into(), content: b"rm -rf /\n".to_vec() };
        let shown = show(&Start { script: Some(script), ..Start::default() });
        assert_eq!((shown.title.as_str(), shown.text.as_str()), ("clean.sh", "\nrm -rf /\n"));
        assert_eq!(command("exec.start", b"\xff"), Command::default());
    }

    #[test]
    fn items_and_inputs_are_read_in_place() {
        let item = Item { stdout: b"out".to_vec(), stderr: b"err".to_vec(), ..Item::default() };
        let bytes = codec::encode(&item).unwrap();
        let read = output(&bytes);
        assert_eq!((read.stdout, read.stderr), (&b"out"[..], &b"err"[..]));
        assert_eq!(output(b"\xc1"), Output::default());
        let bytes = codec::encode(&Input { data: b"in".to_vec(), ..Input::default() }).unwrap();
        assert_eq!(input(&bytes), b"in");
    }

    #[test]
    fn a_seat_at_a_session_is_shown_with_its_session_and_its_size() {
        let size = Size { columns: 132, rows: 50 };
        let open = Open { user: Some("root".into()), size, ..Open::default() };
        let shown = command(Open::METHOD, &codec::encode(&open).unwrap());
        assert_eq!((shown.title.as_str(), shown.terminal), ("shell as root", Some(size)));
        let join = Join { id: "abcdefghij".into(), size, ..Join::default() };
        let open = ssh::Open { user: "deploy".into(), host: "db7".into(), ..ssh::Open::default() };
        let shown = command(ssh::Open::METHOD, &codec::encode(&open).unwrap());
        assert_eq!(shown.title, "ssh deploy@db7:22");
        let shown = command(Join::METHOD, &codec::encode(&join).unwrap());
        assert_eq!(shown.title, "joined session abcdefghij");
        assert_eq!(shown.session, "abcdefghij");
        let item = sessions::Item {
            begun: Some(sessions::Begun { id: "abcdefghij".into(), ..Default::default() }),
            output: b"x".to_vec(),
            size: Some(size),
            ..Default::default()
        };
        let bytes = codec::encode(&item).unwrap();
        let read = output(&bytes);
        assert_eq!((read.stdout, read.size), (&b"x"[..], Some(size)));
        assert_eq!(read.begun.unwrap().id, "abcdefghij");
    }

    #[test]
    fn the_end_is_told_in_words() {
        let left = CallError::new(ErrorKind::Cancelled, GIVEN_UP);
        assert_eq!(ended(true, &Err(left.clone()), None), "detached");
        assert_eq!(ended(false, &Err(left), None), "cancelled: given up by the caller");

        let exit = Exit { outcome: Outcome::Exited, code: 3, took_ms: 1 };
        let last = codec::encode(&Item { exit: Some(exit), ..Item::default() }).unwrap();
        assert_eq!(ended(false, &Ok(()), Some(&last)), "exit 3");
        assert_eq!(ended(true, &Err(CallError::lost("gone")), None), "lost: gone");
    }
}
