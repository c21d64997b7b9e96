//! What makes a run of an order, now or by the clock: asked for beside every verb that gives orders, and the request
//! that comes of it.

use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use clap::Args;
use cmdr_protocol::runs::{Amount, Halt, Order, Plan, Planned, Schedule, Start, Waves, When};
use std::time::Duration;

/// The durable kind of order.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Runs: kept by the hub, whatever becomes of us")]
pub(in crate::commands) struct RunFlags {
    /// Show the hosts it would run on and what would have to be confirmed, and run nothing.
    #[arg(long)]
    pub(in crate::commands) plan: bool,

    /// Leave it to the hub and answer its id at once (-o json: {"run": ID, "targets": N}).
    #[arg(long)]
    pub(in crate::commands) detach: bool,

    /// Hosts one wave after the other: the first, then each other one, as 1,10%.
    #[arg(long, value_name = "FIRST[,THEN]", value_parser = Waves::parse)]
    pub(in crate::commands) waves: Option<Waves>,

    /// Leave off after so many failures, or such a share of all hosts of the run, whichever of them are done: of 40
    /// hosts 5% are 2.
    #[arg(long, value_name = "N|N%", value_parser = Amount::parse)]
    pub(in crate::commands) halt: Option<Amount>,

    /// Everything that has not ended by then is ended.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    pub(in crate::commands) deadline: Option<Duration>,

    /// Wait for hosts that are away.
    #[arg(long)]
    pub(in crate::commands) when_online: bool,

    /// With --when-online: how long [default: 24h].
    #[arg(long, value_name = "DURATION", value_parser = args::duration, requires = "when_online")]
    pub(in crate::commands) expires: Option<Duration>,

    /// The number of hosts, where the hub wants it confirmed.
    #[arg(long, value_name = "N")]
    pub(in crate::commands) confirm: Option<u32>,

    /// Asked twice with the same key, it is done once.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::commands) key: Option<String>,

    /// What it is for; kept with the run.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::commands) note: Option<String>,

    /// Show equal results once, and how the others differ, when all have ended.
    #[arg(long)]
    pub(in crate::commands) fold: bool,

    #[command(flatten)]
    pub(in crate::commands) clock: Clock,
}

/// By the clock instead of now.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "By the clock: schedules, kept by the hub")]
pub(in crate::commands) struct Clock {
    /// Run nothing now: make this schedule, or replace it, which begins such a run with --every or --cron. Hosts are
    /// picked anew each time.
    #[arg(long, value_name = "NAME")]
    pub(in crate::commands) schedule: Option<String>,

    /// Each so often, 10s at least.
    #[arg(long, value_name = "DURATION", value_parser = args::duration, conflicts_with = "cron")]
    every: Option<Duration>,

    /// Minute, hour, day, month and weekday, as in a crontab: '30 3 * * MON-FRI'.
    #[arg(long, value_name = "LINE")]
    cron: Option<String>,

    /// The time zone of --cron, as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE", requires = "cron")]
    zone: Option<String>,

    /// Begin nothing until: cmdr run schedule resume NAME.
    #[arg(long)]
    paused: bool,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Clock {
    fn any(&self) -> bool {
        let when = self.every.is_some() || self.cron.is_some();
        when || self.schedule.is_some() || self.zone.is_some() || self.paused
    }
}

impl RunFlags {
    /// Whether any of them is given, so that it has to be a run.
    pub(in crate::commands) fn any(&self) -> bool {
        self.detach
            || self.waves.is_some()
            || self.halt.is_some()
            || self.deadline.is_some()
            || self.when_online
            || self.confirm.is_some()
            || self.key.is_some()
            || self.note.is_some()
            || self.fold
            || self.clock.any()
    }

    /// What goes together and what does not.
    pub(in crate::commands) fn check(&self) -> Result<(), Failure> {
        let Clock { schedule, every, cron, .. } = &self.clock;
        let when = every.is_some() || cron.is_some();
        match schedule {
            None if self.clock.any() => {
                Err(Failure::usage("what is done by the clock needs a name")
                    .hint("give the schedule one: --schedule NAME"))
            }
            Some(_) if !when => Err(Failure::usage("when shall the schedule begin runs?")
                .hint("say how often, or as in a crontab: --every 1h, --cron '30 3 * * *'")),
            Some(_) if self.detach || self.fold || self.key.is_some() => {
                Err(Failure::usage("--detach, --fold and --key are for a run that begins now"))
            }
            _ => Ok(()),
        }
    }

    /// The schedule that begins such runs, when it is not to begin now.
    pub(in crate::commands) fn schedule(&self, start: &Start) -> Option<Schedule> {
        let Clock { schedule, every, cron, zone, paused } = &self.clock;
        let when = When {
            every_ms: every.map(ms),
            cron: cron.clone().unwrap_or_default(),
            zone: zone.clone().unwrap_or_default(),
        };
        // Each of its runs gets a key from the hub.
        let start = Start { key: String::new(), ..start.clone() };
        let name = schedule.clone()?;
        Some(Schedule { name, when, start, paused: *paused, ..Schedule::default() })
    }

    /// The request.
    pub(in crate::commands) fn start(
        &self,
        hosts: &str,
        order: Order,
        parallel: Option<u16>,
    ) -> Result<Start, Failure> {
        self.check()?;
        Ok(Start {
            key: if let Some(key) = &self.key {
                key.clone()
            } else {
                // Should the link break before the answer, the same is asked again.
                let name = getrandom::u64().map_err(|e| Failure::failed(e.to_string()))?;
                format!("cmdr-{name:016x}")
            },
            hosts: hosts.to_owned(),
            order,
            waves: self.waves,
            parallel: parallel.map_or(0, u32::from),
            halt: self.halt.map(|failures| Halt { failures }),
            deadline_ms: self.deadline.map(ms),
            when_online: self.when_online,
            expires_ms: self.expires.map(ms),
            confirm: self.confirm,
            note: self.note.clone().unwrap_or_default(),
            ..Start::default()
        })
    }
}

/// The plan of a run, with all its hosts.
pub(in crate::commands) async fn plan(hub: &Hub, start: &Start) -> Result<Planned, Failure> {
    let mut planned = hub.ask(&Plan { start: start.clone(), from: 0 }).await?;
    while let Some(from) = planned.next {
        let more = hub.ask(&Plan { start: start.clone(), from }).await?;
        planned.hosts.extend(more.hosts);
        planned.next = more.next;
    }
    Ok(planned)
}

/// Has the number of hosts typed where the hub wants that and it was not given.
pub(in crate::commands) async fn confirm(
    app: &App,
    hub: &Hub,
    start: &mut Start,
) -> Result<(), Failure> {
    if start.confirm.is_some() {
        return Ok(());
    }
    let planned = hub.ask(&Plan { start: start.clone(), from: 0 }).await?;
    if let Some(refused) = planned.refused.first() {
        let more = match planned.refused.len() {
            1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        return Err(Failure::new(
            Exit::Denied,
            format!("nothing was begun: not allowed on {}{more}: {}", refused.name, refused.why),
        ));
    }
    if !planned.guard.confirm {
        return Ok(());
    }
    let some: Vec<_> = planned.hosts.iter().take(20).map(|host| host.name.as_str()).collect();
    let more = planned.count as usize - some.len().min(planned.count as usize);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    app.out.note(&format!("{}{more}", some.join(", ")));
    let count = planned.count.to_string();
    let hosts = human::count(u64::from(planned.count), "host");
    let question = format!("{}: {} on {hosts}.", planned.guard.why, start.order.told());
    let asked = app.out.confirm(false, &question, &count).await;
    asked.map_err(|failure| match failure.exit {
        Exit::Usage => Failure { hint: Some(format!("give --confirm {count}")), ..failure },
        _ => failure,
    })?;
    start.confirm = Some(planned.count);
    Ok(())
}
