//! `passwd` and `totp`: one's own password and second factor.

use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::secret;
use clap::{Args, Subcommand};
use cmdr_protocol::operators::ChangePassword;
use cmdr_protocol::totp::{Begin, Confirm, Disable};

/// Change your password; other logins by the old one end.
///
/// On a terminal the new password is asked for twice. On standard input it stands once: a line with the
/// old password (empty when there is none), a line with the new one.
#[derive(Debug, Args)]
pub struct PasswdArgs {}

/// Ask for a code from an authenticator at each login with a password.
#[derive(Debug, Args)]
pub struct TotpArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Begin to use one.
    Enable,
    /// Go back to the password alone.
    Disable,
}

pub(super) async fn passwd(app: &App) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let old = secret::ask("Your password until now (empty when you have none)").await?;
    let new = secret::ask_new("Your new password").await?;
    hub.ask(&ChangePassword { old: old.to_string(), new: new.to_string() }).await?;
    app.out.note("your password is changed");
    Ok(Exit::Ok)
}

pub(super) async fn run(app: &App, args: &TotpArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb {
        Verb::Enable => {
            let password = secret::ask("Your password (empty when you have none)").await?;
            let made = hub.ask(&Begin { password: password.to_string() }).await?;
            app.out.note(
                "Give your authenticator this address, or the secret in it. It is shown only now:",
            );
            app.out.note(&format!("  {}", made.uri));
            app.out.note(&format!("  secret: {}", made.secret));
            let code = secret::ask_openly("The code that it shows").await?;
            let recovery = hub.ask(&Confirm { code: code.to_string() }).await?;
            app.out.note("A code is asked for from now on. Each of these works once instead; keep them elsewhere:");
            app.out.data(&(recovery.codes.join("\n") + "\n"))?;
        }
        Verb::Disable => {
            let code = secret::ask_openly("A code that works now, or a recovery code").await?;
            hub.ask(&Disable { code: code.to_string() }).await?;
            app.out.note("your password is enough now");
        }
    }
    Ok(Exit::Ok)
}
