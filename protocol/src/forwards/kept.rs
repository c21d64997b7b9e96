//! Forwards that are kept: a host listens, and what comes leads to a place that it or another host sees. The hub keeps them and
//! gives each host its own; the host keeps those on disk and goes on with them.

use super::Place;
use super::direct::Offer;
use crate::call::{Access, Call, Feed, Nothing};
use serde::{Deserialize, Serialize};

/// Forwards that one hub keeps at most.
pub const MAX_FORWARDS: usize = 2000;
/// Those of one host at most.
pub const MAX_ON_HOST: usize = 200;
/// The longest note, in bytes.
pub const MAX_NOTE: usize = 400;

/// The longest user and the longest password, in bytes.
pub const MAX_LOGIN: usize = 255;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 16 * 1024;

/// Who logs in over SSH, and where: `user@host` or `user@host:port`.
pub fn machine(text: &str) -> Result<(String, Place), String> {
    let wrong = || format!("'{text}' is no login such as deploy@10.0.0.5 or deploy@shop.lan:2222");
    let (user, host) = text.rsplit_once('@').ok_or_else(wrong)?;
    let has_port = host.rsplit_once(':').is_some_and(|(before, _)| {
        !before.contains(':') || (before.starts_with('[') && before.ends_with(']'))
    });
    let place = if has_port { Place::parse(host) } else { Place::parse(&format!("{host}:22")) };
    let place = place.map_err(|why| format!("{}: {why}", wrong()))?;
    crate::ssh::check(user, &place.host)?;
    Ok((user.to_owned(), place))
}

/// What a forward understands of those who connect. What says nothing of it is of [`Kind::Tcp`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Connections to one place.
    #[default]
    Tcp,
    /// Datagrams to one place and back.
    Udp,
    /// A proxy: clients say where to by HTTP, with CONNECT or the absolute form.
    Http,
    /// A proxy: clients say where to by SOCKS5.
    Socks5,
    /// The same, with datagrams as well (UDP ASSOCIATE).
    #[serde(rename = "socks5-udp")]
    Socks5Udp,
    /// Connections at the host, to one place that a machine sees which is reached over SSH.
    #[serde(rename = "ssh-local")]
    SshLocal,
    /// Connections at a machine that is reached over SSH, to one place that the host sees.
    #[serde(rename = "ssh-remote")]
    SshRemote,
    /// A proxy: clients say by SOCKS5 where to, and a machine connects that is reached over SSH.
    #[serde(rename = "ssh-dynamic")]
    SshDynamic,
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

impl Kind {
    /// Every kind that this release knows.
    pub const ALL: &'static [Self] = &[
        Self::Tcp,
        Self::Udp,
        Self::Http,
        Self::Socks5,
        Self::Socks5Udp,
        Self::SshLocal,
        Self::SshRemote,
        Self::SshDynamic,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Socks5 => "socks5",
            Self::Socks5Udp => "socks5-udp",
            Self::SshLocal => "ssh-local",
            Self::SshRemote => "ssh-remote",
            Self::SshDynamic => "ssh-dynamic",
            Self::Unknown => "unknown",
        }
    }

    /// Whether clients say where to.
    pub const fn is_proxy(self) -> bool {
        matches!(self, Self::Http | Self::Socks5 | Self::Socks5Udp | Self::SshDynamic)
    }

    /// Whether it goes over SSH.
    pub const fn is_ssh(self) -> bool {
        matches!(self, Self::SshLocal | Self::SshRemote | Self::SshDynamic)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    const fn is_usual(&self) -> bool {
        matches!(self, Self::Tcp)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A password, which nothing that is printed for finding faults shows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl Password {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "‹secret›" })
    }
}

/// What a forward is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forward {
    /// Its name.
    pub name: String,
    /// What it understands.
    #[serde(skip_serializing_if = "Kind::is_usual")]
    pub kind: Kind,
    /// The host that listens, by name.
    pub host: String,
    /// Where: an address of the host and a port.
    pub listen: String,
    /// The host that connects, by name; empty for the one that listens.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub via: String,
    /// Where to, as that host sees it; none for a proxy.
    #[serde(skip_serializing_if = "Place::is_none")]
    pub to: Place,
    /// Who may use a proxy; empty for everyone who reaches it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Over SSH: `user@host` or `user@host:port`, as the host that listens sees it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ssh: String,
    /// The user's password. The hub is told it and tells nobody but the host; one that is not given again stays.
    #[serde(skip_serializing_if = "Password::is_empty")]
    pub password: Password,
    /// The key by which one logs in over SSH, in OpenSSH's form and without a passphrase; kept as the password is.
    #[serde(skip_serializing_if = "Password::is_empty")]
    pub key: Password,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Forward {
    /// Where it leads, as far as one word says it in every language: `10.0.0.5:80`, `udp 10.0.0.2:53`, `http *`.
    pub fn leads(&self) -> String {
        let to = if self.to.is_none() { "*".to_owned() } else { self.to.to_string() };
        match self.kind {
            Kind::Tcp => to,
            kind if kind.is_ssh() => format!("{kind} {} {to}", self.ssh),
            kind => format!("{kind} {to}"),
        }
    }

    /// Whether kind, place, host that connects and login fit each other.
    pub fn check(&self) -> Result<(), String> {
        if self.kind == Kind::Unknown {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            return Err(format!("the kinds of forwards are {}", known.join(", ")));
        }
        if self.kind.is_proxy() != self.to.is_none() {
            return Err(if self.kind.is_proxy() {
                "a proxy leads where its clients say: it has no place of its own ('to')".to_owned()
            } else {
                "a forward leads to a place ('to') such as 10.0.0.5:5432".to_owned()
            });
        }
        if self.kind != Kind::Tcp && !self.via.is_empty() && self.via != self.host {
            return Err(format!(
                "a forward of kind {} is one of a single host; through another host ('via') go those of kind tcp",
                self.kind
            ));
        }
        if self.kind.is_ssh() {
            machine(&self.ssh)?;
            if !self.user.is_empty() {
                return Err("over SSH the user is the one in 'ssh': user@host".to_owned());
            }
        } else if !self.ssh.is_empty() || !self.key.is_empty() {
            return Err("'ssh' and a key are for the kinds ssh-local, ssh-remote and ssh-dynamic"
                .to_owned());
        } else if !(self.kind.is_proxy() || self.user.is_empty() && self.password.is_empty()) {
            return Err("a user and a password are for proxies: kinds http, socks5 and socks5-udp"
                .to_owned());
        } else if self.user.is_empty() && !self.password.is_empty() {
            return Err("a password is somebody's: give the user as well".to_owned());
        }
        if self.key.0.len() > MAX_KEY {
            return Err(format!("a key is at most {MAX_KEY} bytes"));
        }
        let unfit = |text: &str| text.len() > MAX_LOGIN || text.contains(char::is_control);
        if unfit(&self.user) || self.user.contains(':') || unfit(&self.password.0) {
            return Err(format!(
                "a user and a password are one line of at most {MAX_LOGIN} bytes each, and a user has no ':'"
            ));
        }
        if self.kind.is_proxy() { Ok(()) } else { self.to.check() }
    }
}

/// Says that a forward's name can be one.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    let first = name.bytes().next();
    if name.len() > 63 || !name.bytes().all(fine) || first.is_none_or(|c| b"-._".contains(&c)) {
        return Err(
            "the name of a forward has 1 to 63 small letters, digits, '-', '.' and '_', and begins with a letter or a digit"
                .to_owned(),
        );
    }
    Ok(())
}

/// A forward as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// What it is.
    pub forward: Forward,
    /// It does not listen, because somebody stopped it.
    pub stopped: bool,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Whose rights it goes by: whoever made it, or changed it last.
    pub by: String,
    /// What its host says of it; absent while the host has not said anything since the hub began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand: Option<Stand>,
    /// The host has no link now: what is said of it is what was said last.
    pub away: bool,
}

impl Row {
    /// `listening`, `stopped`, `waiting` for its host, its first word or a login, `failing`.
    pub fn state(&self) -> &'static str {
        match &self.stand {
            _ if self.stopped => "stopped",
            Some(stand) if stand.revision == self.revision && !stand.problem.is_empty() => {
                "failing"
            }
            Some(stand) if stand.revision == self.revision && !stand.listening.is_empty() => {
                "listening"
            }
            _ => "waiting",
        }
    }
}

/// What a host says of a forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stand {
    /// Which.
    pub name: String,
    /// The revision that it has.
    pub revision: u64,
    /// Where it listens; empty when it does not.
    pub listening: String,
    /// Why it does not listen; empty when it does, or shall not.
    pub problem: String,
    /// Connections now.
    pub open: u32,
    /// Connections since whoever carries them began: the agent, or the data plane of its host.
    pub total: u64,
    /// Those of them that came to nothing or broke.
    pub failed: u64,
    /// Bytes from those who connect.
    pub sent: u64,
    /// Bytes to them.
    pub received: u64,
    /// Why the last one failed, and when, milliseconds since 1970.
    pub last_error: String,
    /// When that was; 0 for never.
    pub last_error_ms: u64,
    /// Those of `total` that went to the other host without the hub.
    pub direct: u64,
    /// Whether the last one did.
    pub is_direct: bool,
    /// Why it did not, though both hosts' owners let it; empty otherwise.
    pub not_direct: String,
}

/// All forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "forwards.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name; of hosts that the caller may see.
    pub forwards: Vec<Row>,
}

/// What rights are about.
fn resource(name: &str) -> String {
    format!("kept:{name}")
}

/// Keeps a forward: it begins, or goes on as this. Established connections go on where they lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Put(pub Forward);

impl Call for Put {
    const METHOD: &'static str = "forwards.put";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["password", "key"];
    type Reply = Done;
    fn resource(&self) -> String {
        resource(&self.0.name)
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// The revision now.
    pub revision: u64,
    /// It was so already.
    pub unchanged: bool,
    /// Its host has no link: it hears of this when it is back.
    pub away: bool,
}

/// Declares a change of a forward that is named.
macro_rules! change {
    ($(#[$meta:meta])* $name:ident = $method:literal -> $reply:ty) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Which.
            pub name: String,
        }

        impl Call for $name {
            const METHOD: &'static str = $method;
            const ACCESS: Access = Access::Admin;
            type Reply = $reply;
            fn resource(&self) -> String {
                resource(&self.name)
            }
        }
    };
}

change! {
    /// Takes no more connections. Those that are there go on.
    Stop = "forwards.stop" -> Done
}
change! {
    /// Takes connections again.
    Resume = "forwards.resume" -> Done
}
change! {
    /// Ends the connections that are there.
    Cut = "forwards.cut" -> Nothing
}
change! {
    /// Takes it away for good, and ends its connections.
    Delete = "forwards.delete" -> Nothing
}

/// Lets new connections lead elsewhere. Those that are there go on where they lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// Which.
    pub name: String,
    /// Where to.
    pub to: Place,
    /// Through which host, by name; empty for the one it goes through now.
    pub via: String,
}

impl Call for Switch {
    const METHOD: &'static str = "forwards.switch";
    const ACCESS: Access = Access::Admin;
    type Reply = Done;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// A forward as its host is given it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// Counts its changes.
    pub revision: u64,
    /// What it understands.
    #[serde(skip_serializing_if = "Kind::is_usual")]
    pub kind: Kind,
    /// Where to listen.
    pub listen: String,
    /// Where this host connects to itself; absent when the hub finds another host for that, and for a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Place>,
    /// Who may use a proxy; empty for everyone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Over SSH: `user@host` or `user@host:port`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ssh: String,
    /// The user's password.
    #[serde(skip_serializing_if = "Password::is_empty")]
    pub password: Password,
    /// The key by which one logs in over SSH.
    #[serde(skip_serializing_if = "Password::is_empty")]
    pub key: Password,
    /// It does not listen.
    pub stopped: bool,
    /// Why nobody may use it now: it does not listen, and its connections end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refused: String,
}

/// The forwards of a host, all of them: what is not among them is over. Goes on until the link ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// All of kind tcp.
    pub forwards: Vec<Given>,
    /// All of other kinds, which an agent that knows none does not mistake for connections to one place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Given>,
}

impl Feed for Hold {
    const METHOD: &'static str = "forwards.hold";
    const ACCESS: Access = Access::Act;
    type Input = Word;
    type Item = Told;
}

/// What the hub says to a host meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Word {
    /// All forwards, when they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwards: Option<Vec<Given>>,
    /// With them: all of other kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Given>,
    /// A connection that leads nowhere, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<(u64, String)>,
    /// The connections of this forward are to end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cut: String,
}

/// What a host says to the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// How those stand that stand otherwise than was told before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stands: Vec<Stand>,
    /// Somebody has connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knock: Option<Knock>,
}

/// A connection that waits at a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Knock {
    /// To which forward.
    pub forward: String,
    /// Its number there.
    pub connection: u64,
    /// This host can dial the other one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
}

/// Takes a connection that waits at a host, and carries what is said both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accept {
    /// Its number.
    pub connection: u64,
    /// Where the other host may be dialed. A first input with nothing says that the connection goes by the hub all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<Offer>,
}

impl Feed for Accept {
    const METHOD: &'static str = "forwards.accept";
    const ACCESS: Access = Access::Act;
    type Input = super::Piece;
    type Item = super::Piece;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> Forward {
        Forward {
            name: "p".into(),
            kind: Kind::Socks5,
            host: "edge".into(),
            listen: "127.0.0.1:1080".into(),
            user: "ann".into(),
            password: Password("a password".into()),
            ..Forward::default()
        }
    }

    #[test]
    fn what_a_forward_is_made_of_fits_together() {
        let plain = Forward { to: Place::parse("10.0.0.5:80").unwrap(), ..Forward::default() };
        assert_eq!((proxy().check(), plain.check()), (Ok(()), Ok(())));
        let wrong = [
            (
                Forward { kind: Kind::Unknown, ..proxy() },
                "tcp, udp, http, socks5, socks5-udp, ssh-local",
            ),
            (Forward { to: plain.to.clone(), ..proxy() }, "where its clients say"),
            (Forward { via: "other".into(), ..proxy() }, "a single host"),
            (Forward { user: String::new(), ..proxy() }, "give the user as well"),
            (Forward { user: "a:b".into(), ..proxy() }, "no ':'"),
            (Forward { user: "x".repeat(256), ..proxy() }, "255 bytes"),
            (Forward { to: Place::default(), ..plain.clone() }, "leads to a place"),
            (Forward { ssh: "a@b".into(), ..plain.clone() }, "ssh-local"),
            (Forward { kind: Kind::SshLocal, ..plain.clone() }, "no login"),
            (Forward { kind: Kind::SshLocal, ssh: "x".into(), ..plain.clone() }, "no login"),
            (Forward { user: "ann".into(), ..plain }, "for proxies"),
        ];
        for (forward, why) in wrong {
            let told = forward.check().unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_password_is_in_nothing_that_is_printed_and_what_says_no_kind_is_tcp() {
        assert!(!format!("{:?}", proxy()).contains("a password"));
        let old: Forward = serde_json::from_str("{\"name\":\"x\",\"to\":\"db1:80\"}").unwrap();
        assert_eq!((old.kind, old.user.as_str()), (Kind::Tcp, ""));
        let new: Forward = serde_json::from_str("{\"kind\":\"carrier-pigeon\"}").unwrap();
        assert_eq!(new.kind, Kind::Unknown);
        let text = serde_json::to_string(&old).unwrap();
        assert!(!text.contains("kind") && !text.contains("password"), "{text}");
    }

    #[test]
    fn a_login_over_ssh_has_a_user_and_a_machine() {
        let read = |text| machine(text).map(|(user, place)| (user, place.to_string()));
        for (text, place) in [
            ("deploy@10.0.0.5", "10.0.0.5:22"),
            ("deploy@shop.lan:2222", "shop.lan:2222"),
            ("deploy@[fd00::5]:2222", "[fd00::5]:2222"),
            ("deploy@[fd00::5]", "[fd00::5]:22"),
        ] {
            assert_eq!(read(text), Ok(("deploy".to_owned(), place.to_owned())));
        }
        for bad in ["", "deploy", "@host", "deploy@", "deploy@host:0", "a b@host"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
