//! The program `cmdr-agentd`: arguments, log, runtime.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use cmdr_agentd::join::{self, Ask};
use cmdr_agentd::policy::Policy;
use cmdr_agentd::services::facts;
use cmdr_agentd::state::{self, Failure};
use cmdr_agentd::{Config, holder, run, supervise};
use cmdr_link::link::Target;
use cmdr_link::token::JoinToken;
use cmdr_protocol::{PublicKey, address};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Commander's agent: runs on every server, dials the hub, answers what it is asked.
#[derive(Parser)]
#[command(name = "cmdr-agentd", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask a hub to take this machine in
    Join {
        /// The token, from `cmdr-hub token`; `-` reads it from standard input
        token: Option<String>,
        /// A file that holds the token
        #[arg(long, value_name = "FILE", conflicts_with = "token")]
        token_file: Option<PathBuf>,
        /// Join without a token: the hub's address; an administrator must approve
        #[arg(long, value_name = "HOST:PORT", value_parser = address::parse)]
        #[arg(requires = "hub_key", conflicts_with_all = ["token", "token_file"])]
        hub: Option<String>,
        /// The hub's public key
        #[arg(long, value_name = "KEY", requires = "hub")]
        hub_key: Option<PublicKey>,
        /// The name this host would like; its host name when absent
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Stay connected to the hub and answer what it asks
    Run {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        rules: Rules,
        /// End when standard input ends, as it does when whoever started this is gone
        #[arg(long)]
        while_stdin: bool,
    },
    /// Print what this host is, as JSON
    Facts,
    /// Check the policy file and the state folder
    Check {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        rules: Rules,
    },
}

#[derive(clap::Args)]
struct Place {
    /// The agent's own folder
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Place {
    fn dir(self) -> PathBuf {
        self.state.unwrap_or_else(state::default_dir)
    }
}

#[derive(clap::Args)]
struct Rules {
    /// What this host allows; /etc/cmdr/agent.toml when that exists
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Rules {
    fn load(&self) -> Result<Policy, Failure> {
        Policy::find(self.policy.as_deref()).map_err(|e| Failure::usage(e.to_string()))
    }
}

/// What only the agent itself asks for: a program's supervisor, a session's holder and what begins its
/// program.
fn own_business() -> Option<ExitCode> {
    let word = std::env::args_os().nth(1)?;
    if [supervise::WORD, holder::WORD, holder::BEGIN_WORD].iter().any(|own| word == *own) {
        cmdr_agentd::take_name();
    }
    let (name, done) = if word == supervise::WORD {
        (supervise::WORD, supervise::main())
    } else if word == holder::WORD {
        (holder::WORD, holder::main())
    } else if word == holder::BEGIN_WORD {
        (holder::BEGIN_WORD, holder::begin_main())
    } else {
        return None;
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            writeln!(std::io::stderr(), "cmdr-agentd: {name} is for the agent itself: {e}").ok();
            ExitCode::from(2)
        }
    })
}

fn main() -> ExitCode {
    // Once for each program that is run: nothing else is made ready before.
    if let Some(code) = own_business() {
        return code;
    }
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match start(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.downcast_ref::<Failure>().map_or(70, |failure| failure.code);
            if code == UNREAD {
                return ExitCode::from(code);
            }
            // Nothing is left to be told when even this cannot be written.
            writeln!(std::io::stderr(), "cmdr-agentd: {error:#}").ok();
            ExitCode::from(code)
        }
    }
}

fn start(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Only file systems that may hang are looked at from there.
        .max_blocking_threads(4)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()
        .context("starting the runtime")?;
    match command {
        Command::Join { token, token_file, hub, hub_key, name, place } => {
            let ask = match hub.zip(hub_key) {
                Some((address, hub)) => Ask::Hub(Target { address, hub }),
                None => Ask::Token(read_token(token, token_file)?),
            };
            let dir = place.dir();
            let name = name.unwrap_or_else(|| facts::basics(&Config::new(dir.clone())).hostname);
            let joined = runtime.block_on(join::join(&dir, name, ask))?;
            print(&format!("{joined}\n"))
        }
        Command::Run { place, rules, while_stdin } => {
            let mut config = Config::new(place.dir());
            config.policy = rules.load()?;
            if let Some(socket) = &config.policy.containers.socket {
                config.docker_socket.clone_from(socket);
            }
            Ok(runtime.block_on(run::run(config, while_stdin))?)
        }
        Command::Facts => {
            let config = Config::new(state::default_dir());
            let facts = runtime.block_on(facts::collect(&config));
            print(&(serde_json::to_string_pretty(&facts)? + "\n"))
        }
        Command::Check { place, rules } => {
            let policy = rules.load()?;
            let dir = place.dir();
            let context = run::load_context(&dir)?;
            let id = cmdr_link::context::host_id(&dir, &context.key);
            print(&format!(
                "policy: {policy}\nstate: {} (host id {id}, hub {})\n",
                dir.display(),
                context.target.address
            ))
        }
    }
}

fn read_token(token: Option<String>, file: Option<PathBuf>) -> Result<JoinToken, Failure> {
    let limited = |mut from: Box<dyn std::io::Read>, what: &str| {
        let mut text = String::new();
        from.by_ref()
            .take(4096)
            .read_to_string(&mut text)
            .map_err(|e| Failure::usage(format!("reading the token from {what}: {e}")))?;
        Ok(text)
    };
    let text = match (token, file) {
        (Some(dash), _) if dash == "-" => limited(Box::new(std::io::stdin()), "standard input")?,
        (Some(text), _) => text,
        (None, Some(path)) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(&path)
                .map_err(|e| Failure::usage(format!("reading the token from {name}: {e}")))?;
            limited(Box::new(file), &name)?
        }
        (None, None) => {
            return Err(Failure::usage(
                "a token is needed: cmdr-agentd join TOKEN (or --token-file FILE, \
                 or --hub HOST:PORT --hub-key KEY to wait for approval)",
            ));
        }
    };
    JoinToken::parse(&text).map_err(|e| Failure::usage(e.to_string()))
}

/// The code that a shell gives to a program ended by SIGPIPE: whoever read our output has left.
const UNREAD: u8 = 141;

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| {
        let unread = e.kind() == std::io::ErrorKind::BrokenPipe;
        let message = format!("cannot write the output: {}", cmdr_link::files::reason(&e));
        Failure { code: if unread { UNREAD } else { 1 }, message }.into()
    })
}
