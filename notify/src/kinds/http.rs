//! What all kinds have in common that post a request: secrets, statuses, signatures.

use crate::failure::{Failure, Sent, words};
use crate::means::{Answer, Means, Request, Secret};
use bytes::Bytes;
use ring::hmac;
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroizing;

/// Bytes of an answer that are looked at.
const ANSWER: usize = 64 * 1024;

/// The value of a secret; one that cannot be had may come back, so another try makes sense.
pub(super) fn secret(
    means: &dyn Means,
    name: &crate::config::SecretName,
) -> Result<Secret, Failure> {
    let value = means.secret(&name.0).map_err(Failure::later)?;
    if value.value().is_empty() {
        return Err(Failure::never(format!("the secret {} is empty", name.0)));
    }
    Ok(value)
}

/// A secret that is an address. What is wrong does not show it.
pub(super) fn address(
    means: &dyn Means,
    name: &crate::config::SecretName,
) -> Result<Secret, Failure> {
    let value = secret(means, name)?;
    let is = value.value().starts_with("https://") || value.value().starts_with("http://");
    let odd = value.value().contains(|c: char| c.is_whitespace() || c.is_control());
    if !is || odd {
        return Err(Failure::never(format!(
            "the secret {} is no address such as https://host/path",
            name.0
        )));
    }
    Ok(value)
}

/// Posts JSON with some more headers.
pub(super) async fn post(
    means: &dyn Means,
    url: &str,
    mut headers: Vec<(&'static str, Zeroizing<String>)>,
    body: &Value,
) -> Result<Answer, Failure> {
    headers.push(("Content-Type", Zeroizing::new("application/json".to_owned())));
    send(means, url, headers, Bytes::from(body.to_string())).await
}

/// Posts a request.
pub(super) async fn send(
    means: &dyn Means,
    url: &str,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    body: Bytes,
) -> Result<Answer, Failure> {
    let request = Request { url: Zeroizing::new(url.to_owned()), headers, body };
    match means.post(request).await {
        Ok(mut answer) => {
            answer.body.truncate(ANSWER);
            let asked = answer.retry_after.take().and_then(|text| seconds(&text, means.now_ms()));
            answer.retry_after = asked.map(|seconds| seconds.to_string());
            Ok(answer)
        }
        Err(why) if why.never => Err(Failure::never(why.what)),
        Err(why) => Err(Failure::later(why.what)),
    }
}

/// What a status means by itself; `said` are the server's own words, secrets may be in them.
pub(super) fn status(
    answer: &Answer,
    server: &str,
    said: &str,
    secrets: &[&str],
) -> Result<(), Failure> {
    let told = words(said, secrets);
    let what = format!("{server} answered {}{told}", answer.status);
    match answer.status {
        200..300 => Ok(()),
        300..400 => Err(Failure::never(format!(
            "{server} answered {}: the address is not the final one",
            answer.status
        ))),
        408 | 425 | 429 | 500.. => Err(Failure::after(retry_after(answer), what)),
        _ => Err(Failure::never(what)),
    }
}

/// What a server asks us to wait; `send` has made seconds of it.
pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.retry_after.as_deref()?.parse().ok().map(Duration::from_secs)
}

/// Seconds of what stands in `Retry-After`: seconds, or a date.
fn seconds(text: &str, now_ms: u64) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let left = at.as_millisecond().saturating_sub(i64::try_from(now_ms).ok()?);
    Some(u64::try_from(left / 1000).unwrap_or_default())
}

/// The answer as text, whatever it is.
pub(super) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// An answer of a robot: `code` and `message` are the names of its number and its words. A status that is no success
/// counts first; after that the number, whatever the status says.
pub(super) fn robot(
    answer: &Answer,
    server: &str,
    (code, message): (&str, &str),
    secrets: &[&str],
    later: impl Fn(i64, &str) -> Option<Duration>,
) -> Result<(), Failure> {
    let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let number = parsed.as_ref().and_then(|value| value.get(code)).and_then(Value::as_i64);
    let Some(number) = number else {
        status(answer, server, &text(answer), secrets)?;
        let said = words(&text(answer), secrets);
        return Err(Failure::later(format!("{server} answered what is not understood{said}")));
    };
    let said = parsed.as_ref().and_then(|value| value.get(message)).and_then(Value::as_str);
    let said = said.unwrap_or_default();
    if number == 0 {
        return status(answer, server, said, secrets);
    }
    let what = format!("{server} refused it with {number}{}", words(said, secrets));
    match later(number, said) {
        Some(pause) => Err(Failure::after(retry_after(answer).or(Some(pause)), what)),
        None if matches!(answer.status, 429 | 500..) => {
            Err(Failure::after(retry_after(answer), what))
        }
        None => Err(Failure::never(what)),
    }
}

/// It was taken; the next one not before this pause.
pub(super) fn sent(pause: Duration) -> Sent {
    Sent { pause, ..Sent::default() }
}

/// HMAC-SHA256.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        signing.update(part);
    }
    signing.sign()
}
