//! Secrets that a person types without seeing them, or that a script gives on standard input, one to a
//! line. Never from the command line, where every user of the machine could read them.

use crate::exit::{Exit, Failure};
use cmdr_link::prompt;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use zeroize::Zeroizing;

/// The longest answer, in bytes.
const LONGEST: u64 = 4096;

/// Asks for a secret. On a terminal with `question`; else it is the next line of standard input.
pub async fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return line(question, false).await;
    }
    let question = format!("{question}: ");
    let typing = tokio::task::spawn_blocking(move || prompt::passphrase(&question));
    typing.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))?.map_err(|e| {
        match e.kind() {
            io::ErrorKind::Interrupted => Failure::new(Exit::Cancelled, "nothing was done"),
            _ => Failure::usage(format!("reading what is typed: {e}")),
        }
    })
}

/// Asks for something that may be seen.
pub async fn ask_openly(question: &str) -> Result<Zeroizing<String>, Failure> {
    line(question, io::stdin().is_terminal()).await
}

async fn line(question: &str, terminal: bool) -> Result<Zeroizing<String>, Failure> {
    let (question, asked) = (question.to_owned(), cmdr_protocol::display::clean(question));
    let reading = tokio::task::spawn_blocking(move || {
        if terminal {
            write!(io::stderr(), "{question}: ")?;
        }
        let mut value = Zeroizing::new(Vec::new());
        io::stdin().lock().take(LONGEST).read_until(b'\n', &mut value)?;
        io::Result::Ok(value)
    });
    let value = reading.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))??;
    if value.is_empty() {
        if terminal {
            return Err(Failure::new(Exit::Cancelled, "nothing was done"));
        }
        return Err(Failure::usage(format!("{asked}: nobody can be asked, and standard input is empty"))
            .hint("run it on a terminal, or give one line for each answer on standard input; a new password is read once there"));
    }
    let text = std::str::from_utf8(&value).map_err(|_| Failure::usage("that is not text"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Asks for a new secret, on a terminal twice.
pub async fn ask_new(question: &str) -> Result<Zeroizing<String>, Failure> {
    let first = ask(question).await?;
    if io::stdin().is_terminal() && *first != *ask("The same again").await? {
        return Err(Failure::usage("the two are not the same; nothing was changed"));
    }
    Ok(first)
}
