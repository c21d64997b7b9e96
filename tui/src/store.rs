//! What the client knows, per feature. Changed only in [`Store::apply`]; everything else reads.

// One line per feature.
pub mod alerts;
pub mod approvals;
pub mod audit;
pub mod compose;
pub mod configs;
pub mod containers;
pub mod data;
pub mod edits;
pub mod engines;
pub mod everywhere;
pub mod files;
pub mod forwards;
pub mod gateways;
pub mod history;
pub mod hosts;
pub mod images;
pub mod lists;
pub mod logs;
pub mod metrics;
pub mod networks;
pub mod ports;
pub mod probes;
pub mod processes;
pub mod recorder;
pub mod recordings;
pub mod rights;
pub mod runs;
pub mod seats;
pub mod services;
pub mod sessions;
pub mod settled;
pub mod sheets;
pub mod system;
pub mod traffic;
pub mod volumes;
pub mod written;

use crate::link::LinkState;
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, Feed, HostId};
use settled::{Rate, Settled};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

/// One change, made where the type of the news is known and applied in the one place that may.
pub struct Update(Box<dyn FnOnce(&mut Store) + Send>);

impl Update {
    /// A change. Keep it to one feature's part of the store.
    pub fn new(change: impl FnOnce(&mut Store) + Send + 'static) -> Self {
        Self(Box::new(change))
    }
}

/// A feed whose items have a place in the store.
pub trait Stored: Feed + Clone {
    /// Takes one item in.
    fn apply(store: &mut Store, host: Option<HostId>, item: Self::Item);
    /// The same request, so changed that what the store has already is not sent again.
    #[must_use]
    fn resumed(&self, _store: &Store, _host: Option<HostId>) -> Self {
        self.clone()
    }
}

/// How a feed is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FeedState {
    /// Asked for; nothing came yet.
    #[default]
    Opening,
    /// Items come.
    Live,
    /// It ended so; it is asked for again unless the error is a lasting one.
    Failed(CallError),
    /// All that there is came; nothing more will.
    Over,
}

/// A round trip is shown anew only when it differs by this much.
pub const RTT_NOISE_US: u64 = 2000;

/// Which feed: of which host (or the hub), by which method, and what was asked. Parts of the screen that
/// ask for the same share it; those that ask for different things have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedKey {
    pub host: Option<HostId>,
    pub method: &'static str,
    /// What tells requests of the same method apart.
    pub request: u64,
}

impl FeedKey {
    /// By what is asked.
    pub fn of<F: Feed>(host: Option<HostId>, feed: &F) -> Self {
        // What cannot be written cannot be sent either.
        let asked = serde_json::to_string(feed).unwrap_or_default();
        Self { host, method: F::METHOD, request: sheets::id_of(&asked) }
    }

    /// One pane's own.
    pub fn own<F: Feed>(host: Option<HostId>, owner: u64) -> Self {
        Self { host, method: F::METHOD, request: owner }
    }
}

/// What is known.
pub struct Store {
    /// Wall clock, milliseconds since 1970, as of the last tick.
    pub now_ms: u64,
    /// Seconds east of UTC, for showing times of day.
    pub utc_offset_s: i32,
    /// How the link to the hub is.
    pub link: LinkState,
    /// When the link was last seen up.
    pub up_until_ms: Option<u64>,
    /// The link's round trip in microseconds.
    pub rtt_us: Settled,
    /// Bytes received and sent a second.
    pub traffic: [Rate; 2],
    /// Dangerous acts are off, whatever the role.
    pub read_only: bool,
    /// Few bytes before all else: figures come less often.
    pub thin: bool,
    /// How feeds are that are wanted, or were.
    pub feeds: HashMap<FeedKey, FeedState>,
    /// The fleet.
    pub hosts: hosts::Hosts,
    /// Figures of hosts that were looked at.
    pub metrics: HashMap<HostId, metrics::Metrics>,
    /// Processes of hosts that were looked at.
    pub processes: HashMap<HostId, processes::Processes>,
    /// Lines of logs that are looked at, of each pane its own.
    pub logs: seats::Seats<logs::Logs>,
    /// What containers use.
    pub containers: containers::Lives,
    /// Lists of hosts and of the fleet that were looked at.
    pub sheets: HashMap<sheets::SheetKey, sheets::Sheet>,
    /// Folders that were looked at, and files on their way.
    pub files: files::Files,
    /// Edits of files of hosts.
    pub edits: edits::Edits,
    /// What hosts have told the finder.
    pub everywhere: everywhere::Everywhere,
    /// The audit log as far as it was looked at.
    pub audit: audit::Audit,
    /// What commands wrote, as far as it was looked at.
    pub recordings: recordings::Recordings,
    /// What we may do, and what each role allows.
    pub rights: rights::Rights,
    /// Runs that were looked at, and what is being composed.
    pub runs: runs::Runs,
    /// Compose projects that were looked at.
    pub compose: compose::Compose,
    /// Probes that were looked at.
    pub probes: probes::Probes,
    /// Gateways that were looked at.
    pub gateways: gateways::Gateways,
    /// Forwards that were looked at.
    pub forwards: forwards::Forwards,
    /// What pages of flight recorders have.
    pub recorders: recorder::Recorders,
    /// The history that chart pages have.
    pub charts: history::Charts,
    /// What charts were looked at last, by the selector of their hosts.
    pub chart_looks: HashMap<String, history::Look>,
    /// Config groups that were looked at.
    pub configs: configs::Configs,
    /// Texts that are being written.
    pub written: written::Written,
    /// What was asked of Docker beside its lists.
    pub engines: engines::Engines,
    /// What rules found.
    pub alerts: alerts::Alerts,
    /// Rights that were asked for.
    pub approvals: approvals::Approvals,
    /// Sessions of hosts, and those that are open here.
    pub sessions: sessions::Sessions,
    /// Something came, or changed, that is to be seen without delay.
    pub hurried: bool,
    /// The bell is to ring, once.
    pub rings: bool,
    /// What is to be said in the status line, once.
    pub toasts: VecDeque<Toast>,
}

/// News that are said in the status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// Key of the text.
    pub text: &'static str,
    /// What is filled in.
    pub values: Vec<String>,
    /// Whether something went wrong.
    pub bad: bool,
}

impl Store {
    /// Nothing known yet.
    pub fn new(now_ms: u64, utc_offset_s: i32, read_only: bool) -> Self {
        Self {
            now_ms,
            utc_offset_s,
            link: LinkState::default(),
            up_until_ms: None,
            rtt_us: Settled::default(),
            traffic: [Rate::default(); 2],
            read_only,
            thin: false,
            feeds: HashMap::new(),
            hosts: hosts::Hosts::default(),
            metrics: HashMap::new(),
            processes: HashMap::new(),
            logs: seats::Seats::default(),
            containers: containers::Lives::default(),
            sheets: HashMap::new(),
            files: files::Files::default(),
            edits: edits::Edits::default(),
            everywhere: everywhere::Everywhere::default(),
            audit: audit::Audit::default(),
            recordings: recordings::Recordings::default(),
            rights: rights::Rights::default(),
            runs: runs::Runs::default(),
            compose: compose::Compose::default(),
            probes: probes::Probes::default(),
            gateways: gateways::Gateways::default(),
            forwards: forwards::Forwards::default(),
            recorders: recorder::Recorders::default(),
            charts: history::Charts::default(),
            chart_looks: HashMap::new(),
            configs: configs::Configs::default(),
            written: written::Written::default(),
            engines: engines::Engines::default(),
            alerts: alerts::Alerts::default(),
            approvals: approvals::Approvals::default(),
            sessions: sessions::Sessions::default(),
            hurried: false,
            rings: false,
            toasts: VecDeque::new(),
        }
    }

    /// The one place where what is known changes.
    pub fn apply(&mut self, update: Update) {
        (update.0)(self);
    }

    /// How often figures come that would come so often.
    pub fn interval_ms(&self, usual: u64) -> u64 {
        if self.thin { usual.saturating_mul(3) } else { usual }
    }

    /// How long after a sample a chart still shows it when none came since, milliseconds.
    pub fn reach_ms(&self) -> u64 {
        if self.thin { u64::from(metrics::THIN_STEP_S) * 1000 + 1000 } else { 3000 }
    }

    /// Whether the link is up now.
    pub fn is_up(&self) -> bool {
        matches!(self.link, LinkState::Up(_))
    }

    /// What we may do, as far as the hub told.
    pub fn role(&self) -> Role {
        self.hosts.me.as_ref().map_or(Role::OBSERVER, |peer| peer.role)
    }

    /// How long the link has been away, when it is.
    pub fn away_for(&self) -> Option<Duration> {
        let until = self.up_until_ms?;
        (!self.is_up()).then(|| Duration::from_millis(self.now_ms.saturating_sub(until)))
    }

    /// How many feeds brought nothing yet.
    pub fn opening(&self) -> usize {
        self.feeds.values().filter(|state| **state == FeedState::Opening).count()
    }

    /// How the feeds of this kind are: the one that is worst off.
    pub fn feed<F: Feed>(&self, host: Option<HostId>) -> Option<&FeedState> {
        let same = self.feeds.iter().filter(|(key, _)| (key.host, key.method) == (host, F::METHOD));
        same.map(|(_, state)| state).max_by_key(|state| matches!(state, FeedState::Failed(_)))
    }

    /// Time of day, `14:02` or with seconds.
    pub fn clock(&self, at_ms: u64, seconds: bool) -> String {
        let of_day = (at_ms / 1000).cast_signed() + i64::from(self.utc_offset_s);
        let of_day = of_day.rem_euclid(86_400);
        let mut out = format!("{:02}:{:02}", of_day / 3600, of_day / 60 % 60);
        if seconds {
            // Writing to a String cannot fail.
            write!(out, ":{:02}", of_day % 60).ok();
        }
        out
    }
}
