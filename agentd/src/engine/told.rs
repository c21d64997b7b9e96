//! What the engine says when something does not work, in its own words and with a kind that programs
//! can decide by.

use bollard::errors::Error;
use cmdr_protocol::containers::short;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::{CallError, ErrorKind};
use std::error::Error as _;
use std::io;

/// As much of the engine's words as anybody reads.
const WORDS: usize = 600;

/// Why `attempted` (`start the container web`) did not work.
pub(crate) fn told(attempted: &str, error: &Error) -> CallError {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            answered(attempted, *status_code, message)
        }
        Error::SocketNotFoundError(path) => absent(path),
        Error::RequestTimeoutError => silent(attempted),
        other => match cause(other) {
            Some(kind) if is_nobody(kind) => CallError::not_found(format!("{attempted}: {NOBODY}")),
            _ => CallError::failed(format!(
                "{attempted}: the Docker engine's answer cannot be used: {}",
                clean_to_width(&words(other), WORDS)
            )),
        },
    }
}

/// Why it did not work when the engine answered with this status and these words.
pub(super) fn answered(attempted: &str, status: u16, message: &str) -> CallError {
    let said = shorter(&clean_to_width(message.trim(), WORDS));
    let attempted = shorter(attempted);
    let kind = match status {
        400 => ErrorKind::Malformed,
        401 | 403 => ErrorKind::Denied,
        // An engine that does not know a path says just that, whatever the path is about.
        404 | 405 | 501 if is_unknown(message) => ErrorKind::UnknownMethod,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        501 => ErrorKind::UnknownMethod,
        503 => ErrorKind::Busy,
        _ if message.contains("no space left on device") => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    };
    let text = match kind {
        ErrorKind::UnknownMethod => {
            format!(
                "{attempted}: this Docker engine is too old for that, or has no such thing: {said}"
            )
        }
        _ if said.is_empty() => {
            format!("{attempted}: the Docker engine refused without a word (status {status})")
        }
        _ => format!("{attempted}: the Docker engine says: {said}"),
    };
    CallError::new(kind, text)
}

/// A text whose ids, 64 digits each, are as short as everywhere else: they pushed out of sight why something went wrong.
fn shorter(text: &str) -> String {
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let pieces = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let piece = |piece: &'_ str| {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let rest = piece.get(word.len()..).unwrap_or_default();
        if is_id(word) { format!("{}{rest}", short(word)) } else { piece.to_owned() }
    };
    pieces.map(piece).collect()
}

fn is_unknown(message: &str) -> bool {
    message.contains("page not found") || message.contains("requires API version")
}

/// There is no engine on this host.
pub(super) fn absent(socket: &str) -> CallError {
    let socket = clean_to_width(socket, 120);
    CallError::not_found(format!(
        "this host has no Docker engine: there is no socket {socket}; the runbook docker installs one, and \
         [containers] socket in the agent's policy file names another place"
    ))
}

const NOBODY: &str = "the Docker engine is installed on this host, but does not run: nobody answers at its \
                      socket; start its service (docker.service) and look at its log";

/// There is one that does not answer.
pub(super) fn silent(attempted: &str) -> CallError {
    CallError::new(
        ErrorKind::TimedOut,
        format!(
            "{attempted}: the Docker engine does not answer; what was asked for may still happen; look at \
             the service docker.service of this host and its log"
        ),
    )
}

/// Nobody listens at the socket.
pub(super) fn unreachable(attempted: &str, error: &io::Error, socket: &str) -> CallError {
    match error.kind() {
        io::ErrorKind::NotFound => absent(socket),
        kind if is_nobody(kind) => CallError::not_found(format!("{attempted}: {NOBODY}")),
        _ => {
            CallError::failed(format!("{attempted}: the Docker engine cannot be reached: {error}"))
        }
    }
}

fn is_nobody(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// The input or output error at the bottom of it.
fn cause(error: &Error) -> Option<io::ErrorKind> {
    if let Error::IOError { err } = error {
        // What is passed through as it is does not stand among its own causes.
        return Some(err.kind());
    }
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        at = error.source();
    }
    None
}

/// It and what is below it, as far as that says more.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(below) = at {
        let more = below.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = below.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16, message: &str) -> CallError {
        let message = message.to_owned();
        told("start the container x", &Error::DockerResponseServerError { status_code, message })
    }

    #[test]
    fn the_engines_own_words_are_told_with_a_kind_to_decide_by() {
        let error = server(404, "No such container: x");
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(
            error.message,
            "start the container x: the Docker engine says: No such container: x"
        );
        assert_eq!(server(404, "page not found").kind, ErrorKind::UnknownMethod);
        assert_eq!(server(409, "Conflict. The name is in use").kind, ErrorKind::Conflict);
        assert_eq!(server(400, "invalid mount").kind, ErrorKind::Malformed);
        assert_eq!(server(500, "write /x: no space left on device").kind, ErrorKind::Busy);
        assert_eq!(server(500, "").kind, ErrorKind::Failed);
    }

    #[test]
    fn ids_are_short_so_that_the_reason_is_seen() {
        let (id, sum) = ("0a".repeat(32), "0b".repeat(32));
        let said = format!("Cannot update container {id}: no limit (sha256:{sum}), {id}0");
        let error = answered(&format!("change the limits of the container {id}"), 500, &said);
        assert_eq!(
            error.message,
            format!(
                "change the limits of the container 0a0a0a0a0a0a: the Docker engine says: Cannot update container \
                 0a0a0a0a0a0a: no limit (sha256:0b0b0b0b0b0b), {id}0"
            )
        );
    }

    #[test]
    fn its_words_are_no_way_to_a_terminal() {
        let error = server(500, "bad \u{1b}[2J name");
        assert!(!error.message.contains('\u{1b}'), "{error}");
        assert!(server(500, &"x".repeat(10_000)).message.len() < 1000);
    }

    #[test]
    fn an_engine_that_is_not_there_is_not_one_that_does_not_run() {
        let none = told("x", &Error::SocketNotFoundError("/var/run/docker.sock".to_owned()));
        assert!(none.message.contains("has no Docker engine"), "{none}");
        let refused = Error::IOError { err: io::ErrorKind::ConnectionRefused.into() };
        let stopped = told("x", &refused);
        assert!(stopped.message.contains("does not run"), "{stopped}");
        assert_eq!((none.kind, stopped.kind), (ErrorKind::NotFound, ErrorKind::NotFound));
        assert_eq!(told("x", &Error::RequestTimeoutError).kind, ErrorKind::TimedOut);
    }
}
