//! Messages of rules: a line of text with names in braces. Nothing more than names, so that what may stand there can be
//! checked when the rule is saved, and so that agents, which evaluate rules too, need no template engine.

use crate::problem::{Wrong, cut, nearest};

/// Characters of a message at most, with and without what is filled in.
const LONGEST: usize = 500;
const RENDERED: usize = 1000;
/// What can stand in braces; `label.` goes on with the name of a label.
const NAMES: &[&str] =
    &["rule", "host", "instance", "value", "limit", "severity", "for", "description"];

/// A piece of a message.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// The pieces, `{{` and `}}` standing for braces.
fn pieces(message: &str) -> Result<Vec<Piece<'_>>, Wrong> {
    let mut pieces = Vec::new();
    let mut rest = message;
    let place = |rest: &str| message[..message.len() - rest.len()].chars().count();
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        rest = &rest[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            pieces.push(Piece::Text(&rest[..1]));
            rest = &rest[2..];
        } else if rest.starts_with('}') {
            return Err(Wrong::new(place(rest), "this `}` closes nothing; write `}}` for a brace"));
        } else {
            let end = rest.find('}').ok_or_else(|| {
                Wrong::new(place(rest), "this `{` is closed by no `}`; write `{{` for a brace")
            })?;
            pieces.push(Piece::Name(rest[1..end].trim()));
            rest = &rest[end + 1..];
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Whether a message makes sense.
pub(crate) fn check(message: &str) -> Result<(), Wrong> {
    if message.chars().count() > LONGEST {
        return Err(Wrong::new(LONGEST, format!("a message has at most {LONGEST} characters")));
    }
    for piece in pieces(message)? {
        let Piece::Name(name) = piece else { continue };
        let known =
            NAMES.contains(&name) || name.strip_prefix("label.").is_some_and(|l| !l.is_empty());
        if !known {
            let at = message.find(&format!("{{{name}")).unwrap_or_default();
            let near = nearest(name, NAMES.iter().copied());
            let hint = if near.is_empty() {
                format!("; there are: {}, label.NAME", NAMES.join(", "))
            } else {
                near
            };
            let what = format!("nothing is called `{}` here{hint}", cut(name, 60));
            return Err(Wrong::new(message[..at].chars().count(), what));
        }
    }
    Ok(())
}

/// The message with its names filled in; what nobody knows is left empty, and a message that is none stays as it is.
pub(crate) fn render(message: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let Ok(pieces) = pieces(message) else { return cut(message, RENDERED) };
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Name(name) => text.push_str(&value(name).unwrap_or_default()),
        }
        if text.len() > 4 * RENDERED {
            break;
        }
    }
    cut(text.trim(), RENDERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_filled_in_and_nothing_else() {
        let value = |name: &str| Some(format!("<{name}>"));
        assert_eq!(
            render("{host}: {value} of {label.team} {{x}}", value),
            "<host>: <value> of <label.team> {x}"
        );
        assert_eq!(render("{value}", |_| Some("{host}".to_owned())), "{host}");
        assert_eq!(render("a\u{1b}[2J{host}", |_| None), "a\u{fffd}[2J");
    }

    #[test]
    fn what_is_wrong_in_a_message_has_a_place() {
        let wrong = check("busy: {valeu}").unwrap_err();
        assert_eq!(
            (wrong.at, wrong.what.as_str()),
            (6, "nothing is called `valeu` here; did you mean `value`?")
        );
        assert_eq!(check("a } b").unwrap_err().at, 2);
        assert_eq!(check("äö {host").unwrap_err().at, 3);
        assert!(check("{label.}").is_err() && check(&"x".repeat(501)).is_err());
    }
}
