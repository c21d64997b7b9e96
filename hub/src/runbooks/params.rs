//! Parameters of a runbook: what each may be, and whether a given value is that.

use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::runbooks::ParamKind;
use regex::{Regex, RegexBuilder};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;

/// The longest text, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;
/// Entries of a list.
pub(super) const MOST: usize = 256;
/// Secrets that runbooks may use have names that begin so: the hub's other secrets are for the hub alone.
pub const SECRETS: &str = "runbook.";

/// A value as it stands in YAML.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// A text, a number or a word, as it is written.
    Word(String),
    /// `true` or `false`.
    Bool(bool),
    /// A list of words.
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Literal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false, or a list of texts")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Literal, E> {
                Ok(Literal::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Literal, E> {
                Ok(Literal::Word(v.to_string()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Literal, E> {
                Ok(Literal::Word(v.to_string()))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Literal, E> {
                Ok(Literal::Word(v.to_string()))
            }
            fn visit_str<E>(self, v: &str) -> Result<Literal, E> {
                Ok(Literal::Word(v.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Literal, A::Error> {
                let mut list = Vec::new();
                while let Some(word) = seq.next_element::<String>()? {
                    if list.len() == MOST {
                        return Err(A::Error::custom(format!("a list has at most {MOST} entries")));
                    }
                    list.push(word);
                }
                Ok(Literal::List(list))
            }
        }
        d.deserialize_any(Any)
    }
}

/// What a parameter may be.
#[derive(Clone, Debug)]
pub struct Param {
    /// By this name it is referred to.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it may be.
    pub limits: Limits,
    /// What holds when nobody says otherwise; without one it has to be given.
    pub default: Option<Value>,
}

/// What a value may be.
#[derive(Clone, Debug)]
pub enum Limits {
    /// A text.
    Text {
        /// Bytes at least.
        shortest: usize,
        /// Bytes at most.
        longest: usize,
        /// The whole of it matches this.
        pattern: Option<Pattern>,
        /// It may have more than one line.
        lines: bool,
    },
    /// A number.
    Number {
        /// At least.
        min: Option<f64>,
        /// At most.
        max: Option<f64>,
        /// It need not be whole.
        decimals: bool,
    },
    /// Yes or no.
    YesNo,
    /// One of these.
    Choice(Vec<String>),
    /// Some texts.
    List {
        /// Each is one of these, when there are any.
        of: Vec<String>,
        /// The whole of each matches this.
        pattern: Option<Pattern>,
        /// At least so many.
        least: usize,
    },
    /// The name of a secret that the hub keeps.
    Secret,
}

/// A regular expression for the whole of a text, with what was written.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles one; else why it is none.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build();
        let regex = regex.map_err(|e| {
            let said = e.to_string();
            let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("this is no regular expression: {last}")
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }

    fn check(&self, text: &str) -> Result<(), String> {
        if self.regex.is_match(text) {
            return Ok(());
        }
        Err(format!("'{}' is not like {}", clean_to_width(text, 60), self.text))
    }
}

impl Limits {
    /// Its kind, for those who are told of it.
    pub const fn kind(&self) -> ParamKind {
        match self {
            Self::Text { .. } => ParamKind::Text,
            Self::Number { .. } => ParamKind::Number,
            Self::YesNo => ParamKind::YesNo,
            Self::Choice(_) => ParamKind::Choice,
            Self::List { .. } => ParamKind::List,
            Self::Secret => ParamKind::Secret,
        }
    }

    /// In words, what it may be; empty when there is nothing more to say than its kind.
    pub fn told(&self) -> String {
        match self {
            Self::Text { pattern: Some(pattern), .. } => format!("like {}", pattern.text),
            Self::Number { min, max, .. } => match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => String::new(),
            },
            Self::Choice(of) => of.join(", "),
            Self::List { of, .. } if !of.is_empty() => format!("of {}", of.join(", ")),
            Self::List { pattern: Some(pattern), .. } => format!("each like {}", pattern.text),
            Self::Secret => format!("the name of a secret, which begins with {SECRETS}"),
            Self::Text { .. } | Self::YesNo | Self::List { .. } => String::new(),
        }
    }

    /// The value that a text means, as it is given on a command line.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::YesNo => match text {
                "yes" | "true" => Ok(Value::Bool(true)),
                "no" | "false" => Ok(Value::Bool(false)),
                _ => Err("it is yes or no".to_owned()),
            },
            Self::List { .. } if text.trim_start().starts_with('[') => {
                let list: Vec<String> = serde_json::from_str(text)
                    .map_err(|_| "a list is a,b,c or [\"a\",\"b\",\"c\"]".to_owned())?;
                self.list(&list)
            }
            Self::List { .. } if text.is_empty() => self.list(&[]),
            Self::List { .. } => {
                let list: Vec<_> = text.split(',').map(|word| word.trim().to_owned()).collect();
                self.list(&list)
            }
            _ => self.word(text),
        }
    }

    /// The value that stands in YAML.
    pub(super) fn literal(&self, literal: &Literal) -> Result<Value, String> {
        match (self, literal) {
            (Self::YesNo, Literal::Bool(yes)) => Ok(Value::Bool(*yes)),
            (Self::List { .. }, Literal::List(list)) => self.list(list),
            (Self::List { .. }, _) => Err("here should be a list".to_owned()),
            (_, Literal::List(_)) => Err("here should be one value, not a list".to_owned()),
            (_, Literal::Bool(yes)) => self.read(if *yes { "true" } else { "false" }),
            (_, Literal::Word(word)) => self.read(word),
        }
    }

    fn word(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text { shortest, longest, pattern, lines } => {
                plain(text, *lines)?;
                if text.len() < *shortest || text.len() > *longest {
                    return Err(format!(
                        "it has {shortest} to {longest} bytes, this has {}",
                        text.len()
                    ));
                }
                pattern.as_ref().map_or(Ok(()), |pattern| pattern.check(text))?;
                Ok(Value::String(text.to_owned()))
            }
            Self::Number { min, max, decimals } => number(text, *min, *max, *decimals),
            Self::Choice(of) if of.iter().any(|one| one == text) => {
                Ok(Value::String(text.to_owned()))
            }
            Self::Choice(of) => Err(format!("it is one of: {}", of.join(", "))),
            Self::Secret => {
                cmdr_protocol::secrets::check_name(text)?;
                if !text.starts_with(SECRETS) {
                    return Err(format!(
                        "runbooks use secrets whose names begin with {SECRETS} \
                         (cmdr secrets put {SECRETS}NAME), the others are for the hub alone"
                    ));
                }
                Ok(Value::String(text.to_owned()))
            }
            Self::YesNo | Self::List { .. } => Err("here should be another value".to_owned()),
        }
    }

    fn list(&self, list: &[String]) -> Result<Value, String> {
        let Self::List { of, pattern, least } = self else {
            return Err("here should be one value, not a list".to_owned());
        };
        if list.len() < *least || list.len() > MOST {
            return Err(format!("it has {least} to {MOST} entries, this has {}", list.len()));
        }
        for word in list {
            plain(word, false)?;
            if word.is_empty() || word.len() > LONGEST {
                return Err(format!("an entry has 1 to {LONGEST} bytes"));
            }
            if !of.is_empty() && !of.contains(word) {
                return Err(format!("each is one of: {}", of.join(", ")));
            }
            pattern.as_ref().map_or(Ok(()), |pattern| pattern.check(word))?;
        }
        Ok(Value::from(list.to_vec()))
    }
}

/// A value, as it is given on a command line.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Array(list) => {
            let words: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            if words.iter().any(|word| word.contains([',', '[', ' '])) {
                value.to_string()
            } else {
                words.join(",")
            }
        }
        other => other.to_string(),
    }
}

/// Nothing that ends a line or a text early, where one line is meant.
fn plain(text: &str, lines: bool) -> Result<(), String> {
    let bad = |c: char| c.is_control() && !(lines && matches!(c, '\n' | '\t'));
    match text.chars().find(|c| bad(*c)) {
        Some('\n') => {
            Err("it has more than one line; a parameter with 'lines: true' may".to_owned())
        }
        Some(_) => Err("it has a control character".to_owned()),
        None => Ok(()),
    }
}

fn number(text: &str, min: Option<f64>, max: Option<f64>, decimals: bool) -> Result<Value, String> {
    let kind = if decimals { "a number" } else { "a whole number" };
    let wrong = || format!("'{}' is not {kind}", clean_to_width(text, 60));
    let digits = |c: char| c.is_ascii_digit() || c == '-' || (decimals && c == '.');
    if text.is_empty() || text.len() > 32 || !text.chars().all(digits) {
        return Err(wrong());
    }
    let (value, json) = if decimals {
        let value: f64 = text.parse().map_err(|_| wrong())?;
        (value, serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(wrong)?)
    } else {
        let value: i64 = text.parse().map_err(|_| wrong())?;
        (value as f64, Value::from(value))
    };
    if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
        let limits = Limits::Number { min, max, decimals };
        return Err(format!("it is {}, not {text}", limits.told()));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str) -> Limits {
        let pattern = Some(Pattern::new(pattern).unwrap());
        Limits::Text { shortest: 1, longest: 8, pattern, lines: false }
    }

    #[test]
    fn each_kind_takes_what_it_is_and_says_what_it_wanted() {
        let port = Limits::Number { min: Some(1.0), max: Some(65535.0), decimals: false };
        assert_eq!(port.read("80"), Ok(Value::from(80)));
        assert_eq!(port.read("0").unwrap_err(), "it is 1 to 65535, not 0");
        for wrong in ["", "x", "8.5", "1e3", "--1", "0x10", "99999999999999999999"] {
            assert!(port.read(wrong).is_err(), "{wrong}");
        }
        let share = Limits::Number { min: None, max: None, decimals: true };
        assert_eq!(share.read("0.5"), Ok(Value::from(0.5)));
        assert_eq!(Limits::YesNo.read("no"), Ok(Value::Bool(false)));
        assert_eq!(Limits::YesNo.read("maybe").unwrap_err(), "it is yes or no");
        let choice = Limits::Choice(vec!["a".into(), "b".into()]);
        assert_eq!(choice.read("c").unwrap_err(), "it is one of: a, b");
        assert_eq!(text("[a-z]+").read("abc"), Ok(Value::from("abc")));
        assert_eq!(text("[a-z]+").read("ab1").unwrap_err(), "'ab1' is not like [a-z]+");
        assert!(text(".*").read("longer than eight").is_err());
        let list = Limits::List { of: Vec::new(), pattern: None, least: 1 };
        assert_eq!(list.read("a, b"), Ok(serde_json::json!(["a", "b"])));
        assert_eq!(list.read("[\"a,b\"]"), Ok(serde_json::json!(["a,b"])));
        assert!(list.read("").is_err() && list.read("a,,b").is_err());
    }

    #[test]
    fn a_text_has_one_line_unless_more_are_asked_for() {
        let one = Limits::Text { shortest: 0, longest: 80, pattern: None, lines: false };
        assert!(one.read("a\nb").unwrap_err().contains("more than one line"));
        assert!(one.read("a\u{1b}[m").is_err() && one.read("a\0").is_err());
        let more = Limits::Text { shortest: 0, longest: 80, pattern: None, lines: true };
        assert_eq!(more.read("a\nb"), Ok(Value::from("a\nb")));
    }

    #[test]
    fn a_secret_is_named_and_the_hubs_own_are_out_of_reach() {
        assert_eq!(Limits::Secret.read("runbook.db"), Ok(Value::from("runbook.db")));
        assert!(Limits::Secret.read("ldap-bind").unwrap_err().contains("for the hub alone"));
        assert!(Limits::Secret.read("hunter2!").is_err());
    }
}
