//! Asks for a passphrase on the terminal itself, whatever standard input is, and shows nothing of it.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Write as _};
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a passphrase.
pub(crate) const LONGEST: usize = 1024;

/// Puts the terminal back as it was.
struct Quiet<'a> {
    tty: &'a File,
    before: Termios,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        tcsetattr(self.tty, OptionalActions::Flush, &self.before).ok();
    }
}

/// A passphrase, typed at the terminal. `Interrupted` when it was Ctrl-C; `NotFound` without a terminal.
pub fn passphrase(question: &str) -> io::Result<Zeroizing<String>> {
    let tty = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    let before = tcgetattr(&tty)?;
    let mut quiet = before.clone();
    // Without signals Ctrl-C comes as a byte, so that the echo is put back before anybody ends.
    quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&tty, OptionalActions::Flush, &quiet)?;
    let _quiet = Quiet { tty: &tty, before };
    let mut screen = &tty;
    screen.write_all(question.as_bytes())?;
    let typed = line(&mut &tty);
    screen.write_all(b"\n")?;
    typed
}

fn line(keys: &mut impl io::Read) -> io::Result<Zeroizing<String>> {
    // Never grows, so that no copy is left behind.
    let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0];
    loop {
        if keys.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            3 | 4 => return Err(io::ErrorKind::Interrupted.into()),
            8 | 0x7f => while typed.pop().is_some_and(|b| b & 0xc0 == 0x80) {},
            0x15 => typed.clear(),
            b if typed.len() < LONGEST => typed.push(b),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is too long")),
        }
    }
    byte.zeroize();
    let text = std::str::from_utf8(&typed)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "it is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> Result<String, io::ErrorKind> {
        line(&mut keys.as_bytes()).map(|t| t.as_str().to_owned()).map_err(|e| e.kind())
    }

    #[test]
    fn a_line_can_be_corrected_and_given_up() {
        assert_eq!(typed("secret\n").unwrap(), "secret");
        assert_eq!(typed("sü\u{7f}é\u{8}ecret\r").unwrap(), "secret");
        assert_eq!(typed("wrong\u{15}right\n").unwrap(), "right");
        assert_eq!(typed("sec\u{3}"), Err(io::ErrorKind::Interrupted));
        assert_eq!(typed("sec"), Err(io::ErrorKind::Interrupted));
        assert_eq!(typed(&"x".repeat(LONGEST + 1)), Err(io::ErrorKind::InvalidInput));
    }
}
