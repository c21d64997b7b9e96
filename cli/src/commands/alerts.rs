//! `alerts`: what rules found, who knows of it, what is kept quiet, who is told.

use super::rules::severity;
use crate::App;
use crate::args::{self, When};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::{Args, Subcommand, ValueEnum};
use cmdr_link::clock;
use cmdr_protocol::alerts::{
    Acknowledge, Alert, Dismiss, Done, EndSilence, Happening, History, List, News, PutSilence,
    Show, Silence, Silences, State, Unacknowledge, Watch,
};
use cmdr_protocol::display::clean;
use std::time::Duration;

mod policies;

/// Alerts: what rules found, who knows of it, who is told.
///
/// The rules themselves: cmdr rules. Where alerts are told: cmdr notifiers.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List alerts.
    #[command(alias = "list")]
    Ls(LsArgs),
    /// Write a line for each alert that there is, and for each change.
    Watch {
        /// Of these hosts [default: all].
        #[arg(default_value = "", value_parser = selector)]
        selector: String,
    },
    /// Show one alert with what happened to it.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// List what happened to alerts.
    History {
        /// Of these hosts [default: all].
        #[arg(default_value = "", value_parser = selector)]
        selector: String,
        /// Of this rule [default: all].
        #[arg(long, value_name = "NAME", default_value = "")]
        rule: String,
        /// How much time.
        #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = args::duration)]
        span: Duration,
        /// Until when: 2h ago as 2h, or a moment [default: now].
        #[arg(long, value_name = "WHEN", value_parser = args::when)]
        until: Option<When>,
    },
    /// Say that you know: these alerts are neither repeated nor escalated any more.
    Ack {
        /// Which.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// What you do about it.
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Take that back.
    Unack {
        /// Which.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// End alerts by hand, such as those of a disk that was taken out. What still holds begins anew.
    Dismiss {
        /// Which.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Why.
        #[arg(long)]
        why: String,
    },
    /// Keep alerts quiet for a while: they are shown, and told afterwards if they still fire.
    Silence {
        /// Which: 'host=web1, rule=disk-*, env!=prod'. Labels, rule, host, severity and instance.
        #[arg(value_name = "WHICH")]
        matcher: String,
        /// For how long.
        #[arg(long = "for", value_name = "DURATION", value_parser = args::duration)]
        span: Duration,
        /// Why.
        #[arg(long, default_value = "")]
        why: String,
    },
    /// List silences.
    Silences,
    /// End a silence before its time.
    Unsilence {
        /// Its number.
        id: u64,
    },
    /// By which policies alerts are told, and changing them.
    Policies(policies::PoliciesArgs),
}

#[derive(Debug, Args, Default)]
struct LsArgs {
    /// Of these hosts [default: all].
    #[arg(default_value = "", value_parser = selector)]
    selector: String,
    /// Of this rule [default: all].
    #[arg(long, value_name = "NAME", default_value = "")]
    rule: String,
    /// In these states: pending, firing, acknowledged, flapping, suppressed, silenced, resolved [default: all that
    /// fire].
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_enum)]
    #[arg(hide_possible_values = true)]
    state: Vec<Stands>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stands {
    Pending,
    Firing,
    Acknowledged,
    Flapping,
    Suppressed,
    Silenced,
    Resolved,
}

fn selector(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { args::selector(text) }
}

impl From<Stands> for State {
    fn from(of: Stands) -> Self {
        match of {
            Stands::Pending => Self::Pending,
            Stands::Firing => Self::Firing,
            Stands::Acknowledged => Self::Acknowledged,
            Stands::Flapping => Self::Flapping,
            Stands::Suppressed => Self::Suppressed,
            Stands::Silenced => Self::Silenced,
            Stands::Resolved => Self::Resolved,
        }
    }
}

pub(super) async fn run(app: &App, args: &AlertsArgs) -> Result<Exit, Failure> {
    let Some(verb) = &args.verb else { return ls(app, &LsArgs::default()).await };
    match verb {
        Verb::Ls(args) => return ls(app, args).await,
        Verb::Watch { selector } => return watch(app, selector).await,
        Verb::Show { id } => show(app, id).await?,
        Verb::History { selector, rule, span, until } => {
            let to_ms = until.map_or_else(clock::now_ms, |when| when.ms(clock::now_ms()));
            let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let (hosts, rule) = (selector.clone(), rule.clone());
            let from_ms = to_ms.saturating_sub(span);
            let ask = History { hosts, rule, from_ms, to_ms, marks: false };
            let told = Hub::connect(app).await?.ask(&ask).await?;
            happened(app, &told.happened)?;
            if told.more {
                app.out.warn("older ones are left out; take a shorter time");
            }
        }
        Verb::Ack { ids, why } => {
            let ask = Acknowledge { alerts: ids.clone(), why: why.clone() };
            return Ok(done(app, &Hub::connect(app).await?.ask(&ask).await?, "acknowledged"));
        }
        Verb::Unack { ids } => {
            let ask = Unacknowledge { alerts: ids.clone() };
            return Ok(done(app, &Hub::connect(app).await?.ask(&ask).await?, "open again"));
        }
        Verb::Dismiss { ids, why } => {
            let ask = Dismiss { alerts: ids.clone(), why: why.clone() };
            return Ok(done(app, &Hub::connect(app).await?.ask(&ask).await?, "ended"));
        }
        Verb::Silence { matcher, span, why } => {
            let for_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let ask = PutSilence { matcher: matcher.clone(), for_ms, why: why.clone() };
            let silence = Hub::connect(app).await?.ask(&ask).await?;
            app.out.note(&format!(
                "silence {} keeps {} quiet until {}",
                silence.id,
                human::count(silence.quiet.into(), "alert"),
                human::moment(silence.until_ms)
            ));
        }
        Verb::Silences => {
            silences(app, &Hub::connect(app).await?.ask(&Silences {}).await?.silences)?;
        }
        Verb::Unsilence { id } => {
            Hub::connect(app).await?.ask(&EndSilence { id: *id }).await?;
            app.out.note(&format!("silence {id} has ended"));
        }
        Verb::Policies(args) => return policies::run(app, args).await,
    }
    Ok(Exit::Ok)
}

fn state(of: State) -> Cell {
    let paint = match of {
        State::Firing | State::Flapping => Paint::Bad,
        State::Pending => Paint::Warn,
        State::Resolved => Paint::Good,
        State::Acknowledged | State::Suppressed | State::Silenced | State::Unknown => Paint::Dim,
    };
    Cell::painted(of.as_str(), paint)
}

/// What is said of an alert that has no message yet.
fn message(alert: &Alert) -> String {
    if alert.message.is_empty() {
        clean(&alert.value).into_owned()
    } else {
        clean(&alert.message).into_owned()
    }
}

/// Why it is quiet, if it is.
fn quiet(alert: &Alert) -> String {
    match (&alert.ack, alert.silence, alert.down.as_str()) {
        (_, _, down) if !down.is_empty() => format!("{} is down", clean(down)),
        (_, Some(silence), _) => format!("silence {silence}"),
        (Some(ack), ..) if ack.why.is_empty() => clean(&ack.who).into_owned(),
        (Some(ack), ..) => format!("{}: {}", clean(&ack.who), clean(&ack.why)),
        _ => String::new(),
    }
}

async fn ls(app: &App, args: &LsArgs) -> Result<Exit, Failure> {
    let states = args.state.iter().map(|state| (*state).into()).collect();
    let ask = List { hosts: args.selector.clone(), rule: args.rule.clone(), states };
    let listing = Hub::connect(app).await?.ask(&ask).await?;
    let columns = [
        Column::text("SINCE", |a: &Alert| human::moment(a.fired_ms.unwrap_or(a.pending_ms)).into()),
        Column::text("SEVERITY", |a| severity(a.severity)),
        Column::text("STATE", |a| state(a.state)),
        Column::text("HOST", |a| clean(&a.name).into_owned().into()),
        Column::text("RULE", |a| a.rule.as_str().into()),
        Column::text("WHAT", |a| clean(&a.instance).into_owned().into()),
        Column::text("MESSAGE", |a| message(a).into()),
        Column::text("QUIET", |a| quiet(a).into()),
        Column::text("ID", |a: &Alert| a.id.as_str().into()),
        Column::text("VALUE", |a: &Alert| clean(&a.value).into_owned().into()).wide(),
        Column::text("LIMIT", |a: &Alert| clean(&a.limit).into_owned().into()).wide(),
        Column::text("POLICY", |a: &Alert| clean(&a.policy).into_owned().into()).wide(),
    ];
    app.out.list(&listing.alerts, &columns, |a| a.id.clone())?;
    if listing.more > 0 {
        app.out.warn(&format!("{} more are left out", listing.more));
    }
    if listing.alerts.is_empty() && args.state.is_empty() {
        app.out.note("nothing fires");
    }
    Ok(Exit::Ok)
}

async fn watch(app: &App, selector: &str) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut feed = hub.client.feed(None, &Watch { hosts: selector.to_owned() }).await?;
    while let Some(news) = feed.next().await {
        let news: News = news?;
        for alert in &news.alerts {
            if app.out.format == Format::Table {
                let line = format!(
                    "{} {} {} {} {} {}\n",
                    human::moment(clock::now_ms()),
                    alert.severity.as_str(),
                    alert.state.as_str(),
                    clean(&alert.name),
                    alert.rule,
                    message(alert)
                );
                app.out.data(&line)?;
            } else {
                app.out.data(&crate::output::json_line(alert)?)?;
            }
        }
    }
    Ok(Exit::NoHub)
}

async fn show(app: &App, id: &str) -> Result<(), Failure> {
    let shown = Hub::connect(app).await?.ask(&Show { id: id.to_owned() }).await?;
    if !matches!(app.out.format, Format::Table | Format::Wide) {
        return app.out.one(&shown, &[], id);
    }
    let alert = &shown.alert;
    let mut lines = vec![format!(
        "{} {} on {}{}: {}",
        alert.severity.as_str(),
        alert.rule,
        clean(&alert.name),
        if alert.instance.is_empty() {
            String::new()
        } else {
            format!(" ({})", clean(&alert.instance))
        },
        alert.state.as_str()
    )];
    let message = message(alert);
    lines.extend((!message.is_empty()).then_some(message));
    let quiet = quiet(alert);
    lines.extend((!quiet.is_empty()).then(|| format!("quiet: {quiet}")));
    app.out.data(&(lines.join("\n") + "\n"))?;
    happened(app, &shown.happened)?;
    if !shown.moment.is_empty() {
        app.out.data(&human::clean_lines(&shown.moment))?;
    }
    Ok(())
}

fn happened(app: &App, happened: &[Happening]) -> Result<(), Failure> {
    let columns = [
        Column::text("WHEN", |h: &Happening| human::moment(h.at_ms).into()),
        Column::text("SEVERITY", |h| severity(h.severity)),
        Column::text("STATE", |h| state(h.state)),
        Column::text("HOST", |h| clean(&h.name).into_owned().into()),
        Column::text("RULE", |h| h.rule.as_str().into()),
        Column::text("WHAT", |h| clean(&h.instance).into_owned().into()),
        Column::text("MESSAGE", |h| clean(&h.message).into_owned().into()),
        Column::text("WHY", |h: &Happening| clean(&h.why).into_owned().into()),
        Column::text("ID", |h: &Happening| h.id.as_str().into()).wide(),
    ];
    app.out.list(happened, &columns, |h| h.id.clone())
}

fn done(app: &App, done: &Done, word: &str) -> Exit {
    for refused in &done.refused {
        app.out.warn(&format!("{}: {}", clean(&refused.id), clean(&refused.why)));
    }
    app.out.note(&format!("{}: {word}", human::count(done.done.into(), "alert")));
    if done.refused.is_empty() { Exit::Ok } else { Exit::Failed }
}

fn silences(app: &App, silences: &[Silence]) -> Result<(), Failure> {
    let columns = [
        Column::figure("SILENCE", |s: &Silence| s.id.to_string().into()),
        Column::text("WHICH", |s| clean(&s.matcher).into_owned().into()),
        Column::figure("QUIET", |s| s.quiet.to_string().into()),
        Column::text("UNTIL", |s| human::moment(s.until_ms).into()),
        Column::text("BY", |s| clean(&s.who).into_owned().into()),
        Column::text("WHY", |s: &Silence| clean(&s.why).into_owned().into()),
    ];
    app.out.list(silences, &columns, |s| s.id.to_string())
}
