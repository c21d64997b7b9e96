//! `cmdr-tui`: reads flags, configuration and the hub's context, then shows the screen.

use anyhow::Context as _;
use clap::Parser;
use cmdr_link::context::{Context, ContextError, client_dir};
use cmdr_link::session::{Dialer, Session};
use cmdr_link::zone;
use cmdr_tui::app::{App, Options};
use cmdr_tui::browser;
use cmdr_tui::config;
use cmdr_tui::i18n::{Lang, Texts};
use cmdr_tui::journal::Journal;
use cmdr_tui::keymap::Keymap;
use cmdr_tui::link::Link;
use cmdr_tui::local;
use cmdr_tui::terminal;
use cmdr_tui::theme::{AUTO, Depth};
use cmdr_tui::widgets::chart::Glyphs;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// A whole fleet in one terminal.
///
/// Shows the hosts of the hub that `cmdr login` was used with. Inside, `?` lists all keys.
#[derive(Debug, Parser)]
#[command(name = "cmdr-tui", version, max_term_width = 100)]
struct Args {
    /// First bring up a private hub and this machine's agent, as `cmdr up --detach` does
    #[arg(long)]
    local: bool,
    /// Leave out everything that changes something
    #[arg(long)]
    read_only: bool,
    /// Colours: auto (dark or light, as the terminal is), or a name from the list under T; mono has none
    #[arg(long, value_name = "NAME")]
    theme: Option<String>,
    /// Begin with the fleet, not with what was on the screens the last time
    #[arg(long)]
    fresh: bool,
    /// Few bytes before all else, for a thin line: calmer, no fine drawings, at most 256 colours, and how many bytes are drawn
    #[arg(long, env = "CMDR_THIN", value_parser = clap::builder::FalseyValueParser::new())]
    thin: bool,
    /// Language: en or zh [default: what LANG says]
    #[arg(long, value_name = "LANG")]
    lang: Option<String>,
    /// Print every action with its keys, as the settings file's [keys] would name them
    #[arg(long)]
    keys: bool,
    /// What charts are drawn with: braille, block or ascii
    #[arg(long, value_name = "KIND")]
    chart: Option<String>,
}

/// What is wrong, and the exit code that says so.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic has been told when it arrives here.
    match std::panic::catch_unwind(|| start(&args)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => complain(&failure),
        Err(_) => ExitCode::from(70),
    }
}

#[expect(clippy::print_stderr, reason = "the screen is not up, or down again")]
fn complain(failure: &Failure) -> ExitCode {
    eprintln!("cmdr-tui: {}", failure.text);
    ExitCode::from(failure.code)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print_keys(keys: &Keymap) {
    print!("{}", keys.written(&Texts::new(Lang::En)));
}

fn start(args: &Args) -> Result<(), Failure> {
    let var = |name: &str| std::env::var(name).ok();
    let path = config::path(var);
    let config = config::load(&path).map_err(Failure::usage)?;
    if args.keys {
        print_keys(&config.keys);
        return Ok(());
    }
    let lang = match &args.lang {
        Some(text) => Some(
            Lang::parse(text)
                .ok_or_else(|| Failure::usage(format!("--lang {text} is not en or zh")))?,
        ),
        None => config.lang,
    };
    let from_locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| var(name).filter(|v| !v.is_empty()))
        .and_then(|locale| Lang::parse(&locale));
    let glyphs = match &args.chart {
        Some(text) => Some(Glyphs::parse(text).ok_or_else(|| {
            Failure::usage(format!("--chart {text} is not braille, block or ascii"))
        })?),
        None => config.chart,
    };
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage("this program needs a terminal; for scripts there is cmdr"));
    }
    if args.local {
        local::bring_up().map_err(|error| Failure { code: 70, text: format!("{error:#}") })?;
    }
    let folder = client_dir();
    // A passphrase is asked for before there is a screen.
    let context = Context::open(&folder).map_err(|error| match error {
        ContextError::None(_) => Failure {
            code: 7,
            text: "no hub is known here; run cmdr login TOKEN, or cmdr-tui --local".to_owned(),
        },
        other => Failure { code: 7, text: other.to_string() },
    })?;
    let journal = Journal::default();
    keep_log(&journal, &folder.join("tui.log"));
    let (no_restore, hints) = (config.no_restore, !config.no_hints);
    let thin = args.thin || config.thin;
    let depth = Depth::detect(var);
    let options = Options {
        read_only: args.read_only,
        thin,
        meter: config.meter.unwrap_or(thin),
        lang: lang.or(from_locale).unwrap_or_default(),
        theme: args.theme.clone().or(config.theme.clone()).unwrap_or_else(|| AUTO.to_owned()),
        depth: if thin { depth.at_most_256() } else { depth },
        glyphs: glyphs.unwrap_or(if thin { Glyphs::Block } else { Glyphs::default() }),
        keys: config.keys.clone(),
        terminal: config.terminal.clone(),
        alerts: config.alerts,
        opener: browser::find(|name| std::env::var_os(name)),
        kept: config.into(),
        config: Some(path),
        memory: Some(folder.join("screens.toml")),
        restore: !args.fresh && !no_restore,
        hints,
        drafts: Some(folder.join("drafts")),
        now_ms: cmdr_link::clock::now_ms,
        utc_offset_s: zone::offset_s(cmdr_link::clock::now_ms() / 1000, var),
        journal,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .map_err(|error| Failure { code: 70, text: format!("{error:#}") })?;
    runtime.block_on(async move {
        let session = Session::start(Dialer::client(context, env!("CARGO_PKG_VERSION")));
        let mut app = App::new(options, Link::session(session.clone())).map_err(Failure::usage)?;
        let shown = terminal::run(&mut app).await;
        session.close();
        shown.map_err(|error| Failure { code: 70, text: format!("{error:#}") })
    })
}

/// Sends log lines into the journal. A state folder that cannot be written costs the file, not the
/// client: the lines are still in the log overlay.
fn keep_log(journal: &Journal, path: &std::path::Path) {
    if let Err(error) = journal.open(path) {
        journal.push(&format!("no log file at {}: {error}", path.display()));
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("CMDR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(filter)
        .with_writer(journal.clone())
        .finish();
    // Fails only when one is set already, and main sets none before.
    drop(tracing::subscriber::set_global_default(subscriber));
}
