//! Slack: its markup to an incoming webhook, one message a second. It answers `ok`, or a word with a status.

use super::http;
use crate::config::{Place, Slack};
use crate::content::Content;
use crate::escape::{Markup, escape};
use crate::failure::{Failure, Sent};
use crate::fit::Limit;
use crate::means::Means;
use serde_json::json;
use std::time::Duration;

/// Of 40,000 characters, after which it cuts by itself.
pub(super) const LIMIT: Limit = Limit::Chars(12_000);
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn send(
    place: &Place,
    to: &Slack,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let address = http::address(means, &to.webhook)?;
    let text = format!("*{}*\n{body}", escape(&title, Markup::Slack));
    let message =
        json!({"text": text, "mrkdwn": true, "unfurl_links": false, "unfurl_media": false});
    let answer = http::post(means, address.value(), Vec::new(), &message).await?;
    let said = http::text(&answer);
    let token = address.value().rsplit('/').next().unwrap_or_default();
    http::status(&answer, "Slack", &said, &[address.value(), token])?;
    if said.trim() == "ok" {
        return Ok(http::sent(PAUSE));
    }
    let said = crate::failure::words(&said, &[address.value(), token]);
    Err(Failure::later(format!("Slack answered what is not understood{said}")))
}
