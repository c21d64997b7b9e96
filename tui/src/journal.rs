//! The client's own log: the last lines in memory for the log overlay, all of them in a file.
//! Nothing is ever written to the terminal the screen is drawn on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// Lines kept in memory.
const KEPT: usize = 500;
/// A file larger than this is begun anew at the next start.
const LARGEST: u64 = 4 << 20;

/// The log. Clones share it.
#[derive(Clone, Default)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    lines: VecDeque<String>,
    file: Option<File>,
}

impl Journal {
    /// Also writes to this file from now on. Without one, lines are only kept in memory.
    pub fn open(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let large = std::fs::metadata(path).is_ok_and(|meta| meta.len() > LARGEST);
        let mut options = File::options();
        options.create(true);
        if large {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        let file = options.open(path)?;
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).file = Some(file);
        Ok(())
    }

    /// The last lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.lines.iter().cloned().collect()
    }

    /// Adds a line.
    pub fn push(&self, line: &str) {
        let line = cmdr_protocol::display::clean(line.trim_end()).into_owned();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut inner.file {
            // A full disk must not end the client; the line is still in memory.
            drop(writeln!(file, "{line}"));
        }
        if inner.lines.len() >= KEPT {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }
}

/// One event's text on its way into the log.
pub struct Entry {
    journal: Journal,
    text: Vec<u8>,
}

impl Write for Entry {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.journal.push(&String::from_utf8_lossy(&self.text));
        }
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Entry;
    fn make_writer(&'a self) -> Entry {
        Entry { journal: self.clone(), text: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_all_are_in_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("state/tui.log");
        let journal = Journal::default();
        journal.open(&path).expect("opens");
        for n in 0..KEPT + 2 {
            journal.push(&format!("line {n}\u{1b}"));
        }
        let lines = journal.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (KEPT, "line 2␛"));
        let file = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(file.lines().count(), KEPT + 2);
    }
}
