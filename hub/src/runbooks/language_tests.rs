//! What a text of a runbook may say, and what is told of one that is none.

use super::*;
use proptest::prelude::*;

fn wrong(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(ToString::to_string).collect()
}

/// What is wrong with one step, as it stands on the lines 3 and following.
fn wrong_step(step: &str) -> Vec<String> {
    wrong(&format!("name: x\nsteps:\n{step}"))
}

fn check(text: &str, expected: &[&str]) {
    let told = wrong(text);
    assert!(
        told.len() == expected.len()
            && told.iter().zip(expected).all(|(told, part)| told.contains(part)),
        "{text}\n{told:#?}"
    );
}

const GOOD: &str = r#"
name: web
description: a web server
params:
- name: port
  type: number
  min: 1
  max: 65535
  default: 80
- name: names
  type: list
  default: [a, b]
- name: size
  type: choice
  of: [small, large]
- name: tls
  type: yes-no
  default: no
- name: key
  type: secret
vars:
- name: unit
  is: "'apache2' if fact.family == 'debian' else 'httpd'"
requires: fact.manager != ''
waves: {first: 1, then: 25%}
halt: 10%
parallel: 20
steps:
- name: install
  packages:
    install: ['{{unit}}', curl]
- name: settings
  push:
    to: /etc/web.conf
    mode: '0600'
    owner: root
    group: www
    content: |
      listen {{port}};
      {% for n in names %}
      name {{n}};
      {% endfor %}
      key {{key}};
- name: go
  title: start it
  when: step.settings.changed and not tls
  line: systemctl restart {{unit}}
  retries: 3
  pause: 2s
  timeout: 1m
  env: {KEY: '{{key}}'}
- name: look
  command: [curl, -f, 'http://localhost:{{port}}/']
  ignore_errors: true
"#;

#[test]
fn a_runbook_is_read_with_all_that_it_says() {
    let book = read(GOOD).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!((book.name.as_str(), book.params.len(), book.steps.len()), ("web", 5, 4));
    assert_eq!(book.params[0].default, Some(80.into()));
    assert_eq!(book.params[3].default, Some(false.into()));
    assert_eq!(book.halt, Some(Amount { count: None, percent: Some(10) }));
    assert_eq!(book.waves.unwrap().0, Amount::count(1));
    let go = &book.steps[2];
    assert_eq!((go.retries, go.pause_ms, go.timeout_ms), (3, 2000, Some(60_000)));
    assert!(
        matches!(&book.steps[1].act, Act::Push { owner, mode: Some(0o600), .. } if owner == "root:www")
    );
    assert!(book.steps[3].ignore_errors);
}

#[test]
fn a_key_that_is_none_is_told_with_its_place_and_the_nearest() {
    check("name: x\nstepz: []\n", &["2:1: unknown key 'stepz'; did you mean 'steps'?"]);
    let told = wrong_step("- name: a\n  lien: ls\n");
    assert_eq!(told, ["4:3: unknown key 'lien'; did you mean 'line'?"]);
    let told = wrong("name: x\nparams:\n- name: a\n  type: numbr\nsteps: []\n");
    assert_eq!(told, ["4:9: unknown word 'numbr'; did you mean 'number'?"]);
    check("steps: []\n", &["the key 'name' is missing"]);
    check("name: x\nname: y\nsteps: []\n", &["2:1: this key stands here twice"]);
}

#[test]
fn what_stands_in_the_wrong_place_is_told_with_what_should_stand_there() {
    check("name: x\nsteps: 7\n", &["2:8: here should be a list"]);
    let told = wrong_step("- name: a\n  command: ls -l\n");
    assert!(told[0].starts_with("4:12: here should be a list"), "{told:?}");
    let told = wrong_step("- name: a\n  line: ls\n  ignore_errors: yes\n");
    assert_eq!(told, ["5:18: here should be true or false"]);
    let told = wrong_step("- name: a\n  line: ls\n  retries: many\n");
    assert!(told[0].starts_with("5:12: here should be a whole number"), "{told:?}");
    let told = wrong_step("- name: a\n  line: ls\n  timeout: soon\n");
    assert_eq!(told, ["5:12: here should be a time: 500ms, 30s, 5m, 1h"]);
    check("[", &["1:"]);
    check("", &[""]);
    check("name: x\nsteps:\n- name: a\n  line: ls\n---\nname: y\n", &["a runbook is one document"]);
}

#[test]
fn a_step_does_exactly_one_thing() {
    let told = wrong_step("- name: a\n- name: b\n  line: ls\n  command: [ls]\n");
    assert!(told[0].contains("has none") && told[1].contains("has line and command"), "{told:?}");
    let told = wrong_step("- name: a\n  packages: {}\n");
    assert!(told[0].contains("one of install, remove and upgrade"), "{told:?}");
    let told = wrong_step("- name: a\n  push: {to: x, content: y}\n  user: z\n");
    assert!(told.iter().any(|told| told.contains("no 'user'")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("whole path")), "{told:?}");
    let told = wrong_step("- name: a\n  line: ls\n- name: a\n  line: ls\n");
    assert_eq!(told, ["5:9: two steps are called 'a'"]);
}

#[test]
fn names_that_mean_nothing_are_told_wherever_they_stand() {
    let text = "name: x\nparams:\n- name: port\n  default: a\nsteps:\n";
    let step = |step: &str| wrong(&format!("{text}{step}"));
    assert_eq!(
        step("- name: a\n  line: echo {{prot}}\n"),
        ["7:14: there is no parameter 'prot'; did you mean 'port'?"]
    );
    assert_eq!(
        step("- name: a\n  script: |\n    #!/bin/sh\n    ls\n    echo {{prot}}\n"),
        ["10:10: there is no parameter 'prot'; did you mean 'port'?"]
    );
    assert!(step("- name: a\n  command: [ls, '{{prot}}']\n")[0].contains("'port'"));
    assert_eq!(
        step("- name: a\n  when: fact.oss == 'x'\n  line: ls\n"),
        ["7:9: unknown fact 'oss'; did you mean 'os'?"]
    );
    assert!(
        step("- name: a\n  when: step.b.ok\n  line: ls\n- name: b\n  line: ls\n")[0]
            .contains("no step before")
    );
    assert!(step("- name: a\n  when: port ==\n  line: ls\n")[0].starts_with("7:9: syntax error"));
    let told = step("- name: a\n  push:\n    to: /x\n    content: |\n      a\n      {% if %}\n");
    assert!(told[0].starts_with("11:7: syntax error"), "{told:?}");
    assert!(
        step("- name: a\n  command: [docker, ps, --format, '{{.Names}}']\n")[0].contains("raw")
    );
}

#[test]
fn a_secret_stands_only_where_nobody_else_can_read_it() {
    let text = "name: x\nparams:\n- name: key\n  type: secret\nsteps:\n- name: a\n";
    let step = |step: &str| read(&format!("{text}{step}"));
    assert!(step("  command: [login, '{{key}}']\n").unwrap_err()[0].what.contains("is a secret"));
    assert!(step("  when: key == 'x'\n  line: ls\n").unwrap_err()[0].what.contains("is a secret"));
    assert!(step("  push: {to: /x, content: '{{key}}'}\n").unwrap_err()[0].what.contains("0600"));
    assert!(step("  push: {to: /x, mode: '0600', content: '{{key}}'}\n").is_ok());
    assert!(step("  line: login {{key}}\n").is_ok());
    assert!(step("  script: login {{key}}\n  env: {K: '{{key}}'}\n").is_ok());
}

#[test]
fn a_parameter_has_the_limits_of_its_type_and_a_default_that_keeps_to_them() {
    let param = |param: &str| {
        wrong(&format!("name: x\nparams:\n- name: a\n{param}steps:\n- name: s\n  line: ls\n"))
    };
    assert_eq!(param("  type: number\n  max: 5\n  default: 6\n"), ["6:12: it is at most 5, not 6"]);
    assert!(param("  type: choice\n")[0].contains("of: [small, large]"));
    assert!(param("  type: yes-no\n  min: 1\n")[0].contains("no 'min'"));
    assert!(param("  pattern: '('\n")[0].contains("no regular expression"));
    assert!(param("  type: number\n  min: 5\n  max: 1\n")[0].contains("max is less than min"));
    check(
        "name: x\nparams:\n- name: fact\nsteps:\n- name: s\n  line: ls\n",
        &["a meaning of its own"],
    );
    check("name: x\nparams:\n- name: A\nsteps:\n- name: s\n  line: ls\n", &["small letters"]);
}

#[test]
fn a_script_with_the_line_ends_of_another_system_is_one_for_this() {
    let text = "name: x\nsteps:\n- name: s\n  script: \"#!/bin/sh\\r\\nls\\r\\n\"\n";
    let book = read(text).unwrap();
    assert!(
        matches!(&book.steps[0].act, Act::Script { content, .. } if content == "#!/bin/sh\nls\n")
    );
    assert!(read(&GOOD.replace('\n', "\r\n")).is_ok());
}

#[test]
fn a_text_that_is_too_large_or_too_deep_is_refused() {
    assert!(wrong(&"x".repeat(MAX_TEXT + 1))[0].contains("at most"));
    assert!(!wrong(&format!("name: {}", "[".repeat(1000))).is_empty());
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n";
    assert!(!wrong(bomb).is_empty());
}

proptest! {
    #[test]
    fn any_text_is_read_or_told_what_is_wrong(text in ".{0,200}") {
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn a_runbook_with_a_wound_is_read_or_told_what_is_wrong(at in 0..GOOD.len(), with in "[ -~\n]{0,4}", cut in 0..9_usize) {
        let (from, to) = (GOOD.floor_char_boundary(at), GOOD.ceil_char_boundary((at + cut).min(GOOD.len())));
        let text = format!("{}{with}{}", &GOOD[..from], &GOOD[to..]);
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.what.is_empty()));
        }
    }
}
