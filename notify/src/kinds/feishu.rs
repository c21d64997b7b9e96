//! Feishu and Lark: a card to a robot in a group. What is signed is nothing, with the time and the secret as key; the
//! time is in seconds. A robot takes 100 messages a minute and 5 a second, of 20 KB each.

use super::http;
use crate::config::{Feishu, Place};
use crate::content::{Content, Severity};
use crate::escape::{Markup, escape};
use crate::failure::{Failure, Sent};
use crate::fit::Limit;
use crate::means::Means;
use data_encoding::BASE64;
use serde_json::json;
use std::time::Duration;

/// Of 20 KB of a request, where a character of ours may become six.
pub(super) const LIMIT: Limit = Limit::Bytes(14_000);
const PAUSE: Duration = Duration::from_millis(600);

pub(super) async fn send(
    place: &Place,
    to: &Feishu,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let address = http::address(means, &to.webhook)?;
    let secret = to.sign.as_ref().map(|name| http::secret(means, name)).transpose()?;
    let colour = match content.worst() {
        None => "green",
        Some(Severity::Info) => "blue",
        Some(Severity::Warning) => "orange",
        Some(Severity::Critical) => "red",
    };
    let mut message = json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {"title": {"tag": "plain_text", "content": escape(&title, Markup::Dialect)}, "template": colour},
            "elements": [{"tag": "div", "text": {"tag": "lark_md", "content": body}}],
        },
    });
    if let Some(secret) = &secret {
        let time = (means.now_ms() / 1000).to_string();
        let key = zeroize::Zeroizing::new(format!("{time}\n{}", secret.value()));
        message["sign"] = BASE64.encode(http::hmac(key.as_bytes(), &[]).as_ref()).into();
        message["timestamp"] = time.into();
    }
    let answer = http::post(means, address.value(), Vec::new(), &message).await?;
    let token = address.value().rsplit('/').next().unwrap_or_default();
    let secrets = [address.value(), token, secret.as_ref().map_or("", |s| s.value())];
    http::robot(&answer, "Feishu", ("code", "msg"), &secrets, |code, said| match code {
        11_232 | 99_991_400 => Some(Duration::from_mins(1)),
        9_499 if said.to_lowercase().contains("too many") => Some(Duration::from_mins(1)),
        _ => None,
    })?;
    Ok(http::sent(PAUSE))
}
