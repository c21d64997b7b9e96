//! Sends one notice to one place: mail, chat robots, a webhook, a command. It keeps nothing and tries once; whoever calls
//! it keeps a queue and goes by what is returned.
//!
//! - A [`Place`] is where to and in which words; secrets in it are names. [`Place::check`] says what is wrong with it.
//! - [`send`] makes the text of a [`Content`] and sends it by the [`Means`] that the caller has: a guarded HTTP
//!   client, a store of secrets, a clock.
//! - [`Failure`] says whether another try makes sense and when; [`Backoff`] when the next one is due.

mod backoff;
mod config;
mod content;
mod escape;
mod failure;
mod fit;
mod kinds;
mod means;
mod template;

pub use backoff::Backoff;
pub use config::{
    Channel, Command, Dingtalk, Email, Encryption, Feishu, Lang, Ntfy, Place, SecretName, Slack,
    Telegram, Webhook, Wecom,
};
pub use content::{Content, Entry, Said, Severity};
pub use failure::{Failure, Sent};
pub use means::{Answer, Doing, Means, Request, Secret, Unreachable};

use std::time::Duration;

/// Everything together may take so long; a command has its own time beside it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends a notice, once. When the caller drops this, what is under way is dropped; a command is ended.
pub async fn send(place: &Place, content: &Content, means: &dyn Means) -> Result<Sent, Failure> {
    place.check().map_err(Failure::never)?;
    let (patience, sending) = match &place.to {
        Channel::Command(command) => {
            (command.patience() + PATIENCE, kinds::send(place, content, means))
        }
        _ => (PATIENCE, kinds::send(place, content, means)),
    };
    match tokio::time::timeout(patience, sending).await {
        Ok(done) => done,
        Err(_) => Err(Failure::later(format!("it took more than {} s", patience.as_secs()))),
    }
}

/// Title and body as they would be sent, for who wants to look first.
pub fn preview(place: &Place, content: &Content) -> Result<(String, String), String> {
    place.check()?;
    kinds::texts(place, content)
}
