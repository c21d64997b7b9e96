//! `chart`: the course of a figure, drawn or as data.

use super::PATIENCE;
use super::plot::Plot;
use crate::App;
use crate::args::{self, When};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, Format};
use clap::{Args, ValueEnum};
use cmdr_chart::{Line, svg};
use cmdr_link::clock;
use cmdr_protocol::history::{Aggregate, Answer, Over, Query, Unit, names};
use serde::Serialize;
use std::time::Duration;

/// Draw the course of a figure of hosts, or write it as data.
///
/// Figures that there are: cmdr history ls. Names with braces are quoted: 'mount.share{/var}'. Times are
/// UTC. With -o json, ndjson, yaml or csv the points are written and nothing is drawn, with -o svg a picture.
#[derive(Debug, Args)]
pub struct ChartArgs {
    /// Which figure; * in it is anything: cpu.busy, 'net.*{eth0}'.
    metric: String,

    /// Of which hosts [default: all].
    #[arg(value_parser = args::selector)]
    selector: Option<String>,

    /// How much time.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = args::duration)]
    span: Duration,

    /// Until when: 2h ago as 2h, or a moment [default: now].
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    until: Option<When>,

    /// A point for each so long [default: what gives about 300].
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    step: Option<Duration>,

    /// What a point says of its step: min, mean, max, p95 or last.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT", hide_possible_values = true)]
    agg: Agg,

    /// A line for each host, or all of them together: each, all (their mean), min, max or sum.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", hide_possible_values = true)]
    over: How,

    /// Write a picture (SVG) instead of drawing: as -o svg.
    #[arg(long)]
    svg: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Agg {
    Min,
    #[default]
    Mean,
    Max,
    P95,
    Last,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum How {
    #[default]
    Each,
    #[value(alias = "mean")]
    All,
    Min,
    Max,
    Sum,
}

/// So many lines are told apart in one drawing.
const LINES: usize = 12;
const HEIGHT: usize = 14;
/// Cells where there is no terminal to ask.
const WIDTH: usize = 100;

#[derive(Serialize)]
struct Series {
    host: Option<String>,
    metric: String,
    unit: Unit,
    step_ms: u64,
    points: Vec<(u64, f64)>,
}

#[derive(Serialize)]
struct Point {
    time: String,
    host: String,
    metric: String,
    value: f64,
}

fn series(answer: &Answer) -> Vec<Series> {
    let lines = answer.lines.iter().map(|line| {
        let at = |i: usize| answer.from_ms + (u64::from(line.first) + i as u64) * answer.step_ms;
        let points = line.points.iter().enumerate();
        Series {
            host: line.host.map(|_| line.name.clone()),
            metric: line.metric.clone(),
            unit: line.unit,
            step_ms: answer.step_ms,
            points: points.filter_map(|(i, v)| Some((at(i), (*v)?))).collect(),
        }
    });
    lines.collect()
}

/// The answer's lines with a place for each step.
fn lines(answer: &Answer, over: How) -> Vec<Line> {
    let several = answer.lines.iter().any(|l| l.metric != answer.lines[0].metric);
    let lines = answer.lines.iter().map(|line| {
        let who = match (line.host, over) {
            (Some(_), _) => line.name.clone(),
            (None, How::Min) => "smallest of all".to_owned(),
            (None, How::Max) => "largest of all".to_owned(),
            (None, How::Sum) => "all together".to_owned(),
            (None, _) => "mean of all".to_owned(),
        };
        let mut points = vec![None; line.first as usize];
        points.extend(line.points.iter().copied());
        points.resize(answer.steps as usize, None);
        let label = if several { format!("{who} {}", line.metric) } else { who };
        Line { label, unit: line.unit, points }
    });
    lines.collect()
}

fn query(args: &ChartArgs, now_ms: u64) -> Query {
    let to_ms = args.until.map_or(now_ms, |when| when.ms(now_ms));
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Query {
        selector: args.selector.clone().unwrap_or_default(),
        metrics: vec![args.metric.clone()],
        from_ms: to_ms.saturating_sub(ms(args.span)),
        to_ms,
        step_ms: args.step.map_or(0, ms),
        aggregate: Some(match args.agg {
            Agg::Min => Aggregate::Min,
            Agg::Mean => Aggregate::Mean,
            Agg::Max => Aggregate::Max,
            Agg::P95 => Aggregate::P95,
            Agg::Last => Aggregate::Last,
        }),
        over: Some(match args.over {
            How::Each => Over::Each,
            How::All => Over::Mean,
            How::Min => Over::Min,
            How::Max => Over::Max,
            How::Sum => Over::Sum,
        }),
    }
}

pub(in super::super) async fn run(app: &App, args: ChartArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let asked = query(&args, clock::now_ms());
    let patience = app.patience_or(PATIENCE);
    let answer = hub.client.call(None, &asked, patience).await.map_err(Failure::from_hub)?;
    if answer.lines.is_empty() {
        let whose = args.selector.as_deref().unwrap_or("any host");
        let failure = Failure::new(
            Exit::NoMatch,
            format!("nothing is kept of {} of {whose} in that time", args.metric),
        );
        let known: Vec<_> = names::ALL.iter().map(|m| m.name).collect();
        return Err(failure.hint(format!(
            "cmdr history ls shows what there is; figures are {}",
            known.join(", ")
        )));
    }
    let title = match answer.lines.first() {
        Some(line) if answer.lines.iter().all(|l| l.metric == line.metric) => line.metric.clone(),
        _ => args.metric.clone(),
    };
    let what = names::find(&title).map(|m| format!(": {}", m.what)).unwrap_or_default();
    let title =
        format!("{title}{what}, {} of each {}", agg(args.agg), human::span(answer.step_ms / 1000));
    let end = answer.from_ms + u64::from(answer.steps) * answer.step_ms;
    if args.svg || app.out.format == Format::Svg {
        let text =
            svg::draw(&title, &lines(&answer, args.over), answer.from_ms, end, human::moment);
        app.out.data(&text)?;
    } else if app.out.format.is_table() {
        let mut lines = lines(&answer, args.over);
        let left = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        let width = app.out.columns().unwrap_or(WIDTH);
        let (from_ms, colour) = (answer.from_ms, app.out.colour_out);
        let plot = Plot { lines: &lines, from_ms, to_ms: end, width, height: HEIGHT, colour };
        app.out.data(&format!("{title}\n{}", plot.draw()))?;
        if left > 0 {
            app.out.note(&format!(
                "{left} more are not drawn: pick fewer hosts, or all of them together with --over all"
            ));
        }
    } else if app.out.format == Format::Csv {
        let rows: Vec<Point> = series(&answer).into_iter().flat_map(points).collect();
        let columns = [
            Column::text("TIME", |p: &Point| p.time.as_str().into()),
            Column::text("HOST", |p: &Point| p.host.as_str().into()),
            Column::text("FIGURE", |p: &Point| p.metric.as_str().into()),
            Column::figure("VALUE", |p: &Point| p.value.to_string().into()),
        ];
        app.out.list(&rows, &columns, |p| p.host.clone())?;
    } else {
        app.out.list::<Series>(&series(&answer), &[], |s| s.host.clone().unwrap_or_default())?;
    }
    if args.agg == Agg::P95 && !answer.exact {
        app.out.hint("some of this has been thinned: its percentiles are of percentiles");
    }
    Ok(Exit::Ok)
}

fn points(series: Series) -> impl Iterator<Item = Point> {
    let (host, metric) = (series.host.unwrap_or_default(), series.metric);
    series.points.into_iter().map(move |(at, value)| Point {
        time: human::moment(at),
        host: host.clone(),
        metric: metric.clone(),
        value,
    })
}

const fn agg(agg: Agg) -> &'static str {
    match agg {
        Agg::Min => "smallest",
        Agg::Mean => "mean",
        Agg::Max => "largest",
        Agg::P95 => "95th percentile",
        Agg::Last => "last",
    }
}
