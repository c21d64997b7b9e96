//! Anything that takes JSON: the notice with all its alerts, and our title and body. Signed as all that the hub posts:
//! `Cmdr-Timestamp` has seconds since 1970, `Cmdr-Signature` has `v1=` and the HMAC-SHA256 of the timestamp, a full
//! stop and the body, in hexadecimal; `Cmdr-Delivery` is the notice's id, the same for each try.

use super::http;
use crate::config::{Place, Webhook};
use crate::content::Content;
use crate::failure::{Failure, Sent};
use crate::fit::Limit;
use crate::means::Means;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) const LIMIT: Limit = Limit::Bytes(64 * 1024);

pub(super) async fn send(
    place: &Place,
    to: &Webhook,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, text) = super::texts(place, content).map_err(super::wrong)?;
    let address = http::address(means, &to.address)?;
    let mut message = serde_json::to_value(content)
        .map_err(|e| Failure::never(format!("writing the notice as JSON: {e}")))?;
    message["title"] = title.into();
    message["text"] = text.into();
    let message: Value = json!({"kind": "alerts", "notice": message});
    let body = Bytes::from(message.to_string());
    let plain = |text: &str| Zeroizing::new(text.to_owned());
    let mut headers =
        vec![("Content-Type", plain("application/json")), ("Cmdr-Delivery", plain(&content.id))];
    let key = to.key.as_ref().map(|name| http::secret(means, name)).transpose()?;
    if let Some(key) = &key {
        let time = (means.now_ms() / 1000).to_string();
        let tag = http::hmac(key.value().as_bytes(), &[time.as_bytes(), b".", &body]);
        headers.push(("Cmdr-Timestamp", plain(&time)));
        headers.push(("Cmdr-Signature", plain(&format!("v1={}", HEXLOWER.encode(tag.as_ref())))));
    }
    let answer = http::send(means, address.value(), headers, body).await?;
    let secrets = [address.value(), key.as_ref().map_or("", |key| key.value())];
    http::status(&answer, "the server", &http::text(&answer), &secrets)?;
    Ok(http::sent(Duration::ZERO))
}
