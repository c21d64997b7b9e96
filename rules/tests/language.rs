//! Expressions and rules as text: what is understood, and what is said of what is not.

use cmdr_rules::{Catalog, Compiled, Rule, Span, defaults, text};

fn wrong(when: &str) -> (usize, String) {
    let (_, wrong) = Compiled::new(when, None, &Catalog::standard()).unwrap_err();
    (wrong.at, wrong.what)
}

#[test]
fn everything_that_the_language_has_is_understood() {
    for when in [
        "cpu.busy > 90%",
        "cpu.busy > 0.9",
        "avg(cpu.busy, 5m) > 60%",
        "mount.used{*} / mount.total{*} > 0.9",
        "mount.used{/} / mount.total{/} > 90 %",
        "mount.free{\"/srv/a b\"} < 10GiB",
        "rate(container.restarts{*}, 5m) > 1/s",
        "net.received{eth*} + net.sent{eth*} > 100MB/s",
        "change(memory.used, 10m) > 20%",
        "delta(processes, 10m) > 100",
        "absent(cpu.busy, 2m)",
        "forecast(mount.free{*}, 4h) < 0",
        "forecast(mount.free{*}, 4h, 2h) < 0",
        "state(host) == offline",
        "state(unit{ssh.service}) == failed or not (state(unit{cron.service}) == active)",
        "failed == state(unit{*})",
        "abs(clock.skew) > 500ms and uptime > 10m",
        "load.1 / cpu.cores > 2",
        "-clock.skew > 1s",
        "temperature{*} >= 80°C",
        "disk.read{sda} * 60s > 1GB",
        "3 and cpu.busy > 1%",
    ] {
        let compiled = Compiled::new(when, None, &Catalog::standard());
        assert_eq!(compiled.is_err(), when.starts_with('3'), "{when}: {compiled:?}");
    }
}

#[test]
fn what_is_wrong_has_a_place_and_says_what_was_expected() {
    for (when, at, what) in [
        ("cpu.bussy > 90%", 0, "no metric `cpu.bussy`; did you mean `cpu.busy`?"),
        ("cpu.busy > 90", 11, "90 of a share is 9000 %; did you mean `90%`?"),
        ("memory.used > 90%", 12, "bytes and a share cannot be compared"),
        ("memory.used > 90", 12, "bytes and a number cannot be compared; write for example `1GiB`"),
        ("sockets > 90%", 8, "a count and a share cannot be compared"),
        ("cpu.busy", 0, "this is a share and no condition; compare it, for example with `> 90%`"),
        (
            "cpu.busy > 90% and",
            18,
            "here should be a metric, a function, a number or `(`, not the end",
        ),
        ("cpu.busy = 1", 9, "`=` means nothing here; write `==` to compare"),
        ("(cpu.busy > 1%", 0, "this `(` is closed by no `)`"),
        ("1% < cpu.busy < 2%", 14, "a comparison has two sides; join two comparisons with `and`"),
        ("cpu.busy > 5Q", 12, "no unit `Q`"),
        ("avgg(cpu.busy, 5m) > 1%", 0, "no function `avgg`; did you mean `avg`?"),
        ("avg(cpu.busy, 5) > 1%", 14, "here should be a time, such as 5m, and this is a number"),
        ("avg(cpu.busy, 1s) > 1%", 14, "a time here is between 5s and 7d"),
        ("avg(1%, 5m) > 1%", 4, "here should be the name of a metric"),
        (
            "mount.used > 1GB",
            0,
            "a host has a `mount.used` for each mount; write `mount.used{*}` for each or `mount.used{NAME}` for one",
        ),
        ("cpu.busy{*} > 1%", 0, "a host has one `cpu.busy`; leave the braces away"),
        (
            "mount.used{*} > 1GB and net.sent{*} > 1B/s",
            24,
            "a rule goes over one set of instances: first mount `{*}`, here interface `{*}`",
        ),
        ("state(host) == offlin", 15, "no state `offlin` of a host; did you mean `offline`?"),
        ("state(host) > offline", 12, "a state is compared with `==` or `!=`"),
        ("state(hots) == offline", 6, "no thing `hots` has a state here; did you mean `host`?"),
        ("not 5", 4, "behind `not` should be a condition, and this is a number"),
        ("cpu.busy > 1% + (uptime > 1s)", 17, "here should be a number, and this is a condition"),
        ("mount.used{ > 1", 10, "this `{` is closed by no `}`"),
        ("a \u{1b}[2J", 2, "`\u{fffd}` means nothing here"),
    ] {
        let found = wrong(when);
        assert_eq!(found, (at, what.to_owned()), "{when}");
    }
}

#[test]
fn depth_length_and_cost_are_bounded() {
    let deep = format!("{}cpu.busy > 1%{}", "(".repeat(30), ")".repeat(30));
    assert!(wrong(&deep).1.contains("24 deep"));
    assert!(wrong(&format!("{}cpu.busy > 1%", "not ".repeat(30))).1.contains("24 deep"));
    assert!(wrong(&"x".repeat(3000)).1.contains("at most 2000"));
    let long = vec!["uptime > 1s"; 120].join(" and ");
    assert!(wrong(&long).1.contains("at most 200 parts"));
    let many: Vec<String> = (5..38).map(|s| format!("avg(cpu.busy, {s}s) > 1%")).collect();
    assert!(wrong(&many.join(" or ")).1.contains("at most 32"));
    let right = format!("{}1%{} > 1%", "1% + (".repeat(20), ")".repeat(20));
    assert!(wrong(&right).1.contains("joins too much"));
}

#[test]
fn a_text_is_read_with_all_its_mistakes_at_once() {
    let document = "rules:
  - name: busy
    when: avg(cpu.bussy, 5m) > 60%
    for: 10 minutes
    severity: warn
    message: \"{host}: {valeu}\"
  - name: Busy!
    when: |
      cpu.busy > 90%
        and memory.usd > 1GB
";
    let problems = text::read(document, &Catalog::standard()).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "3:15: no metric `cpu.bussy`; did you mean `cpu.busy`?",
            "4:10: `10 minutes` is no duration; write for example 30s, 5m, 4h, 7d",
            "5:15: no severity `warn`; did you mean `warning`?",
            "6:23: nothing is called `valeu` here; did you mean `value`?",
            "7:11: `Busy!` is no name: lower-case letters, digits, `-`, `_` and `.` are",
            "10:13: no metric `memory.usd`; did you mean `memory.used`?",
        ]
    );
}

#[test]
fn what_is_no_document_of_rules_is_told_in_words() {
    let first =
        |text: &str| text::read(text, &Catalog::standard()).unwrap_err().remove(0).to_string();
    assert_eq!(
        first("rules:\n  - name: a\n    wenn: x\n    when: cpu.busy > 1%\n"),
        "3:5: unknown key `wenn`; did you mean `when`?"
    );
    assert!(first("rules:\n  - name: a\n").contains("the key `when` is missing"));
    assert!(first("rules: 5\n").contains("here should be a list"));
    assert!(
        first("rules:\n  - {name: a, when: uptime > 1s}\n  - {name: a, when: uptime > 1s}\n")
            .contains("called `a` too")
    );
    assert!(first(&"x".repeat(2 << 20)).contains("bytes"));
}

#[test]
fn the_rules_that_are_shipped_are_right_and_read_back_as_written() {
    let rules = defaults::rules(&Catalog::standard()).unwrap();
    let names: Vec<&str> = rules.iter().map(|(rule, _)| rule.name.as_str()).collect();
    for name in
        ["cpu-busy", "memory-used", "disk-used", "connections", "host-offline", "disk-filling"]
    {
        assert!(names.contains(&name), "{name}");
    }
    let limit = |name: &str| rules.iter().find(|(r, _)| r.name == name).unwrap().0.when.clone();
    assert!(limit("cpu-busy").ends_with("> 60%") && limit("disk-used").ends_with("> 60%"));
    assert!(limit("memory-used").ends_with("> 60%") && limit("connections").ends_with("> 1000"));
    assert!(rules.iter().all(|(rule, _)| rule.hold >= Span::minutes(1)), "each has a hold time");
    let plain: Vec<Rule> = rules.into_iter().map(|(rule, _)| rule).collect();
    let written = text::write(&plain).unwrap();
    let again = text::read(&written, &Catalog::standard()).unwrap();
    assert_eq!(again.into_iter().map(|(rule, _)| rule).collect::<Vec<_>>(), plain, "{written}");
    defaults::policy().check().unwrap();
}

#[test]
fn a_rule_as_a_struct_is_checked_like_its_text() {
    let rule = Rule { name: "x".into(), when: "cpu.busy >\n cpu.buzy".into(), ..Rule::default() };
    let told = rule.compile(&Catalog::standard()).unwrap_err();
    assert_eq!(told, "when, line 2, column 2: no metric `cpu.buzy`; did you mean `cpu.busy`?");
    let rule =
        Rule { clear: Some("mount.free{*} > 1GB".into()), when: "cpu.busy > 1%".into(), ..rule };
    assert!(rule.compile(&Catalog::standard()).unwrap_err().starts_with("clear, "));
}

#[test]
fn a_rule_about_the_hub_is_for_nothing_else() {
    let read = |rule: &str| {
        let text = format!("rules:\n- name: r\n  {rule}\n");
        text::read(&text, &Catalog::standard()).map_err(|problems| problems[0].to_string())
    };
    let (_, compiled) = read("when: state(hub{notifier/*}) == failing").unwrap().remove(0);
    assert!(compiled.is_about_hub());
    let (_, compiled) = read("when: state(host) == offline").unwrap().remove(0);
    assert!(!compiled.is_about_hub());
    for (rule, said) in [
        ("when: state(hub{*}) == failing and cpu.busy > 90%", "parts of the hub stand alone"),
        ("when: state(hub{*}) == failing\n  hosts: web*", "`hosts` has no meaning"),
        ("when: state(hub{*}) == failing\n  also_on_agent: true", "`also_on_agent` has no meaning"),
        ("when: state(hub{*}) == offline", "working, failing, full"),
    ] {
        let problem = read(rule).unwrap_err();
        assert!(problem.contains(said), "{rule}: {problem}");
    }
}
