//! Asks for rights: what was refused until it is asked for, or what one thinks of oneself. When it is
//! granted, what was refused can be done again.

use super::Overlay;
use super::form::{Ended, Field, Form};
use crate::action::{Action, Held, Refused};
use crate::panes::Context;
use cmdr_protocol::HostId;
use cmdr_protocol::approvals::{self, MAX_MINUTES, MAX_REASON, State, Wanted};
use cmdr_protocol::display::clean;
use cmdr_protocol::methods;
use cmdr_protocol::selector::Selector;
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

const VERBS: usize = 0;
const RESOURCES: usize = 1;
const HOSTS: usize = 2;
const MINUTES: usize = 3;
const REASON: usize = 4;

/// So long when nothing else is said, in minutes.
const USUAL: &str = "60";

/// The form.
pub struct Ask {
    form: Form,
    /// What was refused.
    refused: Vec<Refused>,
}

/// Hosts as a selector that means just these.
fn selector(context: &Context<'_>, hosts: &[HostId]) -> String {
    let one = |host: &HostId| {
        let name = context.store.hosts.name(*host);
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.chars().all(plain) { name } else { format!("id={host}") }
    };
    hosts.iter().map(one).collect::<Vec<_>>().join(",")
}

fn form(context: &Context<'_>, [verbs, resources, hosts]: [String; 3]) -> Form {
    let fields = vec![
        Field::new("ask.verbs", "ask.verbs_hint", verbs),
        Field::new("ask.resources", "ask.resources_hint", resources),
        Field::new("ask.hosts", "ask.hosts_hint", hosts),
        Field::new("ask.minutes", "ask.minutes_hint", USUAL.to_owned()),
        Field::new("ask.reason", "ask.reason_hint", String::new()),
    ];
    Form::new(context.texts.get("ask.title").to_owned(), fields)
}

impl Refused {
    /// The host that it is about, be it asked or named.
    fn about(&self) -> Option<HostId> {
        self.host.or_else(|| self.resource.strip_prefix("host:")?.parse().ok())
    }
}

impl Ask {
    /// For whatever one wants, with these hosts filled in.
    pub fn new(context: &Context<'_>, hosts: &[HostId]) -> Self {
        let form = form(context, [String::new(), String::new(), selector(context, hosts)]);
        Self { form, refused: Vec::new() }
    }

    /// For something that was refused.
    pub fn refused(context: &Context<'_>, refused: Refused) -> Self {
        let hosts: Vec<HostId> = refused.about().into_iter().collect();
        let named = refused.resource.starts_with("host:");
        let resource = if named { String::new() } else { refused.resource.clone() };
        let hosts = selector(context, &hosts);
        let mut form = form(context, [refused.verb.to_owned(), resource, hosts]).at(REASON);
        form.about = vec![clean(&format!("{}: {}", refused.what, refused.why)).into_owned()];
        Self { form, refused: vec![refused] }
    }

    /// What is asked for, or which line is wrong and why.
    fn wanted(&self, context: &Context<'_>) -> Result<approvals::Ask, (usize, String)> {
        let texts = context.texts;
        let words = |at| {
            let text = self.form.text(at).split([' ', ',']).map(str::trim);
            text.filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let verbs = words(VERBS);
        if verbs.is_empty() {
            return Err((VERBS, texts.get("ask.no_verb").to_owned()));
        }
        if let Some(wrong) = verbs.iter().find(|verb| methods::find(verb).is_none()) {
            let known = methods::METHODS.iter().map(|method| method.name);
            let near = cmdr_link::settings::nearest(wrong, known);
            return Err((VERBS, texts.fill("ask.bad_verb", &[&clean(wrong), &near])));
        }
        let hosts = self.form.text(HOSTS).to_owned();
        Selector::parse(&hosts).map_err(|e| (HOSTS, e.to_string()))?;
        let minutes = self.form.text(MINUTES).parse().ok();
        let minutes = minutes.filter(|n| (1..=MAX_MINUTES).contains(n));
        let minutes = minutes
            .ok_or_else(|| (MINUTES, texts.fill("ask.bad_minutes", &[&MAX_MINUTES.to_string()])))?;
        let reason = self.form.text(REASON).to_owned();
        if reason.is_empty() || reason.len() > MAX_REASON {
            return Err((REASON, texts.get("ask.no_reason").to_owned()));
        }
        // Resources may hold blanks: they are told apart by commas.
        let resources = self.form.text(RESOURCES).split(',').map(str::trim);
        let resources = resources.filter(|one| !one.is_empty()).map(str::to_owned).collect();
        Ok(approvals::Ask { wanted: Wanted { verbs, resources, hosts, minutes }, reason })
    }

    fn send(&mut self, context: &Context<'_>) -> Action {
        let ask = match self.wanted(context) {
            Ok(ask) => ask,
            Err((at, error)) => {
                self.form.complain(at, error);
                return Action::None;
            }
        };
        let refused = std::mem::take(&mut self.refused);
        let what = refused.first().map_or_else(String::new, |refused| refused.what.clone());
        let again = Action::All(refused.into_iter().map(|refused| refused.again).collect());
        let title = context.texts.get("ask.what").to_owned();
        let sent = context.texts.get("ask.sent");
        Action::CloseAnd(Box::new(Action::call(title, None, ask, move |approval| {
            let (id, is_ready) = (approval.id, approval.state == State::Active);
            let action = if what.is_empty() {
                Action::Say(sent.replacen("{}", &id.to_string(), 1))
            } else {
                Action::Hold(Box::new(Held { id, is_ready, what, again }))
            };
            (None, action)
        })))
    }
}

impl Overlay for Ask {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::Close,
            Ended::Sent => self.send(context),
        }
    }

    fn paste(&mut self, text: &str) {
        self.form.paste(text);
    }

    fn refused(&mut self, refused: Box<Refused>) -> Option<Box<Refused>> {
        let same = self.refused.first().is_some_and(|first| first.verb == refused.verb);
        let about: Vec<HostId> = self.refused.iter().filter_map(Refused::about).collect();
        let (Some(host), true) = (refused.about(), same) else { return Some(refused) };
        if !about.contains(&host) {
            let hosts = self.form.text(HOSTS);
            self.form.set(HOSTS, format!("{hosts},id={host}"));
        }
        // Of several things only what they have in common can be named.
        if self.refused.iter().any(|other| other.resource != refused.resource) {
            self.form.set(RESOURCES, String::new());
        }
        let count = self.refused.len() + 1;
        self.form.about.truncate(1);
        self.form.about.push(format!("… × {count}"));
        self.refused.push(*refused);
        None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.form.draw(context, frame, screen);
    }
}
