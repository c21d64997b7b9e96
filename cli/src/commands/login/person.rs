//! A person logs in: with a password, or with a browser.

use crate::App;
use crate::connect::{VERSION, dial};
use crate::exit::{Exit, Failure};
use crate::{human, secret};
use cmdr_link::context::Context;
use cmdr_link::link::Target;
use cmdr_link::session::Dialer;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::login::{CAPABILITY, LoggedIn, Oidc, Password, Ways};
use cmdr_protocol::{Call as _, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

/// A hashed password takes a while, and others may be before us.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who logs in, and how.
pub(super) struct Person {
    /// What the hub's list of devices shall call this one.
    pub(super) device: String,
    pub(super) user: Option<String>,
    /// The folder that knows this hub already.
    pub(super) dir: Option<PathBuf>,
    pub(super) oidc: bool,
}

/// Logs in.
pub(super) async fn login(
    app: &App,
    target: &Target,
    key: &SecretKey,
    person: &Person,
) -> Result<LoggedIn, Failure> {
    let context = Context { target: target.clone(), key: key.clone(), dir: person.dir.clone() };
    let mut dialer = Dialer::client(context, VERSION);
    dialer.name.clone_from(&person.device);
    dialer.capabilities = vec![CAPABILITY.to_owned()];
    let (client, welcome) = dial(&dialer, app.patience()).await?;
    if !welcome.name.is_empty() && welcome.expires_ms.is_none() {
        return Err(Failure::usage(format!(
            "this home is logged in as {} for good already",
            clean_to_width(&welcome.name, 64)
        ))
        .hint("to leave that: cmdr logout; to keep both: --home DIR"));
    }
    if !welcome.verbs.iter().any(|verb| verb == Password::METHOD) {
        return Err(Failure::failed("this hub lets nobody log in with a password: it is too old"));
    }
    let ways = client.call(None, &Ways {}, app.patience()).await.map_err(Failure::from_hub)?;
    if person.oidc {
        let Some(provider) = ways.oidc else {
            return Err(Failure::usage("this hub has no OpenID Connect provider"));
        };
        return by_browser(app, &client, person, &provider).await;
    }
    by_password(app, &client, person).await
}

async fn by_password(app: &App, client: &Client, person: &Person) -> Result<LoggedIn, Failure> {
    let name = match &person.user {
        Some(name) => name.clone(),
        None => secret::ask_openly("Name").await?.trim().to_owned(),
    };
    let password = secret::ask(&format!("Password of {}", clean_to_width(&name, 64))).await?;
    let mut ask = Password {
        name,
        password: password.to_string(),
        device: person.device.clone(),
        ..Password::default()
    };
    loop {
        let error = match client.call(None, &ask, PATIENCE).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match error.kind {
            ErrorKind::NeedsCode if ask.code.is_none() => {
                ask.code = Some(secret::ask_openly("Code of the second factor").await?.to_string());
            }
            ErrorKind::NeedsPassword if ask.new_password.is_none() => {
                app.out.note(&error.message);
                ask.new_password = Some(secret::ask_new("New password").await?.to_string());
            }
            _ => return Err(Failure::from_hub(error)),
        }
    }
}

async fn by_browser(
    app: &App,
    client: &Client,
    person: &Person,
    provider: &str,
) -> Result<LoggedIn, Failure> {
    let oidc = Oidc { device: person.device.clone() };
    let mut feed = client.feed(None, &oidc).await.map_err(Failure::from_hub)?;
    while let Some(step) = feed.next().await {
        let step = step.map_err(Failure::from_hub)?;
        if let Some(done) = step.done {
            return Ok(done);
        }
        let shown = |text: &str| clean_to_width(text, 400);
        app.out.note(&format!(
            "{}: open {} and enter the code {}, within {}",
            shown(provider),
            shown(&step.uri),
            shown(&step.code),
            human::span(step.expires_s)
        ));
        if !step.uri_complete.is_empty() {
            app.out.note(&format!("or open {}", shown(&step.uri_complete)));
        }
    }
    Err(Failure::new(Exit::Failed, "the hub ended the login before it was done"))
}
