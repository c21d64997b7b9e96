//! Secrets that a person types without seeing them, or that a script gives on standard input, one to a
//! line. Never from the command line, where every user of the machine could read them.

use crate::exit::{Exit, Failure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use zeroize::Zeroizing;

/// The longest secret, in bytes.
const LONGEST: u64 = 4096;

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs none.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).ok();
    }
}

/// Asks for a secret. On a terminal with `question`; else it is the next line of standard input.
pub async fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    let terminal = io::stdin().is_terminal();
    // Ctrl-C ends the program from another thread; it must not leave the terminal silent.
    let _hidden = if terminal { Some(Hidden::new()?) } else { None };
    line(question, terminal).await
}

/// Asks for something that may be seen.
pub async fn ask_openly(question: &str) -> Result<Zeroizing<String>, Failure> {
    line(question, io::stdin().is_terminal()).await
}

async fn line(question: &str, terminal: bool) -> Result<Zeroizing<String>, Failure> {
    let question = question.to_owned();
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
        return Err(Failure::new(Exit::Cancelled, "nothing was given").hint(
            "it is asked for on a terminal, or read from standard input, one line for each answer",
        ));
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
