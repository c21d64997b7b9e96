//! `login`, `logout` and `whoami`: this home's key and the hub it is for. `up` logs in through
//! [`join`] as well.

use crate::App;
use crate::commands::key::{self, SealBy};
use crate::connect::{Hub, VERSION, dial};
use crate::exit::{Exit, Failure, unwritten};
use crate::human;
use clap::Args;
use cmdr_link::context::{Context, ContextError, key_file};
use cmdr_link::link::Target;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_link::{SecretKey, files, unlock};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::version::{Join, Welcome};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// Join a hub as an operator, with a token from its administrator.
///
/// Makes a key for this home and pins the hub's key that the token carries.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The token; - reads it from standard input, where other users cannot see it.
    token: String,

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
/// The hub goes on to know the key until an administrator revokes it.
#[derive(Debug, Args)]
pub struct LogoutArgs {}

/// Show who the hub takes us for.
#[derive(Debug, Args)]
pub struct WhoamiArgs {}

pub(super) async fn login(app: &App, args: &LoginArgs) -> Result<Exit, Failure> {
    let text = if args.token == "-" {
        let mut text = String::new();
        let stdin = std::io::stdin().lock();
        stdin
            .take(4096)
            .read_to_string(&mut text)
            .map_err(|e| Failure::usage(format!("reading the token: {e}")))?;
        text
    } else {
        args.token.clone()
    };
    let token = JoinToken::parse(&text).map_err(|e| Failure::usage(e.to_string()))?;
    let address = token.address.clone();
    let joining = Joining {
        token: &token,
        name: args.name.clone().unwrap_or_else(own_name),
        replace: args.replace,
        seal: args.seal.as_ref(),
        patience: app.patience(),
    };
    let welcome = join(&app.client_dir(), &joining).await?;
    app.out.note(&format!("logged in to {address} as {} ({})", welcome.name, welcome.role));
    if args.name.as_ref().is_some_and(|name| *name != welcome.name) {
        app.out
            .note("the hub knew this device already: its name and role stay, the token is unused");
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

/// Dials the token's hub with the key in `dir` and keeps what is needed to find it again.
pub(super) async fn join(dir: &Path, joining: &Joining<'_>) -> Result<Welcome, Failure> {
    let Joining { token, replace, .. } = *joining;
    let mut left = match Context::load_target(dir) {
        Ok(known) if known.hub != token.hub => Some(known.address),
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
    let sealed = joining.seal.map(|by| by.seal(&key)).transpose()?;
    let store = || match &sealed {
        Some(sealed) => sealed.save(&path).map_err(|e| unwritten(&path, &e)),
        None if known => Ok(()),
        None => key.save(&path).map_err(|e| fault(&e)),
    };
    if left.is_none() {
        store()?;
    }
    let target = Target { address: token.address.clone(), hub: token.hub };
    let mut dialer = Dialer::client(Context { target, key: key.clone() }, VERSION);
    dialer.name.clone_from(&joining.name);
    dialer.join = Some(Join { token: Some(token.id), secret: token.secret.to_vec() });
    let (_, welcome) = dial(&dialer, joining.patience).await?;
    if left.is_some() {
        store()?;
    }
    Context::save_target(dir, &token.address, &token.hub).map_err(|e| fault(&e))?;
    Ok(welcome)
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

pub(super) fn logout(app: &App, _: &LogoutArgs) -> Result<Exit, Failure> {
    let dir = app.client_dir();
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
    app.out.note(if known {
        "logged out; the hub knows the key until it is revoked: cmdr operators revoke KEY"
    } else {
        "this home was not logged in"
    });
    Ok(Exit::Ok)
}

pub(super) async fn whoami(app: &App) -> Result<Exit, Failure> {
    let target = Context::load_target(&app.client_dir())?;
    let hub = Hub::connect(app).await?;
    let me = hub.ask(&WhoAmI {}).await?;
    let fields = [
        ("NAME", me.name.clone()),
        ("ROLE", me.role.to_string()),
        ("KEY", me.key.to_string()),
        ("JOINED", human::moment(me.joined_ms)),
        ("HUB", target.address.clone()),
        ("HUB KEY", target.hub.to_string()),
    ];
    let value = serde_json::json!({
        "name": me.name, "role": me.role, "key": me.key,
        "joined": human::moment(me.joined_ms),
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
