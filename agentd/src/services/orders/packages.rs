//! Packages of the host's system through its own package manager: argument vectors, nobody is asked anything, and what
//! is so already is left so. What has changed is found by comparing what was installed before and after.

mod managers;

use super::doing::{Doing, Done, Fault};
use crate::program::PATH;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::exec::{Exit, Outcome, Start};
use cmdr_protocol::orders::is_package;
use cmdr_protocol::runs::{Action, Order, Packages};
use cmdr_protocol::{CallError, ErrorKind};
use managers::{Known, Manager};
use std::collections::BTreeMap;

/// Changes that are told by name.
const TOLD: usize = 20;

/// Whether it makes sense, before anything of it is kept.
pub(super) fn check(packages: &Packages) -> Result<(), CallError> {
    match packages.names.iter().find(|name| !is_package(name)) {
        Some(name) => Err(CallError::malformed(format!(
            "'{}' is not how a package is named",
            clean_to_width(name, 80)
        ))),
        None => Ok(()),
    }
}

/// Packages that are installed, with their versions.
type Installed = BTreeMap<String, String>;

/// The package manager at work for one order.
struct Work<'a> {
    doing: &'a mut Doing,
    manager: &'static Manager,
    timeout_ms: Option<u64>,
    path: String,
}

impl Work<'_> {
    fn start(&self, argv: &[&str], names: &[String]) -> Start {
        let argv = argv.iter().map(|&arg| arg.to_owned()).chain(names.iter().cloned()).collect();
        let env =
            self.manager.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env = env.chain([("PATH".to_owned(), self.path.clone())]).collect();
        let (cwd, timeout_ms) = (Some("/".to_owned()), self.timeout_ms);
        Start { argv, env, cwd, timeout_ms, ..Start::default() }
    }

    /// Runs it with the order's output; its code, unless the order has to end.
    async fn run(&mut self, argv: &[&str], names: &[String]) -> Result<Exit, Fault> {
        let start = self.start(argv, names);
        self.doing.say(&format!("$ {}\n", start.argv.join(" ")));
        self.doing.run(start, &[]).await
    }

    async fn hear(&mut self, argv: &[&str], names: &[String]) -> Result<(Exit, String), Fault> {
        let start = self.start(argv, names);
        self.doing.hear(start).await
    }

    async fn installed(&mut self) -> Result<Installed, Fault> {
        let (exit, said) = self.hear(self.manager.list, &[]).await?;
        if !is_well(exit) {
            let program = self.manager.list[0];
            return Err(failed(format!(
                "{program} does not say what is installed (code {})",
                exit.code
            )));
        }
        Ok(said.lines().filter_map(self.manager.line).collect())
    }

    /// The first of the names that no source of the host has.
    async fn unknown(&mut self, names: &[String]) -> Result<Option<String>, Fault> {
        let Some(known) = &self.manager.known else { return Ok(None) };
        for name in names {
            let bare = (self.manager.bare)(name);
            let found = match known {
                Known::Listed(argv) => {
                    let (exit, said) = self.hear(argv, &[bare.to_owned()]).await?;
                    is_well(exit) && said.lines().any(|line| line.trim() == bare)
                }
                Known::Code(argv) => {
                    let (exit, said) = self.hear(argv, &[bare.to_owned()]).await?;
                    is_well(exit) && !said.trim().is_empty()
                }
            };
            if self.doing.is_stopped() {
                return Ok(None);
            }
            if !found {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

fn failed(what: String) -> Fault {
    Fault::Before(CallError::failed(what))
}

fn is_well(exit: Exit) -> bool {
    exit.outcome == Outcome::Exited && exit.code == 0
}

/// Whether a wanted name is among what is installed, in the version that it names, if it does.
fn has(manager: &Manager, installed: &Installed, name: &str) -> bool {
    let bare = (manager.bare)(name);
    let version = name.split_once('=').map(|(_, version)| version);
    let found = |name: &str| {
        installed.get(name).is_some_and(|is| version.is_none_or(|wanted| wanted == is))
    };
    // A package for another architecture is listed with it; `name:ARCH` of the host's own is listed without.
    found(bare) || bare.split_once(':').is_some_and(|(name, _)| manager.native(bare) && found(name))
}

pub(super) async fn act(
    doing: &mut Doing,
    order: &Order,
    packages: &Packages,
) -> Result<Done, Fault> {
    let agent = doing.agent.clone();
    let manager = Manager::of(agent.config()).ok_or_else(|| {
        Fault::Before(CallError::new(
            ErrorKind::Conflict,
            "this host has none of the package managers that are known here (apt, dnf, zypper, apk, pacman)",
        ))
    })?;
    let Some(_alone) = doing.unless_stopped(agent.orders().packages.lock()).await else {
        return Ok(Done::default());
    };
    let path = agent.config().package_path.clone().unwrap_or_else(|| PATH.to_owned());
    let mut work = Work { doing, manager, timeout_ms: order.timeout_ms, path };
    let before = work.installed().await?;
    if work.doing.is_stopped() {
        return Ok(Done::default());
    }
    let is_there = |name: &&String| has(manager, &before, name);
    let (there, missing): (Vec<_>, Vec<_>) = packages.names.iter().partition(is_there);
    let own = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    let exit = match packages.action {
        Action::Install if missing.is_empty() => return Ok(already(&packages.names, "installed")),
        Action::Remove if there.is_empty() => return Ok(already(&packages.names, "not installed")),
        Action::Install => install(&mut work, &own(missing)).await?,
        Action::Remove => {
            work.doing.changed = true;
            let names: Vec<_> =
                own(there).iter().map(|name| (manager.bare)(name).to_owned()).collect();
            work.run(manager.remove, &names).await?
        }
        Action::Upgrade => {
            if let Some(name) = missing.first() {
                return Err(failed(format!(
                    "{name} is not installed here, and cannot be upgraded"
                )));
            }
            upgrade(&mut work, &packages.names).await?
        }
        Action::Unknown => return Err(Fault::Before(CallError::malformed("unknown action"))),
    };
    if work.doing.is_stopped() || exit.outcome != Outcome::Exited {
        return Ok(Done { exit: Some(exit), ..Done::default() });
    }
    let exit = Exit { code: if manager.fine.contains(&exit.code) { 0 } else { exit.code }, ..exit };
    let after = work.installed().await?;
    let told = changes(&before, &after);
    if exit.code != 0 {
        let words = if told.is_empty() { "nothing was changed".to_owned() } else { told };
        let message = format!("{} ended with code {}; {words}", manager.name, exit.code);
        return Ok(Done { exit: Some(exit), message, already: false });
    }
    if told.is_empty() {
        let words = match packages.action {
            Action::Upgrade => "there is nothing newer",
            _ => "nothing was changed",
        };
        let message = words.to_owned();
        return Ok(Done { exit: Some(exit), already: true, message });
    }
    Ok(Done { exit: Some(exit), message: told, already: false })
}

fn already(names: &[String], how: &str) -> Done {
    let is = if names.len() == 1 { "is" } else { "are" };
    let message = format!("{} {is} {how} already", names.join(", "));
    Done { exit: None, already: true, message }
}

async fn install(work: &mut Work<'_>, names: &[String]) -> Result<Exit, Fault> {
    let manager = work.manager;
    work.doing.changed = mend(work).await?;
    if let Some(name) = work.unknown(names).await? {
        if manager.refresh.is_empty() {
            return Err(failed(format!("no source of this host has a package {name}")));
        }
        // The lists may be old, or were never fetched.
        let refreshed = work.run(manager.refresh, &[]).await?;
        if work.doing.is_stopped() {
            return Ok(refreshed);
        }
        if let Some(name) = work.unknown(names).await? {
            let words = if is_well(refreshed) {
                format!("no source of this host has a package {name}")
            } else {
                format!("no source of this host that can be reached has a package {name}")
            };
            return Err(failed(words));
        }
    }
    work.doing.changed = true;
    let exit = work.run(manager.install, names).await?;
    let retry = manager.stale.contains(&exit.code) && exit.outcome == Outcome::Exited;
    if !retry || work.doing.is_stopped() || manager.refresh.is_empty() {
        return Ok(exit);
    }
    // What the lists name is not at its source any more.
    let refreshed = work.run(manager.refresh, &[]).await?;
    if work.doing.is_stopped() || !is_well(refreshed) {
        return Ok(exit);
    }
    work.run(manager.install, names).await
}

async fn upgrade(work: &mut Work<'_>, names: &[String]) -> Result<Exit, Fault> {
    let manager = work.manager;
    if !names.is_empty() && manager.upgrade.is_empty() {
        return Err(Fault::Before(CallError::malformed(format!(
            "{} upgrades everything or nothing: name no packages",
            manager.name
        ))));
    }
    work.doing.changed = true;
    mend(work).await?;
    if !manager.refresh.is_empty() {
        let refreshed = work.run(manager.refresh, &[]).await?;
        if work.doing.is_stopped() || !is_well(refreshed) {
            return Ok(refreshed);
        }
    }
    work.run(if names.is_empty() { manager.upgrade_all } else { manager.upgrade }, names).await
}

/// Finishes what an earlier one was cut off in; whether there was such.
async fn mend(work: &mut Work<'_>) -> Result<bool, Fault> {
    let Some((folder, argv)) = work.manager.mend else { return Ok(false) };
    let folder = work.doing.agent.config().var_root.join(folder);
    let left = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if left {
        work.run(argv, &[]).await?;
    }
    Ok(left)
}

/// What is another than before, in words; empty for nothing.
fn changes(before: &Installed, after: &Installed) -> String {
    let mut parts = Vec::new();
    let mut part = |what: &str, names: Vec<String>| {
        let more = names.len().saturating_sub(TOLD);
        if !names.is_empty() {
            let names = names.into_iter().take(TOLD).collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("{what} {names}{more}"));
        }
    };
    let new = after.iter().filter(|(name, _)| !before.contains_key(*name));
    part("installed", new.map(|(name, version)| format!("{name} {version}")).collect());
    let other = after.iter().filter_map(|(name, now)| {
        let was = before.get(name).filter(|was| *was != now)?;
        Some(format!("{name} {was} to {now}"))
    });
    part("changed", other.collect());
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    part("removed", gone.cloned().collect());
    clean_to_width(&parts.join("; "), 2000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_by_name_and_bounded() {
        let of = |pairs: &[(&str, &str)]| -> Installed {
            pairs.iter().map(|(name, version)| ((*name).into(), (*version).into())).collect()
        };
        let before = of(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = of(&[("a", "2"), ("c", "1"), ("d", "3")]);
        assert_eq!(changes(&before, &after), "installed d 3; changed a 1 to 2; removed b");
        assert_eq!(changes(&before, &before), "");
        let many: Installed = (0..50).map(|n| (format!("p{n:02}"), "1".into())).collect();
        assert!(changes(&Installed::new(), &many).ends_with("p19 1 and 30 more"));
    }
}
