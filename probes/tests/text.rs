//! Texts of probes.

use cmdr_probes::text::read;
use cmdr_protocol::probes::{MAX_AGENTS, Record, Terms};
use proptest::prelude::*;

fn wrong(text: &str) -> String {
    let problems = read(text).expect_err(text);
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_text_says_everything_and_what_it_leaves_out_is_as_usual() {
    let text = "name: shop\ndescription: the front page\nhttp:\n  url: https://shop.example/health\n  contains: ok\n\
        every: 30s\nfrom: env=edge\nagents: 5\nat_least: 3\nquorum: 2\nretries: 0\n";
    let written = read(text).unwrap();
    assert_eq!((written.from.as_str(), written.agents), ("env=edge", 5));
    assert_eq!(written.terms, Terms { at_least: 3, quorum: 2, retries: 0 });
    assert_eq!((written.probe.every_ms, written.probe.timeout_ms), (30_000, 10_000));
    let http = written.probe.http.unwrap();
    assert_eq!((http.method.as_str(), http.status, http.redirects), ("GET", vec![(200, 299)], 5));
    let written = read("name: ns\ndns: { name: example.com }\n").unwrap();
    assert_eq!(written.terms, Terms { at_least: 1, quorum: 0, retries: 1 });
    assert_eq!((written.agents, written.probe.every_ms), (MAX_AGENTS as u32, 60_000));
    assert_eq!(written.probe.dns.unwrap().record, Record::A);
}

#[test]
fn all_that_is_wrong_is_told_with_its_place_and_a_hint() {
    let said = wrong(
        "name: Shop\nhttp:\n  url: ftp://x/\n  status: 99\n  matches: '('\nevery: 1s\nfrom: 'a,,b'\n",
    );
    for part in [
        "1:7: the name of a probe",
        "3:8: `ftp://x/` begins with neither",
        "4:11: statuses are numbers from 100 to 599",
        "5:12: `(` is no regular expression",
        "6:8: this is between 5s and 1d",
        "7:7: selector:",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let said = wrong("name: shop\nhttp:\n  ulr: x\n");
    assert!(said.starts_with("3:3: unknown key `ulr`; did you mean `url`?"), "{said}");
    assert!(wrong("name: shop\n").contains("nothing says what is asked"));
    let both = "name: shop\ntcp: { host: a, port: 1 }\nicmp: { host: a }\n";
    assert!(wrong(both).contains("a probe asks one thing"), "{}", wrong(both));
    let shell = "name: shop\nscript: { command: ['check_disk'] }\n";
    assert!(wrong(shell).contains("a list of at most 64 words"), "{}", wrong(shell));
    let secret = "name: shop\nhttp: { url: 'http://ann:pw@x/' }\n";
    assert!(wrong(secret).contains("shows its password"), "{}", wrong(secret));
    let more = "name: shop\nicmp: { host: a }\nagents: 2\nquorum: 3\n";
    assert!(wrong(more).contains("4:9: this is a number from 1 to 2"), "{}", wrong(more));
    let header = "name: shop\nhttp: { url: 'http://x/', headers: { \"a b\": c } }\n";
    assert!(wrong(header).contains("cannot be sent"), "{}", wrong(header));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_a_place(text in "(name: [a-z]{0,3}\n)?[a-z:{}\\[\\]' \n0-9-]{0,120}") {
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.is_empty());
        }
    }
}

#[test]
fn secrets_of_a_text_are_struck_out_in_every_way_of_writing_them_and_the_rest_stays() {
    let head = "name: shop\nhttp:\n  url: https://shop.example/\n";
    for headers in [
        "  headers: { Authorization: Bearer s3cret-token }\n",
        "  headers: { Authorization: 'Bearer s3cret-token' }\n",
        "  headers:\n    Authorization: \"Bearer s3cret-token\"\n    Accept: text/html\n",
        "  headers:\n    Authorization: |-\n      Bearer s3cret-token\n",
        "  headers: { Authorization: \"Bearer s3cret\\u002dtoken\" }\n",
        "  method: POST\n  body: s3cret-token\n",
    ] {
        let text = format!("{head}{headers}every: 30s\n");
        assert!(cmdr_probes::text::read(&text).is_ok(), "{text}");
        let shown = cmdr_probes::text::struck(&text).expect("something is struck out");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    assert_eq!(cmdr_probes::text::struck(&format!("{head}every: 30s\n")), None);
    assert_eq!(cmdr_probes::text::struck("name: p\nicmp: { host: h }\n"), None);
}

#[test]
fn a_text_of_which_nothing_can_be_told_is_not_shown_at_all() {
    // The value is a part of what must stay.
    let text = "name: shop\nhttp:\n  url: https://shop.example/\n  headers: { A: shop }\n";
    let shown = cmdr_probes::text::struck(text).expect("struck out");
    assert!(shown.starts_with('#') && !shown.contains("shop.example"), "{shown}");
    let broken = "name: shop\nhttp: { headers: { A: b }\n";
    assert!(cmdr_probes::text::struck(broken).is_some_and(|text| text.starts_with('#')));
}
