//! What is chosen on a chart page, and what is taken from it: figures, spans, hosts, files.

use super::{HOSTS, HistoryPane, SPAN};
use crate::action::{Action, Make};
use crate::app::expand;
use crate::event::Event;
use crate::overlays::confirm::Confirm;
use crate::overlays::palette::Palette;
use crate::overlays::prompt::Prompt;
use crate::panes::hosts::quoted;
use crate::panes::{Choice, Context, Entry};
use crate::printed::{Form, Printed};
use crate::store::history::{Line, Offered, Slot};
use cmdr_chart::{shown, svg};
use cmdr_protocol::HostId;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::history::{Aggregate, Over};
use cmdr_protocol::human;
use cmdr_protocol::selector::{MAX_LEN, Selector};

/// A selector for these hosts, when it is not too long; empty for none, which is all.
pub(super) fn selector(context: &Context<'_>, hosts: &[HostId]) -> Option<String> {
    let all = &context.store.hosts.rows;
    let plain = |name: &String| {
        let fits = |c: char| c.is_alphanumeric() || "._-".contains(c);
        !name.is_empty() && name.chars().all(fits)
    };
    let mut count = std::collections::HashMap::new();
    for row in all.values() {
        *count.entry(row.host.name.as_str()).or_insert(0) += 1;
    }
    let names: Vec<String> = hosts.iter().map(|id| context.store.hosts.name(*id)).collect();
    let are_names = names.iter().all(|name| plain(name) && count.get(name.as_str()) == Some(&1));
    let text = if are_names {
        names.join(",")
    } else {
        hosts.iter().map(|id| format!("id={id}")).collect::<Vec<_>>().join(" | ")
    };
    (text.len() <= MAX_LEN).then_some(text)
}

/// Opens the choice of figures, once it is known what there is.
struct Offers {
    owner: u64,
}

impl Make for Offers {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let held = context.store.charts.get(self.owner);
        match held.and_then(|held| held.offered.as_ref()) {
            Some((_, Ok(offered))) if offered.is_empty() => {
                Action::Say(context.texts.get("history.nothing_kept").to_owned())
            }
            Some((_, Ok(offered))) => {
                Action::Open(Box::new(Palette::new(entries(context, offered))))
            }
            Some((_, Err(error))) => Action::Complain(crate::action::reason(error)),
            None => Action::None,
        }
    }
}

fn entries(context: &Context<'_>, offered: &[Offered]) -> Vec<Entry> {
    let entry = |(n, one): (usize, &Offered)| Entry {
        kind: "palette.figure",
        text: one.figure.clone(),
        note: super::meanings::note(context, one),
        choice: Choice::Pick(n as u64),
    };
    offered.iter().enumerate().map(entry).collect()
}

impl HistoryPane {
    /// Lets a figure be chosen, for the present chart or for a new one.
    pub(super) fn choose(&mut self, context: &Context<'_>, adds: bool) -> Action {
        self.adds = adds;
        let offers = Box::new(Offers { owner: self.owner });
        let held = context.store.charts.get(self.owner);
        let known = held.and_then(|held| held.offered.as_ref());
        match known {
            Some((selector, Ok(_))) if *selector == self.selector => offers.make(context),
            _ => self.ask_offers(Action::Make(offers)),
        }
    }

    pub(super) fn offers(&self, context: &Context<'_>) -> Vec<Entry> {
        let held = context.store.charts.get(self.owner);
        match held.and_then(|held| held.offered.as_ref()) {
            Some((_, Ok(offered))) => entries(context, offered),
            _ => Vec::new(),
        }
    }

    /// Takes up what was chosen.
    pub(super) fn resolve(&mut self, context: &Context<'_>) {
        let Some(number) = self.picked.take() else { return };
        let held = context.store.charts.get(self.owner);
        let Some((_, Ok(offered))) = held.and_then(|held| held.offered.as_ref()) else { return };
        let Some(one) = usize::try_from(number).ok().and_then(|n| offered.get(n)) else { return };
        if std::mem::take(&mut self.adds) {
            self.focus = self.figures.len();
            self.figures.push(one.figure.clone());
        } else if let Some(figure) = self.figures.get_mut(self.focus) {
            one.figure.clone_into(figure);
        }
    }

    pub(super) fn next_aggregate(&mut self) {
        self.aggregate = match self.aggregate {
            Aggregate::Min => Aggregate::Mean,
            Aggregate::Mean => Aggregate::Max,
            Aggregate::Max => Aggregate::P95,
            _ => Aggregate::Min,
        };
    }

    pub(super) fn next_over(&mut self, context: &Context<'_>) {
        self.over = Some(match self.over(context) {
            Over::Each => Over::Mean,
            Over::Mean => Over::Min,
            Over::Min => Over::Max,
            Over::Max => Over::Sum,
            _ => Over::Each,
        });
    }

    pub(super) fn ask_span(&self, context: &Context<'_>) -> Action {
        let title = context.texts.get("history.span.title").to_owned();
        let now = human::span(self.window.span_ms / 1000);
        let (window, texts) = (self.window, context.texts.clone());
        let (now_ms, offset_s) = (context.store.now_ms, context.store.utc_offset_s);
        Action::Open(Box::new(Prompt::new(
            title,
            now,
            "history.span.hint",
            move |text| match window.read(text, now_ms, offset_s) {
                Ok(_) => Ok(Action::Give(SPAN, text.to_owned())),
                Err(why) => Err(texts.get(why).to_owned()),
            },
        )))
    }

    pub(super) fn ask_hosts(&self, context: &Context<'_>) -> Action {
        let title = context.texts.get("history.hosts.title").to_owned();
        let now = self.selector.clone();
        Action::Open(Box::new(Prompt::new(title, now, "history.hosts.hint", |text| {
            if !text.trim().is_empty() {
                Selector::parse(text.trim()).map_err(|e| e.to_string())?;
            }
            Ok(Action::Give(HOSTS, text.to_owned()))
        })))
    }

    /// The same chart as the CLI draws it.
    pub(super) fn line(&self, context: &Context<'_>) -> String {
        let figure = self.figures.get(self.focus).map_or("", String::as_str);
        let host = if self.selector.is_empty() { "*" } else { &self.selector };
        let (figure, host) = (quoted(figure), quoted(host));
        let until = self.window.end_ms.map(|end| format!(" --until {}", human::moment(end)));
        let other = self.aggregate != Aggregate::Mean;
        let agg = other.then(|| format!(" --agg {}", self.aggregate.as_str()));
        let over = Some(self.over(context)).filter(|over| *over != Over::Each);
        let over = over.map(|over| format!(" --over {}", over.as_str()));
        format!(
            "cmdr chart {figure} {host} --span {}s{}{}{}",
            self.window.span_ms / 1000,
            until.unwrap_or_default(),
            agg.unwrap_or_default(),
            over.unwrap_or_default()
        )
    }

    /// The values at the cursor, or the last ones.
    pub(super) fn copy(&self, context: &Context<'_>) -> Action {
        let held = context.store.charts.get(self.owner);
        let stretch = held.and_then(|held| held.stretch(Slot::Now));
        let Some((stretch, Ok(lines))) = stretch.map(|s| (s, &s.lines)) else {
            return Action::None;
        };
        let (from, to) = self.bounds(context);
        let rows = lines.iter().filter(|line| self.is_in(line, self.focus)).map(|line| {
            let value = Self::value(stretch, line, self.cursor_ms, from, to);
            let value = value.map_or_else(String::new, |value| shown(value, line.unit));
            format!("{}\t{value}", Self::called(context, line, stretch.question.over))
        });
        Action::Copy(rows.collect::<Vec<_>>().join("\n"))
    }

    /// Asks where what is seen goes.
    pub(super) fn save(&self, context: &Context<'_>) -> Action {
        let held = context.store.charts.get(self.owner);
        let stretch = held.and_then(|held| held.stretch(Slot::Now));
        let Some((stretch, Ok(lines))) = stretch.map(|s| (s, &s.lines)) else {
            return Action::Say(context.texts.get("history.nothing_yet").to_owned());
        };
        let (from, to) = self.bounds(context);
        let step = stretch.step_ms.max(1);
        let skip = (from.saturating_sub(stretch.from_ms) / step) as usize;
        let begins = stretch.from_ms + skip as u64 * step;
        let count = to.saturating_sub(begins).div_ceil(step) as usize;
        let called = |line: &Line| Self::called(context, line, stretch.question.over);
        let mut printed = Printed {
            head: ["TIME", "HOST", "FIGURE", "VALUE"].map(|t| (t.to_owned(), false)).to_vec(),
            rows: Vec::new(),
        };
        let mut drawn = Vec::new();
        for line in lines {
            let points: Vec<_> = line.points.iter().skip(skip).take(count).copied().collect();
            for (i, value) in points.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?))) {
                printed.rows.push(Vec::new());
                printed.cell(&human::moment(begins + i as u64 * step));
                printed.cell(&called(line));
                printed.cell(&line.figure);
                printed.cell(&value.to_string());
            }
            if self.is_in(line, self.focus) {
                let label = called(line);
                drawn.push(cmdr_chart::Line { label, unit: line.unit, points });
            }
        }
        let figure = self.figures.get(self.focus).cloned().unwrap_or_default();
        let offset_ms = i64::from(context.store.utc_offset_s) * 1000;
        let local = |ms: u64| {
            let moment = human::moment(ms.saturating_add_signed(offset_ms));
            moment.trim_end_matches('Z').replace('T', " ")
        };
        let ends = begins + count as u64 * step;
        let picture = svg::draw(&figure, &drawn, begins, ends, local);
        let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = figure.chars().map(plain).take(64).collect();
        let title = context.texts.get("history.save.title").to_owned();
        let usual = format!("~/{name}.svg");
        let table = printed.written(Form::Csv);
        Action::Open(Box::new(Prompt::new(title, usual, "history.save.hint", move |path| {
            let path = path.trim().to_owned();
            let text = if path.to_lowercase().ends_with(".csv") { &table } else { &picture };
            Ok(Action::Make(Box::new(Save { text: text.clone(), path })))
        })))
    }
}

/// What is to be written, and where to.
struct Save {
    text: String,
    path: String,
}

impl Make for Save {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        if expand(&self.path).symlink_metadata().is_err() {
            return self.write(context);
        }
        let title = context.texts.fill("print.there", &[&clean_to_width(&self.path, 50)]);
        Action::Open(Box::new(Confirm::one(title, Action::Make(Box::new(Overwrite(*self))))))
    }
}

/// The same over a file that is there.
struct Overwrite(Save);

impl Make for Overwrite {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        self.0.write(context)
    }
}

impl Save {
    fn write(self, context: &Context<'_>) -> Action {
        let file = expand(&self.path);
        let place = clean(&file.display().to_string()).into_owned();
        let saved = context.texts.fill("history.save.saved", &[&place]);
        let failed = context.texts.fill("print.failed", &[&place, "\0"]);
        Action::Errand(Box::new(move |_| {
            Box::pin(async move {
                let writing = tokio::task::spawn_blocking(move || {
                    let mut partial = cmdr_link::files::Partial::create(&file)?;
                    partial.write(self.text.as_bytes())?;
                    partial.finish()
                });
                let done = writing.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
                let action = match done {
                    Ok(_) => Action::Say(saved),
                    Err(why) => {
                        let why = cmdr_link::files::reason(&why);
                        Action::Complain(failed.replace('\0', &clean_to_width(&why, 200)))
                    }
                };
                Event::Done(None, action)
            })
        }))
    }
}
