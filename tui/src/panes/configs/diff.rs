//! One file of one host beside what it shall be, looked at anew: what is otherwise in words, then the difference.

use super::look::{stand, words};
use crate::action::{Action, Make, PATIENCE};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::panes::edit::difference;
use crate::panes::hosts::quoted;
use crate::store::configs::{Row, STANDS, Standing};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::CallError;
use cmdr_protocol::configs::{Expect, FileWanted, Stands};
use cmdr_protocol::display::clean;

/// What was found.
struct Found {
    group: String,
    row: Row,
    /// None when there is no such file any more.
    answer: Result<Option<Side>, CallError>,
}

struct Side {
    stands: Stands,
    /// What is otherwise, in words.
    what: Vec<String>,
    body: Body,
}

/// What is there beside what shall be.
enum Body {
    None,
    /// They are no texts: how large they are.
    Binary([usize; 2]),
    Lines(Vec<Vec<Piece>>),
}

/// Shows how a file of a host differs from what it shall be, in this version of the group.
pub(super) fn open(group: &str, version: u64, row: &Row) -> Action {
    let (group, row) = (group.to_owned(), row.clone());
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let answer = both(&link, &group, version, &row).await;
            Event::Done(None, Action::Make(Box::new(Found { group, row, answer })))
        })
    }))
}

async fn both(
    link: &Link,
    group: &str,
    version: u64,
    row: &Row,
) -> Result<Option<Side>, CallError> {
    let expect = Expect {
        name: group.to_owned(),
        version: (version > 0).then_some(version),
        hosts: vec![row.host],
        ..Expect::default()
    };
    let expected = link.call(None, expect, PATIENCE).await?;
    let host = expected.hosts.into_iter().find(|host| host.host == Some(row.host));
    let wanted = host.and_then(|h| h.files.into_iter().find(|file| file.path == row.path));
    let Some(wanted) = wanted else { return Ok(None) };
    if !wanted.problem.is_empty() {
        return Err(link.told(CallError::failed(wanted.problem)));
    }
    let (drift, there) = stand(link, row.host, &wanted, true).await?;
    let body = body(&wanted, drift.state, there.as_deref());
    Ok(Some(Side { stands: drift.state, what: words(link, drift), body }))
}

impl Make for Found {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { group, row, answer } = *self;
        let (name, path) = (clean(&row.name).into_owned(), clean(&row.path).into_owned());
        let mut lines: Vec<Vec<Piece>> = Vec::new();
        match answer {
            Err(error) => {
                let (_, word, role) = STANDS[Standing::Unknown.rank()];
                lines.push(vec![(role, texts.get(word).to_owned())]);
                lines.push(vec![(Role::Text, crate::action::reason(&error))]);
            }
            Ok(None) => {
                lines.push(vec![(Role::Warn, texts.get("configs.diff.gone").to_owned())]);
            }
            Ok(Some(side)) => {
                let (_, word, role) = STANDS[Standing::from(side.stands).rank()];
                let mut head = vec![(role, texts.get(word).to_owned())];
                if !side.what.is_empty() {
                    head.push((Role::Text, format!("  {}", clean(&side.what.join(", ")))));
                }
                lines.push(head);
                match side.body {
                    Body::None => {}
                    Body::Binary(sizes) => {
                        let [there, shall] = sizes.map(|n| format::size(n as u64));
                        let text = texts.fill("configs.diff.binary", &[&there, &shall]);
                        lines.push(vec![(Role::Warn, text)]);
                    }
                    Body::Lines(body) => {
                        let hint = texts.get("configs.diff.hint").to_owned();
                        lines.push(vec![(Role::Soft, hint)]);
                        lines.push(Vec::new());
                        lines.extend(body);
                    }
                }
            }
        }
        let copied: Vec<String> = lines
            .iter()
            .map(|line| line.iter().map(|(_, text)| text.as_str()).collect::<String>())
            .collect();
        let command = format!("cmdr config drift {} {} --diff", quoted(&group), quoted(&name));
        let pager = Pager::new(format!("{name}:{path}"), lines)
            .with_wrap()
            .copying(copied.join("\n"))
            .copying_command(command);
        Action::Open(Box::new(pager))
    }
}

/// From what is there to what shall be.
fn body(wanted: &FileWanted, stands: Stands, there: Option<&[u8]>) -> Body {
    let Some(shall) = &wanted.content else { return Body::None };
    let there = match there {
        Some(there) => there,
        None if stands == Stands::Missing => &[],
        // Too large, or no file: what is otherwise says so.
        None => return Body::None,
    };
    if there == shall {
        return Body::None;
    }
    match (std::str::from_utf8(there), std::str::from_utf8(shall)) {
        (Ok(there), Ok(shall)) => Body::Lines(difference(there, shall)),
        _ => Body::Binary([there.len(), shall.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(content: &[u8]) -> FileWanted {
        FileWanted { content: Some(content.to_vec()), ..FileWanted::default() }
    }

    #[test]
    fn a_difference_leads_from_what_is_there_to_what_shall_be() {
        let Body::Lines(lines) = body(&wanted(b"a\nc\n"), Stands::Differs, Some(b"a\nb\n")) else {
            panic!("lines");
        };
        let texts: Vec<&str> = lines.iter().map(|line| line[0].1.as_str()).collect();
        assert_eq!(texts[1..], [" a", "-b", "+c"]);
        let missing = body(&wanted(b"a\n"), Stands::Missing, None);
        assert!(matches!(missing, Body::Lines(lines) if lines.len() == 2));
    }

    #[test]
    fn bytes_that_are_no_text_and_contents_that_are_not_told_are_not_shown() {
        let binary = body(&wanted(b"a"), Stands::Differs, Some(b"\xff\x1b[2J"));
        assert!(matches!(binary, Body::Binary([5, 1])));
        let secret = FileWanted { secret: true, ..FileWanted::default() };
        assert!(matches!(body(&secret, Stands::Hidden, None), Body::None));
        assert!(matches!(body(&wanted(b"a"), Stands::Differs, Some(b"a")), Body::None));
        assert!(matches!(body(&wanted(b"a"), Stands::Differs, None), Body::None));
    }
}
