//! Picks hosts: `web*`, `web1,web2`, `role=web,env!=prod`, `os=debian`, `web*,!web3`, `a=1 | b=2`.
//!
//! Within one alternative, plain names are joined by *or*, conditions by *and*, and names after `!`
//! are taken out. Alternatives stand on both sides of `|`. `*` and `?` are wild in names and values.
//! A condition reads a label; `id`, `name`, `state`, `os`, `arch`, `kernel`, `agent` and `host` (the
//! host's own name) are always there unless a label of that name hides them.

use crate::hosts::Host;
use std::fmt;

/// The longest selector, in bytes.
pub const MAX_LEN: usize = 16 * 1024;

/// A parsed selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Alternative {
    any_of: Vec<String>,
    none_of: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    key: String,
    value: String,
    equal: bool,
}

/// Why a text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("selector: {problem} at character {at} of '{}'", crate::display::clean_to_width(text, 80))]
pub struct BadSelector {
    text: String,
    at: usize,
    problem: &'static str,
}

impl Selector {
    /// Reads a selector. An empty text or `*` picks every host.
    pub fn parse(text: &str) -> Result<Self, BadSelector> {
        let bad = |at: usize, problem| BadSelector { text: text.to_owned(), at: at + 1, problem };
        if text.len() > MAX_LEN {
            return Err(bad(MAX_LEN, "longer than 16 KiB"));
        }
        let mut selector = Self::default();
        if matches!(text.trim(), "" | "*") {
            return Ok(selector);
        }
        let mut at = 0;
        for part in text.split('|') {
            let mut alternative = Alternative::default();
            for term in part.split(',') {
                let lead = term.chars().take_while(|c| c.is_whitespace()).count();
                alternative.add(term.trim()).map_err(|problem| bad(at + lead, problem))?;
                at += term.chars().count() + 1;
            }
            selector.alternatives.push(alternative);
        }
        Ok(selector)
    }

    /// Whether the selector picks this host. A host that waits for approval is picked only by a
    /// selector that asks for its state.
    pub fn matches(&self, host: &Host) -> bool {
        use crate::hosts::HostState::Pending;
        let pending = host.state == Pending;
        if self.alternatives.is_empty() {
            return !pending;
        }
        self.alternatives.iter().any(|a| {
            let asks =
                a.conditions.iter().any(|c| c.key == "state" && c.equal && c.value == "pending");
            (!pending || asks) && a.matches(host)
        })
    }

    /// The names that it writes out, without those with wildcards and those after `!`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let all = self.alternatives.iter().flat_map(|alternative| &alternative.any_of);
        all.filter(|name| !name.contains(['*', '?'])).map(String::as_str)
    }

    /// The labels and facts that its conditions read, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let conditions = self.alternatives.iter().flat_map(|alternative| &alternative.conditions);
        conditions.map(|condition| condition.key.as_str())
    }

    /// The one name this selector is, when it is nothing more than a name without wildcards.
    pub fn as_name(&self) -> Option<&str> {
        match self.alternatives.as_slice() {
            [Alternative { any_of, none_of, conditions }]
                if none_of.is_empty() && conditions.is_empty() =>
            {
                match any_of.as_slice() {
                    [name] if !name.contains(['*', '?']) => Some(name),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Alternative {
    fn add(&mut self, term: &str) -> Result<(), &'static str> {
        if term.is_empty() {
            return Err("nothing between two separators");
        }
        if let Some(at) = term.find('=') {
            let (key, equal) = match term[..at].strip_suffix('!') {
                Some(key) => (key, false),
                None => (&term[..at], true),
            };
            let value = term[at + 1..].trim_start_matches(|c: char| c == '=' || c.is_whitespace());
            check_key(key.trim())?;
            self.conditions.push(Condition {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                equal,
            });
            return Ok(());
        }
        let (name, list) = match term.strip_prefix('!') {
            Some(name) => (name.trim(), &mut self.none_of),
            None => (term, &mut self.any_of),
        };
        if name.is_empty() {
            return Err("no name after '!'");
        }
        if name.chars().any(|c| {
            c.is_whitespace() || matches!(c, '!' | '<' | '>' | '(' | ')' | '&' | '"' | '\'')
        }) {
            return Err("a character that no host name has");
        }
        list.push(name.to_owned());
        Ok(())
    }

    fn matches(&self, host: &Host) -> bool {
        let named = |pattern: &String| {
            glob(pattern, &host.name) || host.id.is_some_and(|id| id.to_string() == *pattern)
        };
        (self.any_of.is_empty() || self.any_of.iter().any(named))
            && !self.none_of.iter().any(named)
            && self.conditions.iter().all(|c| c.holds(host))
    }
}

impl Condition {
    fn holds(&self, host: &Host) -> bool {
        let matches = value_of(host, &self.key).is_some_and(|value| glob(&self.value, &value));
        matches == self.equal
    }
}

fn value_of(host: &Host, key: &str) -> Option<String> {
    if let Some(value) = host.labels.get(key) {
        return Some(value.clone());
    }
    let facts = host.facts.as_ref();
    match key {
        "id" => host.id.map(|id| id.to_string()),
        "name" => Some(host.name.clone()),
        "state" => Some(host.state.to_string()),
        "agent" => Some(host.agent.clone()),
        "os" => facts.map(|f| f.os.clone()),
        "arch" => facts.map(|f| f.arch.clone()),
        "kernel" => facts.map(|f| f.kernel.clone()),
        "host" => facts.map(|f| f.hostname.clone()),
        _ => None,
    }
}

/// What a label's key may be: letters, digits, `.`, `-`, `_`, `/`, 1 to 63 bytes.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    match key {
        "" => Err("no key before '='"),
        k if k.len() > 63 => Err("a key longer than 63 bytes"),
        k if k.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) => Ok(()),
        _ => Err("a key with other than letters, digits and . - _ /"),
    }
}

/// What a label's value may be: no separators of this grammar, no control characters, at most 255 bytes.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    if value.len() > 255 {
        return Err("a value longer than 255 bytes");
    }
    if value
        .chars()
        .any(|c| matches!(c, ',' | '|' | '=' | '*' | '?') || crate::display::is_harmful(c))
    {
        return Err("a value with , | = * ? or a control character");
    }
    Ok(())
}

/// What a host's name may be: 1 to 253 bytes of letters (of any script), digits, `.`, `-`, `_`,
/// beginning with a letter or digit.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 253 {
        return Err("a name has 1 to 253 bytes");
    }
    if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return Err("a name has only letters, digits and . - _");
    }
    if !name.starts_with(char::is_alphanumeric) {
        return Err("a name begins with a letter or digit");
    }
    Ok(())
}

/// `*` and `?` wild, everything else itself. Linear in time and memory for any pattern.
pub fn glob(pattern: &str, text: &str) -> bool {
    // Positions in bytes, always at a character's begin. Nothing is allocated: rights are decided by it.
    let (mut p, mut t, mut star) = (0, 0, None);
    while let Some(have) = text[t..].chars().next() {
        match pattern[p..].chars().next() {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(want) if want == '?' || want == have => {
                p += want.len_utf8();
                t += have.len_utf8();
            }
            _ => {
                let Some((after, mark)) = star else { return false };
                // One character more is what the star stands for.
                let mark = mark + text[mark..].chars().next().map_or(1, char::len_utf8);
                star = Some((after, mark));
                (p, t) = (after, mark);
            }
        }
    }
    pattern[p..].bytes().all(|b| b == b'*')
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.alternatives.is_empty() {
            return f.write_str("*");
        }
        for (i, a) in self.alternatives.iter().enumerate() {
            if i > 0 {
                f.write_str("|")?;
            }
            let conditions = a
                .conditions
                .iter()
                .map(|c| format!("{}{}={}", c.key, if c.equal { "" } else { "!" }, c.value));
            let terms: Vec<String> = a
                .any_of
                .iter()
                .cloned()
                .chain(a.none_of.iter().map(|n| format!("!{n}")))
                .chain(conditions)
                .collect();
            f.write_str(&terms.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use crate::hosts::HostState;
    use proptest::prelude::*;

    fn host(name: &str, labels: &[(&str, &str)]) -> Host {
        Host {
            name: name.into(),
            state: HostState::Online,
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            facts: Some(Facts { os: "debian".into(), ..Facts::default() }),
            ..Host::default()
        }
    }

    fn check(selector: &str, expected: &[&str]) {
        let fleet = [
            host("web1", &[("role", "web"), ("env", "prod")]),
            host("web2", &[("role", "web"), ("env", "test")]),
            host("db1", &[("role", "db"), ("env", "prod")]),
        ];
        let selector = Selector::parse(selector).unwrap();
        let names: Vec<_> =
            fleet.iter().filter(|h| selector.matches(h)).map(|h| h.name.as_str()).collect();
        assert_eq!(names, expected, "{selector}");
    }

    #[test]
    fn names_are_joined_by_or_conditions_by_and() {
        check("", &["web1", "web2", "db1"]);
        check("*", &["web1", "web2", "db1"]);
        check("web*", &["web1", "web2"]);
        check("web1,db1", &["web1", "db1"]);
        check("role=web,env!=prod", &["web2"]);
        check("web*,env=prod", &["web1"]);
        check("os=debian,!db1", &["web1", "web2"]);
        check("!web*", &["db1"]);
        check("db1 | env=test", &["web2", "db1"]);
        check("role==web", &["web1", "web2"]);
        check("missing=x", &[]);
        check("missing!=x", &["web1", "web2", "db1"]);
    }

    #[test]
    fn a_waiting_host_is_picked_only_when_its_state_is_asked_for() {
        let mut waiting = host("new", &[]);
        waiting.state = HostState::Pending;
        assert!(!Selector::parse("*").unwrap().matches(&waiting));
        assert!(!Selector::parse("new").unwrap().matches(&waiting));
        assert!(Selector::parse("state=pending").unwrap().matches(&waiting));
    }

    #[test]
    fn a_bad_selector_says_where_and_why() {
        let error = |text| Selector::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("a,,b"),
            "selector: nothing between two separators at character 3 of 'a,,b'"
        );
        assert_eq!(error("=x"), "selector: no key before '=' at character 1 of '=x'");
        assert_eq!(
            error("web1 web2"),
            "selector: a character that no host name has at character 1 of 'web1 web2'"
        );
    }

    #[test]
    fn only_a_plain_name_is_one_name() {
        assert_eq!(Selector::parse("db1").unwrap().as_name(), Some("db1"));
        assert_eq!(Selector::parse("db*").unwrap().as_name(), None);
        assert_eq!(Selector::parse("db1,db2").unwrap().as_name(), None);
    }

    #[test]
    fn the_names_that_are_written_out_are_those_without_wildcards() {
        let selector = Selector::parse("db1,web*,role=x,!db3 | db2,env=prod").unwrap();
        assert_eq!(selector.names().collect::<Vec<_>>(), ["db1", "db2"]);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_what_parses_reads_back(text in ".{0,60}") {
            if let Ok(selector) = Selector::parse(&text) {
                prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
            }
        }
    }
}
