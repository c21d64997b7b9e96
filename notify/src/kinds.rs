//! One file for each kind of place: how its message looks, and what its answers mean.

mod command;
mod dingtalk;
mod email;
mod feishu;
mod http;
mod ntfy;
mod slack;
mod telegram;
mod webhook;
mod wecom;

pub(crate) use email::mailbox;

use crate::config::{Channel, Place};
use crate::content::Content;
use crate::escape::Markup;
use crate::failure::{Failure, Sent};
use crate::fit::{Limit, cut, fitting};
use crate::means::Means;
use crate::template;

/// Sends it there.
pub(crate) async fn send(
    place: &Place,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    match &place.to {
        Channel::Email(to) => email::send(place, to, content, means).await,
        Channel::Dingtalk(to) => dingtalk::send(place, to, content, means).await,
        Channel::Slack(to) => slack::send(place, to, content, means).await,
        Channel::Feishu(to) => feishu::send(place, to, content, means).await,
        Channel::Wecom(to) => wecom::send(place, to, content, means).await,
        Channel::Telegram(to) => telegram::send(place, to, content, means).await,
        Channel::Ntfy(to) => ntfy::send(place, to, content, means).await,
        Channel::Webhook(to) => webhook::send(place, to, content, means).await,
        Channel::Command(to) => command::send(place, to, content).await,
    }
}

/// Title and body for a kind: its markup, and how long the body may be.
pub(crate) fn texts(place: &Place, content: &Content) -> Result<(String, String), String> {
    let (markup, limit) = match &place.to {
        Channel::Email(_) => (Markup::Plain, email::LIMIT),
        Channel::Command(_) => (Markup::Plain, command::LIMIT),
        Channel::Ntfy(_) => (Markup::Plain, ntfy::LIMIT),
        Channel::Webhook(_) => (Markup::Plain, webhook::LIMIT),
        Channel::Slack(_) => (Markup::Slack, slack::LIMIT),
        Channel::Telegram(_) => (Markup::Html, telegram::LIMIT),
        Channel::Dingtalk(_) => (Markup::Dialect, dingtalk::LIMIT),
        Channel::Feishu(_) => (Markup::Dialect, feishu::LIMIT),
        Channel::Wecom(_) => (Markup::Dialect, wecom::LIMIT),
    };
    Ok((title(place, content)?, body(place, content, markup, limit)?))
}

/// Characters of a title.
const TITLE: Limit = Limit::Chars(150);

/// The title: one line without markup.
fn title(place: &Place, content: &Content) -> Result<String, String> {
    let template = place.title.as_deref().unwrap_or(template::TITLE);
    let title = template::render(template, content, place.lang, Markup::Plain)
        .map_err(|what| format!("the template of the title: {what}"))?;
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(cut(&title, TITLE, place.lang))
}

/// The body in a markup. What cannot be made to fit by saying less is cut; where that would break the markup, it is
/// our own body that is sent.
fn body(place: &Place, content: &Content, markup: Markup, limit: Limit) -> Result<String, String> {
    let ours = template::body(markup);
    let template = place.body.as_deref().unwrap_or(ours);
    let with = |template: &str| {
        fitting(content, limit, place.lang, |c| template::render(template, c, place.lang, markup))
            .map_err(|what| format!("the template of the body: {what}"))
    };
    let text = with(template)?;
    if limit.holds(&text) {
        return Ok(text);
    }
    match markup {
        Markup::Html => with(ours),
        _ => Ok(cut(&text, limit, place.lang)),
    }
}

fn wrong(what: String) -> Failure {
    Failure::never(what)
}
