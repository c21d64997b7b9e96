//! The list of verbs. Each variant's file begins with its arguments, whose comments are the help.

mod alerts;
mod approvals;
mod audit;
mod config;
mod data;
mod docker;
mod edit;
mod edits;
mod environment;
mod exec;
mod files;
mod forward;
mod gateway;
mod generate;
mod groups;
mod history;
mod hosts;
mod hub;
mod key;
mod keys;
mod local;
mod login;
mod logs;
mod notifiers;
mod operators;
mod packages;
mod ping;
mod ports;
mod probes;
mod processes;
mod push;
mod pushes;
mod recorder;
mod recordings;
mod replay;
mod roles;
mod rules;
mod runbook;
mod runs;
mod secrets;
mod services;
mod sessions;
mod shell;
mod ssh;
mod system;
mod tokens;
mod top;
mod totp;
mod watch;

use crate::App;
use crate::exit::{Exit, Failure};
use crate::output::{Format, no_picture};
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Whoami(login::WhoamiArgs),
    Passwd(totp::PasswdArgs),
    Totp(totp::TotpArgs),
    #[command(name = "device-key")]
    Key(key::KeyArgs),
    Up(local::UpArgs),
    Down(local::DownArgs),
    Hosts(hosts::HostsArgs),
    #[command(override_usage = exec::USAGE)]
    Exec(exec::ExecArgs),
    Run(runs::RunArgs),
    Logs(logs::LogsArgs),
    Watch(watch::WatchArgs),
    Shell(shell::ShellArgs),
    Attach(shell::AttachArgs),
    Ssh(ssh::SshArgs),
    SshHosts(ssh::HostsArgs),
    Sessions(sessions::SessionsArgs),
    Ls(files::LsArgs),
    Cat(files::CatArgs),
    Cp(files::cp::CpArgs),
    Push(push::PushArgs),
    Packages(packages::PackagesArgs),
    Stat(files::StatArgs),
    Mkdir(files::MkdirArgs),
    Mv(files::MvArgs),
    Rm(files::RmArgs),
    Chmod(files::ChmodArgs),
    Archive(files::ArchiveArgs),
    Unpack(files::UnpackArgs),
    Edit(edit::EditArgs),
    Edits(edits::EditsArgs),
    HostsFile(edit::HostsFileArgs),
    Env(environment::EnvArgs),
    Top(top::TopArgs),
    Chart(history::chart::ChartArgs),
    History(history::HistoryArgs),
    Data(data::DataArgs),
    Rules(rules::RulesArgs),
    Alerts(alerts::AlertsArgs),
    Notifiers(notifiers::NotifiersArgs),
    Probes(probes::ProbesArgs),
    #[command(alias = "gateways")]
    Gateway(gateway::GatewayArgs),
    Ps(processes::PsArgs),
    Kill(processes::KillArgs),
    Renice(processes::ReniceArgs),
    Recorder(recorder::RecorderArgs),
    Ports(ports::PortsArgs),
    #[command(override_usage = forward::USAGE)]
    Forward(forward::ForwardArgs),
    Services(services::ServicesArgs),
    System(system::SystemArgs),
    Docker(docker::DockerArgs),
    Ping(ping::PingArgs),
    Tokens(tokens::TokensArgs),
    Operators(operators::OperatorsArgs),
    Roles(roles::RolesArgs),
    Groups(groups::GroupsArgs),
    Keys(keys::KeysArgs),
    Approvals(approvals::ApprovalsArgs),
    Runbook(runbook::RunbookArgs),
    Config(config::ConfigArgs),
    CanI(roles::CanIArgs),
    WhoCan(roles::WhoCanArgs),
    Pushes(pushes::PushesArgs),
    Secrets(secrets::SecretsArgs),
    Audit(audit::AuditArgs),
    Recordings(recordings::RecordingsArgs),
    Replay(replay::ReplayArgs),
    Hub(hub::HubArgs),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

/// Does it. Ctrl-C ends any verb; those that have something to put in order first see to it themselves.
pub async fn run(app: &App, command: Command) -> Result<Exit, Failure> {
    let orderly = matches!(
        command,
        Command::Exec(_)
            | Command::Logs(_)
            | Command::Watch(_)
            | Command::Up(_)
            | Command::Edit(_)
            | Command::HostsFile(_)
    ) || matches!(&command, Command::Docker(args) if args.is_orderly())
        || matches!(&command, Command::Forward(args) if args.is_orderly());
    tokio::select! {
        biased;
        result = choose(app, command) => result,
        () = interrupted(), if !orderly => Ok(Exit::Cancelled),
    }
}

async fn choose(app: &App, command: Command) -> Result<Exit, Failure> {
    // Said before anything is done that could not be shown.
    if app.out.format == Format::Svg && !matches!(command, Command::Chart(_)) {
        return Err(no_picture());
    }
    match command {
        Command::Login(args) => login::login(app, &args).await,
        Command::Logout(args) => login::logout(app, &args).await,
        Command::Whoami(_) => login::whoami(app).await,
        Command::Passwd(_) => totp::passwd(app).await,
        Command::Totp(args) => totp::run(app, &args).await,
        Command::Key(args) => key::run(app, &args),
        Command::Up(args) => local::up(app, &args).await,
        Command::Down(args) => local::down(app, &args).await,
        Command::Hosts(args) => hosts::run(app, args).await,
        Command::Exec(args) => exec::run(app, args).await,
        Command::Run(args) => runs::run(app, &args).await,
        Command::Logs(args) => logs::run(app, args).await,
        Command::Watch(args) => watch::run(app, &args).await,
        Command::Shell(args) => shell::shell(app, args).await,
        Command::Attach(args) => shell::attach(app, &args).await,
        Command::Ssh(args) => ssh::run(app, args).await,
        Command::SshHosts(args) => ssh::hosts(app, &args).await,
        Command::Sessions(args) => sessions::run(app, &args).await,
        Command::Ls(args) => files::ls(app, &args).await,
        Command::Cat(args) => files::cat(app, &args).await,
        Command::Cp(args) => files::cp::cp(app, &args).await,
        Command::Push(args) => push::run(app, args).await,
        Command::Packages(args) => packages::run(app, args).await,
        Command::Stat(args) => files::stat(app, &args).await,
        Command::Mkdir(args) => files::mkdir(app, &args).await,
        Command::Mv(args) => files::mv(app, &args).await,
        Command::Rm(args) => files::rm(app, &args).await,
        Command::Chmod(args) => files::chmod(app, &args).await,
        Command::Archive(args) => files::archive(app, &args).await,
        Command::Unpack(args) => files::unpack(app, &args).await,
        Command::Edit(args) => edit::edit(app, &args).await,
        Command::Edits(args) => edits::run(app, &args).await,
        Command::HostsFile(args) => edit::hosts_file(app, &args).await,
        Command::Env(args) => environment::run(app, &args).await,
        Command::Chart(args) => history::chart::run(app, args).await,
        Command::History(args) => history::run(app, args).await,
        Command::Data(args) => data::run(app, args).await,
        Command::Rules(args) => rules::run(app, &args).await,
        Command::Gateway(args) => gateway::run(app, &args).await,
        Command::Probes(args) => probes::run(app, &args).await,
        Command::Alerts(args) => alerts::run(app, &args).await,
        Command::Notifiers(args) => notifiers::run(app, &args).await,
        Command::Top(args) => top::run(app, &args).await,
        Command::Ps(args) => processes::ps(app, &args).await,
        Command::Kill(args) => processes::kill(app, &args).await,
        Command::Renice(args) => processes::renice(app, &args).await,
        Command::Recorder(args) => recorder::run(app, &args).await,
        Command::Ports(args) => ports::run(app, &args).await,
        Command::Forward(args) => forward::run(app, args).await,
        Command::Services(args) => services::run(app, &args).await,
        Command::System(args) => system::run(app, &args).await,
        Command::Docker(args) => docker::run(app, &args).await,
        Command::Ping(args) => ping::run(app, &args).await,
        Command::Tokens(args) => tokens::run(app, &args).await,
        Command::Operators(args) => operators::run(app, &args).await,
        Command::Roles(args) => roles::run(app, &args).await,
        Command::Groups(args) => groups::run(app, &args).await,
        Command::Runbook(args) => runbook::run(app, &args).await,
        Command::Config(args) => config::run(app, &args).await,
        Command::Keys(args) => keys::run(app, &args).await,
        Command::Approvals(args) => approvals::run(app, &args).await,
        Command::CanI(args) => roles::can_i(app, &args).await,
        Command::WhoCan(args) => roles::who_can(app, &args).await,
        Command::Pushes(args) => pushes::run(app, &args).await,
        Command::Secrets(args) => secrets::run(app, &args).await,
        Command::Audit(args) => audit::run(app, &args).await,
        Command::Recordings(args) => recordings::run(app, &args).await,
        Command::Replay(args) => replay::run(app, &args).await,
        Command::Hub(args) => hub::run(app, &args).await,
        Command::Completions(args) => generate::completions(app, &args),
        Command::Man(args) => generate::man(app, &args),
    }
}

/// Waits for Ctrl-C or a request to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
