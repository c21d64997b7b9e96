//! What orders say: programs, lines, scripts, and what of it makes no sense on a host.

use super::*;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::runs::Script;

fn script(interpreter: &[&str], content: &str, args: &[&str]) -> Order {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let script = Script {
        name: "x.script".into(),
        content: content.into(),
        interpreter: words(interpreter),
        args: words(args),
    };
    Order { script: Some(script), ..Order::default() }
}

#[tokio::test]
async fn a_script_runs_by_its_first_line_or_by_any_interpreter() {
    let mut host = Host::new().await;
    for (n, (order, expected)) in [
        (script(&[], "echo $1-$2", &["a b", "c"]), "a b-c\n"),
        (script(&[], "#!/bin/sh -e\nfalse\necho no", &[]), ""),
        (script(&["awk", "-f"], "BEGIN { print 6 * 7 }", &[]), "42\n"),
        (script(&["/bin/sed", "-n", "-f"], "1p", &["/etc/hostname"]), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("r.{n}.0");
        let report = host.run(&id, order).await;
        if expected.is_empty() {
            assert!(report.code.is_some(), "{report:?}");
        } else {
            assert_eq!(
                (report.state, host.watching.text(&id).as_str()),
                (TargetState::Ok, expected)
            );
        }
    }
    let env = [("WHAT".to_owned(), "this".to_owned())].into();
    let order = Order { env, cwd: Some("/tmp".into()), ..line("echo $WHAT; pwd") };
    host.run("r.9.0", order).await;
    assert_eq!(host.watching.text("r.9.0"), "this\n/tmp\n");
}

#[tokio::test]
async fn what_cannot_be_run_ends_with_the_codes_of_shells_and_says_why() {
    let mut host = Host::new().await;
    let missing = host.run("r.0.0", command(&["no-such-program"])).await;
    assert_eq!((missing.state, missing.code), (TargetState::Failed, Some(127)));
    assert!(missing.message.contains("not found"), "{}", missing.message);
    assert_eq!(missing.began_ms, None);
    let unknown = host.run("r.0.1", script(&["no-such-python"], "print(1)", &[])).await;
    assert_eq!((unknown.state, unknown.code), (TargetState::Failed, Some(127)));
    assert!(unknown.message.contains("interpreter"), "{}", unknown.message);
    let named = host.run("r.0.2", script(&[], "#!/opt/no/such\nx", &[])).await;
    assert_eq!((named.state, named.code), (TargetState::Failed, Some(127)));
    let forbidden = host.run("r.0.3", command(&["/etc/hostname"])).await;
    assert_eq!((forbidden.state, forbidden.code), (TargetState::Failed, Some(126)));
    let killed = host.run("r.0.4", line("kill -9 $$")).await;
    assert_eq!((killed.state, killed.signal), (TargetState::Failed, Some(9)));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_of_it_is_kept() {
    let host = Host::new().await;
    let two = Order { line: Some(Line { text: "true".into() }), ..command(&["true"]) };
    let crlf = script(&[], "echo 1\r\necho 2\r\n", &[]);
    for (order, words) in [(Order::default(), "nothing"), (two, "several"), (crlf, "dos2unix")] {
        let refused = host.ask(&take("r.0.0", order)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Malformed);
        assert!(refused.message.contains(words), "{refused}");
    }
    let nobody = Order { user: Some("no-such-user".into()), ..command(&["true"]) };
    let mut host = host;
    let report = host.run("r.0.1", nobody).await;
    assert!(report.state == TargetState::Failed && report.message.contains("no-such-user"));
    host.again(Vec::new()).await;
    host.watching.until_all().await;
    assert_eq!(host.watching.reports.len(), 1);
}

#[tokio::test]
async fn the_owners_policy_has_the_last_word() {
    let path = std::path::Path::new("agent.toml");
    let text = "[exec]\ndenied_programs = [\"/bin/\", \"/usr/bin/\"]\n[services]\nfiles = false\n";
    let policy = cmdr_agentd::policy::Policy::parse(path, text).unwrap();
    let mut host = Host::with(|config| config.policy = policy).await;
    let report = host.run("r.0.0", command(&["true"])).await;
    assert_eq!(report.state, TargetState::Refused);
    assert!(report.message.contains("policy"), "{}", report.message);
    let push = cmdr_protocol::runs::Push {
        file: "0".repeat(64),
        path: "/tmp/x".into(),
        ..Default::default()
    };
    let order = Order { push: Some(push), ..Order::default() };
    let refused = host.ask(&take("r.0.1", order)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
}
