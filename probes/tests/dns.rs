//! Names, asked of a real name server.

use crate::lent::look;
use crate::servers::{dnsmasq, free};
use cmdr_protocol::probes::Verdict;

#[tokio::test]
async fn each_sort_of_record_is_asked_of_the_server_that_is_named() {
    let server = dnsmasq();
    let at = server.at;
    for (name, record, expected) in [
        ("web.test", "A", "192.0.2.7"),
        ("web.test", "AAAA", "2001:db8::7"),
        ("www.test", "CNAME", "web.test"),
        ("test", "MX", "mail.test"),
        ("test", "TXT", "v=spf1 -all"),
        ("test", "NS", "ns1.test"),
    ] {
        let ask = |expected: &str| {
            format!(
                "dns: {{ name: {name}, record: {record}, server: '{at}', expect: ['{expected}'] }}\n"
            )
        };
        let seen = look(&ask(expected)).await;
        assert_eq!(seen.verdict, Verdict::Up, "{name} {record}: {} {:?}", seen.why, seen.answers);
        let seen = look(&ask("something-else")).await;
        assert_eq!(seen.verdict, Verdict::Down);
        assert!(seen.why.contains("is not among the answers"), "{}", seen.why);
    }
}

#[tokio::test]
async fn a_name_that_is_not_there_a_record_that_is_not_and_a_server_that_is_not_are_told_apart() {
    let server = dnsmasq();
    let at = server.at;
    let why = async |name: &str, record: &str, at| {
        let text =
            format!("timeout: 2s\ndns: {{ name: {name}, record: {record}, server: '{at}' }}\n");
        let seen = look(&text).await;
        assert_eq!(seen.verdict, Verdict::Down, "{}", seen.why);
        seen.why
    };
    assert!(why("nobody.test", "A", at).await.contains("no such name"));
    assert!(why("web.test", "MX", at).await.contains("no such record"));
    let gone = why("web.test", "A", free()).await;
    assert!(gone.starts_with("asking for A of web.test"), "{gone}");
}
