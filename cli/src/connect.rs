//! Finds the hub of this home, asks it, and turns what an operator wrote into hosts. Every verb that
//! needs the fleet begins with [`Hub::connect`].

use crate::App;
use crate::args::Yes;
use crate::exit::{Exit, Failure};
use cmdr_link::Client;
use cmdr_link::backoff::Backoff;
use cmdr_link::link::DialError;
use cmdr_link::session::Dialer;
use cmdr_protocol::hosts::{HostState, Resolve};
use cmdr_protocol::login::Renew;
use cmdr_protocol::pages::Paged;
use cmdr_protocol::roles::{CanI, Question};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::version::Welcome;
use cmdr_protocol::{Call, HostId};
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::Instant;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Hosts asked at once.
pub const AT_ONCE: usize = 64;

/// A host that an order goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Whether it can be asked.
    pub state: HostState,
}

impl Target {
    /// Whether a selector's plain name means it.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.id.to_string() == name
    }

    /// The name, and enough of the id to tell two apart.
    pub fn shown(&self) -> String {
        let id = self.id.to_string();
        format!("{} ({}, {})", self.name, &id[..8], self.state)
    }
}

/// A link to the hub.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Asks hosts.
    pub client: Client,
    /// What the hub said to our hello.
    pub welcome: Welcome,
    patience: Duration,
    dialer: Dialer,
}

impl Hub {
    /// Dials the hub of this home.
    pub async fn connect(app: &App) -> Result<Self, Failure> {
        let context = app.context()?;
        let address = context.target.address.clone();
        let dialer = Dialer::client(context, VERSION);
        let (client, welcome) = dial(&dialer, app.patience()).await?;
        app.out.detail(&format!(
            "hub {address}, version {}, as {} ({})",
            welcome.version, welcome.name, welcome.role
        ));
        let hub = Self { client, welcome, patience: app.patience(), dialer };
        if hub.welcome.renew_ms.is_some_and(|from| hub.welcome.at_ms >= from) {
            // What was asked for goes on without it: the login holds for a while yet.
            if let Err(e) = hub.ask(&Renew {}).await {
                app.out.detail(&format!("the login was not lengthened: {}", e.message));
            }
        }
        Ok(hub)
    }

    /// Dials the same hub once more, after the link was cut.
    pub async fn again(&self) -> Result<Self, DialError> {
        let (client, welcome) = dial(&self.dialer, self.patience).await?;
        Ok(Self { client, welcome, patience: self.patience, dialer: self.dialer.clone() })
    }

    /// How long one question may take.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Asks the hub itself.
    pub async fn ask<C: Call>(&self, call: &C) -> Result<C::Reply, Failure> {
        self.client.call(None, call, self.patience).await.map_err(Failure::from_hub)
    }

    /// Asks the hub itself for all pages of a list.
    pub async fn ask_all<C: Paged>(&self, call: &C) -> Result<C::Reply, Failure> {
        self.client.call_all(None, call, self.patience).await.map_err(Failure::from_hub)
    }

    /// Asks a host.
    pub async fn ask_host<C: Call>(&self, host: HostId, call: &C) -> Result<C::Reply, Failure> {
        Ok(self.client.call(Some(host), call, self.patience).await?)
    }

    /// Asks many hosts the same, so many at once; answers in the order of the hosts.
    pub async fn ask_hosts<'t, C: Call>(
        &self,
        targets: &'t [Target],
        call: &C,
    ) -> Vec<(&'t Target, Result<C::Reply, Failure>)> {
        self.ask_hosts_within(targets, call, self.patience).await
    }

    /// As [`Hub::ask_hosts`], for what takes its time.
    pub async fn ask_hosts_within<'t, C: Call>(
        &self,
        targets: &'t [Target],
        call: &C,
        patience: Duration,
    ) -> Vec<(&'t Target, Result<C::Reply, Failure>)> {
        let ask = async |target: &'t Target| {
            let reply = self.client.call(Some(target.id), call, patience).await;
            (target, reply.map_err(Failure::from))
        };
        futures::stream::iter(targets).map(ask).buffered(AT_ONCE).collect().await
    }

    async fn targets(&self, selector: &str) -> Result<Vec<Target>, Failure> {
        let reply = self.ask_all(&Resolve::of(selector)).await?;
        let one = |(id, name, state)| Target { id, name, state };
        Ok(reply.targets.into_iter().map(one).collect())
    }

    /// The hosts a selector picks. None is a failure that says so, and so is a name without wildcards
    /// that is no host's: whoever writes it out means that host.
    pub async fn resolve(&self, selector: &str) -> Result<Vec<Target>, Failure> {
        if selector.trim().is_empty() {
            // An unset variable in a script must not mean the whole fleet.
            return Err(Failure::usage("no host is named; all of them are '*'"));
        }
        let parsed = Selector::parse(selector).map_err(|e| Failure::usage(e.to_string()))?;
        let targets = self.targets(selector).await?;
        let mut missing = unmatched(&parsed, &targets);
        if targets.is_empty() || !missing.is_empty() {
            let all = self.targets("").await?;
            // What a condition or an exception takes out is there all the same.
            missing.retain(|name| !all.iter().any(|target| target.is_called(name)));
            if targets.is_empty() {
                return Err(no_match(selector, &all));
            }
            if !missing.is_empty() {
                let mut failure = no_match(&missing.join(","), &all);
                failure.message = format!("{}, which '{selector}' names", failure.message);
                return Err(failure);
            }
        }
        Ok(targets)
    }

    /// Every host, for what looks everywhere: also the hub's own, which `*` does not mean.
    pub async fn everywhere(&self) -> Result<Vec<Target>, Failure> {
        let all = self.targets("").await?;
        if all.is_empty() { self.resolve("*").await } else { Ok(all) }
    }

    /// As [`Hub::resolve`], of what is shown by other means. While one watches, hosts may still come that
    /// a pattern picks; a name that is written out is looked for all the same.
    pub async fn check(&self, selector: &str, watching: bool) -> Result<(), Failure> {
        let names = Selector::parse(selector).is_ok_and(|parsed| parsed.names().next().is_some());
        if watching && !names { Ok(()) } else { self.resolve(selector).await.map(drop) }
    }

    /// Asks before something that cannot be undone, in the words of [`Output::confirm`]. Whether it may be
    /// done at all is found out before, so that nobody says yes and is refused then.
    ///
    /// [`Output::confirm`]: crate::output::Output::confirm
    pub async fn confirm<C: Call>(
        &self,
        app: &App,
        yes: Yes,
        (call, host): (&C, Option<HostId>),
        (question, word): (&str, &str),
    ) -> Result<(), Failure> {
        if yes.yes {
            return Ok(());
        }
        let asked = Question { verb: C::METHOD.to_owned(), resource: call.resource(), host };
        let can_i = CanI { question: asked, ..CanI::default() };
        match self.client.call(None, &can_i, self.patience).await {
            Ok(answer) if !answer.allowed => {
                let what = format!("{} is not allowed for you: {}", C::METHOD, answer.reason);
                return Err(Failure::new(Exit::Denied, what));
            }
            // A hub that does not say refuses later.
            Ok(_) | Err(_) => {}
        }
        app.out.confirm(false, question, word).await
    }

    /// The one host that a name, a unique beginning of an id, or a selector means.
    pub async fn one_host(&self, text: &str) -> Result<Target, Failure> {
        self.one_of(text, false).await
    }

    /// As [`Hub::one_host`], with the hosts that wait for approval.
    pub async fn one_host_or_pending(&self, text: &str) -> Result<Target, Failure> {
        self.one_of(text, true).await
    }

    async fn one_of(&self, text: &str, pending: bool) -> Result<Target, Failure> {
        let parsed = Selector::parse(text).map_err(|e| Failure::usage(e.to_string()))?;
        if text.trim().is_empty() {
            return Err(Failure::usage("no host is named"));
        }
        let mut found = self.targets(text).await?;
        if found.len() == 1 && !pending {
            return Ok(found.remove(0));
        }
        let mut all = Vec::new();
        if found.is_empty() || pending {
            all = self.targets("").await?;
            if pending {
                all.extend(self.targets("state=pending").await?);
            }
            if let Some(name) = parsed.as_name() {
                found.extend(by_name_or_id(name, &all));
            }
            found.sort_by_key(|t| t.id);
            found.dedup_by_key(|t| t.id);
        }
        match found.len() {
            0 => Err(no_match(text, &all)),
            1 => Ok(found.remove(0)),
            n => {
                let shown: Vec<_> = found.iter().take(10).map(Target::shown).collect();
                Err(Failure::usage(format!("'{text}' means {n} hosts, and this needs exactly one"))
                    .hint(shown.join(", ")))
            }
        }
    }
}

/// Dials; again and again, after pauses that differ from program to program, while the hub says that
/// it is busy and for as long as the operator has patience. Any other failure is told at once.
pub async fn dial(dialer: &Dialer, patience: Duration) -> Result<(Client, Welcome), DialError> {
    let end = Instant::now() + patience;
    let mut backoff = Backoff::new(Duration::from_secs(1));
    loop {
        let error = match dialer.connect().await {
            Err(e) if e.is_busy() => e,
            done => return done,
        };
        let next = Instant::now() + backoff.next_wait();
        if next >= end {
            return Err(error);
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Hosts of exactly this name; if there is none, those whose id begins with it.
fn by_name_or_id(text: &str, all: &[Target]) -> Vec<Target> {
    let named: Vec<_> = all.iter().filter(|t| t.name == text).cloned().collect();
    if !named.is_empty() || text.len() < 4 {
        return named;
    }
    let lower = text.to_ascii_lowercase();
    all.iter().filter(|t| t.id.to_string().starts_with(&lower)).cloned().collect()
}

/// The names that a selector writes out and none of these hosts has.
fn unmatched<'a>(selector: &'a Selector, targets: &[Target]) -> Vec<&'a str> {
    selector.names().filter(|name| !targets.iter().any(|target| target.is_called(name))).collect()
}

/// Says that nothing matches, with the nearest names.
fn no_match(selector: &str, all: &[Target]) -> Failure {
    let failure = Failure::new(Exit::NoMatch, format!("no host matches '{selector}'"));
    if all.is_empty() {
        return failure
            .hint("there is no host yet that you may see; a token for a new one: cmdr tokens create --host");
    }
    let near = near_names(selector, all.iter().map(|t| t.name.as_str()));
    if near.is_empty() {
        return failure.hint("all hosts: cmdr hosts");
    }
    failure.hint(format!("did you mean: {}", near.join(", ")))
}

/// Up to three names that are much like one the selector writes out.
pub fn near_names<'a>(selector: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let words: Vec<&str> = selector
        .split([',', '|'])
        .map(|term| term.trim().trim_start_matches('!'))
        .filter(|term| !term.is_empty() && !term.contains('='))
        .collect();
    let score = |name: &str| {
        let like = |word: &&str| strsim::jaro_winkler(word, name);
        words.iter().map(like).fold(0.0, f64::max)
    };
    let mut near: Vec<_> = names.map(|n| (score(n), n)).filter(|(s, _)| *s > 0.8).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::context::Context;
    use cmdr_link::link;
    use cmdr_link::mux::Limits;
    use cmdr_link::{SecretKey, noise};
    use cmdr_protocol::role::Role;
    use cmdr_protocol::version::PROTOCOL;

    /// A hub that is busy so many times, and then takes in; its address and key.
    async fn busy_hub(times: u32) -> Dialer {
        let key = SecretKey::generate().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = link::Target { address, hub: key.public() };
        tokio::spawn(async move {
            for _ in 0..times {
                let (mut tcp, _) = listener.accept().await.unwrap();
                noise::alert(&mut tcp, noise::Alert::Busy).await;
                // Read what has come, or the system tells a reset instead of our words.
                tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut Vec::new()).await.ok();
            }
            let (tcp, _) = listener.accept().await.unwrap();
            let incoming = link::accept(tcp, &key, Limits::default()).await.unwrap();
            let welcome = Welcome {
                protocol: PROTOCOL,
                version: String::new(),
                capabilities: Vec::new(),
                name: "ann".into(),
                host: None,
                key: None,
                role: Role::OPERATOR,
                expires_ms: None,
                renew_ms: None,
                verbs: Vec::new(),
                at_ms: 0,
                next_hub_key: None,
            };
            let (link, _streams) = incoming.welcome(welcome).await.unwrap();
            link.down().await;
        });
        Dialer::client(Context { target, key: SecretKey::generate().unwrap(), dir: None }, VERSION)
    }

    #[tokio::test]
    async fn a_busy_hub_is_asked_again_until_it_has_time() {
        let dialer = busy_hub(3).await;
        let (_, welcome) = dial(&dialer, Duration::from_secs(10)).await.unwrap();
        assert_eq!(welcome.name, "ann");
    }

    #[tokio::test]
    async fn a_hub_that_stays_busy_is_given_up_when_patience_ends() {
        let dialer = busy_hub(1000).await;
        let error = dial(&dialer, Duration::from_millis(100)).await.unwrap_err();
        assert!(error.is_busy(), "{error}");
        assert_eq!(Failure::from(error).exit, Exit::NoHub);
    }

    fn target(name: &str, byte: u8) -> Target {
        Target { id: HostId([byte; 16]), name: name.into(), state: HostState::Online }
    }

    #[test]
    fn a_mistyped_name_is_answered_with_near_ones() {
        let fleet = [target("web1", 1), target("web2", 2), target("db1", 3)];
        let failure = no_match("wbe1", &fleet);
        assert_eq!(failure.exit, Exit::NoMatch);
        assert_eq!(failure.message, "no host matches 'wbe1'");
        assert_eq!(failure.hint.as_deref(), Some("did you mean: web1"));
        assert_eq!(no_match("role=x", &fleet).hint.as_deref(), Some("all hosts: cmdr hosts"));
    }

    #[test]
    fn a_name_goes_before_the_beginning_of_an_id() {
        let id = HostId([1; 16]).to_string();
        let fleet = [target(&id[..6], 9), target("web1", 1)];
        assert_eq!(by_name_or_id(&id[..6], &fleet), [fleet[0].clone()]);
        assert_eq!(by_name_or_id(&id[..7], &fleet), [fleet[1].clone()]);
        assert_eq!(by_name_or_id(&id[..3], &fleet), []);
    }
}
