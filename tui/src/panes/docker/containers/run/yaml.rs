//! A container as YAML, and out of the words of `docker run`: the same settings as in the form, and all others.

use super::fields::Wrong;
use cmdr_protocol::containers::spec::Healthcheck;
use cmdr_protocol::containers::{Spec, run};
use cmdr_protocol::display::clean;
use serde_json::Value;
use std::fmt::Write as _;

/// The longest text that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// What the YAML of nothing is.
pub(super) const BLANK: &str = "image: ''\n";

/// As YAML; characters that must not reach a terminal are escaped.
pub(super) fn written(spec: &Spec) -> String {
    if *spec == Spec::default() {
        return BLANK.to_owned();
    }
    let text = serde_saphyr::to_string(spec).unwrap_or_default();
    let harmful = text.lines().any(|line| matches!(clean(line), std::borrow::Cow::Owned(_)));
    if text.is_empty() || harmful {
        // JSON is YAML too, and it is written with escapes.
        return escaped(&serde_json::to_string_pretty(spec).unwrap_or_default());
    }
    text
}

/// JSON in which nothing but ASCII stands.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                write!(out, "\\u{unit:04x}").ok();
            }
        }
    }
    out
}

/// Reads YAML; a name that is none of a container's settings is told.
pub(super) fn read(text: &str) -> Result<Spec, Wrong> {
    if text.len() > LONGEST {
        return Err(("containers.run.too_long", String::new()));
    }
    if text.trim().is_empty() {
        return Ok(Spec::default());
    }
    let value: Value = serde_saphyr::from_str(text).map_err(|e| first(&e.to_string()))?;
    let known = |value: Option<&Value>, names: &[&str]| -> Result<(), Wrong> {
        let fields = value.and_then(Value::as_object).into_iter().flatten();
        let mut fields = fields.map(|(name, _)| name);
        fields
            .find(|name| !names.contains(&name.as_str()))
            .map_or(Ok(()), |name| Err(("containers.run.no_setting", clean(name).into_owned())))
    };
    known(Some(&value), Spec::FIELDS)?;
    known(value.get("healthcheck"), Healthcheck::FIELDS)?;
    // Read once more by the text: what looks like a number may be meant as a word.
    serde_saphyr::from_str(text).map_err(|e| first(&e.to_string()))
}

/// The first line of what a reader complains of, harmless.
fn first(text: &str) -> Wrong {
    ("containers.run.unread", clean(text.lines().next().unwrap_or_default()).into_owned())
}

/// Reads the words of `docker run`, over as many lines as they were pasted in.
pub(super) fn said(text: &str) -> Result<Spec, Wrong> {
    if text.len() > LONGEST {
        return Err(("containers.run.too_long", String::new()));
    }
    let whole = text.replace("\r\n", "\n").replace("\\\n", " ");
    // A sign before what was copied from a terminal.
    let whole = whole.trim().trim_start_matches(['$', '#']);
    let words = crate::panes::sessions::words(whole).ok_or(("shell.open_quote", String::new()))?;
    run::parse(&words, &|_| None).map(|words| words.spec).map_err(|why| first(&why))
}

/// Whether a text looks like such words.
pub(super) fn is_said(text: &str) -> bool {
    let text = text.trim_start().trim_start_matches(['$', '#']);
    let mut words = text.split_whitespace().skip_while(|word| *word == "sudo");
    let engine = matches!(words.next(), Some("docker" | "podman"));
    let mut words = words.skip_while(|word| *word == "container");
    engine && matches!(words.next(), Some("run" | "create"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pasted_from_a_terminal_is_read_with_its_broken_lines() {
        let text =
            "$ sudo docker run -d \\\n  --name web \\\r\n -p 8080:80 -e 'A=b c' nginx:1 -g x\n";
        assert!(is_said(text) && !is_said("nginx run") && !is_said("docker ps"));
        let spec = said(text).expect("reads");
        assert_eq!((spec.name.as_str(), spec.image.as_str()), ("web", "nginx:1"));
        assert_eq!(spec.environment["A"], "b c");
        assert_eq!(spec.command, ["-g", "x"]);
        assert_eq!(said("docker run 'x").map_err(|e| e.0), Err("shell.open_quote"));
        assert!(said("docker run --nonsense x").expect_err("refused").1.contains("--nonsense"));
    }

    #[test]
    fn yaml_comes_back_as_it_was_and_carries_nothing_that_a_terminal_obeys() {
        let spec = said("docker run --cpus 1.5 -l a=1 --health-cmd true -p 1:1 x").expect("reads");
        assert_eq!(read(&written(&spec)), Ok(spec.clone()));
        let hostile = Spec { hostname: "a\u{1b}]0;x\u{7}\u{202e}".into(), ..spec };
        let text = written(&hostile);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
        assert_eq!(read(&text), Ok(hostile));
        assert!(
            read("image: x\nprot: [1]\n").expect_err("a slip").0 == "containers.run.no_setting"
        );
        assert_eq!(read(BLANK), Ok(Spec::default()));
    }
}
