//! Gateways: their texts in versions, and the host that each is on. `gateways/text.rs` reads a text,
//! `gateways/follow.rs` gives each host all of its own whenever they are others, and hears how they do.
//!
//! A host is given the whole set, so that what was removed while it was away ends when it is back and nothing that is
//! gone returns (decision 56).

mod follow;
mod text;

use crate::fleet::Fleet;
use crate::records::prefix;
use crate::shelf::{Item, Shelf, Sort, shortened};
use crate::store::{Batch, Store, StoreError};
use cmdr_protocol::gateways::{
    Carry, Given, Held, MAX_GATEWAYS, MAX_ON_HOST, Row, Save, Shown, State, check_name,
};
use cmdr_protocol::runbooks::{Problem, Saved, Version};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use text::Written;
use tokio::sync::watch;

pub(crate) use follow::judged;

const SORT: Sort = Sort {
    prefix: prefix::GATEWAY,
    texts: prefix::GATEWAY_TEXT,
    signatures: None,
    sealed: None,
    what: "gateway",
    verb: "gateway",
};

/// All gateways.
#[derive(Debug)]
pub struct Gateways {
    shelf: Shelf,
    store: Store,
    known: Mutex<BTreeMap<String, Known>>,
    /// One change after the other.
    changing: tokio::sync::Mutex<()>,
    /// Another number when some host has other gateways.
    given: watch::Sender<u64>,
}

/// A gateway.
#[derive(Debug, Default)]
struct Known {
    /// Absent when its text is none any more.
    written: Option<Written>,
    problem: String,
    /// The host that it is on, by its id: it may be renamed.
    host: Option<HostId>,
    version: u64,
    /// How it stands there, as far as it is known.
    held: Held,
}

impl Known {
    fn of(text: &str, version: u64, host: Option<HostId>) -> Self {
        match text::read(text) {
            Ok(written) => Self { written: Some(written), version, host, ..Self::default() },
            Err(problems) => Self { problem: listed(&problems), version, host, ..Self::default() },
        }
    }

    /// As its host is given it, where it is to run.
    fn given(&self) -> Option<Given> {
        let written = self.written.as_ref().filter(|written| !written.off)?;
        let (name, version) = (written.name.clone(), self.version);
        Some(Given { name, version, config: written.json() })
    }
}

/// All that is wrong with a text, a line each.
fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Busy, error.to_string())
}

fn at(name: &str) -> String {
    format!("{}{name}", prefix::GATEWAY_AT)
}

impl Gateways {
    /// Reads what is kept; what is damaged is logged and left out.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let shelf = Shelf::load(store.clone(), SORT)?;
        let names: Vec<String> = shelf.held().keys().cloned().collect();
        let mut known = BTreeMap::new();
        for name in names {
            let host = store.get::<HostId>(&at(&name))?;
            let one = match shelf.text(&name, None) {
                Ok((about, text)) => Known::of(&text, about.version, host),
                Err(e) => Known { problem: e.message, host, ..Known::default() },
            };
            if !one.problem.is_empty() {
                tracing::error!(gateway = name, "a gateway is not run: {}", one.problem);
            }
            known.insert(name, one);
        }
        let given = watch::Sender::new(0);
        Ok(Self {
            shelf,
            store,
            known: Mutex::new(known),
            changing: tokio::sync::Mutex::default(),
            given,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that a host is to run.
    fn carry(&self, host: HostId) -> Carry {
        let known = self.lock();
        let own = known.values().filter(|known| known.host == Some(host));
        Carry { gateways: own.filter_map(Known::given).collect(), judge: false }
    }

    /// What a host said of its gateways.
    fn hear(&self, host: HostId, held: Vec<Held>) {
        let mut known = self.lock();
        for held in held {
            let own = known.get_mut(&held.name).filter(|known| known.host == Some(host));
            if let Some(own) = own {
                own.held = held;
            }
        }
    }

    /// Those of hosts that are seen, by name.
    pub(crate) fn all(&self, fleet: &Fleet, mut sees: impl FnMut(HostId) -> bool) -> Vec<Row> {
        let newest: Vec<(String, Version)> = self
            .shelf
            .held()
            .iter()
            .map(|(name, kept)| (name.clone(), kept.versions.last().cloned().unwrap_or_default()))
            .collect();
        let rows = newest.iter().map(|(name, about)| self.row(fleet, name, about));
        rows.filter(|row| row.host.is_some_and(&mut sees)).collect()
    }

    /// The host that one is on.
    pub(crate) fn host(&self, name: &str) -> Option<HostId> {
        self.lock().get(name)?.host
    }

    fn row(&self, fleet: &Fleet, name: &str, about: &Version) -> Row {
        let known = self.lock();
        let Some(known) = known.get(name) else { return Row::default() };
        let host_name = known.host.and_then(|id| fleet.name(id));
        let online = known.host.is_some_and(|id| fleet.link(id).is_ok());
        let held = &known.held;
        let (state, why) = match &known.written {
            None => (State::Broken, known.problem.clone()),
            Some(_) if host_name.is_none() => {
                (State::Broken, "its host has left the fleet".to_owned())
            }
            Some(written) if written.off => (State::Off, String::new()),
            Some(_) if !held.why.is_empty() => (State::Refused, held.why.clone()),
            Some(_) if held.version == known.version => (State::Running, String::new()),
            Some(_) if online => (State::Waits, "its host is being told".to_owned()),
            Some(_) => (State::Waits, "its host is away".to_owned()),
        };
        let written = known.written.as_ref();
        Row {
            name: name.to_owned(),
            description: written.map(|w| shortened(&w.description)).unwrap_or_default(),
            host: known.host,
            host_name: host_name.unwrap_or_default(),
            listeners: written.map(Written::places).unwrap_or_default(),
            upstreams: written.map(Written::upstreams).unwrap_or_default(),
            state,
            why,
            version: about.version,
            at_host: held.version,
            saved_ms: about.saved_ms,
            saved_by: about.saved_by.clone(),
        }
    }

    /// One with its text.
    pub(crate) fn show(
        &self,
        fleet: &Fleet,
        name: &str,
        version: Option<u64>,
    ) -> Result<Shown, CallError> {
        let (about, text) = self.shelf.text(name, version)?;
        let problems = text::read(&text).err().unwrap_or_default();
        Ok(Shown { gateway: self.row(fleet, name, &about), note: about.note, text, problems })
    }

    /// The versions of one, newest first.
    pub(crate) fn versions(&self, name: &str) -> Result<Vec<Version>, CallError> {
        let record = self.shelf.get(name).ok_or_else(|| self.shelf.missing(name))?;
        Ok(record.versions.into_iter().rev().collect())
    }

    /// What a text means: its name, its host, and how that is given it.
    pub(crate) fn meant(&self, fleet: &Fleet, text: &str) -> Result<(HostId, Given), Vec<Problem>> {
        let whole = |what: String| vec![Problem { what, ..Problem::default() }];
        let written = text::read(text)?;
        let named = fleet.named(&written.host);
        let host =
            named.or_else(|| written.host.parse().ok().filter(|id| fleet.host(*id).is_some()));
        let host = host.ok_or_else(|| {
            let name = cmdr_protocol::display::clean_to_width(&written.host, 60);
            whole(format!("host: no host is called '{name}'; cmdr hosts lists them"))
        })?;
        let others = self.lock();
        let on_host =
            others.iter().filter(|(name, k)| k.host == Some(host) && **name != written.name);
        if on_host.count() >= MAX_ON_HOST {
            return Err(whole(format!("a host has at most {MAX_ON_HOST} gateways")));
        }
        drop(others);
        let config = written.json();
        Ok((host, Given { name: written.name, version: 0, config }))
    }

    /// Keeps a text as the newest version, and has its host go by it.
    pub(crate) async fn save(
        &self,
        fleet: &Fleet,
        save: &Save,
        by: &str,
    ) -> Result<Saved, CallError> {
        let _one = self.changing.lock().await;
        check_name(&save.name).map_err(CallError::malformed)?;
        let (host, given) =
            self.meant(fleet, &save.text).map_err(|p| CallError::malformed(listed(&p)))?;
        if given.name != save.name {
            return Err(CallError::malformed(format!(
                "the text says 'name: {}', and it was to be saved as '{}'",
                given.name, save.name
            )));
        }
        if self.shelf.get(&save.name).is_none() && self.shelf.held().len() >= MAX_GATEWAYS {
            return Err(busy(format!("there are {MAX_GATEWAYS} gateways; remove some first")));
        }
        let written = text::read(&save.text).map_err(|p| CallError::malformed(listed(&p)))?;
        // Where it is comes first: a crash between the two leaves a host without a text, and not the other way round.
        self.store.apply(Batch::new().put(at(&save.name), &host)).await.map_err(busy)?;
        let item = Item {
            name: &save.name,
            text: &save.text,
            note: &save.note,
            description: &written.description,
            parts: written.upstreams(),
            was: save.was,
            sealed: None,
            anew: false,
        };
        let saved = match self.shelf.save(&item, by).await {
            Ok(saved) => saved,
            Err(e) => {
                let before = self.host(&save.name);
                let back = match before {
                    Some(before) => Batch::new().put(at(&save.name), &before),
                    None => Batch::new().delete(at(&save.name)),
                };
                drop(self.store.apply(back).await);
                return Err(e);
            }
        };
        {
            let mut all = self.lock();
            let known = all.entry(save.name.clone()).or_default();
            if known.host != Some(host) {
                known.held = Held::default();
            }
            known.written = Some(written);
            known.problem.clear();
            (known.host, known.version) = (Some(host), saved.version);
        }
        self.given.send_modify(|number| *number += 1);
        Ok(saved)
    }

    /// Removes one with all its versions; its host hears of it when it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), CallError> {
        let _one = self.changing.lock().await;
        if !self.shelf.delete(name).await? {
            return Err(self.shelf.missing(name));
        }
        self.lock().remove(name);
        self.given.send_modify(|number| *number += 1);
        self.store.apply(Batch::new().delete(at(name))).await.map_err(busy)
    }
}
