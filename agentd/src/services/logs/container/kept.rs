//! A container's log where the engine keeps it: files of JSON lines, handed over in the shape in which the engine itself
//! would tell them, at many times its speed. Only what such files hold now is read so; what is written from then on, and any
//! other kind of log, comes from the engine.

use crate::inside::Container;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Bytes that are handed over together.
const TOGETHER: usize = 256 << 10;
/// Such pieces that wait.
const WAITING: usize = 2;
/// The longest entry: the engine ends one after 16 KiB, of which each byte may take six.
const LONGEST: u64 = 256 << 10;
/// Files of one log that were put aside.
const ASIDE: usize = 1000;

/// An entry, as the engine writes it.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

/// Opens the files of a container's log, the oldest first, each with how long it is now. None where the log is kept in
/// another way or elsewhere, or was put aside at this moment.
pub(super) fn open(container: &Container) -> Option<Vec<(File, u64)>> {
    let path = PathBuf::from(container.kept_at()?);
    // Where the engine puts it, and nowhere else that somebody might name.
    let own = format!("{0}/{0}-json.log", container.id);
    if !path.is_absolute() || !path.ends_with(&own) {
        return None;
    }
    let aside = |n: usize| PathBuf::from(format!("{}.{n}", path.display()));
    let newest = File::open(&path).ok()?;
    let mut files = vec![newest];
    for n in 1..ASIDE {
        match File::open(aside(n)) {
            Ok(file) => files.push(file),
            // Those that were packed are the engine's to unpack.
            Err(_) if aside(n).with_extension(format!("{n}.gz")).exists() => return None,
            Err(_) => break,
        }
    }
    // Opened as it is, and none was put aside meanwhile.
    let now = std::fs::metadata(&path).ok()?.ino();
    if files[0].metadata().ok()?.ino() != now {
        return None;
    }
    files.into_iter().rev().map(|file| file.metadata().ok().map(|m| (file, m.len()))).collect()
}

/// Reads them to the end that they had, as whoever takes it needs more.
pub(super) fn read(files: Vec<(File, u64)>, tty: bool) -> mpsc::Receiver<io::Result<Bytes>> {
    let (pieces, taken) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = BytesMut::with_capacity(TOGETHER + (64 << 10));
        for (file, length) in files {
            let mut reader = BufReader::with_capacity(TOGETHER, file.take(length));
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut reader).take(LONGEST).read_until(b'\n', &mut line) {
                    Ok(0) => break,
                    Ok(_) => tell(&line, tty, &mut out),
                    Err(error) => {
                        // Nobody takes it when nobody wants it any more.
                        pieces.blocking_send(Err(error)).ok();
                        return;
                    }
                }
                if out.len() >= TOGETHER && pieces.blocking_send(Ok(out.split().freeze())).is_err()
                {
                    return;
                }
            }
        }
        if !out.is_empty() {
            pieces.blocking_send(Ok(out.freeze())).ok();
        }
    });
    taken
}

/// Puts an entry as the engine would tell it. What is none is passed over, as the half of one at the end is.
fn tell(line: &[u8], tty: bool, out: &mut BytesMut) {
    if line.first() != Some(&b'{') || line.last() != Some(&b'\n') {
        return;
    }
    let Ok(Entry { log, stream, time }) = serde_json::from_slice(line) else { return };
    // The engine tells all nine digits.
    let (time, digits) = match time.strip_suffix('Z').and_then(|time| time.split_once('.')) {
        Some((whole, part)) if part.len() <= 9 => (whole, part),
        _ => (time.strip_suffix('Z').unwrap_or(&time), ""),
    };
    let length = time.len() + 1 + 9 + 2 + log.len();
    let Ok(told) = u32::try_from(length) else { return };
    if !tty {
        out.put_slice(&[if stream == "stderr" { 2 } else { 1 }, 0, 0, 0]);
        out.put_u32(told);
    }
    out.put_slice(time.as_bytes());
    out.put_u8(b'.');
    out.put_slice(digits.as_bytes());
    out.put_bytes(b'0', 9 - digits.len());
    out.put_slice(b"Z ");
    out.put_slice(log.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn told(text: &str, tty: bool) -> Vec<u8> {
        let mut out = BytesMut::new();
        tell(text.as_bytes(), tty, &mut out);
        out.to_vec()
    }

    #[test]
    fn an_entry_is_told_as_the_engine_does() {
        let entry = "{\"log\":\"h\u{e9}\\u001b[1m\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05.12Z\"}\n";
        let line = "2026-01-02T03:04:05.120000000Z h\u{e9}\u{1b}[1m\n";
        assert_eq!(told(entry, true), line.as_bytes());
        let length = u8::try_from(line.len()).unwrap();
        let framed = [&[2, 0, 0, 0, 0, 0, 0, length], line.as_bytes()].concat();
        assert_eq!(told(entry, false), framed);
        let whole = "{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n";
        assert_eq!(told(whole, true), b"2026-01-02T03:04:05.000000000Z x");
        for bad in ["", "\n", "{\"log\":\"half", "{\"log\":1}\n", "\0\0\0\n", "[]\n"] {
            assert_eq!(told(bad, true), b"", "{bad:?}");
        }
    }

    #[tokio::test]
    async fn files_are_read_to_the_end_that_they_had_in_the_order_that_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, lines: &[&str], half: &str| {
            let mut file = File::create(dir.path().join(name)).unwrap();
            for line in lines {
                writeln!(file, "{{\"log\":\"{line}\\n\",\"time\":\"2026-01-02T03:04:05.1Z\"}}")
                    .unwrap();
            }
            write!(file, "{half}").unwrap();
            let length = file.metadata().unwrap().len();
            writeln!(file, "later").unwrap();
            (File::open(dir.path().join(name)).unwrap(), length)
        };
        let files = vec![file("1", &["a", "b"], ""), file("0", &["c"], "{\"log\":\"d")];
        let mut pieces = read(files, true);
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece.unwrap());
        }
        let lines: String = String::from_utf8(all).unwrap();
        let ends: Vec<_> = lines.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(ends, ["a", "b", "c"]);
    }
}
