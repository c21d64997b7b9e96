//! A file to read: lines with their numbers, or bytes where it is no text; the beginning of a long one.

use crate::action::{Action, reason};
use crate::event::Event;
use crate::i18n::Texts;
use crate::link::Link;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::files::{Entry, FilePath, Read};
use cmdr_protocol::{CallError, HostId};
use std::fmt::Write as _;

/// How much of a file is shown.
const MOST: u64 = 1 << 20;

/// Fetches the beginning of a file and shows it.
pub(super) fn open(context: &Context<'_>, host: HostId, path: FilePath) -> Action {
    let texts = context.texts.clone();
    let command = format!(
        "cmdr cat {}",
        crate::panes::hosts::quoted(&format!("{}:{path}", context.store.hosts.name(host)))
    );
    let opened = Action::Apply(crate::store::files::opened(host, path.clone()));
    let show = Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            let action = match fetch(&link, host, path.clone()).await {
                Ok((entry, bytes)) => {
                    let lines = lines(&texts, &entry, &bytes);
                    let pager =
                        Pager::new(path.to_string(), lines).with_wrap().copying_command(command);
                    let pager = match String::from_utf8(bytes) {
                        Ok(text) => pager.copying(text),
                        Err(_) => pager,
                    };
                    Action::Open(Box::new(pager))
                }
                Err(e) => Action::Complain(format!("{path}: {}", reason(&e))),
            };
            Event::Done(None, action)
        })
    }));
    Action::All(vec![opened, show])
}

async fn fetch(link: &Link, host: HostId, path: FilePath) -> Result<(Entry, Vec<u8>), CallError> {
    let read = Read { path, length: Some(MOST), ..Read::default() };
    let mut items = link.feed(Some(host), read).await?;
    let (mut entry, mut bytes) = (Entry::default(), Vec::new());
    while let Some(chunk) = items.next().await {
        let chunk = chunk?;
        entry = chunk.file.unwrap_or(entry);
        let room = (MOST as usize).saturating_sub(bytes.len());
        bytes.extend(chunk.data.into_iter().take(room));
    }
    Ok((entry, bytes))
}

/// Whether bytes are text that can be read by a person.
fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // The last character may be cut.
        Err(e) => e.error_len().is_none() && bytes.len() as u64 >= MOST,
    };
    whole && !bytes.contains(&0)
}

pub(super) fn lines(texts: &Texts, entry: &Entry, bytes: &[u8]) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    if entry.size > MOST && bytes.len() as u64 >= MOST {
        let text =
            texts.fill("files.view.first", &[&format::size(MOST), &format::size(entry.size)]);
        lines.push(vec![(Role::Warn, text)]);
    }
    if bytes.is_empty() {
        lines.push(vec![(Role::Soft, texts.get("files.view.empty").to_owned())]);
    } else if is_text(bytes) {
        let text = String::from_utf8_lossy(bytes);
        let all: Vec<&str> = text.lines().collect();
        let digits = all.len().to_string().len();
        for (n, line) in all.into_iter().enumerate() {
            let line = line.replace('\t', "    ");
            lines.push(vec![
                (Role::Faint, format!("{:>digits$} ", n + 1)),
                (Role::Text, clean(&line).into_owned()),
            ]);
        }
    } else {
        lines.extend(bytes.chunks(16).enumerate().map(|(n, row)| hex(n * 16, row)));
    }
    lines
}

/// A row of bytes with what can be read of it.
fn hex(at: usize, row: &[u8]) -> Vec<Piece> {
    let mut figures = String::with_capacity(50);
    for (n, byte) in row.iter().enumerate() {
        let gap = if n == 8 { "  " } else { " " };
        // Writing to a String cannot fail.
        write!(figures, "{gap}{byte:02x}").ok();
    }
    let read = |b: &u8| if (0x20..0x7f).contains(b) { *b as char } else { '·' };
    vec![
        (Role::Faint, format!("{at:08x}")),
        (Role::Text, format!("{figures:<50}")),
        (Role::Soft, row.iter().map(read).collect()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Lang;

    fn shown(bytes: &[u8], size: u64) -> Vec<String> {
        let texts = Texts::new(Lang::En);
        let entry = Entry { size, ..Entry::default() };
        let flat = |line: Vec<Piece>| line.into_iter().map(|(_, text)| text).collect::<String>();
        lines(&texts, &entry, bytes).into_iter().map(flat).collect()
    }

    #[test]
    fn text_has_line_numbers_and_nothing_that_steers_a_terminal() {
        assert_eq!(shown(b"a\n\tb\x1b[31m\n", 8), ["1 a", "2     b␛[31m"]);
    }

    #[test]
    fn what_is_no_text_is_shown_as_bytes() {
        let rows = shown(b"\x7fELF\0 text", 10);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].starts_with("00000000 7f 45 4c 46 00 20 74 65  78 74"), "{}", rows[0]);
        assert!(rows[0].ends_with("·ELF· text"));
    }

    #[test]
    fn a_long_file_says_that_it_goes_on() {
        let long = vec![b'a'; MOST as usize];
        assert!(shown(&long, 5 << 20)[0].contains("5.0 MiB"), "{}", shown(&long, 5 << 20)[0]);
    }
}
