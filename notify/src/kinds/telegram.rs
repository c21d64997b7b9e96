//! Telegram: HTML to a chat of a bot. It takes 4,096 characters after entities are read and 20 messages a minute to a
//! group; it says itself how long to wait.

use super::http;
use crate::config::{Place, Telegram};
use crate::content::Content;
use crate::escape::{Markup, escape};
use crate::failure::{Failure, Sent};
use crate::fit::Limit;
use crate::means::{Answer, Means};
use serde_json::{Value, json};
use std::time::Duration;

/// Of 4,096 characters, some of which are the title's.
pub(super) const LIMIT: Limit = Limit::Chars(3_600);
const PAUSE: Duration = Duration::from_secs(3);

pub(super) async fn send(
    place: &Place,
    to: &Telegram,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let token = http::secret(means, &to.token)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    if !token.value().chars().all(plain) {
        return Err(Failure::never(format!("the secret {} is no token of a bot", to.token.0)));
    }
    let api = to.api.as_deref().unwrap_or("https://api.telegram.org").trim_end_matches('/');
    let url = zeroize::Zeroizing::new(format!("{api}/bot{}/sendMessage", token.value()));
    let mut message = json!({
        "chat_id": to.chat,
        "text": format!("<b>{}</b>\n{body}", escape(&title, Markup::Html)),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": true},
    });
    if let Some(thread) = to.thread {
        message["message_thread_id"] = thread.into();
    }
    let mut answer = http::post(means, &url, Vec::new(), &message).await?;
    judge(&mut answer, token.value())?;
    Ok(http::sent(PAUSE))
}

fn judge(answer: &mut Answer, token: &str) -> Result<(), Failure> {
    let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let value = |name: &str| parsed.as_ref().and_then(|value| value.get(name));
    let said = value("description").and_then(Value::as_str);
    let asked = value("parameters").and_then(|p| p.get("retry_after")).and_then(Value::as_u64);
    if let Some(seconds) = asked {
        answer.retry_after = Some(seconds.to_string());
    }
    let text = http::text(answer);
    http::status(answer, "Telegram", said.unwrap_or(&text), &[token])?;
    match value("ok").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        Some(false) => {
            let said = crate::failure::words(said.unwrap_or_default(), &[token]);
            Err(Failure::never(format!("Telegram refused it{said}")))
        }
        None => {
            let said = crate::failure::words(&text, &[token]);
            Err(Failure::later(format!("Telegram answered what is not understood{said}")))
        }
    }
}
