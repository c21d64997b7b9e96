//! `watch`: what happens in the fleet, one line after the other.

use super::interrupted;
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint, csv, json_line, no_picture};
use clap::Args;
use cmdr_protocol::display::clean;
use cmdr_protocol::events::{Event, Watch, What};
use cmdr_protocol::{CallError, ErrorKind};
use std::time::Duration;

/// Between two tries to reach a hub that is gone: at first, and at last.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(10)];

/// Show what happens in the fleet as it happens: hosts, runs, sessions, edits, runbooks, config groups, approvals.
///
/// It stays until Ctrl-C, which ends it with 0. When the hub is gone it is dialed again and again, and what happened
/// meanwhile is shown then; what the hub does not know any more is said. You see what you would find in lists: events
/// of hosts that you may see, of runs that run ls shows, and so on.
///
/// With -o ndjson each line is an event with a cursor: --since CURSOR goes on behind it. The hub keeps the newest
/// 10,000 events, in its memory: with a cursor from before it was started anew comes a line 'missed' first, which means
/// that everything has to be looked at again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct WatchArgs {
    /// Only events of these hosts, and of runs with one of them.
    #[arg(value_name = "SELECTOR", default_value = "", hide_default_value = true, value_parser = args::selector)]
    hosts: String,

    /// Only events of these kinds, separated by commas: run.ended, or the beginning of names, such as run or host.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kind: Vec<String>,

    /// Go on behind this cursor; 'all' for everything that the hub still knows [default: what comes from now on].
    #[arg(long, value_name = "CURSOR")]
    since: Option<String>,

    /// Do not stay: show what the hub still knows, and end.
    #[arg(long)]
    once: bool,
}

const EXAMPLES: &str = "\
Examples:
  cmdr watch                                 everything from now on
  cmdr watch 'web*' --kind host,run          hosts and runs of the web servers
  cmdr watch --kind run.ended -o ndjson      a line of JSON for each run that ends
  cmdr watch --since 1f2e3d4c-4711           what came behind that event, and what comes
  cmdr watch --once -o csv                   the last 10,000 events as a table";

fn kind(text: &str) -> Result<String, String> {
    What::check(&[text.to_owned()]).map(|()| text.to_owned())
}

pub(super) async fn run(app: &App, args: &WatchArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let since = args.since.as_deref();
    let after = since.filter(|since| *since != "all").unwrap_or_default().to_owned();
    let watch = Watch {
        after,
        once: args.once,
        new: since.is_none() && !args.once,
        kinds: args.kind.clone(),
        hosts: args.hosts.clone(),
    };
    let mut watching = Watching { app, watch, headed: false };
    tokio::select! {
        biased;
        () = interrupted() => Ok(Exit::Ok),
        result = watching.run(hub) => result,
    }
}

/// Follows events over as many links as it takes.
struct Watching<'a> {
    app: &'a App,
    watch: Watch,
    headed: bool,
}

/// Why following ended.
enum End {
    /// All was told.
    Over,
    /// The link is gone.
    Cut(CallError),
    /// Nothing helps.
    Failed(Failure),
}

impl Watching<'_> {
    async fn run(&mut self, mut hub: Hub) -> Result<Exit, Failure> {
        loop {
            let error = match self.follow(&hub).await {
                End::Over => return Ok(Exit::Ok),
                End::Failed(failure) => return Err(failure),
                End::Cut(error) => error,
            };
            self.app.out.note(&format!("the hub is gone ({error}); it is dialed again"));
            let mut pause = AGAIN[0];
            loop {
                tokio::time::sleep(pause).await;
                match hub.again().await {
                    Ok(again) => {
                        hub = again;
                        break;
                    }
                    Err(e) => {
                        let failure = Failure::from(e);
                        // Who is not let in any more is not let in later.
                        if failure.exit != Exit::NoHub {
                            return Err(failure);
                        }
                    }
                }
                pause = (pause * 2).min(AGAIN[1]);
            }
            self.app.out.note("the hub is there again");
        }
    }

    async fn follow(&mut self, hub: &Hub) -> End {
        let cut = |error: CallError| match error.kind {
            ErrorKind::Lost | ErrorKind::Unreachable | ErrorKind::Cancelled | ErrorKind::Busy => {
                End::Cut(error)
            }
            _ => End::Failed(Failure::from_hub(error)),
        };
        let mut feed = match hub.client.feed(None, &self.watch).await {
            Ok(feed) => feed,
            Err(error) => return cut(error),
        };
        while let Some(event) = feed.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => return cut(error),
            };
            // From here it goes on, whatever becomes of the link.
            self.watch.after.clone_from(&event.cursor);
            self.watch.new = false;
            if let Err(failure) = self.show(&event) {
                return End::Failed(failure);
            }
        }
        if self.watch.once {
            End::Over
        } else {
            End::Cut(CallError::lost("it ended the feed of events"))
        }
    }

    fn show(&mut self, event: &Event) -> Result<(), Failure> {
        let out = &self.app.out;
        match event.what {
            What::Alive => return Ok(()),
            What::Missed => {
                out.warn(&format!("events are missing here: {}", event.message));
                if out.format.is_table() {
                    return Ok(());
                }
            }
            _ => {}
        }
        let text = match out.format {
            Format::Table | Format::Wide => line(event, out.format == Format::Wide, out.colour_out),
            // A document has no end here.
            Format::Json | Format::Ndjson | Format::Yaml => json_line(event)?,
            Format::Csv => {
                let text = csv(std::slice::from_ref(event), &columns());
                let head = if self.headed { text.find('\n').map_or(0, |end| end + 1) } else { 0 };
                text[head..].to_owned()
            }
            Format::Name => event.cursor.clone() + "\n",
            Format::Svg => return Err(no_picture()),
        };
        self.headed = true;
        out.data(&text)
    }
}

/// To what it happened.
fn subject(event: &Event) -> String {
    let run = event.run.map(|run| format!("run {run}")).unwrap_or_default();
    let parts = [event.host_name.as_str(), run.as_str(), event.about.as_str()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    clean(&parts.join(" ")).into_owned()
}

/// What more there is to say.
fn more(event: &Event) -> String {
    let counts = event.counts.map(|counts| super::runs::counted(&counts)).unwrap_or_default();
    let by = match event.operator.as_str() {
        "" => String::new(),
        operator if event.run.is_some() => format!("of {operator}"),
        operator => format!("by {operator}"),
    };
    let parts = [counts, by, event.message.clone()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    clean(&parts.join(", ")).into_owned()
}

fn line(event: &Event, wide: bool, colour: bool) -> String {
    let paint = match event.what {
        What::HostOnline => Paint::Good,
        What::HostAway | What::RunHalted | What::EditReverted => Paint::Warn,
        What::RunEnded if event.counts.is_some_and(|counts| counts.bad() > 0) => Paint::Bad,
        _ => Paint::Plain,
    };
    let what = paint.on(&format!("{:17}", event.what.as_str()), colour);
    let cursor = if wide { format!("  {}", event.cursor) } else { String::new() };
    let text = format!(
        "{}{cursor}  {what}  {:28}  {}",
        human::moment(event.at_ms),
        subject(event),
        more(event)
    );
    text.trim_end().to_owned() + "\n"
}

fn columns() -> [Column<Event>; 10] {
    [
        Column::text("TIME", |e: &Event| human::moment(e.at_ms).into()),
        Column::text("EVENT", |e| Cell::from(e.what.as_str())),
        Column::text("HOST", |e| e.host_name.as_str().into()),
        Column::text("RUN", |e| e.run.map(|run| run.to_string()).unwrap_or_default().into()),
        Column::text("ABOUT", |e| e.about.as_str().into()),
        Column::text("OPERATOR", |e| e.operator.as_str().into()),
        Column::text("COUNTS", |e| {
            e.counts.map(|counts| super::runs::counted(&counts)).unwrap_or_default().into()
        }),
        Column::text("MESSAGE", |e| e.message.as_str().into()),
        Column::text("HOST-ID", |e| e.host.map(|host| host.to_string()).unwrap_or_default().into()),
        Column::text("CURSOR", |e| e.cursor.as_str().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::RunId;
    use cmdr_protocol::runs::Counts;

    #[test]
    fn a_line_says_what_happened_to_what_and_steers_no_terminal() {
        let ended = Event {
            what: What::RunEnded,
            run: Some(RunId([1; 8])),
            operator: "ann".to_owned(),
            counts: Some(Counts { targets: 3, ok: 2, failed: 1, ..Counts::default() }),
            ..Event::default()
        };
        let text = line(&ended, false, false);
        assert!(
            text.contains("run.ended          run ") && text.ends_with("2 ok, 1 failed, of ann\n"),
            "{text}"
        );
        let edit = Event {
            what: What::EditSaved,
            host_name: "web1".to_owned(),
            about: "path:/etc/\u{1b}[2Jx\ny".to_owned(),
            ..Event::default()
        };
        let text = line(&edit, false, false);
        assert!(!text.contains('\u{1b}') && text.matches('\n').count() == 1, "{text:?}");
    }
}
