//! `docker`: the list of its verbs. The engine of each host is asked through its agent; JSON has docker's own
//! field names, and the host.

mod acts;
mod archives;
mod change;
mod compose;
mod containers;
mod cp;
mod engine;
mod exec;
mod images;
mod logs;
mod networks;
mod proxy;
mod registries;
mod run;
mod stats;
mod told;
mod volumes;

use super::processes::about;
use crate::App;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use cmdr_protocol::Call;
use serde::Serialize;
use std::time::Duration;

/// Docker on one host or more: containers, images, volumes, networks, and the engine itself.
///
/// The engine is asked by the host's agent over its socket; nothing is opened to the network.
#[derive(Debug, Args)]
pub struct DockerArgs {
    #[command(subcommand)]
    verb: Verb,
}

impl DockerArgs {
    /// Whether it sees to Ctrl-C itself.
    pub(super) const fn is_orderly(&self) -> bool {
        match &self.verb {
            Verb::Events(_) | Verb::Logs(_) | Verb::Proxy(_) | Verb::Stats(_) => true,
            Verb::Compose(args) => args.is_orderly(),
            _ => false,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Info(engine::InfoArgs),
    Df(engine::DfArgs),
    Events(engine::EventsArgs),
    Prune(engine::PruneArgs),
    Logs(logs::LogsArgs),
    Exec(exec::ExecArgs),
    Attach(exec::AttachArgs),
    Proxy(proxy::ProxyArgs),
    Ps(containers::PsArgs),
    Inspect(containers::InspectArgs),
    /// Show the processes of a container.
    #[command(name = "top")]
    Processes(containers::OneArgs),
    /// Show which files of a container are not its image's any more: C changed, A added, D deleted.
    Diff(containers::OneArgs),
    /// Show at which ports of the host a container is reached.
    Port(containers::OneArgs),
    /// Start containers.
    Start(acts::OnArgs),
    /// Stop containers: each is asked, and killed when it takes too long.
    Stop(acts::StopArgs),
    /// Stop and start containers.
    Restart(acts::StopArgs),
    /// Give containers no time any more.
    Pause(acts::OnArgs),
    /// Give them time again.
    Unpause(acts::OnArgs),
    /// Send containers a signal.
    Kill(acts::KillArgs),
    /// Give a container another name.
    Rename(acts::RenameArgs),
    /// Take containers away, with what they wrote.
    Rm(acts::RmArgs),
    Run(run::RunArgs),
    /// As run, without starting it.
    Create(run::RunArgs),
    Stats(stats::StatsArgs),
    Update(change::UpdateArgs),
    Recreate(change::RecreateArgs),
    Commit(change::CommitArgs),
    Export(change::ExportArgs),
    Cp(cp::CpArgs),
    Images(images::ImagesArgs),
    History(images::HistoryArgs),
    Tag(images::TagArgs),
    Rmi(images::RmiArgs),
    Image(images::ImageArgs),
    Save(archives::SaveArgs),
    Load(archives::LoadArgs),
    Pull(registries::PullArgs),
    Push(registries::PushArgs),
    Outdated(registries::OutdatedArgs),
    Registry(registries::RegistryArgs),
    Volume(volumes::VolumeArgs),
    Network(networks::NetworkArgs),
    Compose(compose::ComposeArgs),
}

pub(super) async fn run(app: &App, args: &DockerArgs) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Info(args) => engine::info(app, args).await,
        Verb::Df(args) => engine::df(app, args).await,
        Verb::Events(args) => engine::events(app, args).await,
        Verb::Prune(args) => engine::prune(app, args).await,
        Verb::Logs(args) => logs::logs(app, args).await,
        Verb::Exec(args) => exec::exec(app, args).await,
        Verb::Attach(args) => exec::attach(app, args).await,
        Verb::Proxy(args) => proxy::proxy(app, args).await,
        Verb::Ps(args) => containers::ps(app, args).await,
        Verb::Inspect(args) => containers::inspect(app, args).await,
        Verb::Processes(args) => containers::top(app, args).await,
        Verb::Diff(args) => containers::diff(app, args).await,
        Verb::Port(args) => containers::port(app, args).await,
        Verb::Start(args) => acts::start(app, args).await,
        Verb::Stop(args) => acts::stop(app, args).await,
        Verb::Restart(args) => acts::restart(app, args).await,
        Verb::Pause(args) => acts::pause(app, args).await,
        Verb::Unpause(args) => acts::unpause(app, args).await,
        Verb::Kill(args) => acts::kill(app, args).await,
        Verb::Rename(args) => acts::rename(app, args).await,
        Verb::Rm(args) => acts::rm(app, args).await,
        Verb::Run(args) => run::run(app, args, true).await,
        Verb::Create(args) => run::run(app, args, false).await,
        Verb::Stats(args) => stats::stats(app, args).await,
        Verb::Update(args) => change::update(app, args).await,
        Verb::Recreate(args) => change::recreate(app, args).await,
        Verb::Commit(args) => change::commit(app, args).await,
        Verb::Export(args) => change::export(app, args).await,
        Verb::Cp(args) => cp::cp(app, args).await,
        Verb::Images(args) => images::images(app, args).await,
        Verb::History(args) => images::history(app, args).await,
        Verb::Tag(args) => images::tag(app, args).await,
        Verb::Rmi(args) => images::rmi(app, args).await,
        Verb::Image(args) => images::image_verb(app, args).await,
        Verb::Save(args) => archives::save(app, args).await,
        Verb::Load(args) => archives::load(app, args).await,
        Verb::Pull(args) => registries::pull(app, args).await,
        Verb::Push(args) => registries::push(app, args).await,
        Verb::Outdated(args) => registries::outdated(app, args).await,
        Verb::Registry(args) => registries::run(app, args).await,
        Verb::Volume(args) => volumes::run(app, args).await,
        Verb::Network(args) => networks::run(app, args).await,
        Verb::Compose(args) => compose::run(app, args).await,
    }
}

/// What stands in a table of more than one host, and in all data: whose a row is.
#[derive(Debug, Serialize)]
struct Of<T> {
    #[serde(rename = "Host")]
    host: String,
    #[serde(flatten)]
    row: T,
}

/// What hosts answered.
struct Answers<R> {
    /// Those that did, in the order of the hosts.
    replies: Vec<(Target, R)>,
    /// How bad it is that others did not.
    exit: Exit,
    /// How many were asked.
    asked: usize,
}

/// Asks each host that a selector picks; why one does not answer is said.
async fn ask_each<C: Call>(
    app: &App,
    hub: &Hub,
    selector: &str,
    call: &C,
    patience: Duration,
) -> Result<Answers<C::Reply>, Failure> {
    let targets = hub.resolve(selector).await?;
    let mut answers = Answers { replies: Vec::new(), exit: Exit::Ok, asked: targets.len() };
    for (target, answer) in hub.ask_hosts_within(&targets, call, patience).await {
        match answer {
            Ok(reply) => answers.replies.push((target.clone(), reply)),
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                answers.exit = answers.exit.worst(failure.exit);
            }
        }
    }
    Ok(answers)
}
