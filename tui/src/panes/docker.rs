//! Docker of one host, of some, or of all: a chapter each for its containers and what else an engine has. This is the
//! frame around them: which chapter is shown, and of which hosts. A chapter is a pane that follows its hosts with
//! `follow::Followed` and does what can be done with `act`.

mod act;
pub mod compose;
pub mod containers;
pub mod engine;
mod fill;
mod follow;
pub mod images;
mod inspect;
mod install;
mod moves;
pub mod networks;
pub mod registries;
pub mod volumes;

use super::hosts::quoted;
use super::sheet;
use super::{Choice, Context, Entry, Pane, Place, Subscription, TABS};
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::store::audit;
use crate::store::sheets::SheetKey;
use crate::widgets::table;
use cmdr_protocol::HostId;
use cmdr_protocol::hosts::HostState;
use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::Frame;
use ratatui::layout::Rect;

const NEXT: Command = Command::Own(100);
const PREVIOUS: Command = Command::Own(101);

/// Keys that each chapter has, behind its own.
const CHAPTER: &[Binding] = &[
    key(&["]", "<right>"], NEXT, "docker.key.next").hint(),
    key(&["[", "<left>"], PREVIOUS, "docker.key.previous"),
];

/// A chapter.
struct Chapter {
    /// What places and the finder call it.
    name: &'static str,
    /// Key of its title.
    title: &'static str,
    make: fn(&Scope) -> Box<dyn Pane>,
}

/// The chapters, one line per feature.
const CHAPTERS: &[Chapter] = &[
    Chapter {
        name: "containers",
        title: "docker.containers",
        make: |of| Box::new(containers::Containers::new(of)),
    },
    Chapter {
        name: "images",
        title: "docker.images",
        make: |of| Box::new(images::Images::new(of)),
    },
    Chapter {
        name: "volumes",
        title: "docker.volumes",
        make: |of| Box::new(volumes::Volumes::new(of)),
    },
    Chapter {
        name: "networks",
        title: "docker.networks",
        make: |of| Box::new(networks::Networks::new(of)),
    },
    Chapter {
        name: "engine",
        title: "docker.engine",
        make: |of| Box::new(engine::Engine::new(of)),
    },
    Chapter {
        name: "registries",
        title: "docker.registries",
        make: |_| Box::new(registries::Registries::default()),
    },
    Chapter {
        name: "compose",
        title: "docker.compose",
        make: |of| Box::new(compose::Projects::new(of)),
    },
];

/// Key tables of chapters beside the first, whose keys stand for the page.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 9] = [
    ("images", images::TABLES),
    ("volumes", volumes::TABLES),
    ("networks", networks::TABLES),
    ("engine", engine::TABLES),
    ("registries", registries::TABLES),
    ("repositories", registries::OF_REPOSITORIES),
    ("tags", registries::OF_TAGS),
    ("docker_compose", compose::TABLES),
    ("docker_none", install::TABLES),
];

/// Of which hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One.
    Host(HostId),
    /// These; the number tells lists of different choices apart.
    Hosts(Vec<HostId>, u64),
    /// All that are online.
    Fleet,
}

impl Scope {
    /// Hosts that were chosen.
    pub fn of(hosts: Vec<HostId>) -> Self {
        Self::Hosts(hosts, audit::owner())
    }

    /// Whether rows need not say on which host they are.
    const fn is_one(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// The hosts as `cmdr` picks them.
    fn selector(&self, context: &Context<'_>) -> String {
        let name = |host: &HostId| context.store.hosts.name(*host);
        match self {
            Self::Host(host) => quoted(&name(host)),
            Self::Hosts(hosts, _) => quoted(&hosts.iter().map(name).collect::<Vec<_>>().join(",")),
            Self::Fleet => "'*'".to_owned(),
        }
    }

    /// The sheet of this name.
    fn sheet(&self, name: &'static str) -> SheetKey {
        match self {
            Self::Host(host) => (Some(*host), name),
            Self::Hosts(_, number) => crate::store::sheets::of_number(*number, name),
            Self::Fleet => (None, name),
        }
    }

    /// The hosts in question that can answer now, in an order that stays. A single one is asked in any case: why it
    /// does not answer is told.
    fn hosts(&self, context: &Context<'_>) -> Vec<HostId> {
        let known = &context.store.hosts;
        let online =
            |host: &HostId| known.get(*host).is_some_and(|row| row.host.state == HostState::Online);
        match self {
            Self::Host(host) => vec![*host],
            Self::Hosts(hosts, _) => hosts.iter().copied().filter(online).collect(),
            Self::Fleet => super::gather::online(context.store),
        }
    }
}

/// Shows Docker of these hosts: of one on its own page.
pub(super) fn open(hosts: Vec<HostId>) -> Action {
    match *hosts {
        [] => Action::None,
        [host] => Action::Go(Place::Host(host, tab())),
        _ => {
            let scope = Scope::of(hosts);
            let Scope::Hosts(_, number) = scope else { return Action::None };
            Action::Enter(Place::Docker(number), Box::new(DockerPane::new(scope)))
        }
    }
}

/// The rows of every list of this name that is known, for the finder: each is gone to in its chapter on its host's page.
fn found(context: &Context<'_>, list: &'static str, kind: &'static str) -> Vec<Entry> {
    let rows = sheet::everywhere(context, &[list], kind, "docker.title").into_iter();
    let there = |entry: Entry| match entry.choice {
        Choice::At(place, row) => {
            Entry { choice: Choice::Open(place, format!("{list} {row}")), ..entry }
        }
        _ => entry,
    };
    rows.map(there).collect()
}

/// Where it is among the tabs of a host.
pub(super) fn tab() -> usize {
    TABS.iter().position(|tab| tab.title == "docker.title").unwrap_or(0)
}

/// The page.
pub struct DockerPane {
    scope: Scope,
    at: usize,
    chapters: Vec<Box<dyn Pane>>,
    /// There is no engine on the one host.
    absent: bool,
}

impl DockerPane {
    /// Of these hosts.
    pub fn new(scope: Scope) -> Self {
        let chapters = CHAPTERS.iter().map(|chapter| (chapter.make)(&scope)).collect();
        Self { scope, at: 0, chapters, absent: false }
    }

    fn chapter(&self) -> &dyn Pane {
        &*self.chapters[self.at]
    }

    fn chapter_mut(&mut self) -> &mut Box<dyn Pane> {
        &mut self.chapters[self.at]
    }

    fn turn(&mut self, by: usize) -> Action {
        self.at = (self.at + by) % CHAPTERS.len();
        Action::None
    }
}

impl Pane for DockerPane {
    fn within(&self) -> Option<&'static str> {
        Some(self.chapter().kind())
    }

    fn bindings(&self) -> &'static [&'static [Binding]] {
        if self.absent { install::TABLES } else { self.chapter().bindings() }
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        match command {
            NEXT | PREVIOUS => CHAPTERS.len() > 1,
            _ => self.chapter().can(context, command),
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = vec![super::hosts::feed()];
        feeds.extend(self.chapter().feeds());
        feeds
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        match command {
            NEXT => self.turn(1),
            PREVIOUS => self.turn(CHAPTERS.len() - 1),
            install::INSTALL => install::compose(context, &self.at_hand()),
            _ => self.chapter_mut().on(context, command),
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (head, below) = sheet::split(area);
        let titles: Vec<_> = CHAPTERS.iter().map(|chapter| chapter.title).collect();
        sheet::titles(context, frame, head, &titles, self.at);
        self.chapter_mut().draw(context, frame, below);
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let is_one = self.scope.is_one();
        self.absent = is_one && install::is_absent(context, &self.chapter().feeds());
        self.chapter_mut().poll(context)
    }

    fn at_hand(&self) -> Vec<HostId> {
        match &self.scope {
            Scope::Host(host) => vec![*host],
            Scope::Hosts(hosts, _) => hosts.clone(),
            Scope::Fleet => self.chapter().at_hand(),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        self.chapter().list()
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        self.chapter_mut().list_mut()
    }

    fn is_typing(&self) -> bool {
        self.chapter().is_typing()
    }

    fn is_writing(&self) -> bool {
        self.chapter().is_writing()
    }

    fn write(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        self.chapter_mut().write(context, key)
    }

    fn paste(&mut self, context: &Context<'_>, text: &str) -> Action {
        self.chapter_mut().paste(context, text)
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        self.chapter_mut().mouse(context, mouse, double)
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.chapter().entries(context)
    }

    fn pick(&mut self, number: u64) {
        self.chapter_mut().pick(number);
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        let found = text.split_once(' ').filter(|_| command == Command::Open);
        let at = found.and_then(|(name, _)| CHAPTERS.iter().position(|c| c.name == name));
        match (at, found.and_then(|(_, row)| row.parse().ok())) {
            // Something that was found, wherever one was.
            (Some(at), Some(row)) => {
                self.at = at;
                self.chapter_mut().pick(row);
                Action::None
            }
            _ => self.chapter_mut().take(context, command, text),
        }
    }

    fn keepsake(&self) -> Option<String> {
        Some(CHAPTERS[self.at].name.to_owned())
    }

    fn recall(&mut self, keepsake: &str) {
        self.at = CHAPTERS.iter().position(|c| c.name == keepsake).unwrap_or(self.at);
    }
}
