//! Where notices go, as it is stored. Secrets are names; their values are asked of the caller when something is sent.

use crate::template;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Recipients of a mail.
const RECIPIENTS: usize = 20;
/// Bytes of a template, and of any other text.
const TEMPLATE: usize = 16 * 1024;
const TEXT: usize = 500;
/// Words of a command, and how long it may run.
const WORDS: usize = 64;
const LONGEST_S: u64 = 300;

/// The name of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretName(pub String);

/// The language of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// A place and the words for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The language of the texts that come with the product.
    #[serde(default)]
    pub lang: Lang,
    /// A template for the title, instead of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A template for the body, in the markup of the place, instead of ours. What is filled in is made harmless for
    /// that markup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where.
    pub to: Channel,
}

/// The kinds of places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Channel {
    /// Mail.
    Email(Email),
    /// A robot in a group of DingTalk.
    Dingtalk(Dingtalk),
    /// An incoming webhook of Slack.
    Slack(Slack),
    /// A robot in a group of Feishu or Lark.
    Feishu(Feishu),
    /// A robot in a group of WeCom.
    Wecom(Wecom),
    /// A bot of Telegram.
    Telegram(Telegram),
    /// A topic of ntfy.
    Ntfy(Ntfy),
    /// Anything that takes JSON, signed as all that the hub posts.
    Webhook(Webhook),
    /// A program on this machine.
    Command(Command),
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// In the clear until `STARTTLS`, which must succeed; port 587.
    #[default]
    Starttls,
    /// From the first byte; port 465.
    Tls,
    /// Not at all, and without a password; port 25.
    None,
}

/// Mail by a server that relays it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The server.
    pub host: String,
    /// Its port, where it is another than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How it is spoken to.
    #[serde(default)]
    pub encryption: Encryption,
    /// Who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// With which password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretName>,
    /// `cmdr@example.com`, or `Commander <cmdr@example.com>`.
    pub from: String,
    /// Everybody who gets it.
    pub to: Vec<String>,
}

/// DingTalk: <https://open.dingtalk.com/document/robots/custom-robot-access>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dingtalk {
    /// The robot's address, with its access token.
    pub webhook: SecretName,
    /// What it is signed with (`SEC…`), where the robot wants that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<SecretName>,
    /// Everybody in the group is called.
    #[serde(default)]
    pub at_all: bool,
}

/// Slack: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The webhook's address.
    pub webhook: SecretName,
}

/// Feishu: <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feishu {
    /// The robot's address.
    pub webhook: SecretName,
    /// What it is signed with, where the robot wants that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<SecretName>,
}

/// WeCom: <https://developer.work.weixin.qq.com/document/path/91770>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wecom {
    /// The robot's address, with its key.
    pub webhook: SecretName,
}

/// Telegram: <https://core.telegram.org/bots/api#sendmessage>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telegram {
    /// The bot's token.
    pub token: SecretName,
    /// The chat's number, or `@channel`.
    pub chat: String,
    /// The topic in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    /// Another server than `https://api.telegram.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

/// ntfy: <https://docs.ntfy.sh/publish/#publish-as-json>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ntfy {
    /// Another server than `https://ntfy.sh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The topic, which is as good as a password on a public server.
    pub topic: SecretName,
    /// An access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretName>,
}

/// Anything that takes JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its address.
    pub address: SecretName,
    /// What it is signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretName>,
}

/// A program on this machine, which gets the message on its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program, by its full path, and its arguments. There is no shell.
    pub argv: Vec<String>,
    /// How long it may run, in seconds; 30 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

impl Command {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout_s.unwrap_or(30))
    }
}

impl Place {
    /// What is wrong with it, as far as that shows without asking anybody.
    pub fn check(&self) -> Result<(), String> {
        for (key, text) in [("title", &self.title), ("body", &self.body)] {
            let Some(text) = text else { continue };
            if text.len() > TEMPLATE {
                return Err(format!("{key}: a template has at most {} KiB", TEMPLATE >> 10));
            }
            template::check(text).map_err(|what| format!("{key}: {what}"))?;
        }
        match &self.to {
            Channel::Email(email) => email.check(),
            Channel::Dingtalk(to) => {
                named(&[("webhook", Some(&to.webhook)), ("sign", to.sign.as_ref())])
            }
            Channel::Slack(to) => named(&[("webhook", Some(&to.webhook))]),
            Channel::Feishu(to) => {
                named(&[("webhook", Some(&to.webhook)), ("sign", to.sign.as_ref())])
            }
            Channel::Wecom(to) => named(&[("webhook", Some(&to.webhook))]),
            Channel::Telegram(to) => {
                short("chat", &to.chat)?;
                server("api", to.api.as_deref())?;
                named(&[("token", Some(&to.token))])
            }
            Channel::Ntfy(to) => {
                server("server", to.server.as_deref())?;
                named(&[("topic", Some(&to.topic)), ("token", to.token.as_ref())])
            }
            Channel::Webhook(to) => {
                named(&[("address", Some(&to.address)), ("key", to.key.as_ref())])
            }
            Channel::Command(command) => command.check(),
        }
    }
}

impl Email {
    fn check(&self) -> Result<(), String> {
        short("host", &self.host)?;
        if self.to.is_empty() || self.to.len() > RECIPIENTS {
            return Err(format!("to: between 1 and {RECIPIENTS} recipients"));
        }
        crate::kinds::mailbox("from", &self.from)?;
        for to in &self.to {
            crate::kinds::mailbox("to", to)?;
        }
        if self.user.is_some() != self.password.is_some() {
            return Err("user and password belong together".to_owned());
        }
        if self.encryption == Encryption::None && self.password.is_some() {
            return Err(
                "a password is not sent in the clear; use encryption starttls or tls".to_owned()
            );
        }
        named(&[("password", self.password.as_ref())])
    }
}

impl Command {
    fn check(&self) -> Result<(), String> {
        match self.argv.first() {
            None => return Err("argv: the program is missing".to_owned()),
            Some(program) if !program.starts_with('/') => {
                return Err("argv: the program has to stand there with its full path".to_owned());
            }
            Some(_) => {}
        }
        if self.argv.len() > WORDS || self.argv.iter().any(|word| word.len() > 4096) {
            return Err(format!("argv: at most {WORDS} words of 4096 bytes"));
        }
        if self.argv.iter().any(|word| word.contains('\0')) {
            return Err("argv: a word cannot have a zero byte".to_owned());
        }
        if self.timeout_s.is_some_and(|s| s == 0 || s > LONGEST_S) {
            return Err(format!("timeout_s: between 1 and {LONGEST_S} seconds"));
        }
        Ok(())
    }
}

fn short(key: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > TEXT || text.chars().any(char::is_control) {
        return Err(format!("{key}: between 1 and {TEXT} bytes, without control characters"));
    }
    Ok(())
}

fn named(names: &[(&str, Option<&SecretName>)]) -> Result<(), String> {
    let names = names.iter().filter_map(|(key, name)| name.map(|name| (key, &name.0)));
    for (key, name) in names {
        if name.contains("://") || name.starts_with("SEC") && name.len() > 20 {
            return Err(format!("{key}: here stands the name of a secret, not its value"));
        }
        short(key, name)?;
    }
    Ok(())
}

fn server(key: &str, address: Option<&str>) -> Result<(), String> {
    let Some(address) = address else { return Ok(()) };
    short(key, address)?;
    if !address.starts_with("https://") && !address.starts_with("http://") {
        return Err(format!("{key}: it begins with https:// or http://"));
    }
    if address.contains(['@', '?', '#']) {
        return Err(format!("{key}: an address without user, query and fragment"));
    }
    Ok(())
}
