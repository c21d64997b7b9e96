//! What keeps templates and conditions from taking all memory. Their engine counts steps, and one step can double a
//! text; so what could grow by steps is not part of the language: nothing is assigned, what loops go over is taken as
//! it is, a product has a number in it, and filters that lengthen a text are bounded.

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};
use std::io;

/// Bytes that may come out of a filter.
const LONGEST: usize = 1 << 20;
/// `~` and `+` in one place.
const SUMS: usize = 16;
/// `*` in one place, each by no more than a number.
const PRODUCTS: usize = 4;
const FACTOR: u64 = 1024;
/// What may stand after `{%`.
const TAGS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor", "raw", "endraw"];

/// A place that takes bytes up to a bound.
pub(super) struct Bounded {
    pub(super) text: Vec<u8>,
    pub(super) most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too much comes out of it"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes filters away that make much of little, and puts bounded ones in the place of others.
pub(super) fn bound(engine: &mut Environment<'_>) {
    for name in ["format", "batch", "slice", "pprint"] {
        engine.remove_filter(name);
    }
    engine.add_filter("replace", replace);
    engine.add_filter("join", join);
    engine.add_filter("indent", indent);
}

fn too_long() -> Error {
    let what = format!("a text would have more than {} KiB", LONGEST >> 10);
    Error::new(ErrorKind::InvalidOperation, what)
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let more = text.matches(from).count().saturating_mul(to.len());
    if text.len().saturating_add(more) > LONGEST {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

fn join(list: &Value, between: Option<&str>) -> Result<String, Error> {
    let (mut text, between) = (String::new(), between.unwrap_or_default());
    for (at, one) in list.try_iter()?.enumerate() {
        if at > 0 {
            text += between;
        }
        match one.as_str() {
            Some(one) => text += one,
            None => text += &one.to_string(),
        }
        if text.len() > LONGEST {
            return Err(too_long());
        }
    }
    Ok(text)
}

fn indent(text: &str, width: Option<usize>, first: Option<bool>) -> Result<String, Error> {
    let width = width.unwrap_or(4);
    let lines = text.matches('\n').count().saturating_add(1);
    if lines.saturating_mul(width).saturating_add(text.len()) > LONGEST {
        return Err(too_long());
    }
    let (mut indented, space) = (String::new(), " ".repeat(width));
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            indented.push('\n');
        }
        if (at > 0 || first == Some(true)) && !line.trim().is_empty() {
            indented += &space;
        }
        indented += line;
    }
    Ok(indented)
}

/// What of a template could grow without bound, with the line on which it stands, counted from 1.
pub(super) fn check(template: &str) -> Result<(), (u32, String)> {
    let mut at = 0;
    let line =
        |at: usize| u32::try_from(template[..at].matches('\n').count() + 1).unwrap_or(u32::MAX);
    while let Some(begin) = template[at..].find('{').map(|found| at + found) {
        let rest = &template[begin + 1..];
        at = begin + 1;
        match rest.as_bytes().first() {
            Some(b'#') => at = template[at..].find("#}").map_or(template.len(), |end| at + end + 2),
            Some(b'{') => {
                let (code, end) = code(&rest[1..], "}}");
                expression(&code).map_err(|what| (line(begin), what))?;
                at = begin + 2 + end;
            }
            Some(b'%') => {
                let (code, end) = code(&rest[1..], "%}");
                at = begin + 2 + end;
                let raw = tag(&code).map_err(|what| (line(begin), what))?;
                if raw {
                    at = template[at..].find("endraw").map_or(template.len(), |end| at + end);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What stands up to the end of a tag, its quoted texts left out, and where it ends.
fn code(text: &str, end: &str) -> (String, usize) {
    let (mut code, mut quote, mut depth, mut escaped) = (String::new(), None, 0usize, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            _ if depth == 0 && text[at..].starts_with(end) => return (code, at + end.len()),
            (None, '\'' | '"') => {
                quote = Some(c);
                // It is a text, and no number.
                code.push('"');
            }
            (None, c) => {
                match c {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                code.push(c);
            }
        }
    }
    (code, text.len())
}

/// Looks at a tag; true when what follows is no code.
fn tag(code: &str) -> Result<bool, String> {
    let code = code.trim_start_matches(['-', '+']).trim_start();
    let name: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if !TAGS.contains(&name.as_str()) {
        return Err(format!("there is no '{{% {name} %}}' here; there are: {}", TAGS.join(", ")));
    }
    let code = code[name.len()..].trim_end_matches(['-', '+']);
    if name == "for" {
        let word =
            |word: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
        if code.contains(['~', '+', '*']) || word("recursive") {
            return Err(
                "a loop goes over what is there: without ~, + or *, and not recursive".to_owned()
            );
        }
    }
    expression(code)?;
    Ok(name == "raw")
}

/// Looks at an expression that stands alone.
pub(super) fn alone(text: &str) -> Result<(), String> {
    let (mut at, mut all) = (0, String::new());
    // To its very end, whatever is in it.
    while at < text.len() {
        let (code, end) = code(&text[at..], "\0");
        all += &code;
        at += end;
    }
    expression(&all)
}

/// Looks at an expression without its texts.
fn expression(code: &str) -> Result<(), String> {
    if code.matches(['~', '+']).count() > SUMS {
        return Err(format!("more than {SUMS} of ~ and + in one place"));
    }
    let code = code.replace("**", "^");
    if code.matches('*').count() > PRODUCTS {
        return Err(format!("more than {PRODUCTS} of * in one place"));
    }
    for (at, _) in code.match_indices('*') {
        let (before, after) = (last_word(&code[..at]), first_word(&code[at + 1..]));
        if !is_factor(before) && !is_factor(after) {
            return Err(format!(
                "* needs a number of at most {FACTOR} on one side, or one with a point"
            ));
        }
    }
    Ok(())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | ')' | ']' | '}')
}

fn last_word(code: &str) -> &str {
    let code = code.trim_end();
    let begin = code.char_indices().rev().take_while(|(_, c)| is_word(*c)).last();
    begin.map_or("", |(at, _)| &code[at..])
}

fn first_word(code: &str) -> &str {
    let code = code.trim_start();
    let end = code.find(|c: char| !is_word(c)).unwrap_or(code.len());
    &code[..end]
}

fn is_factor(word: &str) -> bool {
    let digits = word.replace('_', "");
    match digits.split_once('.') {
        Some((whole, part)) => {
            let all = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            all(whole) && all(part)
        }
        None => digits.parse::<u64>().is_ok_and(|factor| factor <= FACTOR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_double_is_no_part_of_the_language() {
        for bad in [
            "{% set x = x ~ x %}",
            "{%- set x %}{{x}}{{x}}{% endset %}",
            "{% with a = x ~ x %}{{a}}{% endwith %}",
            "{% filter upper %}x{% endfilter %}",
            "{% for x in [x ~ x] %}{{x}}{% endfor %}",
            "{% for x in x + x %}{{x}}{% endfor %}",
            "{% for x in l recursive %}{{ loop(l) }}{% endfor %}",
            "{{ x * y }}",
            "{{ '9' * x1 }}",
            "{{ x * 1025 }}",
            "{{ a.0 * b }}",
            "{{ x * 2 * 2 * 2 * 2 * 2 }}",
            "{{ {'a': '}}'}.a * y }}",
            "{% if x * y %}{% endif %}",
            "{# {{ #}{{ x * y }}",
            "{% raw %}{{ x * y }}{% endraw %}{{ x * y }}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let sums = format!("{{{{ x{} }}}}", " ~ x".repeat(SUMS + 1));
        assert!(check(&sums).is_err());
        assert_eq!(check("a\nb {{ x * y }}").unwrap_err().0, 2);
        assert!(alone("x * y").is_err() && alone("'}}' ~ x * y").is_err());
    }

    #[test]
    fn what_people_write_is_allowed() {
        for good in [
            "{{ fact.memory * 0.25 | int }} {{ 1024 * cores }} {{ x ** 2 }} {{ a ~ '-' ~ b }}",
            "{{ '~~~~~~~~~~~~~~~~~~~~' }} { } {x} 100% * a * b",
            "{%- for n in names | sort -%}\n{{ n }}\n{% endfor %}{%+ if a + 1 > 2 %}x{% endif %}",
            "{% raw %}{{ a * b }} {% set x %}{% endraw %}{{ c }}",
            "{# {{ a * b }} #}",
            "{{ ({'a': {'b': 1}}).a }}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(alone("fact.os in ['debian', 'ubuntu'] and cores * 2 > 4"), Ok(()));
    }

    #[test]
    fn filters_that_lengthen_a_text_are_bounded() {
        let text = "a".repeat(2000);
        assert_eq!(replace("aba", "a", "xy").unwrap(), "xybxy");
        assert!(replace(&text, "a", &text).is_err());
        let list = Value::from(vec!["a", "b"]);
        assert_eq!(join(&list, Some(", ")).unwrap(), "a, b");
        assert!(join(&Value::from(vec!["a"; 3000]), Some(&text)).is_err());
        assert_eq!(indent("a\n\nb", Some(2), None).unwrap(), "a\n\n  b");
        assert!(indent(&text, Some(usize::MAX), None).is_err());
    }
}
