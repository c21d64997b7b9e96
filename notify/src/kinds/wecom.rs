//! WeCom: Markdown to a robot in a group. It takes 4,096 bytes a message and 20 messages a minute; failures come with
//! status 200.

use super::http;
use crate::config::{Place, Wecom};
use crate::content::Content;
use crate::escape::{Markup, escape};
use crate::failure::{Failure, Sent};
use crate::fit::{Limit, cut};
use crate::means::Means;
use serde_json::json;
use std::time::Duration;

/// Of 4,096 bytes, some of which are the title's.
pub(super) const LIMIT: Limit = Limit::Bytes(3_400);
const WHOLE: Limit = Limit::Bytes(4_096);
const PAUSE: Duration = Duration::from_secs(3);

pub(super) async fn send(
    place: &Place,
    to: &Wecom,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, body) = super::texts(place, content).map_err(super::wrong)?;
    let address = http::address(means, &to.webhook)?;
    let text = format!("### {}\n{body}", escape(&title, Markup::Dialect));
    let text = cut(&text, WHOLE, place.lang);
    let message = json!({"msgtype": "markdown", "markdown": {"content": text}});
    let answer = http::post(means, address.value(), Vec::new(), &message).await?;
    let key = address.value().rsplit('=').next().unwrap_or_default();
    let secrets = [address.value(), key];
    http::robot(&answer, "WeCom", ("errcode", "errmsg"), &secrets, |code, _| match code {
        -1 => Some(PAUSE),
        45_009 | 45_033 => Some(Duration::from_mins(1)),
        _ => None,
    })?;
    Ok(http::sent(PAUSE))
}
