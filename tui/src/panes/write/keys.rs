//! Single keys of a YAML text, changed and read without touching the rest of it: comments and order stay. For forms and
//! switches of what is kept as text.

/// A text with another value of one of its outer keys; without the key where the value is empty.
pub(in crate::panes) fn set(text: &str, key: &str, value: &str) -> String {
    let head = format!("{key}:");
    let new = (!value.is_empty()).then(|| format!("{head} {value}"));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match (lines.iter().position(|line| line.starts_with(&head)), new) {
        (Some(at), Some(new)) => lines[at] = new,
        (Some(at), None) => {
            lines.remove(at);
        }
        (None, Some(new)) => lines.push(new),
        (None, None) => {}
    }
    lines.join("\n") + "\n"
}

/// The value of one of a text's outer keys, when it stands in its line.
pub(in crate::panes) fn value(text: &str, key: &str) -> String {
    let head = format!("{key}:");
    let line = text.lines().find_map(|line| line.strip_prefix(&head)).unwrap_or_default();
    let line = line.split(" #").next().unwrap_or_default().trim();
    for quote in ['"', '\''] {
        if let Some(inner) = line.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    line.to_owned()
}

/// A text as it stands in YAML.
pub(in crate::panes) fn yaml(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
    if !text.is_empty() && text.chars().all(plain) && text.starts_with(char::is_alphabetic) {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_a_text_is_changed_and_comments_and_other_keys_stay() {
        let text =
            "# of the shop\nname: shop\nhttp:\n  url: x\n  headers: { A: b }\nevery: 60s # slow\n";
        let other = set(text, "every", "5s");
        assert_eq!(other, text.replace("every: 60s # slow", "every: 5s"));
        assert_eq!(set(&other, "every", ""), text.replace("every: 60s # slow\n", ""));
        assert_eq!(set(text, "quorum", "2"), format!("{text}quorum: 2\n"));
        assert_eq!(value(text, "every"), "60s");
        assert_eq!(value("from: 'env=edge'\n", "from"), "env=edge");
    }
}
