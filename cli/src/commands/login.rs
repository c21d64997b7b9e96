//! `login`, `logout` and `whoami`: this home's key and the hub it is for. `up` logs in through
//! [`join`] as well.

mod person;

use crate::App;
use crate::commands::key::{self, SealBy};
use crate::connect::{Hub, VERSION, dial};
use crate::exit::{Exit, Failure, unwritten};
use crate::human;
use clap::Args;
use cmdr_link::context::{Context, ContextError, key_file};
use cmdr_link::link::Target;
use cmdr_link::pins::{self, Pins};
use cmdr_link::seal::Sealed;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_link::{SecretKey, card, files, unlock};
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::version::{Join, Welcome};
use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Log in to a hub: with a token from its administrator, with your password, or with a browser.
///
/// Makes a key for this home and pins the hub's key that the token or the card carries. A token lets
/// this device in until it is revoked; a password or a browser lets it in for a time, which is
/// lengthened while it is used.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// A token, or the hub's card (cmdr hub card); - reads it from standard input, where other users
    /// cannot see it. Left out for the hub that this home knows.
    token: Option<String>,

    /// Log in as this operator; the password is asked for, or read from standard input.
    ///
    /// There each answer is a line and is read once, in the order in which it is asked for: the password, the code of
    /// a second factor where there is one, a new password (once) where it has to be changed.
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,

    /// Log in with the hub's OpenID Connect provider: you confirm in a browser, on any machine.
    #[arg(long, conflicts_with = "user")]
    oidc: bool,

    /// What the hub's list of devices calls this one (default: user@hostname).
    #[arg(long, value_parser = device_name)]
    name: Option<String>,

    /// Leave the hub that this home knows now, and make a new key.
    #[arg(long)]
    replace: bool,

    /// Seal the key of this home: passphrase, ssh-agent, or ssh-agent=FINGERPRINT.
    #[arg(long, value_name = "BY", value_parser = key::seal_by)]
    seal: Option<SealBy>,
}

/// Forget the hub and the key of this home.
///
/// The hub forgets this device, too, when it can be reached; else it knows the key until an administrator
/// revokes it.
#[derive(Debug, Args)]
pub struct LogoutArgs {}

/// Show who the hub takes us for.
#[derive(Debug, Args)]
pub struct WhoamiArgs {}

pub(super) async fn login(app: &App, args: &LoginArgs) -> Result<Exit, Failure> {
    let text = match args.token.as_deref() {
        Some("-") => {
            let mut text = String::new();
            let stdin = std::io::stdin().lock();
            stdin
                .take(4096)
                .read_line(&mut text)
                .map_err(|e| Failure::usage(format!("reading the token: {e}")))?;
            Some(text)
        }
        text => text.map(str::to_owned),
    };
    let target = match &text {
        None => Context::load_target(&app.client_dir()).map_err(|e| {
            Failure::from(e).hint("log in with a token or the hub's card: cmdr login TOKEN, cmdr login CARD --user NAME")
        })?,
        Some(text) if card::is_card(text) => {
            card::read_card(text).map_err(|e| Failure::usage(e.to_string()))?
        }
        Some(text) => return by_token(app, args, text).await,
    };
    let (dir, replace) = (app.client_dir(), args.replace);
    let own = own_key(&dir, &target, replace, args.seal.as_ref())?;
    // Such a folder may know a key that follows the one in the card.
    let known = Pins::load(&dir)
        .is_ok_and(|pins| pins.address == target.address && pins.accepts(&target.hub));
    let person = person::Person {
        dir: known.then(|| dir.clone()),
        device: args.name.clone().unwrap_or_else(own_name),
        user: args.user.clone(),
        oidc: args.oidc,
    };
    let done = person::login(app, &target, &own.key, &person).await?;
    own.taken()?;
    if !known {
        Context::save_target(&dir, &target.address, &target.hub)
            .map_err(|e| Failure::failed(e.to_string()))?;
    }
    app.out.note(&format!(
        "logged in to {} as {} ({}), until {}; it is lengthened while you use it, until {}",
        target.address,
        done.name,
        done.role,
        human::moment(done.expires_ms),
        human::moment(done.renewable_ms)
    ));
    if done.owes_factor {
        app.out.note(
            "this hub wants a second factor; until you have one it lets you do nothing else: cmdr totp enable",
        );
    }
    Ok(Exit::Ok)
}

async fn by_token(app: &App, args: &LoginArgs, text: &str) -> Result<Exit, Failure> {
    if args.user.is_some() || args.oidc {
        return Err(Failure::usage("a token says who you are: leave out --user and --oidc"));
    }
    let token = JoinToken::parse(text).map_err(|e| Failure::usage(e.to_string()))?;
    let address = token.address.clone();
    let joining = Joining {
        token: &token,
        name: args.name.clone().unwrap_or_else(own_name),
        replace: args.replace,
        seal: args.seal.as_ref(),
        patience: app.patience(),
    };
    let (welcome, known) = join(&app.client_dir(), &joining).await?;
    app.out.note(&format!("logged in to {address} as {} ({})", welcome.name, welcome.role));
    if known {
        app.out.note(
            "the hub knew this device already: its name and operator stay, the token is unused",
        );
    }
    Ok(Exit::Ok)
}

/// Checks what shall stand in a list that others read.
fn device_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text {
        "" => Err("it is empty".to_owned()),
        t if clean_to_width(t, 64) != t => {
            Err("it is longer than 64 columns or has control characters".to_owned())
        }
        t => Ok(t.to_owned()),
    }
}

/// How to join a hub.
pub(super) struct Joining<'a> {
    pub(super) token: &'a JoinToken,
    /// What the hub's list calls us.
    pub(super) name: String,
    /// Leave another hub for this one.
    pub(super) replace: bool,
    /// How the key is sealed; None leaves it as it is.
    pub(super) seal: Option<&'a SealBy>,
    pub(super) patience: Duration,
}

/// The key in `dir` for this hub, and how it is kept.
struct OwnKey {
    key: SecretKey,
    path: PathBuf,
    /// Its text, when it is to be sealed.
    sealed: Option<Sealed>,
    /// It is in its file already.
    known: bool,
    /// Another hub is left, or what cannot be read: the file stays until the new hub has said yes.
    leaves: bool,
}

impl OwnKey {
    fn store(&self) -> Result<(), Failure> {
        match &self.sealed {
            Some(sealed) => sealed.save(&self.path).map_err(|e| unwritten(&self.path, &e)),
            None if self.known => Ok(()),
            None => self.key.save(&self.path).map_err(|e| Failure::failed(e.to_string())),
        }
    }

    /// The hub has said yes.
    fn taken(&self) -> Result<(), Failure> {
        if self.leaves { self.store() } else { Ok(()) }
    }
}

/// Opens or makes it.
fn own_key(
    dir: &Path,
    target: &Target,
    replace: bool,
    seal: Option<&SealBy>,
) -> Result<OwnKey, Failure> {
    let mut left = match Pins::load(dir) {
        Ok(known) if !known.accepts(&target.hub) => Some(known.address),
        Ok(_) | Err(ContextError::None(_)) => None,
        Err(e) if !replace => return Err(e.into()),
        Err(e) => Some(e.to_string()),
    };
    if let Some(other) = left.as_ref().filter(|_| !replace) {
        return Err(Failure::usage(format!("this home is logged in to another hub, {other}"))
            .hint("to leave it: cmdr login --replace TOKEN; to keep both: --home DIR"));
    }
    let fault = |e: &dyn std::fmt::Display| Failure::failed(e.to_string());
    files::private_dir(dir).map_err(|e| fault(&format!("making {}: {e}", dir.display())))?;
    let path = key_file(dir);
    // A key of the hub that is left must not follow us to the next one.
    let kept = if left.is_none() && path.exists() {
        match unlock::key(&path) {
            Ok(key) => Some(key),
            Err(e) if !replace => return Err(ContextError::from(e).into()),
            Err(e) => {
                left = Some(e.to_string());
                None
            }
        }
    } else {
        None
    };
    let known = kept.is_some();
    let key = kept.map_or_else(SecretKey::generate, Ok).map_err(|e| fault(&e))?;
    let sealed = seal.map(|by| by.seal(&key)).transpose()?;
    let own = OwnKey { key, path, sealed, known, leaves: left.is_some() };
    if !own.leaves {
        own.store()?;
    }
    Ok(own)
}

/// Dials the token's hub with the key in `dir` and keeps what is needed to find it again. Says too
/// whether the hub knew the key already.
pub(super) async fn join(dir: &Path, joining: &Joining<'_>) -> Result<(Welcome, bool), Failure> {
    let Joining { token, replace, .. } = *joining;
    let target = Target { address: token.address.clone(), hub: token.hub };
    let own = own_key(dir, &target, replace, joining.seal)?;
    let fault = |e: &dyn std::fmt::Display| Failure::failed(e.to_string());
    let mut dialer = Dialer::client(Context { target, key: own.key.clone(), dir: None }, VERSION);
    dialer.name.clone_from(&joining.name);
    dialer.join = Some(Join { token: Some(token.id), secret: token.secret.to_vec() });
    let (client, welcome) = dial(&dialer, joining.patience).await?;
    let me = client.call(None, &WhoAmI {}, joining.patience).await;
    // A device that has just come is as old as this link.
    let known =
        me.is_ok_and(|me| me.device != joining.name || me.joined_ms + 60_000 < welcome.at_ms);
    own.taken()?;
    Context::save_target(dir, &token.address, &token.hub)
        .and_then(|()| pins::learn(dir, &token.hub, welcome.next_hub_key))
        .map_err(|e| fault(&e))?;
    Ok((welcome, known))
}

/// `user@host`, as the hub lists us.
pub(super) fn own_name() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|user| !user.is_empty())
        .or_else(|| account(&std::fs::read_to_string("/etc/passwd").ok()?, own_uid()))
        .unwrap_or_else(|| format!("uid{}", own_uid()));
    let system = rustix::system::uname();
    format!("{user}@{}", system.nodename().to_string_lossy())
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The name that `/etc/passwd` has for a user: services and `sudo` often run without `USER`.
fn account(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

pub(super) async fn logout(app: &App, _: &LogoutArgs) -> Result<Exit, Failure> {
    let dir = app.client_dir();
    let told = match Context::load(&dir) {
        // A hub that cannot be reached must not keep anybody from forgetting it.
        Ok(context) => tell_hub(app, context).await,
        Err(_) => None,
    };
    let mut known = false;
    for file in [dir.join("hub.toml"), key_file(&dir)] {
        match std::fs::remove_file(&file) {
            Ok(()) => known = true,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                let what = format!("removing {}: {e}", file.display());
                return Err(Failure::failed(what));
            }
        }
    }
    app.out.note(match (known, told) {
        (false, _) => "this home was not logged in",
        (true, Some(())) => "logged out; the hub knows this device no longer",
        (true, None) => {
            "logged out; the hub knows the key until it is revoked: cmdr operators revoke KEY"
        }
    });
    Ok(Exit::Ok)
}

async fn tell_hub(app: &App, context: Context) -> Option<()> {
    let patience = app.patience().min(Duration::from_secs(5));
    let (client, _) = dial(&Dialer::client(context, VERSION), patience).await.ok()?;
    client.call(None, &cmdr_protocol::login::Logout {}, patience).await.ok()?;
    Some(())
}

pub(super) async fn whoami(app: &App) -> Result<Exit, Failure> {
    let target = app.target()?;
    let hub = Hub::connect(app).await?;
    let me = hub.ask(&WhoAmI {}).await?;
    let ends = me.expires_ms.map_or_else(|| "never".to_owned(), human::moment);
    let groups: Vec<_> =
        me.groups.iter().map(|(group, role)| format!("{role} in {}", clean(group))).collect();
    let mut fields = vec![
        ("NAME", me.name.clone()),
        ("ROLE", me.role.to_string()),
        ("GROUPS", if groups.is_empty() { "-".to_owned() } else { groups.join(", ") }),
        ("DEVICE", me.device.clone()),
        ("KEY", me.key.to_string()),
        ("BY", me.by.to_string()),
        ("JOINED", human::moment(me.joined_ms)),
        ("LOGIN ENDS", ends),
    ];
    if let Some(last) = me.renewable_ms {
        fields.push(("RENEWED UNTIL", human::moment(last)));
    }
    fields.push(("SECOND FACTOR", if me.second_factor { "yes".into() } else { "no".into() }));
    fields.push(("HUB", target.address.clone()));
    fields.push(("HUB KEY", target.hub.to_string()));
    let value = serde_json::json!({
        "name": me.name, "role": me.role, "key": me.key,
        "device": me.device, "by": me.by, "groups": me.groups,
        "joined": human::moment(me.joined_ms),
        "expires": me.expires_ms.map(human::moment), "second_factor": me.second_factor,
        "hub": target.address, "hub_key": target.hub,
    });
    app.out.one(&value, &fields, &me.name)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::PublicKey;

    #[test]
    fn a_device_is_named_with_what_a_list_can_show() {
        assert_eq!(device_name(" ann's laptop "), Ok("ann's laptop".to_owned()));
        for wrong in ["", "  ", "a\u{1b}[2J", &"x".repeat(65)] {
            assert!(device_name(wrong).is_err(), "{wrong:?}");
        }
        assert!(own_name().contains('@'));
    }

    #[tokio::test]
    async fn a_home_of_another_hub_is_not_overwritten_without_being_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::load_or_create(&key_file(dir.path())).unwrap();
        Context::save_target(dir.path(), "old.example:7700", &PublicKey([1; 32])).unwrap();
        let token = JoinToken::generate("127.0.0.1:1".into(), PublicKey([2; 32])).unwrap();
        let with = |replace| Joining {
            token: &token,
            name: own_name(),
            replace,
            seal: None,
            patience: Duration::from_secs(5),
        };
        let failure = join(dir.path(), &with(false)).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("old.example:7700"), "{}", failure.message);
        // Even when told to, the old key stays until the new hub has said yes.
        let failure = join(dir.path(), &with(true)).await.unwrap_err();
        assert_eq!(failure.exit, Exit::NoHub);
        let kept = Context::load(dir.path()).unwrap();
        assert_eq!(kept.key.public(), key.public());
        assert_eq!(kept.target.hub, PublicKey([1; 32]));
    }

    #[test]
    fn a_user_without_a_name_in_the_environment_has_one_in_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad line\n:x:7:7::/:\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(account(passwd, 0).as_deref(), Some("root"));
        assert_eq!(account(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!((account(passwd, 7), account(passwd, 9)), (None, None));
    }
}
