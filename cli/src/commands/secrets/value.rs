//! Reads a secret: from standard input, or typed without being shown.

use crate::exit::{Exit, Failure};
use crate::secret;
use std::io::{self, IsTerminal as _, Read as _};

/// The value, at most `limit` bytes, without the end of its last line.
pub(super) async fn read(limit: usize) -> Result<Vec<u8>, Failure> {
    let value = if io::stdin().is_terminal() {
        secret::ask("Value (it is not shown)").await?.as_bytes().to_vec()
    } else {
        let reading = tokio::task::spawn_blocking(move || {
            let mut value = Vec::new();
            // What is too long must be seen to be.
            io::stdin().lock().take(limit as u64 + 3).read_to_end(&mut value)?;
            io::Result::Ok(value)
        });
        reading.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))??
    };
    let value = trimmed(value);
    if value.is_empty() {
        return Err(Failure::usage("the value is empty").hint("cmdr secrets put NAME < FILE"));
    }
    if value.len() > limit {
        return Err(Failure::usage(format!("the value is longer than {limit} bytes")));
    }
    Ok(value)
}

/// Without the end of the last line.
fn trimmed(mut value: Vec<u8>) -> Vec<u8> {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_last_line_is_no_part_of_it_and_everything_else_is() {
        assert_eq!(trimmed(b"a b \n".to_vec()), b"a b ");
        assert_eq!(trimmed(b"a\r\n".to_vec()), b"a");
        assert_eq!(trimmed(b"a\n\n".to_vec()), b"a\n");
        assert_eq!(trimmed(Vec::new()), b"");
    }
}
