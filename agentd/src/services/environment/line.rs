//! Lines of a file of variables, as those who log people in read them: `NAME=VALUE`, quotes around the whole value
//! taken off, nothing in it replaced.

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::services) enum Line<'a> {
    /// Nothing, or a remark.
    Empty,
    /// Nothing that makes sense.
    Odd,
    /// A variable and its value as it is written.
    Variable { name: &'a str, raw: &'a str },
}

/// Whether a variable may be called so.
pub(in crate::services) fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.len() <= 255
        && name.bytes().all(word)
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Reads a line.
pub(in crate::services) fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Line::Empty;
    }
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    match line.split_once('=') {
        Some((name, raw)) if is_name(name) => Line::Variable { name, raw },
        _ => Line::Odd,
    }
}

/// A value without the quotes around it.
pub(in crate::services) fn value(raw: &str) -> &str {
    let quoted = |quote| raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(raw)
}

/// How a value is written; none for what cannot be.
fn written(text: &str) -> Option<String> {
    if text.contains(['\n', '\r', '\0']) {
        return None;
    }
    let plain = !text.contains(char::is_whitespace) && !text.starts_with(['"', '\'']);
    let candidates =
        [plain.then(|| text.to_owned()), Some(format!("\"{text}\"")), Some(format!("'{text}'"))];
    candidates.into_iter().flatten().find(|written| value(written.trim()) == text)
}

/// The name that a line gives a value.
fn names(line: &str) -> Option<&str> {
    match parse(line) {
        Line::Variable { name, .. } => Some(name),
        _ => None,
    }
}

/// The lines with this variable so: in its place when it is there (the last one counts), else at the end.
pub(super) fn set(text: &str, name: &str, value: &str) -> Option<String> {
    let value = written(value)?;
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let line;
    if let Some(at) = lines.iter().rposition(|line| names(line) == Some(name)) {
        let old = lines[at];
        let start = old.len() - old.trim_start().len();
        let export = if old.trim_start().starts_with("export ") { "export " } else { "" };
        let end = if old.ends_with('\n') { "\n" } else { "" };
        line = format!("{}{export}{name}={value}{end}", &old[..start]);
        lines[at] = &line;
    } else {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        line = format!("{end}{name}={value}\n");
        lines.push(&line);
    }
    Some(lines.concat())
}

/// The lines without this variable; none when it is not there.
pub(super) fn unset(text: &str, name: &str) -> Option<String> {
    let lines = text.split_inclusive('\n');
    let kept: String = lines.filter(|line| names(line) != Some(name)).collect();
    (kept != text).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "# all\nPATH=\"/bin:/sbin\"\n  export LANG=C\nnonsense\nA=1\nA=2\n";

    #[test]
    fn a_variable_is_set_in_its_line_and_the_others_stay() {
        let set = |name, value| set(FILE, name, value).unwrap();
        assert_eq!(set("LANG", "zh_CN.UTF-8"), FILE.replace("LANG=C", "LANG=zh_CN.UTF-8"));
        assert_eq!(set("A", "3"), FILE.replace("A=2", "A=3"));
        assert_eq!(set("NEW", "a b"), format!("{FILE}NEW=\"a b\"\n"));
        assert_eq!(super::set("X=1", "Y", "").unwrap(), "X=1\nY=\n");
        assert_eq!(super::set("X=1", "X", "2").unwrap(), "X=2");
        assert_eq!(super::set(FILE, "X", "a\nB=2"), None);
    }

    #[test]
    fn a_variable_is_taken_away_wherever_it_is() {
        assert_eq!(unset(FILE, "A").unwrap(), FILE.replace("A=1\nA=2\n", ""));
        assert_eq!(unset(FILE, "B"), None);
    }

    proptest! {
        #[test]
        fn a_value_that_can_be_written_is_read_as_it_was(value in "[ a-z\"'#=\t]{0,12}", text in "[A-Z=\n\"]{0,30}") {
            if let Some(text) = set(&text, "NAME", &value) {
                let line = text.lines().rfind(|line| names(line) == Some("NAME")).unwrap();
                let Line::Variable { raw, .. } = parse(line) else { panic!() };
                prop_assert_eq!(super::value(raw), value);
            }
        }
    }
}
