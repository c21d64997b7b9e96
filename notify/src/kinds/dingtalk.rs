//! DingTalk: Markdown to a robot in a group. The address is signed with the time; a robot takes 20 messages a minute and
//! nothing for ten minutes when there are more; failures come with status 200.

use super::http;
use crate::config::{Dingtalk, Place};
use crate::content::Content;
use crate::escape::{Markup, escape};
use crate::failure::{Failure, Sent};
use crate::fit::Limit;
use crate::means::Means;
use data_encoding::BASE64;
use serde_json::json;
use std::time::Duration;

/// Of 20,000 bytes of a message.
pub(super) const LIMIT: Limit = Limit::Bytes(16_000);
const PAUSE: Duration = Duration::from_secs(3);
const THROTTLED: Duration = Duration::from_mins(10);

pub(super) async fn send(
    place: &Place,
    to: &Dingtalk,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let address = http::address(means, &to.webhook)?;
    let secret = to.sign.as_ref().map(|name| http::secret(means, name)).transpose()?;
    let url = match &secret {
        None => zeroize::Zeroizing::new(address.value().to_owned()),
        Some(secret) => signed(address.value(), secret.value(), means.now_ms()),
    };
    let text = format!("#### {}\n\n{body}", escape(&title, Markup::Dialect));
    let message = json!({
        "msgtype": "markdown",
        "markdown": {"title": title, "text": text},
        "at": {"isAtAll": to.at_all},
    });
    let answer = http::post(means, &url, Vec::new(), &message).await?;
    let token = address.value().rsplit('=').next().unwrap_or_default();
    let secrets = [address.value(), token, secret.as_ref().map_or("", |s| s.value())];
    http::robot(&answer, "DingTalk", ("errcode", "errmsg"), &secrets, |code, _| match code {
        -1 => Some(PAUSE),
        130_101 | 410_100 => Some(THROTTLED),
        _ => None,
    })?;
    Ok(http::sent(PAUSE))
}

/// Milliseconds, a line feed and the secret, signed with the secret, in Base64, as parameters.
fn signed(address: &str, secret: &str, now_ms: u64) -> zeroize::Zeroizing<String> {
    let time = now_ms.to_string();
    let tag = http::hmac(secret.as_bytes(), &[time.as_bytes(), b"\n", secret.as_bytes()]);
    let sign = BASE64.encode(tag.as_ref());
    let sign = sign.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let join = if address.contains('?') { '&' } else { '?' };
    zeroize::Zeroizing::new(format!("{address}{join}timestamp={time}&sign={sign}"))
}
