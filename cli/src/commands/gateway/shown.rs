//! How gateways, their figures, bans and connections are printed.

use crate::App;
use crate::exit::Failure;
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways::{
    Ended, Figures, ListenerFigures, Row, State, Talker, Times, UpstreamFigures,
};
use serde::Serialize;

fn state(row: &Row) -> Cell {
    let paint = match row.state {
        State::Running => Paint::Good,
        State::Waits => Paint::Warn,
        State::Refused | State::Broken => Paint::Bad,
        State::Off | State::Unknown => Paint::Dim,
    };
    Cell::painted(row.state.as_str(), paint)
}

pub(super) fn list(app: &App, rows: &[Row]) -> Result<(), Failure> {
    let columns = [
        Column::text("GATEWAY", |r: &Row| r.name.as_str().into()),
        Column::text("HOST", |r: &Row| clean(&r.host_name).into_owned().into()),
        Column::text("STATE", state),
        Column::text("LISTENS", |r: &Row| clean(&r.listeners.join(", ")).into_owned().into()),
        Column::figure("UPSTREAMS", |r: &Row| r.upstreams.to_string().into()),
        Column::text("WHY", |r: &Row| clean(&r.why).into_owned().into()),
        Column::figure("VERSION", |r: &Row| r.version.to_string().into()).wide(),
        Column::figure("AT HOST", |r: &Row| r.at_host.to_string().into()).wide(),
        Column::text("DESCRIPTION", |r: &Row| clean(&r.description).into_owned().into()).wide(),
        Column::text("BY", |r: &Row| clean(&r.saved_by).into_owned().into()).wide(),
    ];
    app.out.list(rows, &columns, |r| r.name.clone())
}

/// A gateway with its figures, as programs get it.
#[derive(Serialize)]
struct Whole<'a> {
    gateway: &'a Row,
    figures: &'a Figures,
}

/// An upstream with the group that it is in.
#[derive(Serialize)]
struct Upstream<'a> {
    group: &'a str,
    #[serde(flatten)]
    figures: &'a UpstreamFigures,
}

/// Median and 99th percentile.
fn times(times: Option<Times>) -> Cell {
    let ms = |us: u64| {
        if us < 10_000 { format!("{:.1}", us as f64 / 1000.0) } else { (us / 1000).to_string() }
    };
    let told = times.map(|t| format!("{}/{} ms", ms(t.p50_us), ms(t.p99_us)));
    told.unwrap_or_else(|| "-".to_owned()).into()
}

fn upstream_state(state: &str) -> Cell {
    let paint = match state {
        "up" => Paint::Good,
        "drained" => Paint::Dim,
        "ejected" => Paint::Warn,
        _ => Paint::Bad,
    };
    Cell::painted(clean(state).into_owned(), paint)
}

pub(super) fn status(app: &App, row: &Row, figures: &Figures) -> Result<(), Failure> {
    if !matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
        return app.out.one(&Whole { gateway: row, figures }, &[], &row.name);
    }
    let columns = [
        Column::text("LISTENER", |l: &ListenerFigures| clean(&l.name).into_owned().into()),
        Column::text("LISTENS", |l: &ListenerFigures| {
            clean(&format!("{} {}", l.transport, l.address)).into_owned().into()
        }),
        Column::figure("OPEN", |l: &ListenerFigures| l.active.to_string().into()),
        Column::figure("ACCEPTED", |l: &ListenerFigures| l.accepted.to_string().into()),
        Column::figure("REFUSED", |l: &ListenerFigures| l.refused.to_string().into()),
        Column::figure("FAILED", |l: &ListenerFigures| l.failed.to_string().into()),
        Column::figure("IN", |l: &ListenerFigures| human::bytes(l.bytes_in).into()),
        Column::figure("OUT", |l: &ListenerFigures| human::bytes(l.bytes_out).into()),
        Column::figure("DROPPED", |l: &ListenerFigures| l.dropped.to_string().into()).wide(),
        Column::figure("STARVED", |l: &ListenerFigures| l.starved.to_string().into()).wide(),
    ];
    app.out.list(&figures.listeners, &columns, |l| l.name.clone())?;
    let upstreams: Vec<Upstream<'_>> = figures
        .groups
        .iter()
        .flat_map(|group| {
            group.upstreams.iter().map(|figures| Upstream { group: &group.name, figures })
        })
        .collect();
    let columns = [
        Column::text("GROUP", |u: &Upstream<'_>| clean(u.group).into_owned().into()),
        Column::text("UPSTREAM", |u: &Upstream<'_>| clean(&u.figures.address).into_owned().into()),
        Column::text("STATE", |u: &Upstream<'_>| upstream_state(&u.figures.state)),
        Column::figure("WEIGHT", |u: &Upstream<'_>| u.figures.weight.to_string().into()),
        Column::figure("OPEN", |u: &Upstream<'_>| u.figures.active.to_string().into()),
        Column::figure("ALL", |u: &Upstream<'_>| u.figures.total.to_string().into()),
        Column::figure("FAILED", |u: &Upstream<'_>| u.figures.failed.to_string().into()),
        Column::figure("TO IT", |u: &Upstream<'_>| human::bytes(u.figures.bytes_in).into()),
        Column::figure("FROM IT", |u: &Upstream<'_>| human::bytes(u.figures.bytes_out).into()),
        Column::figure("CONNECT", |u: &Upstream<'_>| times(u.figures.connect)),
        Column::figure("FIRST BYTE", |u: &Upstream<'_>| times(u.figures.first_byte)),
        Column::text(
            "BACKUP",
            |u: &Upstream<'_>| {
                if u.figures.backup { "yes".into() } else { "".into() }
            },
        )
        .wide(),
    ];
    app.out.list(&upstreams, &columns, |u| u.figures.address.clone())?;
    let talkers: Vec<(&ListenerFigures, &Talker)> =
        figures.listeners.iter().flat_map(|l| l.talkers.iter().map(move |t| (l, t))).collect();
    if !talkers.is_empty() {
        type One<'a> = (&'a ListenerFigures, &'a Talker);
        let columns = [
            Column::text("BUSIEST CLIENT", |(_, t): &One<'_>| {
                clean(&t.address).into_owned().into()
            }),
            Column::text("LISTENER", |(l, _): &One<'_>| clean(&l.name).into_owned().into()),
            Column::figure("BYTES", |(_, t): &One<'_>| human::bytes(t.bytes).into()),
            Column::figure("CONNECTIONS", |(_, t): &One<'_>| t.connections.to_string().into()),
            Column::figure("IN", |(l, _): &One<'_>| human::span(l.talkers_s).into()),
        ];
        app.out.list(&talkers, &columns, |(_, t)| t.address.clone())?;
    }
    if row.version != figures.version {
        app.out.warn(&format!(
            "this is version {}, and the newest is {}: {}",
            figures.version,
            row.version,
            clean(&row.why)
        ));
    }
    Ok(())
}

pub(super) fn bans(app: &App, bans: &[(String, String, u64)]) -> Result<(), Failure> {
    type One = (String, String, u64);
    let columns = [
        Column::text("ADDRESS", |b: &One| clean(&b.1).into_owned().into()),
        Column::text("POLICY", |b: &One| clean(&b.0).into_owned().into()),
        Column::text("STILL", |b: &One| human::span(b.2 / 1000).into()),
    ];
    app.out.list(bans, &columns, |b| b.1.clone())
}

pub(super) fn log(app: &App, ended: &[Ended]) -> Result<(), Failure> {
    let columns = [
        Column::text("AGO", |e: &Ended| human::span(e.ago_ms / 1000).into()),
        Column::text("LISTENER", |e: &Ended| clean(&e.listener).into_owned().into()),
        Column::text("FROM", |e: &Ended| clean(&e.source).into_owned().into()),
        Column::text("TO", |e: &Ended| clean(&e.upstream).into_owned().into()),
        Column::text("LASTED", |e: &Ended| human::span(e.lasted_ms / 1000).into()),
        Column::figure("IN", |e: &Ended| human::bytes(e.bytes_in).into()),
        Column::figure("OUT", |e: &Ended| human::bytes(e.bytes_out).into()),
        Column::text("WHY", |e: &Ended| clean(&e.reason).into_owned().into()),
    ];
    app.out.list(ended, &columns, |e| e.source.clone())
}
