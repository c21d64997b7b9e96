//! Reads expressions: from text to a tree, by hand, so that errors say where and what should stand there. What names
//! mean and which units fit is looked at by `check.rs`.

use crate::lexer::{self, Token};
use crate::problem::Wrong;
use crate::unit::Unit;

/// Parentheses, `not` and signs within each other at most.
const DEEPEST: usize = 24;
/// Parts of an expression at most.
const PARTS: usize = 200;

/// What joins two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Add,
    Subtract,
    Multiply,
    Divide,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
    And,
    Or,
}

/// A part of an expression, with how many characters stand before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number(f64, Unit),
    /// A metric, or the word for a state; with what stands in braces behind it.
    Name(String, Option<String>),
    /// A function with its arguments.
    Call(String, Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Sign, Box<Node>, Box<Node>),
}

/// Reads an expression. Its tree has at most [`PARTS`] parts; only a chain of signs of one rank makes it deeper than
/// what stands within parentheses.
pub(crate) fn parse(text: &str) -> Result<Node, Wrong> {
    let tokens = lexer::tokens(text)?;
    let mut parser = Parser { tokens: &tokens, next: 0, depth: 0, parts: 0 };
    let node = parser.or()?;
    match parser.peek() {
        Token::End => Ok(node),
        other => Err(Wrong::new(
            parser.at(),
            format!("here should be `and`, `or`, a sign or the end, not {}", other.named()),
        )),
    }
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    next: usize,
    depth: usize,
    parts: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Token {
        // The last token is the end, and nobody goes beyond it.
        &self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn accept(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Token::Sign(s) if *s == sign);
        self.next += usize::from(is);
        is
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Token::Word(w) if w == word);
        self.next += usize::from(is);
        is
    }

    fn node(&mut self, at: usize, kind: Kind) -> Result<Node, Wrong> {
        self.parts += 1;
        if self.parts > PARTS {
            return Err(Wrong::new(at, format!("an expression has at most {PARTS} parts")));
        }
        Ok(Node { at, kind })
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        if self.depth == DEEPEST {
            return Err(Wrong::new(self.at(), format!("this is nested more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn chain(
        &mut self,
        operand: impl Fn(&mut Self) -> Result<Node, Wrong>,
        sign: impl Fn(&mut Self) -> Option<Sign>,
    ) -> Result<Node, Wrong> {
        let mut left = operand(self)?;
        loop {
            let at = self.at();
            let Some(sign) = sign(self) else { return Ok(left) };
            let right = operand(self)?;
            left = self.node(at, Kind::Binary(sign, Box::new(left), Box::new(right)))?;
        }
    }

    fn or(&mut self) -> Result<Node, Wrong> {
        self.chain(Self::and, |p| p.accept_word("or").then_some(Sign::Or))
    }

    fn and(&mut self) -> Result<Node, Wrong> {
        self.chain(Self::not, |p| p.accept_word("and").then_some(Sign::And))
    }

    fn not(&mut self) -> Result<Node, Wrong> {
        let at = self.at();
        if self.accept_word("not") {
            let inner = self.deeper(Self::not)?;
            return self.node(at, Kind::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, Wrong> {
        let left = self.sum()?;
        let at = self.at();
        let Some(sign) = self.compares() else { return Ok(left) };
        let right = self.sum()?;
        let node = self.node(at, Kind::Binary(sign, Box::new(left), Box::new(right)))?;
        let again = self.at();
        if self.compares().is_some() {
            return Err(Wrong::new(
                again,
                "a comparison has two sides; join two comparisons with `and`",
            ));
        }
        Ok(node)
    }

    fn compares(&mut self) -> Option<Sign> {
        let sign = match self.peek() {
            Token::Sign("<") => Sign::Less,
            Token::Sign("<=") => Sign::AtMost,
            Token::Sign(">") => Sign::Greater,
            Token::Sign(">=") => Sign::AtLeast,
            Token::Sign("==") => Sign::Equal,
            Token::Sign("!=") => Sign::Unequal,
            _ => return None,
        };
        self.next += 1;
        Some(sign)
    }

    fn sum(&mut self) -> Result<Node, Wrong> {
        self.chain(Self::product, |p| match p.peek() {
            Token::Sign("+") => p.accept("+").then_some(Sign::Add),
            _ => p.accept("-").then_some(Sign::Subtract),
        })
    }

    fn product(&mut self) -> Result<Node, Wrong> {
        self.chain(Self::unary, |p| match p.peek() {
            Token::Sign("*") => p.accept("*").then_some(Sign::Multiply),
            _ => p.accept("/").then_some(Sign::Divide),
        })
    }

    fn unary(&mut self) -> Result<Node, Wrong> {
        let at = self.at();
        if self.accept("-") {
            let inner = self.deeper(Self::unary)?;
            return self.node(at, Kind::Negate(Box::new(inner)));
        }
        self.atom()
    }

    fn atom(&mut self) -> Result<Node, Wrong> {
        let at = self.at();
        match self.peek() {
            Token::Number(value, unit) => {
                self.next += 1;
                self.node(at, Kind::Number(*value, *unit))
            }
            Token::Sign("(") => {
                self.next += 1;
                let inner = self.deeper(Self::or)?;
                self.closed(at, "this `(` is closed by no `)`")?;
                Ok(inner)
            }
            Token::Word(word) if matches!(word.as_str(), "and" | "or") => {
                Err(Wrong::new(at, format!("before `{word}` something is missing")))
            }
            Token::Word(word) => {
                self.next += 1;
                if self.accept("(") {
                    let arguments = self.deeper(Self::arguments)?;
                    return self.node(at, Kind::Call(word.clone(), arguments));
                }
                let selector = match self.peek() {
                    Token::Selector(text) => {
                        self.next += 1;
                        Some(text.clone())
                    }
                    _ => None,
                };
                self.node(at, Kind::Name(word.clone(), selector))
            }
            other => Err(Wrong::new(
                at,
                format!(
                    "here should be a metric, a function, a number or `(`, not {}",
                    other.named()
                ),
            )),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Node>, Wrong> {
        let open = self.at();
        let mut arguments = Vec::new();
        if self.accept(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.or()?);
            if !self.accept(",") {
                self.closed(open, "this list of arguments is closed by no `)`")?;
                return Ok(arguments);
            }
        }
    }

    /// A closing parenthesis. Where the text ends without one, the place is that of what it would close.
    fn closed(&mut self, open: usize, what: &str) -> Result<(), Wrong> {
        if self.accept(")") {
            return Ok(());
        }
        match self.peek() {
            Token::End => Err(Wrong::new(open, what)),
            other => Err(Wrong::new(
                self.at(),
                format!("here should be `)` or a sign, not {}", other.named()),
            )),
        }
    }
}
