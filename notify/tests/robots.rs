//! Kinds that post a request, each against a server that checks what its vendor's documents say.

use crate::lent::{EVIL, Lent, NOON, content, name, place};
use crate::servers::{Came, Reply, answers, ok, raw};
use cmdr_notify::{
    Answer, Channel, Dingtalk, Doing, Failure, Feishu, Lang, Means, Ntfy, Place, Request, Said,
    Secret, Slack, Telegram, Unreachable, Webhook, Wecom, send,
};
use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

const SIGN: &str = "SEC0123456789";

fn signed(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// As in <https://open.dingtalk.com/document/robots/customize-robot-security-settings>.
fn dingtalk(came: &Came) -> Reply {
    let refused = |code: i64, what: &str| ok(&json!({"errcode": code, "errmsg": what}).to_string());
    if came.parameter("access_token").as_deref() != Some("token") {
        return refused(300_001, "token is not exist");
    }
    let (time, sign) = (came.parameter("timestamp").unwrap_or_default(), came.parameter("sign"));
    let right = BASE64.encode(&signed(SIGN.as_bytes(), format!("{time}\n{SIGN}").as_bytes()));
    if sign.as_deref() != Some(&right) || time != NOON.to_string() {
        return refused(310_000, "sign not match, more: [https://ding-doc.dingtalk.com]");
    }
    let json = came.json();
    let text = json["markdown"]["text"].as_str().unwrap_or_default();
    if json["msgtype"] != "markdown" || json["markdown"]["title"] == "" || text.len() > 20_000 {
        return refused(400_402, "miss param");
    }
    ok(r#"{"errcode":0,"errmsg":"ok"}"#)
}

fn to_dingtalk(sign: bool) -> Place {
    let sign = sign.then(|| name("sign"));
    place(Channel::Dingtalk(Dingtalk { webhook: name("url"), sign, at_all: false }))
}

#[tokio::test]
async fn dingtalk_takes_what_is_signed_and_its_refusals_are_failures() {
    let server = answers(dingtalk).await;
    let url = format!("{}/robot/send?access_token=token", server.url);
    let lent = Lent::new(&[("url", &url), ("sign", SIGN)]);
    let sent = send(&to_dingtalk(true), &content(&[EVIL]), &lent).await.unwrap();
    assert_eq!(sent.pause, Duration::from_secs(3), "20 a minute");
    let text = server.last().json()["markdown"]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("#### ［CRITICAL］"), "{text}");
    assert!(!text.contains("<at") && !text.contains("[x]") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("[open](https://hub.example/alerts)"), "our own link stays: {text}");
    let unsigned = send(&to_dingtalk(false), &content(&["x"]), &lent).await.unwrap_err();
    assert!(matches!(unsigned, Failure::Never { .. }), "{unsigned:?}");
    assert!(
        unsigned.what().starts_with("DingTalk refused it with 310000: “sign not match"),
        "{unsigned}"
    );
}

#[test]
fn signatures_are_those_of_the_vendors_own_examples() {
    // Computed by the programs in the vendors' documents.
    let ding = signed(SIGN.as_bytes(), format!("{NOON}\n{SIGN}").as_bytes());
    assert_eq!(BASE64.encode(&ding), DING);
    let feishu = signed(format!("{}\n{SIGN}", NOON / 1000).as_bytes(), b"");
    assert_eq!(BASE64.encode(&feishu), FEISHU);
}

#[tokio::test]
async fn what_a_robot_is_too_busy_for_is_tried_later() {
    for (body, later) in [
        (r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#, Some(600)),
        (r#"{"errcode":410100,"errmsg":"x"}"#, Some(600)),
        (r#"{"errcode":-1,"errmsg":"system busy"}"#, Some(3)),
        (r#"{"errcode":300001,"errmsg":"token is not exist"}"#, None),
    ] {
        let server = answers(move |_| ok(body)).await;
        let lent = Lent::new(&[("url", &server.url)]);
        let failure = send(&to_dingtalk(false), &content(&["x"]), &lent).await.unwrap_err();
        match later {
            Some(s) => assert!(
                matches!(failure, Failure::Later { after: Some(after), .. } if after == Duration::from_secs(s)),
                "{failure:?}"
            ),
            None => assert!(matches!(failure, Failure::Never { .. }), "{failure:?}"),
        }
    }
}

/// As in <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.
fn feishu(came: &Came) -> Reply {
    let json = came.json();
    let time = json["timestamp"].as_str().unwrap_or_default();
    let right = BASE64.encode(&signed(format!("{time}\n{SIGN}").as_bytes(), b""));
    if json["sign"] != right.as_str() || time != (NOON / 1000).to_string() {
        let what = "sign match fail or timestamp is not within one hour from current time";
        return ok(&json!({"code": 19021, "data": {}, "msg": what}).to_string());
    }
    let element = &json["card"]["elements"][0];
    let right = json["msg_type"] == "interactive"
        && json["card"]["header"]["title"]["tag"] == "plain_text"
        && element["tag"] == "div"
        && element["text"]["tag"] == "lark_md"
        && came.body.len() <= 20_000;
    ok(if right {
        r#"{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}"#
    } else {
        r#"{"code":9499,"msg":"Bad Request","data":{}}"#
    })
}

#[tokio::test]
async fn feishu_takes_a_signed_card_with_the_colour_of_the_worst() {
    let server = answers(feishu).await;
    let lent = Lent::new(&[
        ("url", &format!("{}/hook/uuid-of-it", server.url)),
        ("sign", SIGN),
        ("wrong", "other"),
    ]);
    let to = |sign: &str| {
        place(Channel::Feishu(Feishu { webhook: name("url"), sign: Some(name(sign)) }))
    };
    let zh = Place { lang: Lang::Zh, ..to("sign") };
    send(&zh, &content(&[EVIL]), &lent).await.unwrap();
    let card = server.last().json()["card"].clone();
    assert_eq!(card["header"]["template"], "red");
    assert!(
        card["elements"][0]["text"]["content"].as_str().unwrap().contains("**告警** 严重"),
        "{card}"
    );
    assert!(!card.to_string().contains("<at id"), "{card}");
    let mut over = content(&["x"]);
    over.entries[0].said = Said::Resolved;
    send(&to("sign"), &over, &lent).await.unwrap();
    assert_eq!(server.last().json()["card"]["header"]["template"], "green");
    let failure = send(&to("wrong"), &over, &lent).await.unwrap_err();
    assert!(
        failure.what().contains("19021") && matches!(failure, Failure::Never { .. }),
        "{failure}"
    );
    // Even a hundred long messages fit into 20 KB.
    let long = "ä".repeat(900);
    send(&to("sign"), &content(&[long.as_str(); 100]), &lent).await.unwrap();
}

/// As in <https://developer.work.weixin.qq.com/document/path/91770>.
fn wecom(came: &Came) -> Reply {
    let json = came.json();
    let text = json["markdown"]["content"].as_str().unwrap_or_default();
    if came.parameter("key").as_deref() != Some("k-1") {
        return ok(r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#);
    }
    if json["msgtype"] != "markdown" || text.is_empty() || text.len() > 4096 {
        return ok(r#"{"errcode":40058,"errmsg":"markdown.content exceed max length 4096"}"#);
    }
    ok(r#"{"errcode":0,"errmsg":"ok"}"#)
}

#[tokio::test]
async fn wecom_takes_no_more_than_it_can_and_hears_what_was_left_out() {
    let server = answers(wecom).await;
    let lent = Lent::new(&[
        ("url", &format!("{}/send?key=k-1", server.url)),
        ("other", &format!("{}/send?key=k-2", server.url)),
    ]);
    let to = |url: &str| place(Channel::Wecom(Wecom { webhook: name(url) }));
    let zh = Place { lang: Lang::Zh, ..to("url") };
    let long = format!("磁盘{}", "满".repeat(100));
    send(&zh, &content(&[long.as_str(); 100]), &lent).await.unwrap();
    let text = server.last().json()["markdown"]["content"].as_str().unwrap().to_owned();
    let shown = text.matches("告警** 严重").count();
    assert!(shown > 3 && text.contains(&format!("还有 {} 个", 100 - shown)), "{text}");
    let failure = send(&to("other"), &content(&["x"]), &lent).await.unwrap_err();
    assert!(failure.what().contains("93000") && !failure.what().contains("k-2"), "{failure}");
}

/// As in <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
fn slack(came: &Came) -> Reply {
    match came.path.as_str() {
        "/services/T/B/good" if came.json()["text"].is_string() => ok("ok"),
        "/services/T/B/good" => (400, vec![], "invalid_payload".to_owned()),
        "/services/T/B/fast" => {
            (429, vec![("retry-after", "30".to_owned())], "rate_limited".to_owned())
        }
        _ => (404, vec![], "no_service".to_owned()),
    }
}

#[tokio::test]
async fn slack_takes_its_own_markup_and_says_when_to_come_back() {
    let server = answers(slack).await;
    let at = |path: &str| format!("{}/services/T/B/{path}", server.url);
    let lent = Lent::new(&[("good", &at("good")), ("fast", &at("fast")), ("gone", &at("gone"))]);
    let to = |url: &str| place(Channel::Slack(Slack { webhook: name(url) }));
    send(&to("good"), &content(&[EVIL]), &lent).await.unwrap();
    let text = server.last().json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("&lt;!channel&gt;") && text.contains("<https://hub.example/alerts|open>"),
        "{text}"
    );
    assert_eq!(text.matches('<').count(), 1, "nothing else is markup: {text}");
    let failure = send(&to("fast"), &content(&["x"]), &lent).await.unwrap_err();
    let Failure::Later { after, what } = failure else { panic!("{failure:?}") };
    assert_eq!(
        (after, what.as_str()),
        (Some(Duration::from_secs(30)), "Slack answered 429: “rate_limited”")
    );
    let failure = send(&to("gone"), &content(&["x"]), &lent).await.unwrap_err();
    assert_eq!(failure, Failure::Never { what: "Slack answered 404: “no_service”".to_owned() });
}

/// As in <https://core.telegram.org/bots/api#making-requests>.
fn telegram(came: &Came) -> Reply {
    let json = came.json();
    let text = json["text"].as_str().unwrap_or_default();
    let refused = |status: u16, what: &str| {
        (
            status,
            vec![],
            json!({"ok": false, "error_code": status, "description": what}).to_string(),
        )
    };
    if came.path != "/bot12:tok-en/sendMessage" {
        return refused(401, "Unauthorized");
    }
    if json["chat_id"] == "-7" {
        let more = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 17", "parameters": {"retry_after": 17}});
        return (429, vec![], more.to_string());
    }
    let opened =
        ["b", "i", "a"].iter().map(|tag| text.matches(&format!("<{tag}")).count()).sum::<usize>();
    let closed =
        ["b", "i", "a"].iter().map(|tag| text.matches(&format!("</{tag}>")).count()).sum::<usize>();
    if json["parse_mode"] != "HTML"
        || opened != closed
        || text.matches('<').count() != opened + closed
    {
        return refused(400, "Bad Request: can't parse entities");
    }
    if text.chars().count() > 4096 {
        return refused(400, "Bad Request: message is too long");
    }
    ok(&json!({"ok": true, "result": {"message_id": 1}}).to_string())
}

#[tokio::test]
async fn telegram_takes_html_that_is_whole_and_says_how_long_to_wait() {
    let server = answers(telegram).await;
    let lent = Lent::new(&[("token", "12:tok-en"), ("bad", "13:other"), ("odd", "a/../b")]);
    let to = |token: &str, chat: &str| {
        let api = Some(server.url.clone());
        place(Channel::Telegram(Telegram {
            token: name(token),
            chat: chat.to_owned(),
            thread: Some(5),
            api,
        }))
    };
    send(&to("token", "-1"), &content(&[EVIL]), &lent).await.unwrap();
    assert_eq!(server.last().json()["message_thread_id"], 5);
    let long = "<&>".repeat(300);
    send(&to("token", "-1"), &content(&[long.as_str(); 50]), &lent).await.unwrap();
    // A template whose literal text is too long cannot be cut without breaking it: ours is sent.
    let own = Place { body: Some(format!("<b>{}</b>", "x".repeat(5000))), ..to("token", "-1") };
    send(&own, &content(&["y"]), &lent).await.unwrap();
    let failure = send(&to("token", "-7"), &content(&["x"]), &lent).await.unwrap_err();
    assert!(
        matches!(failure, Failure::Later { after: Some(after), .. } if after.as_secs() == 17),
        "{failure:?}"
    );
    let failure = send(&to("bad", "-1"), &content(&["x"]), &lent).await.unwrap_err();
    assert_eq!(
        failure,
        Failure::Never { what: "Telegram answered 401: “Unauthorized”".to_owned() }
    );
    let failure = send(&to("odd", "-1"), &content(&["x"]), &lent).await.unwrap_err();
    assert!(failure.what().contains("no token") && !failure.what().contains(".."), "{failure}");
}

/// As in <https://docs.ntfy.sh/publish/#publish-as-json>.
fn ntfy(came: &Came) -> Reply {
    let json = came.json();
    if came.header("authorization") != Some("Bearer tk_1") {
        return (401, vec![], r#"{"code":40101,"http":401,"error":"unauthorized"}"#.to_owned());
    }
    let message = json["message"].as_str().unwrap_or_default();
    if came.path != "/"
        || json["topic"] != "our-topic"
        || message.len() > 4096
        || !json["priority"].is_u64()
    {
        return (400, vec![], r#"{"code":40024,"http":400,"error":"invalid request: request body must be valid JSON"}"#.to_owned());
    }
    ok(&json!({"id": "x", "event": "message", "topic": "our-topic", "message": message})
        .to_string())
}

#[tokio::test]
async fn ntfy_takes_text_with_a_priority() {
    let server = answers(ntfy).await;
    let lent = Lent::new(&[("topic", "our-topic"), ("token", "tk_1"), ("bad", "tk_2")]);
    let to = |token: &str| {
        let (server, token) = (Some(server.url.clone()), Some(name(token)));
        place(Channel::Ntfy(Ntfy { server, topic: name("topic"), token }))
    };
    send(&to("token"), &content(&["x".repeat(900).as_str(); 20]), &lent).await.unwrap();
    assert_eq!(server.last().json()["priority"], 5);
    let failure = send(&to("bad"), &content(&["x"]), &lent).await.unwrap_err();
    assert_eq!(failure, Failure::Never { what: "ntfy answered 401: “unauthorized”".to_owned() });
}

#[tokio::test]
async fn a_webhook_is_signed_as_all_that_the_hub_posts() {
    let server = answers(|_| (204, vec![], String::new())).await;
    let lent = Lent::new(&[("url", &server.url), ("key", "key")]);
    let to = place(Channel::Webhook(Webhook { address: name("url"), key: Some(name("key")) }));
    send(&to, &content(&[EVIL]), &lent).await.unwrap();
    let came = server.last();
    let time = came.header("cmdr-timestamp").unwrap();
    let text = [time.as_bytes(), b".", &came.body].concat();
    let right = format!("v1={}", HEXLOWER.encode(&signed(b"key", &text)));
    assert_eq!((time, came.header("cmdr-signature")), ("1795348800", Some(right.as_str())));
    assert_eq!(came.header("cmdr-delivery"), Some("hub-n7"));
    let notice = &came.json()["notice"];
    assert_eq!((&notice["id"], &notice["entries"][0]["host"]), (&json!("hub-n7"), &json!("web1")));
    assert!(notice["title"].as_str().unwrap().starts_with("[CRITICAL]"));
}

#[tokio::test]
async fn servers_that_do_not_behave_are_named_and_bounded() {
    let slack = || place(Channel::Slack(Slack { webhook: name("url") }));
    let ding = || to_dingtalk(false);
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"errc";
    let garbage = b"\x00\x01\x02 what?\r\n\r\n";
    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
    for (say, times, hang, what) in [
        (&b""[..], 0, true, "no answer within"),
        (&b""[..], 0, false, "posting: "),
        (half, 1, false, "posting: "),
        (garbage, 1, false, "posting: "),
        (long, 1, true, "no answer within"),
    ] {
        for place in [slack(), ding()] {
            let (address, serving) = raw(false, say, times, hang).await;
            let lent = Lent::new(&[("url", &format!("http://{address}/hook"))]);
            let failure = send(&place, &content(&["x"]), &lent).await.unwrap_err();
            assert!(matches!(failure, Failure::Later { .. }), "{failure:?}");
            assert!(failure.what().contains(what), "{what}: {failure}");
            serving.abort();
        }
    }
    // Megabytes of body: the beginning is looked at, and it is no answer.
    let big = answers(|_| ok(&"x".repeat(8 << 20))).await;
    let lent = Lent::new(&[("url", &big.url)]);
    for place in [slack(), ding()] {
        let failure = send(&place, &content(&["x"]), &lent).await.unwrap_err();
        assert!(
            failure.what().contains("not understood") && failure.what().len() < 1000,
            "{failure}"
        );
    }
}

#[tokio::test]
async fn statuses_say_whether_another_try_makes_sense() {
    for (status, later) in [
        (500, true),
        (502, true),
        (503, true),
        (429, true),
        (408, true),
        (301, false),
        (302, false),
        (400, false),
        (401, false),
        (410, false),
    ] {
        let server = answers(move |_| {
            (
                status,
                vec![("location", "http://127.0.0.1:1/".to_owned())],
                "said\u{1b}[1m so".to_owned(),
            )
        })
        .await;
        let lent = Lent::new(&[("url", &server.url)]);
        for place in [
            place(Channel::Webhook(Webhook { address: name("url"), key: None })),
            to_dingtalk(false),
        ] {
            let failure = send(&place, &content(&["x"]), &lent).await.unwrap_err();
            assert_eq!(matches!(failure, Failure::Later { .. }), later, "{status}: {failure:?}");
            assert!(
                failure.what().contains(&status.to_string()) && !failure.what().contains('\u{1b}')
            );
        }
    }
}

#[tokio::test]
async fn what_a_server_asks_for_is_kept_to_but_not_forever() {
    for (header, expected) in [
        ("120", 120),
        ("99999999999", 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Sun, 22 Nov 2026 12:10:00 GMT", 600),
    ] {
        let server =
            answers(move |_| (503, vec![("retry-after", header.to_owned())], String::new())).await;
        let lent = Lent::new(&[("url", &server.url)]);
        let to = place(Channel::Webhook(Webhook { address: name("url"), key: None }));
        let failure = send(&to, &content(&["x"]), &lent).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Later { after: Some(after), .. } if after.as_secs() == expected),
            "{header}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn no_secret_is_in_an_error_or_in_what_is_shown() {
    let echo =
        answers(|came| (403, vec![], format!("you sent {} with {:?}", came.path, came.headers)))
            .await;
    let url = format!("{}/hooks/very-secret-path", echo.url);
    let lent =
        Lent::new(&[("url", &url), ("token", "tk_very_secret"), ("bad", "ftp//very-secret")]);
    let (server, token) = (Some(echo.url.clone()), Some(name("token")));
    for place in [
        place(Channel::Slack(Slack { webhook: name("url") })),
        place(Channel::Ntfy(Ntfy { server, topic: name("token"), token })),
        place(Channel::Slack(Slack { webhook: name("bad") })),
        place(Channel::Slack(Slack { webhook: name("missing") })),
    ] {
        let failure = send(&place, &content(&["x"]), &lent).await.unwrap_err();
        let shown = format!("{failure} {failure:?} {place:?}");
        assert!(!shown.contains("very-secret") && !shown.contains("very_secret"), "{shown}");
    }
    assert_eq!(format!("{:?}", Secret::new("very-secret")), "***");
}

struct Silent;

impl Means for Silent {
    fn post(&self, request: Request) -> Doing<'_, Result<Answer, Unreachable>> {
        assert_eq!(
            format!("{request:?}"),
            format!("Request {{ body: {}, .. }}", request.body.len())
        );
        Box::pin(std::future::pending())
    }

    fn secret(&self, _: &str) -> Result<Secret, String> {
        Ok(Secret::new("https://hooks.example/secret"))
    }

    fn mail_server<'a>(&'a self, _: &'a str, _: u16) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(std::future::pending())
    }

    fn now_ms(&self) -> u64 {
        NOON
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_lent_it_takes_no_more_than_a_minute() {
    let to = place(Channel::Slack(Slack { webhook: name("url") }));
    let failure = send(&to, &content(&["x"]), &Silent).await.unwrap_err();
    assert_eq!(failure, Failure::Later { after: None, what: "it took more than 60 s".to_owned() });
}

const DING: &str = "tFh1pCunH0e9MoLA/nIEgKjM8xtC3JXl9BCR9e4LjVs=";
const FEISHU: &str = "SQPf0yBIPq56bDY3ptAkTelk+4vHjSoAExnNLDjYaWo=";
