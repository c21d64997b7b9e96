//! How runs begin, as programs write it.

use super::super::problem::Problem;
use super::order::Order;
use cmdr_protocol::runs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So many, or such a share; of both, the smaller.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Amount {
    /// So many.
    count: Option<u32>,
    /// Percent of all, rounded up.
    #[schema(minimum = 0, maximum = 100)]
    percent: Option<u32>,
}

impl Amount {
    fn read(&self, what: &str) -> Result<runs::Amount, Problem> {
        if self.percent.is_some_and(|percent| percent > 100) {
            return Err(Problem::malformed(format!("{what}: more than 100 percent")));
        }
        Ok(runs::Amount { count: self.count, percent: self.percent })
    }
}

/// Hosts one group after the other.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Waves {
    /// How many hosts the first wave has.
    #[serde(default)]
    first: Amount,
    /// How many every other one has.
    #[serde(default)]
    then: Amount,
}

impl Waves {
    pub(in crate::api) fn read(&self) -> Result<runs::Waves, Problem> {
        let (first, then) = (self.first.read("waves.first")?, self.then.read("waves.then")?);
        Ok(runs::Waves { first, then })
    }
}

impl Halt {
    pub(in crate::api) fn read(&self) -> Result<runs::Halt, Problem> {
        Ok(runs::Halt { failures: self.failures.read("halt.failures")? })
    }
}

/// When to leave off.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Halt {
    /// With so many failures; a share is of all targets of the run, not of those that are done.
    failures: Amount,
}

/// Whom to tell of the results.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Callback {
    /// Where to.
    #[schema(max_length = 2048, example = "https://example.com/results")]
    pub(in crate::api) url: String,
    /// Given back as it is.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub(in crate::api) id: String,
}

/// A run to begin.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct StartRun {
    /// Picks hosts: `web*`, `role=web,env!=prod`; `*` for all.
    #[schema(min_length = 1, example = "role=web")]
    hosts: String,
    order: Order,
    /// Hosts one group after the other; by default all at once.
    waves: Option<Waves>,
    /// How many targets are under way at once; 0 for as many as the hub sees fit.
    #[serde(default)]
    parallel: u32,
    /// When to leave off; by default never.
    halt: Option<Halt>,
    /// Milliseconds after which everything that has no end has timed out.
    deadline_ms: Option<u64>,
    /// Wait for hosts that are away.
    #[serde(default)]
    when_online: bool,
    /// With `when_online`: for so many milliseconds; by default for 24 hours.
    expires_ms: Option<u64>,
    /// How long a host that has lost its link is waited for, milliseconds.
    patience_ms: Option<u64>,
    /// The number of hosts; wanted above a limit and for protected hosts.
    confirm: Option<u32>,
    /// What it is for.
    #[serde(default)]
    note: String,
    callback: Option<Callback>,
    /// Bytes of output to keep of each target.
    keep_output: Option<u64>,
}

impl StartRun {
    /// As the hub says it.
    pub(in crate::api) fn into_start(self, key: String) -> Result<runs::Start, Problem> {
        if self.hosts.trim().is_empty() {
            return Err(Problem::malformed("hosts is a selector; give '*' for all hosts"));
        }
        let waves = self.waves.as_ref().map(Waves::read).transpose()?;
        let halt = self.halt.as_ref().map(Halt::read).transpose()?;
        Ok(runs::Start {
            key,
            hosts: self.hosts,
            order: self.order.into_order()?,
            waves,
            parallel: self.parallel,
            halt,
            deadline_ms: self.deadline_ms,
            when_online: self.when_online,
            expires_ms: self.expires_ms,
            patience_ms: self.patience_ms,
            confirm: self.confirm,
            note: self.note,
            callback: self.callback.map(|to| runs::Callback { url: to.url, id: to.id }),
            keep_output: self.keep_output,
            ..runs::Start::default()
        })
    }
}

impl From<runs::Amount> for Amount {
    fn from(amount: runs::Amount) -> Self {
        Self { count: amount.count, percent: amount.percent }
    }
}

/// What a schedule begins, as it was written.
impl From<runs::Start> for StartRun {
    fn from(start: runs::Start) -> Self {
        let waves =
            |waves: runs::Waves| Waves { first: waves.first.into(), then: waves.then.into() };
        Self {
            hosts: start.hosts,
            order: start.order.into(),
            waves: start.waves.map(waves),
            parallel: start.parallel,
            halt: start.halt.map(|halt| Halt { failures: halt.failures.into() }),
            deadline_ms: start.deadline_ms,
            when_online: start.when_online,
            expires_ms: start.expires_ms,
            patience_ms: start.patience_ms,
            confirm: start.confirm,
            note: start.note,
            callback: start.callback.map(|to| Callback { url: to.url, id: to.id }),
            keep_output: start.keep_output,
        }
    }
}

/// Why a run is stopped.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Stop {
    /// May be empty.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub(in crate::api) why: String,
}

/// What to try again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Retry {
    /// Only these targets, by index; all that failed, were lost or unreachable by default.
    #[serde(default)]
    pub(in crate::api) targets: Vec<u32>,
    /// Also those that were never reached because the run was stopped or halted.
    #[serde(default)]
    pub(in crate::api) cancelled: bool,
    /// The number of hosts, where the guard wants it.
    pub(in crate::api) confirm: Option<u32>,
}
