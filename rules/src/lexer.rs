//! Cuts an expression into words, numbers with their units, selectors and signs. Only the parser uses it.

use crate::problem::{Wrong, cut, nearest};
use crate::unit::{self, Unit};

/// Characters of an expression at most.
pub(crate) const LONGEST: usize = 2000;
/// Characters of what stands between braces.
const SELECTOR: usize = 200;

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Number(f64, Unit),
    /// A name, a function, a state, `and`, `or`, `not`.
    Word(String),
    /// What stands between braces, without quotation marks.
    Selector(String),
    Sign(&'static str),
    End,
}

impl Token {
    /// For errors.
    pub(crate) fn named(&self) -> String {
        match self {
            Self::Number(..) => "a number".to_owned(),
            Self::Word(word) => format!("`{}`", cut(word, 40)),
            Self::Selector(_) => "`{`".to_owned(),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

const SIGNS: &[&str] = &["<=", ">=", "==", "!=", "<", ">", "(", ")", ",", "+", "-", "*", "/"];

/// The pieces with how many characters stand before each; the last is the end.
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let chars: Vec<char> = text.chars().take(LONGEST + 1).collect();
    if chars.len() > LONGEST {
        return Err(Wrong::new(LONGEST, format!("an expression has at most {LONGEST} characters")));
    }
    let mut lexer = Lexer { chars: &chars, at: 0 };
    let mut out = Vec::new();
    while let Some(c) = lexer.peek() {
        let at = lexer.at;
        if c.is_whitespace() {
            lexer.at += 1;
            continue;
        }
        let token = match c {
            '0'..='9' | '.' => lexer.number()?,
            '{' => lexer.selector()?,
            c if c.is_ascii_alphabetic() || c == '_' => Token::Word(lexer.word()),
            _ => lexer.sign()?,
        };
        out.push((at, token));
    }
    out.push((lexer.at, Token::End));
    Ok(out)
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn ahead(&self, by: usize) -> Option<char> {
        self.chars.get(self.at + by).copied()
    }

    fn take(&mut self, more: impl Fn(char) -> bool) -> String {
        let from = self.at;
        while self.peek().is_some_and(&more) {
            self.at += 1;
        }
        self.chars[from..self.at].iter().collect()
    }

    fn word(&mut self) -> String {
        self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
    }

    fn number(&mut self) -> Result<Token, Wrong> {
        let from = self.at;
        let digits = self.take(|c| c.is_ascii_digit() || c == '.');
        let bad = |what: String| Wrong::new(from, what);
        let number: f64 = digits
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite())
            .ok_or_else(|| bad(format!("`{}` is no number", cut(&digits, 40))))?;
        let (mut value, mut unit) = (number, Unit::BARE);
        // A unit may stand behind a space: `90 %`, `10 MB/s`.
        let before = self.at;
        self.take(|c| c == ' ');
        let at = self.at;
        let word = match self.peek() {
            Some('%') => {
                self.at += 1;
                "%".to_owned()
            }
            _ => self.take(|c| c.is_alphabetic() || c == '°'),
        };
        match unit::written(&word) {
            Some((factor, of)) => (value, unit) = (number * factor, of),
            // `3 and …`: what stands apart is a word of its own.
            None if word.is_empty() || at > before => self.at = before,
            None => {
                let hint = nearest(&word, unit::words());
                return Err(Wrong::new(at, format!("no unit `{}`{hint}", cut(&word, 40))));
            }
        }
        let ends = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || "_.{(".contains(c));
        if self.peek() == Some('/') && self.ahead(1) == Some('s') && ends(self.ahead(2)) {
            self.at += 2;
            unit = unit.per_second();
        }
        if !value.is_finite() {
            return Err(bad(format!("`{}` is too large", cut(&digits, 40))));
        }
        Ok(Token::Number(value, unit))
    }

    fn selector(&mut self) -> Result<Token, Wrong> {
        let from = self.at;
        self.at += 1;
        self.take(char::is_whitespace);
        let text = match self.peek() {
            Some('"') => {
                self.at += 1;
                let text = self.take(|c| c != '"');
                if self.peek().is_some() {
                    self.at += 1;
                }
                self.take(char::is_whitespace);
                text
            }
            _ => self.take(|c| c != '}').trim_end().to_owned(),
        };
        if self.peek() != Some('}') {
            return Err(Wrong::new(from, "this `{` is closed by no `}`"));
        }
        self.at += 1;
        if text.is_empty() {
            return Err(Wrong::new(
                from,
                "between the braces should be a name, a pattern such as `eth*`, or `*` for each",
            ));
        }
        if text.chars().count() > SELECTOR {
            return Err(Wrong::new(from, format!("a name has at most {SELECTOR} characters")));
        }
        Ok(Token::Selector(text))
    }

    fn sign(&mut self) -> Result<Token, Wrong> {
        for sign in SIGNS {
            if sign.chars().enumerate().all(|(i, c)| self.ahead(i) == Some(c)) {
                self.at += sign.len();
                return Ok(Token::Sign(sign));
            }
        }
        let c: String = self.peek().into_iter().collect();
        let hint = match c.as_str() {
            "=" => "; write `==` to compare",
            "&" => "; write `and`",
            "|" => "; write `or`",
            "!" => "; write `not`",
            "\"" | "'" => "; words stand without quotation marks",
            _ => "",
        };
        Err(Wrong::new(self.at, format!("`{}` means nothing here{hint}", cut(&c, 1))))
    }
}
