//! What the recorder has to know of a command: how it is shown, what it says, how it ended. The only
//! place that reads bodies of `exec.start`, on the recorder's threads and beside the data path.

use cmdr_link::codec;
use cmdr_protocol::CallError;
use cmdr_protocol::exec::{Item, Outcome, Start};
use serde::Deserialize;
use std::marker::PhantomData;

/// The longest text that a command is shown by, in bytes.
const TITLE: usize = 1024;

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// As people read it.
    pub(super) title: String,
    /// All that it is told to do, its script included.
    pub(super) text: String,
}

/// Reads a request.
pub(super) fn command(request: &[u8]) -> Command {
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
    title.truncate(title.floor_char_boundary(TITLE));
    Command { title, text }
}

/// A word as a shell would have to be given it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What an item holds of standard output and standard error, in place.
pub(super) fn output(item: &[u8]) -> (&[u8], &[u8]) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Output<'a> {
        #[serde(rename = "o", with = "serde_bytes", borrow)]
        stdout: &'a [u8],
        #[serde(rename = "e", with = "serde_bytes", borrow)]
        stderr: &'a [u8],
    }
    let Output { stdout, stderr } =
        codec::decode_with(item, PhantomData::<Output<'_>>).unwrap_or_default();
    (stdout, stderr)
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

/// How it ended, in words.
pub(super) fn ended(result: &Result<(), CallError>, last: Option<&[u8]>) -> String {
    match result {
        Err(e) => format!("{}: {}", e.kind, e.message),
        Ok(()) => match last.and_then(|l| codec::decode::<Item>(l).ok()).and_then(|l| l.exit) {
            Some(exit) => match exit.outcome {
                Outcome::Signalled => format!("signal {}", exit.code),
                Outcome::TimedOut => "timed out".to_owned(),
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

    #[test]
    fn a_command_is_shown_as_a_shell_would_have_to_be_given_it() {
        let show = |start: &Start| command(&codec::encode(start).unwrap());
        let argv = ["sh", "-c", "echo it's", "", "容器"].map(str::to_owned).to_vec();
        let shown = show(&Start { argv, ..Start::default() });
        assert_eq!(shown.title, r"sh -c 'echo it'\''s' '' 容器");
        assert_eq!(shown.text, "sh -c echo it's  容器");
        let script = Script { name: "clean.sh".into(), content: b"rm -rf /\n".to_vec() };
        let shown = show(&Start { script: Some(script), ..Start::default() });
        assert_eq!((shown.title.as_str(), shown.text.as_str()), ("clean.sh", "\nrm -rf /\n"));
        assert_eq!(command(b"\xff"), Command::default());
    }

    #[test]
    fn items_and_inputs_are_read_in_place() {
        let item = Item { stdout: b"out".to_vec(), stderr: b"err".to_vec(), ..Item::default() };
        assert_eq!(output(&codec::encode(&item).unwrap()), (&b"out"[..], &b"err"[..]));
        assert_eq!(output(b"\xc1"), (&b""[..], &b""[..]));
        let bytes = codec::encode(&Input { data: b"in".to_vec(), ..Input::default() }).unwrap();
        assert_eq!(input(&bytes), b"in");
    }

    #[test]
    fn the_end_is_told_in_words() {
        let exit = Exit { outcome: Outcome::Exited, code: 3, took_ms: 1 };
        let last = codec::encode(&Item { exit: Some(exit), ..Item::default() }).unwrap();
        assert_eq!(ended(&Ok(()), Some(&last)), "exit 3");
        assert_eq!(ended(&Err(CallError::lost("gone")), None), "lost: gone");
    }
}
