//! Reasons of the hub and of hosts in the operator's language. They come in English; the sentences that
//! operators meet are in `reasons.toml`, and what is not there stays as it came. Asked by `link`, where all
//! of them come in.

use super::Lang;
use std::sync::LazyLock;

/// Reasons within reasons are looked at so deep.
const DEEPEST: usize = 4;
/// A longer one is no sentence of ours.
const LONGEST: usize = 4096;

/// A sentence with places for what differs, and the same in Chinese.
struct Known {
    /// What stands before, between and behind the places.
    pieces: Vec<&'static str>,
    chinese: &'static str,
}

static KNOWN: LazyLock<Vec<Known>> =
    LazyLock::new(|| pairs().map(|(en, zh)| known(en, zh)).collect());

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("reasons.toml").lines().filter_map(|line| {
        let (english, chinese) = line.split_once("\" = \"")?;
        Some((english.strip_prefix('"')?, chinese.strip_suffix('"')?))
    })
}

fn known(english: &'static str, chinese: &'static str) -> Known {
    let (mut pieces, mut rest) = (Vec::new(), english);
    // Places are numbered as they come: {1}, {2} and so on.
    while let Some((before, after)) = rest.split_once('{') {
        pieces.push(before);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    pieces.push(rest);
    Known { pieces, chinese }
}

impl Known {
    /// What stands at the places, when it is this sentence.
    fn find<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let (first, others) = self.pieces.split_first()?;
        let mut rest = text.strip_prefix(first)?;
        let Some((last, between)) = others.split_last() else {
            return rest.is_empty().then(Vec::new);
        };
        let mut found = Vec::new();
        for piece in between {
            let (value, after) = rest.split_once(piece)?;
            found.push(value);
            rest = after;
        }
        found.push(rest.strip_suffix(last)?);
        found.iter().all(|value| !value.is_empty()).then_some(found)
    }

    fn fill(&self, values: &[&str], depth: usize) -> String {
        let (mut out, mut rest) = (String::new(), self.chinese);
        while let Some((before, after)) = rest.split_once('{') {
            let (number, after) = after.split_once('}').unwrap_or((after, ""));
            let value = number.parse().ok().and_then(|n: usize| values.get(n.checked_sub(1)?));
            out += before;
            out += &value.map_or_else(String::new, |value| translated(value, depth + 1));
            rest = after;
        }
        out + rest
    }
}

fn whole(text: &str, depth: usize) -> Option<String> {
    // Of several the one that says most: places take the least of the text.
    let fit = KNOWN.iter().filter_map(|known| Some((known, known.find(text)?)));
    let (known, values) =
        fit.min_by_key(|(_, values)| values.iter().map(|v| v.len()).sum::<usize>())?;
    Some(known.fill(&values, depth))
}

fn translated(text: &str, depth: usize) -> String {
    if depth > DEEPEST || text.is_ascii() && text.len() < 4 {
        return text.to_owned();
    }
    if let Some(told) = whole(text, depth) {
        return told;
    }
    // `what was tried: why` and `what is wrong; what to do`: what is known of them is told.
    for (between, mark) in [(": ", "："), ("; ", "；")] {
        for (at, _) in text.match_indices(between) {
            let (before, after) = (&text[..at], &text[at + between.len()..]);
            if let Some(told) = whole(after, depth) {
                return format!("{}{mark}{told}", translated(before, depth + 1));
            }
            if between == "; "
                && let Some(told) = whole(before, depth)
            {
                return format!("{told}{mark}{}", translated(after, depth + 1));
            }
        }
    }
    text.to_owned()
}

/// A reason in this language, as far as it is known.
pub fn told(lang: Lang, reason: String) -> String {
    match lang {
        Lang::En => reason,
        Lang::Zh if reason.len() > LONGEST => reason,
        Lang::Zh => translated(&reason, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn zh(text: &str) -> String {
        told(Lang::Zh, text.to_owned())
    }

    #[test]
    fn reasons_that_are_known_are_told_in_chinese_with_what_stands_in_them() {
        assert_eq!(zh("there is no process 7 any more"), "进程 7 已不存在");
        assert_eq!(
            zh(
                "exec.start is not allowed for li: the role developer allows exec.start, but not here"
            ),
            "li 不可使用 exec.start：角色 developer 允许 exec.start，但不在这里"
        );
        assert_eq!(
            zh("web1 is away: last seen 12 s ago, Connection reset by peer"),
            "web1 不在线：12 秒前在线，连接被对方重置"
        );
        assert_eq!(zh("reading /etc/x: Permission denied"), "读取 /etc/x：权限不够");
    }

    #[test]
    fn what_is_not_known_stays_and_what_is_known_of_it_is_told() {
        for text in ["something else", "", "a: b; c", "there is no process"] {
            assert_eq!(zh(text), text);
        }
        assert_eq!(zh("copying /a: permission denied"), "copying /a：权限不够");
        assert_eq!(told(Lang::En, "the hub is stopping".into()), "the hub is stopping");
        let long = "the hub is stopping; ".repeat(300);
        assert_eq!(zh(&long), long);
    }

    #[test]
    fn both_languages_have_the_same_places() {
        let places = |text: &str| -> BTreeSet<String> {
            text.split('{').skip(1).map(|rest| rest[..rest.find('}').unwrap()].to_owned()).collect()
        };
        for (english, chinese) in pairs() {
            assert_eq!(places(english), places(chinese), "{english}");
            let numbers: Vec<String> = (1..=places(english).len()).map(|n| n.to_string()).collect();
            assert_eq!(places(english).into_iter().collect::<Vec<_>>(), numbers, "{english}");
        }
        let table: toml::Table = include_str!("reasons.toml").parse().unwrap();
        assert_eq!(table.len(), pairs().count());
    }

    /// All of a program's source in one, with texts that go over several lines joined.
    fn source(folder: PathBuf, into: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                source(path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn each_sentence_is_one_that_somebody_says() {
        let mut code = String::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for part in ["link", "hub", "agentd", "protocol", "probes"] {
            source(root.join(part).join("src"), &mut code);
        }
        let joined = regex::Regex::new(r"\\\n\s*").unwrap();
        let code = joined.replace_all(&code, "");
        // What the system says is in no source of ours.
        let system = |text: &str| text.starts_with(char::is_uppercase);
        let said = |english: &'static str| {
            let longest = known(english, "").pieces.into_iter().max_by_key(|piece| piece.len());
            code.contains(longest.unwrap().trim())
        };
        let unsaid: Vec<_> =
            pairs().map(|pair| pair.0).filter(|text| !system(text) && !said(text)).collect();
        assert!(unsaid.is_empty(), "nobody says {unsaid:?}");
    }
}
