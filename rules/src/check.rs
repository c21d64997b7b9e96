//! What an expression means: names are looked up, units must fit, and what comes out is a [`Compiled`] for the engine.

use crate::catalog::{Catalog, HUB, Metric};
use crate::glob;
use crate::parse::{Kind, Node, Sign, parse};
use crate::problem::{Wrong, cut, nearest};
use crate::program::{Op, Program};
use crate::unit::{Flavour, Span, Unit};
use cmdr_protocol::history::names;
use std::collections::BTreeSet;

/// Metrics, windows and states that one rule may use.
const SOURCES: usize = 32;
/// Bounds of a window's length, and of how far a forecast looks.
const SHORTEST: Span = Span::seconds(5);
const LONGEST: Span = Span(7 * 86_400_000);
const FARTHEST: Span = Span(90 * 86_400_000);
/// What `rate` looks at where nothing is said.
const RATE: Span = Span::minutes(1);
/// What `forecast` goes by where nothing is said.
const FORECAST: Span = Span::minutes(60);

const FUNCTIONS: &[&str] =
    &["abs", "absent", "avg", "change", "delta", "forecast", "max", "min", "rate", "state"];

/// What is done with the samples of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Over {
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// How much it grows a second; where it falls, it began again at nothing.
    Rate,
    /// The newest less the oldest.
    Delta,
    /// That, as a share of the oldest.
    Change,
    /// Where the line through them will be so many milliseconds from now.
    Forecast(u64),
}

/// Where a value comes from. Numbers of metrics and things are those of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Now(usize),
    Window(usize, Over, Span),
    Absent(usize, Span),
    State(usize),
}

/// Which row of the source belongs to a row of the rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pick {
    /// The same.
    Row,
    /// That of its host.
    Host,
    /// The one of its host with this name.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub what: What,
    pub pick: Pick,
}

/// The instances that a rule goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Each {
    /// What they are instances of, such as `mount`.
    pub per: String,
    pub glob: String,
}

/// A rule's expressions, ready to be evaluated. Made by [`Compiled::new`], used by the engine.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(crate) when: Program,
    pub(crate) clear: Option<Program>,
    /// The left side of the first comparison: what the alert shows as its value.
    pub(crate) value: Option<(Program, Unit)>,
    /// Its right side, where that is a number.
    pub(crate) limit: Option<f64>,
    pub(crate) sources: Vec<Source>,
    pub(crate) each: Option<Each>,
    about_hub: bool,
}

/// Which of a rule's expressions something is wrong in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `when`.
    When,
    /// `clear`.
    Clear,
}

impl Compiled {
    /// Compiles `when` and, where there is one, `clear`, which must go over the same instances.
    pub fn new(when: &str, clear: Option<&str>, catalog: &Catalog) -> Result<Self, (Part, Wrong)> {
        let mut checker = Checker::new(catalog);
        let program = checker.whole(when).map_err(|wrong| (Part::When, wrong))?;
        let (value, limit) = checker.told.take().map_or((None, None), |(v, l)| (Some(v), l));
        let first = checker.each.clone();
        let clear = match clear {
            None => None,
            Some(text) => {
                let program = checker.whole(text).map_err(|wrong| (Part::Clear, wrong))?;
                if first.is_none() && checker.each.is_some() {
                    let what = "this goes over several of a host, and `when` does not";
                    return Err((Part::Clear, Wrong::new(0, what)));
                }
                Some(program)
            }
        };
        let each = checker.each.map(|(each, _)| each);
        let hub = catalog.thing(HUB).map(|(at, _)| at);
        let of_hub = |source: &Source| matches!(source.what, What::State(at) if Some(at) == hub);
        let about_hub = checker.sources.iter().any(of_hub);
        if about_hub && !checker.sources.iter().all(of_hub) {
            let what = "parts of the hub stand alone: nothing of hosts can be asked beside them";
            return Err((Part::When, Wrong::new(0, what)));
        }
        Ok(Self { about_hub, when: program, clear, value, limit, sources: checker.sources, each })
    }

    /// What a host has several of that each have an alert of their own, such as `mount`; nothing where an alert
    /// is about the host.
    pub fn per(&self) -> Option<&str> {
        self.each.as_ref().map(|each| each.per.as_str())
    }

    /// Whether it is about the hub's own parts, and so for no host.
    pub const fn is_about_hub(&self) -> bool {
        self.about_hub
    }

    /// The names of the metrics that it needs, each once.
    pub fn metrics<'a>(&self, catalog: &'a Catalog) -> impl Iterator<Item = &'a str> {
        let needed: BTreeSet<usize> = self
            .sources
            .iter()
            .filter_map(|source| match source.what {
                What::Now(at) | What::Window(at, ..) | What::Absent(at, _) => Some(at),
                What::State(..) => None,
            })
            .collect();
        needed.into_iter().filter_map(|at| catalog.metrics().get(at)).map(|m| m.name.as_str())
    }

    /// The instances of a thing, such as `unit`, whose states it asks for: names, and patterns other than `*`.
    pub fn picked<'a>(&'a self, thing: &str, catalog: &Catalog) -> impl Iterator<Item = &'a str> {
        let known = catalog.thing(thing).map(|(at, _)| at);
        let of_thing =
            move |source: &&Source| matches!(source.what, What::State(at) if Some(at) == known);
        let each = self.each.as_ref().map(|each| each.glob.as_str()).filter(|glob| *glob != "*");
        self.sources.iter().filter(of_thing).filter_map(move |source| match &source.pick {
            Pick::Named(name) => Some(name.as_str()),
            Pick::Row => each,
            Pick::Host => None,
        })
    }

    /// Whether it asks for states of anything, or for what comes with them.
    pub fn needs_states(&self, catalog: &Catalog) -> bool {
        let with_them = |name: &str| names::find(name).is_some_and(|m| m.by == names::By::States);
        let states = |source: &Source| matches!(source.what, What::State(_));
        self.sources.iter().any(states) || self.metrics(catalog).any(with_them)
    }

    /// How many operations an evaluation takes.
    pub fn cost(&self) -> usize {
        self.when.len() + self.clear.as_ref().map_or(0, Program::len)
    }
}

/// What a part of an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    /// With the number itself where it stands in the text.
    Number(Unit, Option<f64>),
    Truth,
}

type Told = ((Program, Unit), Option<f64>);

struct Checker<'a> {
    catalog: &'a Catalog,
    sources: Vec<Source>,
    ops: Vec<Op>,
    each: Option<(Each, usize)>,
    told: Option<Told>,
}

impl<'a> Checker<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, sources: Vec::new(), ops: Vec::new(), each: None, told: None }
    }

    fn whole(&mut self, text: &str) -> Result<Program, Wrong> {
        let node = parse(text)?;
        self.ops.clear();
        self.told = None;
        if let Type::Number(unit, _) = self.node(&node)? {
            let what = format!(
                "this is {} and no condition; compare it, for example with `> {}`",
                unit.named(),
                example(unit)
            );
            return Err(Wrong::new(start(&node), what));
        }
        Program::new(&self.ops).ok_or_else(|| {
            Wrong::new(node.at, "this joins too much at once; use fewer parentheses")
        })
    }

    fn node(&mut self, node: &Node) -> Result<Type, Wrong> {
        match &node.kind {
            Kind::Number(value, unit) => {
                self.ops.push(Op::Const(*value));
                Ok(Type::Number(*unit, Some(*value)))
            }
            Kind::Name(..) => {
                let (index, metric, pick) = self.metric(node)?;
                self.load(node.at, Source { what: What::Now(index), pick })?;
                Ok(Type::Number(metric.unit, None))
            }
            Kind::Call(name, arguments) => self.call(node.at, name, arguments),
            Kind::Not(inner) => {
                self.truth(inner, "behind `not`")?;
                self.ops.push(Op::Not);
                Ok(Type::Truth)
            }
            Kind::Negate(inner) => {
                let (unit, literal) = self.number(inner, "behind `-`")?;
                self.ops.push(Op::Negate);
                Ok(Type::Number(unit, literal.map(|n| -n)))
            }
            Kind::Binary(sign, left, right) => self.binary(node.at, *sign, left, right),
        }
    }

    fn truth(&mut self, node: &Node, place: &str) -> Result<(), Wrong> {
        match self.node(node)? {
            Type::Truth => Ok(()),
            Type::Number(unit, _) => Err(Wrong::new(
                start(node),
                format!("{place} should be a condition, and this is {}", unit.named()),
            )),
        }
    }

    fn number(&mut self, node: &Node, place: &str) -> Result<(Unit, Option<f64>), Wrong> {
        match self.node(node)? {
            Type::Number(unit, literal) => Ok((unit, literal)),
            Type::Truth => Err(Wrong::new(
                start(node),
                format!("{place} should be a number, and this is a condition"),
            )),
        }
    }

    fn binary(&mut self, at: usize, sign: Sign, left: &Node, right: &Node) -> Result<Type, Wrong> {
        let op = match sign {
            Sign::And | Sign::Or => {
                let (word, op) = if sign == Sign::And { ("and", Op::And) } else { ("or", Op::Or) };
                self.truth(left, &format!("before `{word}`"))?;
                self.truth(right, &format!("behind `{word}`"))?;
                self.ops.push(op);
                return Ok(Type::Truth);
            }
            Sign::Add => Op::Add,
            Sign::Subtract => Op::Subtract,
            Sign::Multiply => Op::Multiply,
            Sign::Divide => Op::Divide,
            Sign::Less => Op::Less,
            Sign::AtMost => Op::AtMost,
            Sign::Greater => Op::Greater,
            Sign::AtLeast => Op::AtLeast,
            Sign::Equal => Op::Equal,
            Sign::Unequal => Op::Unequal,
        };
        if is_state(left) || is_state(right) {
            return self.states(at, op, left, right);
        }
        let before = self.ops.len();
        let (a, a_literal) = self.number(left, "here")?;
        let between = self.ops.len();
        let (b, b_literal) = self.number(right, "here")?;
        if matches!(op, Op::Multiply | Op::Divide) {
            let unit = if op == Op::Multiply { a.times(b) } else { a.over(b) };
            self.ops.push(op);
            let unit = unit.ok_or_else(|| Wrong::new(at, "no unit is left that makes sense"))?;
            return Ok(Type::Number(unit, None));
        }
        // Nothing is nothing of any unit.
        let zero = |literal: Option<f64>, unit: Unit| unit == Unit::BARE && literal == Some(0.0);
        if !a.fits(b) && !zero(a_literal, a) && !zero(b_literal, b) {
            let what = match op {
                Op::Add | Op::Subtract => "be counted together",
                _ => "be compared",
            };
            let hint = match (b_literal, b == Unit::BARE) {
                (Some(_), true) => format!("; write for example `{}`", example(a)),
                _ => String::new(),
            };
            let (a, b) = (a.named(), b.named());
            return Err(Wrong::new(at, format!("{a} and {b} cannot {what}{hint}")));
        }
        for (share, literal, at) in [(a, b_literal, right.at), (b, a_literal, left.at)] {
            let other = if at == right.at { b } else { a };
            let large = literal.filter(|n| n.abs() > 1.5 && other == Unit::BARE);
            if let (Flavour::Share, Some(n)) = (share.flavour, large) {
                let what = format!("{n} of a share is {} %; did you mean `{n}%`?", n * 100.0);
                return Err(Wrong::new(at, what));
            }
        }
        if matches!(op, Op::Add | Op::Subtract) {
            self.ops.push(op);
            let unit = if a.flavour == Flavour::Bare && a_literal.is_some() { b } else { a };
            return Ok(Type::Number(unit, None));
        }
        if self.told.is_none() {
            let value = Program::new(&self.ops[before..between]);
            let limit = Program::new(&self.ops[between..]).and_then(|p| p.constant());
            self.told = value.map(|value| ((value, a), limit));
        }
        self.ops.push(op);
        Ok(Type::Truth)
    }

    /// A state beside the word for one.
    fn states(&mut self, at: usize, op: Op, left: &Node, right: &Node) -> Result<Type, Wrong> {
        if !matches!(op, Op::Equal | Op::Unequal) {
            return Err(Wrong::new(at, "a state is compared with `==` or `!=`"));
        }
        let (state, word) = if is_state(left) { (left, right) } else { (right, left) };
        let Kind::Call(_, arguments) = &state.kind else {
            return Err(Wrong::new(state.at, "here should be a state"));
        };
        let thing = self.state(state.at, arguments)?;
        let Kind::Name(name, None) = &word.kind else {
            return Err(Wrong::new(word.at, "here should be the word for a state"));
        };
        let known = &self.catalog.things[thing];
        let Some(code) = known.states.iter().position(|state| state == name) else {
            let near = nearest(name, known.states.iter().map(String::as_str));
            let hint = if near.is_empty() {
                format!("; it is one of: {}", known.states.join(", "))
            } else {
                near
            };
            let what = format!("no state `{}` of a {}{hint}", cut(name, 60), known.name);
            return Err(Wrong::new(word.at, what));
        };
        self.ops.push(Op::Const(code as f64));
        self.ops.push(op);
        Ok(Type::Truth)
    }

    fn state(&mut self, at: usize, arguments: &[Node]) -> Result<usize, Wrong> {
        let [argument] = arguments else {
            return Err(Wrong::new(
                at,
                "`state` takes one thing: state(host), state(unit{ssh.service})",
            ));
        };
        let Kind::Name(name, selector) = &argument.kind else {
            return Err(Wrong::new(
                argument.at,
                "here should be a thing, such as `host` or `unit{*}`",
            ));
        };
        let Some((index, thing)) = self.catalog.thing(name) else {
            let near = nearest(name, self.catalog.things.iter().map(|t| t.name.as_str()));
            let what = format!("no thing `{}` has a state here{near}", cut(name, 60));
            return Err(Wrong::new(argument.at, what));
        };
        let pick = self.pick(argument.at, name, thing.per.as_deref(), selector.as_deref())?;
        self.load(argument.at, Source { what: What::State(index), pick })?;
        Ok(index)
    }

    fn call(&mut self, at: usize, name: &str, arguments: &[Node]) -> Result<Type, Wrong> {
        let wrong = |what: &str| Err(Wrong::new(at, what));
        match (name, arguments) {
            ("abs", [inner]) => {
                let (unit, literal) = self.number(inner, "here")?;
                self.ops.push(Op::Abs);
                Ok(Type::Number(unit, literal.map(f64::abs)))
            }
            ("abs", _) => wrong("`abs` takes one number: abs(clock.skew)"),
            ("state", _) => wrong("a state is compared: state(host) == offline"),
            ("absent", [metric, span]) => {
                let (index, _, pick) = self.metric(metric)?;
                let span = length(span, Span::seconds(10), LONGEST)?;
                self.load(at, Source { what: What::Absent(index, span), pick })?;
                Ok(Type::Truth)
            }
            ("absent", _) => wrong("`absent` takes a metric and a time: absent(cpu.busy, 2m)"),
            ("avg", [metric, span]) => self.window(metric, Over::Avg, Some(span), RATE),
            ("min", [metric, span]) => self.window(metric, Over::Min, Some(span), RATE),
            ("max", [metric, span]) => self.window(metric, Over::Max, Some(span), RATE),
            ("delta", [metric, span]) => self.window(metric, Over::Delta, Some(span), RATE),
            ("change", [metric, span]) => self.window(metric, Over::Change, Some(span), RATE),
            ("rate", [metric, rest @ ..]) if rest.len() < 2 => {
                self.window(metric, Over::Rate, rest.first(), RATE)
            }
            ("forecast", [metric, ahead, rest @ ..]) if rest.len() < 2 => {
                let ahead = length(ahead, SHORTEST, FARTHEST)?;
                self.window(metric, Over::Forecast(ahead.0), rest.first(), FORECAST)
            }
            ("avg" | "min" | "max" | "delta" | "change", _) => {
                wrong(&format!("`{name}` takes a metric and a time: {name}(cpu.busy, 5m)"))
            }
            ("rate", _) => wrong(
                "`rate` takes a metric and, where it is not a minute, a time: rate(unit.restarts{*}, 5m)",
            ),
            ("forecast", _) => wrong(
                "`forecast` takes a metric, how far it looks, and the time that it goes by where that is not an \
                 hour: forecast(mount.free{*}, 4h, 2h)",
            ),
            _ => {
                let near = nearest(name, FUNCTIONS.iter().copied());
                let hint = if near.is_empty() {
                    format!("; there are: {}", FUNCTIONS.join(", "))
                } else {
                    near
                };
                wrong(&format!("no function `{}`{hint}", cut(name, 60)))
            }
        }
    }

    fn window(
        &mut self,
        metric: &Node,
        over: Over,
        span: Option<&Node>,
        else_: Span,
    ) -> Result<Type, Wrong> {
        let (index, known, pick) = self.metric(metric)?;
        let span = span.map_or(Ok(else_), |span| length(span, SHORTEST, LONGEST))?;
        self.load(metric.at, Source { what: What::Window(index, over, span), pick })?;
        Ok(Type::Number(
            match over {
                Over::Rate => known.unit.per_second(),
                Over::Change => Unit::SHARE,
                _ => known.unit,
            },
            None,
        ))
    }

    fn metric(&mut self, node: &Node) -> Result<(usize, &'a Metric, Pick), Wrong> {
        let Kind::Name(name, selector) = &node.kind else {
            return Err(Wrong::new(node.at, "here should be the name of a metric"));
        };
        let Some((index, metric)) = self.catalog.metric(name) else {
            let near = nearest(name, self.catalog.metrics.iter().map(|m| m.name.as_str()));
            return Err(Wrong::new(node.at, format!("no metric `{}`{near}", cut(name, 60))));
        };
        let pick = self.pick(node.at, name, metric.per.as_deref(), selector.as_deref())?;
        Ok((index, metric, pick))
    }

    fn pick(
        &mut self,
        at: usize,
        name: &str,
        per: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Pick, Wrong> {
        match (per, selector) {
            (None, None) => Ok(Pick::Host),
            (None, Some(_)) => {
                Err(Wrong::new(at, format!("a host has one `{name}`; leave the braces away")))
            }
            (Some(per), None) => Err(Wrong::new(
                at,
                format!(
                    "a host has a `{name}` for each {per}; write `{name}{{*}}` for each or `{name}{{NAME}}` for one"
                ),
            )),
            (Some(_), Some(one)) if !glob::is_pattern(one) => Ok(Pick::Named(one.to_owned())),
            (Some(per), Some(glob)) => {
                let each = Each { per: per.to_owned(), glob: glob.to_owned() };
                match &self.each {
                    Some((first, _)) if *first != each => Err(Wrong::new(
                        at,
                        format!(
                            "a rule goes over one set of instances: first {} `{{{}}}`, here {} `{{{}}}`",
                            first.per,
                            cut(&first.glob, 40),
                            each.per,
                            cut(glob, 40)
                        ),
                    )),
                    _ => {
                        self.each.get_or_insert((each, at));
                        Ok(Pick::Row)
                    }
                }
            }
        }
    }

    fn load(&mut self, at: usize, source: Source) -> Result<(), Wrong> {
        let index = match self.sources.iter().position(|known| *known == source) {
            Some(index) => index,
            None if self.sources.len() == SOURCES => {
                let what =
                    format!("a rule uses at most {SOURCES} different metrics, windows and states");
                return Err(Wrong::new(at, what));
            }
            None => {
                self.sources.push(source);
                self.sources.len() - 1
            }
        };
        self.ops.push(Op::Load(index as u16));
        Ok(())
    }
}

/// Where a part begins: its own place is that of its sign.
fn start(node: &Node) -> usize {
    match &node.kind {
        Kind::Binary(_, left, _) => start(left),
        _ => node.at,
    }
}

fn is_state(node: &Node) -> bool {
    matches!(&node.kind, Kind::Call(name, _) if name == "state")
}

fn length(node: &Node, least: Span, most: Span) -> Result<Span, Wrong> {
    let Kind::Number(seconds, unit) = node.kind else {
        return Err(Wrong::new(node.at, "here should be a time, such as 5m"));
    };
    if unit != Unit::SECONDS {
        let what = format!("here should be a time, such as 5m, and this is {}", unit.named());
        return Err(Wrong::new(node.at, what));
    }
    let span = Span((seconds * 1000.0).clamp(0.0, 1e15) as u64);
    if !(least..=most).contains(&span) {
        return Err(Wrong::new(node.at, format!("a time here is between {least} and {most}")));
    }
    Ok(span)
}

/// How a number of this unit may be written.
fn example(unit: Unit) -> &'static str {
    match (unit.bytes, unit.seconds, unit.degrees, unit.flavour) {
        (1, 0, 0, _) => "1GiB",
        (1, -1, 0, _) => "10MB/s",
        (0, 1, 0, _) => "5m",
        (0, -1, 0, _) => "1/s",
        (0, 0, 1, _) => "80°C",
        (0, 0, 0, Flavour::Share) => "90%",
        _ => "100",
    }
}
