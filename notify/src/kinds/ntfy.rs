//! ntfy: text to a topic, with a priority. It takes 4,096 bytes; what is longer would become a file.

use super::http;
use crate::config::{Ntfy, Place};
use crate::content::{Content, Severity};
use crate::failure::{Failure, Sent};
use crate::fit::Limit;
use crate::means::Means;
use serde_json::{Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) const LIMIT: Limit = Limit::Bytes(4_000);
/// A public server gives back one of 60 each 5 seconds.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn send(
    place: &Place,
    to: &Ntfy,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let topic = http::secret(means, &to.topic)?;
    let token = to.token.as_ref().map(|name| http::secret(means, name)).transpose()?;
    let (priority, tag) = match content.worst() {
        None => (3, "white_check_mark"),
        Some(Severity::Info) => (2, "information_source"),
        Some(Severity::Warning) => (4, "warning"),
        Some(Severity::Critical) => (5, "rotating_light"),
    };
    let message = json!({
        "topic": topic.value(), "title": title, "message": body, "priority": priority, "tags": [tag],
    });
    let mut headers = Vec::new();
    if let Some(token) = &token {
        headers.push(("Authorization", Zeroizing::new(format!("Bearer {}", token.value()))));
    }
    let server = to.server.as_deref().unwrap_or("https://ntfy.sh");
    let answer = http::post(means, server, headers, &message).await?;
    let secrets = [topic.value(), token.as_ref().map_or("", |token| token.value())];
    let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let value = |name: &str| parsed.as_ref().and_then(|v| v.get(name)).and_then(Value::as_str);
    let text = http::text(&answer);
    http::status(&answer, "ntfy", value("error").unwrap_or(&text), &secrets)?;
    if value("event") == Some("message") {
        return Ok(http::sent(PAUSE));
    }
    let said = crate::failure::words(&text, &secrets);
    Err(Failure::later(format!("ntfy answered what is not understood{said}")))
}
