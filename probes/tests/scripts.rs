//! Programs: what they end with, and what they say.

use crate::lent::{Lent, look_with};
use cmdr_probes::Ran;
use cmdr_protocol::probes::Verdict;

async fn ended(code: Option<i32>, output: &[u8]) -> (Verdict, String) {
    let ran = Ran { code, output: output.to_vec(), timed_out: false };
    let lent = Lent { ran: Some(ran), ..Lent::default() };
    let seen = look_with(lent, "script: { command: [/usr/lib/check, -w, '5'] }\n").await;
    assert_eq!(seen.status, code);
    (seen.verdict, seen.why)
}

#[tokio::test]
async fn programs_end_as_those_of_nagios_do_and_their_first_line_is_why() {
    let disk = b"DISK OK - 40% free | /=60%;80;90\nmore\n";
    assert_eq!(ended(Some(0), disk).await, (Verdict::Up, "DISK OK - 40% free".to_owned()));
    assert_eq!(ended(Some(1), b"low").await, (Verdict::Warning, "low".to_owned()));
    assert_eq!(ended(Some(2), b"full").await, (Verdict::Down, "full".to_owned()));
    assert_eq!(ended(Some(3), b"?").await, (Verdict::Unknown, "?".to_owned()));
    assert_eq!(ended(Some(0), b"").await.1, "/usr/lib/check said nothing");
    let (verdict, why) = ended(Some(127), b"\x1b[31mnot found").await;
    assert!(verdict == Verdict::Unknown && why.contains("ended with 127"), "{why}");
    assert!(!why.contains('\u{1b}'));
    assert_eq!(ended(None, b"").await.0, Verdict::Unknown);
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_down_and_one_that_may_not_run_says_nothing() {
    let ran = Ran { code: None, output: b"waiting".to_vec(), timed_out: true };
    let lent = Lent { ran: Some(ran), ..Lent::default() };
    let seen = look_with(lent, "script: { command: [/bin/x] }\n").await;
    assert!(seen.verdict == Verdict::Down && seen.why.contains("did not end"), "{}", seen.why);
    let seen = look_with(Lent::default(), "script: { command: [/bin/x] }\n").await;
    assert_eq!((seen.verdict, seen.why.as_str()), (Verdict::Unknown, "this host runs no programs"));
}
