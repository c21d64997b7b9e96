//! `exec`: one command on the hosts a selector picks.
//!
//! [`target`] runs it on one host and ends in one named state, [`show`] turns events into bytes,
//! [`pipe`] writes them without ever holding up the link, [`input`] copies our input to the hosts.

pub(super) mod follow;
pub(super) mod input;
mod lines;
pub(super) mod pipe;
mod report;
mod show;
mod target;

use crate::App;
use crate::args;
use crate::commands::interrupted;
use crate::commands::runs::flags::RunFlags;
use crate::commands::runs::{self, flags};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{self, Column, Format};
use clap::{Args, ValueEnum};
use cmdr_protocol::exec::{MAX_SCRIPT, Script, Start};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::runs::{Command, Line, Order, PlannedHost, Start as RunStart};
use futures::StreamExt as _;
use report::Report;
use show::Show;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use target::{End, Event, State};
use tokio::sync::mpsc;

/// Streams that one link carries at once leave room for so many commands.
const MOST_AT_ONCE: usize = 200;
/// Hosts at once when nothing is said.
const PARALLEL: u16 = 64;
/// Events between the hosts and the output; when it is full the hosts wait.
const EVENTS: usize = 64;
/// After a cancel the far ends get so long to hear of it.
const GOODBYE: Duration = Duration::from_secs(2);

/// How it is called.
pub(super) const USAGE: &str = "cmdr exec [OPTIONS] <SELECTOR> [--] <ARGV>...\n       \
                                cmdr exec [OPTIONS] --script <FILE> <SELECTOR> [--] [ARGV]...";

/// Run a command on hosts and stream its output.
///
/// With one host its output passes through as it is and the exit code is the command's. With more,
/// each line begins with the host's name. Arguments are passed on as they are; for pipes and
/// variables run a shell: cmdr exec 'web*' -- sh -c 'uptime | cut -d, -f1'.
///
/// When the command ends, by itself or by --timeout or Ctrl-C, everything that it has started is ended
/// with it, background children and daemons too: output is waited for a second, then they are killed.
/// What shall stay belongs to the service manager: cmdr exec HOST -- systemd-run COMMAND.
///
/// On more than one host it is a run: the hub keeps it until each host has its end, guards it (--plan,
/// --confirm) and has its results later (cmdr run ls). --direct does without.
///
/// Each host ends in one state: ok, failed, timed_out, cancelled, lost, unreachable or refused.
/// Ctrl-C cancels on all hosts; a second one does not wait for that. What shall go on without us takes
/// --detach.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// Which hosts.
    #[arg(value_parser = args::selector)]
    selector: String,

    /// Run this script file; what follows -- are its arguments.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// User to run as [default: the agent's own].
    #[arg(short, long)]
    user: Option<String>,

    /// Working directory [default: the user's home].
    #[arg(short = 'C', long, value_name = "DIR")]
    cwd: Option<String>,

    /// Add to the environment.
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = args::variable)]
    env: Vec<(String, String)>,

    /// Pass our input on: auto (to one host, unless it is a terminal), none, or all.
    #[arg(long, value_enum, default_value_t, value_name = "WHOM", hide_possible_values = true)]
    stdin: Stdin,

    /// Hosts at once [default: 64; of a run, all of its wave].
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=MOST_AT_ONCE as i64))]
    parallel: Option<u16>,

    /// With more than one host: no run, nothing is kept, no output is too long; it ends with us. As with
    /// --stdin all.
    #[arg(long, conflicts_with_all = ["plan", "line"])]
    direct: bool,

    /// Have the host's shell run one line: cmdr exec --line 'uptime | cut -d, -f1' 'web*'.
    #[arg(long, value_name = "LINE", conflicts_with_all = ["script", "argv"])]
    line: Option<String>,

    #[command(flatten)]
    pub(super) run: RunFlags,

    /// The command and its arguments, after --. Without one of them beginning with a dash the -- may
    /// be left out.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGV")]
    #[arg(required_unless_present_any = ["script", "plan", "line"])]
    argv: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Stdin {
    #[default]
    Auto,
    None,
    All,
}

fn read_script(path: &Path) -> Result<Script, Failure> {
    let bad = |e: std::io::Error| Failure::usage(format!("script {}: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(bad)?;
    let mut content = Vec::new();
    file.take(MAX_SCRIPT as u64 + 1).read_to_end(&mut content).map_err(bad)?;
    if content.len() > MAX_SCRIPT {
        return Err(Failure::usage(format!(
            "script {}: larger than {} KiB",
            path.display(),
            MAX_SCRIPT / 1024
        )));
    }
    if content.is_empty() {
        return Err(Failure::usage(format!("script {}: is empty", path.display())));
    }
    let name = path.file_name().map_or_else(|| "script".into(), |n| n.to_string_lossy());
    Ok(Script { name: name.into_owned(), content })
}

/// Whether `--` stands before the command in the words of our own command line.
fn is_marked(words: &[OsString], argv: &[String]) -> bool {
    let before = words.len().checked_sub(argv.len() + 1).and_then(|at| words.get(at));
    before.is_some_and(|word| word == "--")
}

/// Without `--` nobody can tell whose an option is that stands behind the command.
fn check_marked(words: &[OsString], args: &ExecArgs) -> Result<(), Failure> {
    let option = args.argv.iter().find(|word| word.starts_with('-'));
    let Some(option) = option.filter(|_| !is_marked(words, &args.argv)) else { return Ok(()) };
    let at = words.len().saturating_sub(args.argv.len());
    let (ours, theirs) = words.split_at(at);
    let line = |words: &[OsString]| {
        let quoted = words.iter().map(|word| quote(&word.to_string_lossy()));
        quoted.collect::<Vec<_>>().join(" ")
    };
    Err(Failure::usage(format!("is '{option}' meant for cmdr or for the command? say it with --"))
        .hint(format!(
            "if it is the command's: cmdr {} -- {}; cmdr's own options go before the command",
            line(ours.get(1..).unwrap_or_default()),
            line(theirs)
        )))
}

/// A word as a shell would have to be told it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What no host could carry out is told before any is asked.
fn check(args: &ExecArgs) -> Result<(), Failure> {
    let unnamed = args.script.is_none() && args.argv.first().is_some_and(String::is_empty);
    if unnamed {
        return Err(Failure::usage("the command's name is empty")
            .hint("give a program: cmdr exec HOST -- PROGRAM ARGUMENTS"));
    }
    if let Some(cwd) = args.cwd.as_ref().filter(|cwd| !cwd.starts_with('/')) {
        return Err(Failure::usage(format!("the working directory '{cwd}' must begin with '/'")));
    }
    if args.user.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::usage("the user's name is empty"));
    }
    Ok(())
}

/// Runs it.
pub(super) async fn run(app: &App, args: ExecArgs) -> Result<Exit, Failure> {
    let shows = !(args.run.detach || args.run.plan || args.run.clock.schedule.is_some());
    if matches!(app.out.format, Format::Name | Format::Csv) && shows {
        return Err(Failure::usage("exec has no output formats 'name' and 'csv'"));
    }
    check_marked(&std::env::args_os().collect::<Vec<_>>(), &args)?;
    check(&args)?;
    let kept = args.run.any() || args.line.is_some();
    let passes_input = args.stdin == Stdin::All;
    if kept && (args.direct || passes_input) {
        let flag = if args.direct { "--direct" } else { "--stdin all" };
        return Err(Failure::usage(format!(
            "{flag} does not go with the options for runs: a run is kept by the hub and gets no input from here"
        )));
    }
    let begin = async {
        let hub = Hub::connect(app).await?;
        // A name that is written out and is no host's is not left out in silence.
        let targets = hub.resolve(&args.selector).await?;
        Ok::<_, Failure>((hub, targets))
    };
    let (hub, targets) = tokio::select! {
        begun = begin => begun?,
        () = interrupted() => return Ok(Exit::Cancelled),
    };
    let several = targets.len() > 1;
    if !args.run.plan && !kept && (!several || args.direct || passes_input) {
        return direct(app, hub, targets, args).await;
    }
    let start = request(app, &args)?;
    runs::begin(app, hub, start, &args.run).await
}

/// The order as a run of the hub's.
fn request(app: &App, args: &ExecArgs) -> Result<RunStart, Failure> {
    let mut order = Order {
        env: args.env.iter().cloned().collect(),
        user: args.user.clone(),
        cwd: args.cwd.clone(),
        timeout_ms: timeout_ms(app),
        ..Order::default()
    };
    if let Some(text) = &args.line {
        order.line = Some(Line { text: text.clone() });
    } else if let Some(path) = &args.script {
        let Script { name, content } = read_script(path)?;
        order.script = Some(cmdr_protocol::runs::Script {
            name,
            content,
            args: args.argv.clone(),
            ..cmdr_protocol::runs::Script::default()
        });
    } else {
        order.command = Some(Command { argv: args.argv.clone() });
    }
    args.run.start(&args.selector, order, args.parallel)
}

fn timeout_ms(app: &App) -> Option<u64> {
    app.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX))
}

/// Over our own link to each host, with our input where it is wanted: one host, or several that somebody wants so.
async fn direct(
    app: &App,
    hub: Hub,
    targets: Vec<Target>,
    args: ExecArgs,
) -> Result<Exit, Failure> {
    if targets.len() > 1 {
        // The hub sees one command on each of them; what its guard asks of a run is asked here.
        let mut asked = request(app, &args)?;
        flags::confirm(app, &hub, &mut asked).await?;
    }
    let input = match args.stdin {
        Stdin::None => false,
        Stdin::All => true,
        Stdin::Auto => targets.len() == 1 && !std::io::stdin().is_terminal(),
    };
    let mut parallel = usize::from(args.parallel.unwrap_or(PARALLEL));
    if input && targets.len() > parallel {
        // A host that waits for its turn would hold up the input of those it waits for.
        parallel = targets.len();
        if parallel > MOST_AT_ONCE {
            return Err(Failure::usage(format!(
                "--stdin=all reaches at most {MOST_AT_ONCE} hosts, and '{}' picks {}",
                args.selector,
                targets.len()
            )));
        }
    }
    let start = Start {
        argv: args.argv,
        script: args.script.as_deref().map(read_script).transpose()?,
        stdin: input,
        env: args.env.into_iter().collect(),
        user: args.user,
        cwd: args.cwd,
        timeout_ms: timeout_ms(app),
    };
    order(app, &hub, targets, start, parallel).await
}

/// Shows what a run would come to.
pub(super) fn planned(app: &App, planned: &cmdr_protocol::runs::Planned) -> Result<Exit, Failure> {
    let columns = [
        Column::text("NAME", |r: &PlannedHost| r.name.as_str().into()),
        Column::text("STATE", |r: &PlannedHost| r.state.as_str().into()),
        Column::figure("WAVE", |r: &PlannedHost| (r.wave + 1).to_string().into()),
        Column::text(
            "PROTECTED",
            |r: &PlannedHost| if r.protected { "yes".into() } else { "-".into() },
        ),
        Column::text("ID", |r: &PlannedHost| {
            r.host.map(|id| id.to_string()).unwrap_or_default().into()
        })
        .wide(),
    ];
    match app.out.format {
        Format::Json | Format::Yaml => app.out.one(planned, &[], "")?,
        _ => app.out.list(&planned.hosts, &columns, |r: &PlannedHost| r.name.clone())?,
    }
    let hosts = human::count(u64::from(planned.count), "host");
    let away = planned.count - planned.online.min(planned.count);
    let away = if away > 0 { format!(", {away} of them away") } else { String::new() };
    let waves = match planned.waves.len() {
        0 | 1 => String::new(),
        waves => format!(" in {waves} waves"),
    };
    app.out.note(&format!("would run on {hosts}{waves}{away}; nothing was run"));
    if planned.guard.confirm {
        app.out.note(&format!("{}: it takes --confirm {}", planned.guard.why, planned.count));
    }
    for refused in &planned.refused {
        app.out.warn(&format!("not allowed on {}: {}", refused.name, refused.why));
    }
    Ok(if planned.refused.is_empty() { Exit::Ok } else { Exit::Denied })
}

/// Gives the order to all targets and shows what comes back until each has ended.
async fn order(
    app: &App,
    hub: &Hub,
    targets: Vec<Target>,
    start: Start,
    parallel: usize,
) -> Result<Exit, Failure> {
    let mut inputs = if start.stdin { input::share(targets.len()) } else { Vec::new() };
    inputs.reverse();
    let mut show = Show::new(&app.out, &targets);
    let mut report = Report::new(targets.clone());
    let (pipe, written) = pipe::start()?;
    let (send, mut events) = mpsc::channel(EVENTS);

    let jobs: Vec<_> = targets
        .into_iter()
        .enumerate()
        .map(|(at, target)| {
            let job = target::Job {
                at,
                target,
                client: hub.client.clone(),
                start: start.clone(),
                input: inputs.pop(),
                events: send.clone(),
            };
            job.run()
        })
        .collect();
    drop((send, start));
    // A task of its own: while our output is held up, the link lives on.
    let running = tokio::spawn(async move {
        futures::stream::iter(jobs).buffer_unordered(parallel).for_each(|()| async {}).await;
    });

    let mut interrupt = std::pin::pin!(interrupted());
    let complete = {
        let work = relay(&app.out, &mut events, &mut show, &mut report, &pipe);
        tokio::select! {
            biased;
            () = &mut interrupt => false,
            complete = work => complete,
        }
    };
    if !complete {
        // Dropping the feeds ends the process groups at the far end.
        running.abort();
        report.cancel_rest();
        hub.client.link().close("cancelled by the operator");
        let goodbye = tokio::time::timeout(GOODBYE, hub.client.link().down());
        tokio::select! {
            _ = goodbye => {}
            () = interrupted() => return Ok(Exit::Cancelled),
        }
    }
    for piece in show.finish(&report) {
        if !pipe.send(piece).await {
            break;
        }
    }
    drop(pipe);
    let written = tokio::select! {
        written = written => written,
        () = interrupted() => return Ok(Exit::Cancelled),
    };
    if let Ok(Err(e)) = written {
        return Err(output::unwritable(&e));
    }
    report.tell(&app.out);
    Ok(if complete { report.exit() } else { Exit::Cancelled })
}

/// Passes events on until the last host has ended; false when nobody reads our output any more.
async fn relay(
    out: &output::Output,
    events: &mut mpsc::Receiver<(usize, Event)>,
    show: &mut Show,
    report: &mut Report,
    pipe: &pipe::Pipe,
) -> bool {
    while let Some((at, event)) = events.recv().await {
        match &event {
            Event::Word(true, word) => out.detail(word),
            Event::Word(false, word) => out.note(word),
            _ => {}
        }
        for piece in show.on(at, &event) {
            if !pipe.send(piece).await {
                return false;
            }
        }
        if let Event::End(end) = event {
            report.ended(at, end);
        }
    }
    true
}

/// What a target that was never asked ends in.
fn not_asked(state: HostState, name: &str) -> Option<End> {
    match state {
        HostState::Online => None,
        HostState::Pending => Some(End::error(
            State::Refused,
            format!("waits for approval; approve it with: cmdr hosts approve {name}"),
        )),
        _ => Some(End::error(State::Unreachable, "has no link to the hub now")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        exec: ExecArgs,
    }

    /// The command that a line means, or the hint.
    fn read(words: &[&str]) -> Result<Vec<String>, String> {
        let all: Vec<OsString> = ["cmdr"].iter().chain(words).map(OsString::from).collect();
        let line = Line::try_parse_from(&all).map_err(|e| e.to_string())?;
        check_marked(&all, &line.exec).map_err(|failure| failure.hint.unwrap_or_default())?;
        Ok(line.exec.argv)
    }

    #[test]
    fn a_command_without_dashes_needs_no_mark() {
        for words in [&["web1", "ls", "/tmp"][..], &["web1", "--", "ls", "/tmp"]] {
            assert_eq!(read(words).unwrap(), ["ls", "/tmp"]);
        }
        assert_eq!(read(&["web1", "-C", "/", "--", "ls", "-l"]).unwrap(), ["ls", "-l"]);
        assert_eq!(read(&["web1", "--", "sh", "--", "x"]).unwrap(), ["sh", "--", "x"]);
        assert!(read(&["web1", "--plan"]).unwrap().is_empty());
    }

    #[test]
    fn an_option_that_could_be_anybodys_is_asked_about_with_the_right_line() {
        let hint = read(&["web*", "sort", "-u", "a b"]).unwrap_err();
        assert!(hint.contains("cmdr 'web*' -- sort -u 'a b';"), "{hint}");
        assert!(read(&["web1"]).unwrap_err().contains("ARGV"));
    }

    #[test]
    fn quoted_words_are_one_word_again() {
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a=b"), "a=b");
    }
}
