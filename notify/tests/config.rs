//! Places as they are stored: what is right, and what is said of what is not.

use crate::lent::{content, name, place};
use cmdr_notify::{Channel, Dingtalk, Place, preview};
use proptest::prelude::*;
use serde_json::json;

fn check(to: &serde_json::Value) -> Result<(), String> {
    let place: Place = serde_json::from_value(json!({"to": to})).map_err(|e| e.to_string())?;
    let again: Place = serde_json::from_value(serde_json::to_value(&place).unwrap()).unwrap();
    assert_eq!(again, place);
    place.check()
}

#[test]
fn every_kind_can_be_stored_and_read() {
    for to in [
        json!({"kind": "email", "host": "mail.example.com", "user": "u", "password": "p", "from": "a@b.c", "to": ["d@e.f"]}),
        json!({"kind": "dingtalk", "webhook": "ding", "sign": "ding-sign"}),
        json!({"kind": "slack", "webhook": "slack"}),
        json!({"kind": "feishu", "webhook": "feishu"}),
        json!({"kind": "wecom", "webhook": "wecom"}),
        json!({"kind": "telegram", "token": "bot", "chat": "@ops"}),
        json!({"kind": "ntfy", "topic": "topic", "server": "https://ntfy.example.com"}),
        json!({"kind": "webhook", "address": "hook", "key": "hook-key"}),
        json!({"kind": "command", "argv": ["/usr/local/bin/tell", "ops"], "timeout_s": 10}),
    ] {
        assert_eq!(check(&to), Ok(()), "{to}");
    }
}

#[test]
fn what_cannot_be_is_told() {
    for (to, what) in [
        (json!({"kind": "pager"}), "unknown variant"),
        (
            json!({"kind": "slack", "webhook": "https://hooks.slack.com/x"}),
            "name of a secret, not its value",
        ),
        (json!({"kind": "email", "host": "h", "from": "a@b.c", "to": []}), "between 1 and 20"),
        (
            json!({"kind": "email", "host": "h", "from": "a", "to": ["b@c.d"]}),
            "from: 'a' is no address",
        ),
        (
            json!({"kind": "email", "host": "h", "user": "u", "from": "a@b.c", "to": ["b@c.d"]}),
            "belong together",
        ),
        (
            json!({"kind": "email", "host": "h", "encryption": "none", "user": "u", "password": "p", "from": "a@b.c", "to": ["b@c.d"]}),
            "in the clear",
        ),
        (json!({"kind": "command", "argv": ["sh", "-c", "x"]}), "full path"),
        (json!({"kind": "command", "argv": []}), "missing"),
        (json!({"kind": "command", "argv": ["/bin/x"], "timeout_s": 9999}), "between 1 and 300"),
        (json!({"kind": "ntfy", "topic": "t", "server": "ntfy.sh"}), "https://"),
    ] {
        let told = check(&to).unwrap_err();
        assert!(told.contains(what), "{to}: {told}");
    }
    let mut odd = place(Channel::Dingtalk(Dingtalk { webhook: name("x"), ..Dingtalk::default() }));
    odd.body = Some("{{ entries[0].nothing }}".to_owned());
    assert!(odd.check().unwrap_err().starts_with("body: line 1"), "{:?}", odd.check());
}

#[test]
fn a_template_of_ones_own_stands_in_the_place_of_ours() {
    let mut own = place(Channel::Dingtalk(Dingtalk { webhook: name("x"), ..Dingtalk::default() }));
    own.title = Some("{{ firing }} of {{ entries[0].rule }}".to_owned());
    own.body = Some("{% for e in entries %}**{{ e.host }}** {{ e.message }}{% if e.critical %}!{% endif %}\n{% endfor %}".to_owned());
    let (title, body) = preview(&own, &content(&["a*b"])).unwrap();
    assert_eq!((title.as_str(), body.as_str()), ("1 of disk-used", "**web1** a＊b!\n"));
}

proptest! {
    #[test]
    fn whatever_hosts_say_a_text_is_made_of_it(message in ".{0,600}", host in ".{0,80}") {
        let mut content = content(&[&message]);
        content.entries[0].host = host;
        for to in ["dingtalk", "slack", "feishu", "wecom"] {
            let place: Place = serde_json::from_value(json!({"to": {"kind": to, "webhook": "x"}})).unwrap();
            let (title, body) = preview(&place, &content).unwrap();
            prop_assert!(title.chars().count() <= 150 && body.len() <= 48_000);
            let harmful = body.contains('\u{1b}') || title.contains('\n');
            prop_assert!(!harmful, "{}", body);
        }
    }
}
