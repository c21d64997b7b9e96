//! Does what one order says, and finds the one state in which it has ended.

use super::ledger::{Why, lock};
use super::spool::{Kind, Spool};
use super::{SHORT, TOGETHER, ended, packages, program, push, soon};
use crate::Agent;
use crate::services::exec::{self, Running, Sink};
use cmdr_protocol::exec::{Exit, Item, Outcome, Script, Start};
use cmdr_protocol::orders::Report;
use cmdr_protocol::runs::{Order, TargetState};
use cmdr_protocol::{CallError, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

/// The most of what a program says that is read for our own use.
const SAID: usize = 16 << 20;

/// What came of an order that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) exit: Option<Exit>,
    /// Nothing had to be done.
    pub(super) already: bool,
    pub(super) message: String,
}

/// Why an order could not be done.
#[derive(Debug)]
pub(super) enum Fault {
    /// It could not be begun.
    Before(CallError),
    /// Its program could not be begun, for which shells have codes.
    Program(CallError),
    /// It was begun, and nobody knows how it ended.
    After(CallError),
}

/// Says when an order has to end.
#[derive(Clone, Debug)]
pub(super) struct Stopper {
    stop: watch::Receiver<Option<Why>>,
    deadline: Option<Instant>,
}

impl Stopper {
    async fn fired(&mut self) -> Why {
        let deadline = self.deadline;
        let late = async {
            match deadline {
                Some(when) => sleep_until(when).await,
                None => std::future::pending().await,
            }
        };
        let asked = async {
            let why = self.stop.wait_for(Option::is_some).await;
            why.ok().and_then(|why| why.clone())
        };
        tokio::select! {
            biased;
            // Without a sender the hub has confirmed it: there is nobody left to end it.
            Some(why) = asked => why,
            () = late => Why::TimedOut,
            else => std::future::pending().await,
        }
    }
}

/// Takes a program's output into the spool. It never waits.
struct Out {
    agent: Agent,
    id: String,
    spool: Arc<Mutex<Spool>>,
}

impl Sink for Out {
    async fn take(&self, item: &Item) -> Result<(), CallError> {
        {
            let mut spool = lock(&self.spool);
            if !item.stdout.is_empty() {
                spool.put(Kind::Stdout, &item.stdout);
            }
            if !item.stderr.is_empty() {
                spool.put(Kind::Stderr, &item.stderr);
            }
        }
        soon(&self.agent, &self.id, TOGETHER);
        Ok(())
    }
}

/// Takes a program's standard output for our own use.
#[derive(Default)]
struct Heard(Mutex<Vec<u8>>);

impl Sink for Heard {
    async fn take(&self, item: &Item) -> Result<(), CallError> {
        let mut heard = lock(&self.0);
        let room = SAID.saturating_sub(heard.len());
        heard.extend(item.stdout.iter().take(room));
        Ok(())
    }
}

/// One order while it is done.
pub(super) struct Doing {
    pub(super) agent: Agent,
    id: String,
    spool: Arc<Mutex<Spool>>,
    stopper: Stopper,
    begun: bool,
    /// Something on the host is another than before: it is not refused any more.
    pub(super) changed: bool,
    why: Option<Why>,
}

impl Doing {
    pub(super) fn new(
        agent: &Agent,
        id: &str,
        spool: Arc<Mutex<Spool>>,
        stop: watch::Receiver<Option<Why>>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            agent: agent.clone(),
            id: id.to_owned(),
            spool,
            stopper: Stopper { stop, deadline },
            begun: false,
            changed: false,
            why: None,
        }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Does it, once there is room for one more program.
    pub(super) async fn order(&mut self, order: &Order) -> Result<Done, Fault> {
        let Some(_running) = self.turn().await else { return Ok(Done::default()) };
        if let Some(command) = &order.command {
            return self.only(program(order, command.argv.clone()), &[]).await;
        }
        if let Some(line) = &order.line {
            let argv = ["/bin/sh", "-c", &line.text].map(str::to_owned).to_vec();
            return self.only(program(order, argv), &[]).await;
        }
        if let Some(script) = &order.script {
            let file = Script { name: script.name.clone(), content: script.content.clone() };
            let start = Start { script: Some(file), ..program(order, script.args.clone()) };
            return self.only(start, &script.interpreter).await;
        }
        if let Some(push) = &order.push {
            return push::push(self, order, push).await;
        }
        if let Some(packages) = &order.packages {
            let done = packages::act(self, order, packages).await?;
            if !done.message.is_empty() {
                self.say(&format!("{}\n", done.message));
            }
            return Ok(done);
        }
        Err(Fault::Before(CallError::malformed("this agent does not know what the order says")))
    }

    /// Waits for its turn; none when it has to end before that.
    async fn turn(&mut self) -> Option<OwnedSemaphorePermit> {
        let programs = self.agent.programs().clone();
        let mut stopper = self.stopper.clone();
        tokio::select! {
            biased;
            why = stopper.fired() => {
                self.why = Some(why);
                None
            }
            permit = programs.acquire_owned() => permit.ok(),
        }
    }

    /// Waits for something, unless it has to end before that.
    pub(super) async fn unless_stopped<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let mut stopper = self.stopper.clone();
        tokio::select! {
            biased;
            why = stopper.fired() => {
                self.why = Some(why);
                None
            }
            done = what => Some(done),
        }
    }

    /// From here on it may have done something.
    pub(super) fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.agent.orders().ledger(&self.agent).begin(&self.id);
            soon(&self.agent, &self.id, SHORT);
        }
    }

    async fn only(&mut self, start: Start, with: &[String]) -> Result<Done, Fault> {
        let exit = self.run(start, with).await?;
        Ok(Done { exit: Some(exit), ..Done::default() })
    }

    /// Runs a program whose output is the order's.
    pub(super) async fn run(&mut self, start: Start, with: &[String]) -> Result<Exit, Fault> {
        let out = Out { agent: self.agent.clone(), id: self.id.clone(), spool: self.spool.clone() };
        self.follow(start, with, &out).await
    }

    /// Says something as if a program had said it.
    pub(super) fn say(&self, text: &str) {
        lock(&self.spool).put(Kind::Stdout, text.as_bytes());
        soon(&self.agent, &self.id, TOGETHER);
    }

    /// Runs a program, and gives back what it says.
    pub(super) async fn hear(&mut self, start: Start) -> Result<(Exit, String), Fault> {
        let heard = Heard::default();
        let exit = self.follow(start, &[], &heard).await?;
        let said = std::mem::take(&mut *lock(&heard.0));
        Ok((exit, String::from_utf8_lossy(&said).into_owned()))
    }

    async fn follow(
        &mut self,
        start: Start,
        with: &[String],
        sink: &impl Sink,
    ) -> Result<Exit, Fault> {
        let order = exec::Order::check(&self.agent, start, with).map_err(Fault::Program)?;
        let had_begun = self.begun;
        self.begin();
        let running = Running::start(&self.agent, &order).await.map_err(|e| {
            self.begun = had_begun;
            Fault::Program(e)
        })?;
        let mut stopper = self.stopper.clone();
        let why = Mutex::new(None);
        let stop = async {
            let fired = stopper.fired().await;
            *lock(&why) = Some(fired);
        };
        let exit = running.follow(sink, |_, _| std::future::pending(), stop).await;
        if let Some(why) = lock(&why).take() {
            self.why = Some(why);
        }
        exit.map_err(Fault::After)
    }

    /// Whether it has to end: what follows is not begun any more.
    pub(super) const fn is_stopped(&self) -> bool {
        self.why.is_some()
    }

    /// How it ended.
    pub(super) fn report(&self, order: &Order, done: Result<Done, Fault>) -> Report {
        let exit = done.as_ref().ok().and_then(|done| done.exit);
        let (code, signal) = match exit {
            Some(Exit { outcome: Outcome::Exited, code, .. }) => (Some(code), None),
            Some(Exit { outcome: Outcome::Signalled, code, .. }) => (None, Some(code)),
            _ => (None, None),
        };
        let took_ms = exit.map(|exit| exit.took_ms);
        let report = match (&self.why, done) {
            (Some(why), _) => self.stopped(why),
            (None, Ok(done)) => {
                let state = match exit.map(|exit| exit.outcome) {
                    None => TargetState::Ok,
                    Some(Outcome::Exited) if code == Some(0) => TargetState::Ok,
                    Some(Outcome::TimedOut) => {
                        let ms = order.timeout_ms.unwrap_or(0);
                        let limit = if ms > 0 {
                            format!(" of {} s", ms as f64 / 1000.0)
                        } else {
                            String::new()
                        };
                        let words = format!("the time limit{limit} was over, and it was ended");
                        return Report { took_ms, ..ended(TargetState::TimedOut, words) };
                    }
                    Some(_) => TargetState::Failed,
                };
                Report { already: done.already, ..ended(state, done.message) }
            }
            (None, Err(fault)) => self.fault(fault),
        };
        let code = code.or(report.code);
        Report { code, signal, took_ms, ..report }
    }

    fn stopped(&self, why: &Why) -> Report {
        match why {
            Why::Cancelled(why) if why.is_empty() => {
                ended(TargetState::Cancelled, "it was cancelled")
            }
            Why::Cancelled(why) => ended(TargetState::Cancelled, why.as_str()),
            Why::TimedOut if self.begun => {
                ended(TargetState::TimedOut, "its deadline passed while it ran, and it was ended")
            }
            Why::TimedOut => {
                ended(TargetState::TimedOut, "its deadline passed before it could begin")
            }
            Why::AgentStops if self.begun => ended(
                TargetState::Lost,
                "the agent was stopped while it ran, and everything it had started with it",
            ),
            Why::AgentStops => ended(
                TargetState::Lost,
                "the agent was stopped before it began; nothing of it was done",
            ),
        }
    }

    fn fault(&self, fault: Fault) -> Report {
        let (error, program) = match fault {
            Fault::After(e) => return ended(TargetState::Lost, e.message),
            Fault::Before(e) => (e, false),
            Fault::Program(e) => (e, true),
        };
        let code = match error.kind {
            ErrorKind::NotFound => program.then_some(127),
            ErrorKind::Failed => program.then_some(126),
            // The host does not take it: nothing of it was done, unless something was before.
            _ if self.changed => program.then_some(126),
            _ => return ended(TargetState::Refused, error.message),
        };
        Report { code, ..ended(TargetState::Failed, error.message) }
    }
}

/// Refuses what a shell would misread: lines that end as on other systems.
pub(super) fn check_lines(order: &Order) -> Result<(), CallError> {
    let wrong = |what: &str, shell: &str| {
        Err(CallError::malformed(format!(
            "the lines of {what} end in CR and LF, and {shell} would take the CR for a part of each command; \
             convert it (dos2unix) and send it again"
        )))
    };
    if let Some(line) = &order.line
        && line.text.contains("\r\n")
    {
        return wrong("the line", "/bin/sh");
    }
    let Some(script) = &order.script else { return Ok(()) };
    if !script.content.windows(2).any(|pair| pair == b"\r\n") {
        return Ok(());
    }
    let named = match script.interpreter.split_first() {
        Some((program, args)) => (program.clone(), args.to_vec()),
        None => exec::interpreter(&script.content)?,
    };
    match shell(&named) {
        Some(shell) => wrong(
            &format!("the script {}", cmdr_protocol::display::clean_to_width(&script.name, 80)),
            &shell,
        ),
        None => Ok(()),
    }
}

/// The shell that a script is for, if it is for one.
fn shell((program, args): &(String, Vec<String>)) -> Option<String> {
    let base =
        |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let program = base(program)?;
    let shell = match (program.as_str(), args.first()) {
        ("env", Some(first)) => {
            base(first.split_whitespace().find(|word| !word.starts_with('-'))?)?
        }
        _ => program,
    };
    let shells = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "busybox"];
    shells.contains(&shell.as_str()).then_some(shell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::runs;

    fn script(interpreter: &[&str], content: &str) -> Order {
        let interpreter = interpreter.iter().map(|&word| word.to_owned()).collect();
        let script = runs::Script {
            name: "x".into(),
            content: content.into(),
            interpreter,
            ..Default::default()
        };
        Order { script: Some(script), ..Order::default() }
    }

    #[test]
    fn a_shell_script_with_foreign_line_ends_is_refused_and_others_are_not() {
        for order in [
            script(&[], "echo 1\r\necho 2\r\n"),
            script(&[], "#!/bin/bash\r\necho\r\n"),
            script(&[], "#!/usr/bin/env bash\r\necho\r\n"),
            script(&["/bin/dash", "-e"], "#!/usr/bin/python3\r\n"),
        ] {
            let refused = check_lines(&order).unwrap_err();
            assert!(refused.message.contains("dos2unix"), "{refused}");
        }
        for order in [
            script(&[], "echo 1\necho 2\n"),
            script(&[], "#!/usr/bin/python3\r\nprint(1)\r\n"),
            script(&["perl"], "print 1;\r\n"),
        ] {
            assert_eq!(check_lines(&order), Ok(()));
        }
    }
}
