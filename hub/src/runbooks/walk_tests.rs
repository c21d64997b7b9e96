//! How a host goes through the steps of a runbook.

use super::*;
use crate::runbooks::language::read;
use crate::runbooks::plan::values;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::runs::Param as Given;
use std::sync::Arc;

struct Trip {
    plan: Plan,
    values: BTreeMap<String, Value>,
    host: Host,
    progress: Progress,
}

fn trip(text: &str, given: &[(&str, &str)]) -> Trip {
    let given =
        given.iter().map(|(k, v)| ((*k).to_owned(), Given::Text((*v).to_owned()))).collect();
    let book = read(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let inner = "name: inner\nparams:\n- name: list\n  type: list\n- name: key\n  type: secret\n  default: runbook.none\n\
                 requires: fact.os == 'debian'\nsteps:\n- name: a\n  command: [go, '{{list}}']\n- name: b\n  \
                 line: use {{key}}\n";
    let find = |name: &str| (name == "inner").then(|| Arc::new(read(inner).unwrap()));
    let plan = Plan::make(Arc::new(book), &find).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let values = values(plan.book(), &given).unwrap();
    let facts = Facts {
        os: "debian".into(),
        addresses: vec!["10.0.0.1".into(), "::1".into()],
        ..Facts::default()
    };
    let host = Host { name: "web1".into(), facts: Some(facts), ..Host::default() };
    Trip { plan, values, host, progress: Progress::default() }
}

impl Trip {
    fn next(&mut self) -> Next {
        let secrets = |name: &str| match name {
            "runbook.db" => Ok("hunter2".to_owned()),
            _ => Err(format!("there is no secret '{name}'")),
        };
        let walk =
            Walk { plan: &self.plan, values: &self.values, host: &self.host, secrets: &secrets };
        walk.next(&mut self.progress)
    }

    fn order(&mut self) -> Order {
        match self.next() {
            Next::Do { task, .. } => task.order,
            other => panic!("{other:?}"),
        }
    }

    fn took(&mut self, code: i32) {
        let outcome = Outcome {
            ok: code == 0,
            code: Some(code),
            output: b"said\n".to_vec(),
            ..Outcome::default()
        };
        self.progress.took(&self.plan, &outcome);
    }

    fn states(&self) -> Vec<StepState> {
        self.progress.done.iter().map(|done| done.state).collect()
    }
}

fn line(order: Order) -> String {
    order.line.unwrap().text
}

#[test]
fn the_steps_are_done_in_their_order_and_then_it_is_over() {
    let mut trip = trip("name: x\nsteps:\n- name: a\n  line: one\n- name: b\n  line: two\n", &[]);
    assert_eq!(line(trip.order()), "one");
    assert_eq!(line(trip.order()), "one", "asked twice, it is the same step");
    trip.took(0);
    assert_eq!(line(trip.order()), "two");
    trip.took(0);
    assert_eq!(trip.next(), Next::Over);
}

#[test]
fn a_step_that_fails_is_tried_again_then_stops_there_and_is_gone_on_with() {
    let text = "name: x\nsteps:\n- name: a\n  line: one\n- name: b\n  line: two\n  retries: 1\n  pause: 3s\n- name: c\n  line: three\n";
    let mut trip = trip(text, &[]);
    trip.order();
    trip.took(0);
    trip.order();
    trip.took(7);
    assert!(matches!(trip.next(), Next::Do { step: 1, pause_ms: 3000, .. }));
    trip.took(7);
    assert_eq!(trip.next(), Next::Failed("step b failed: exit code 7".into()));
    let told = trip.progress.told(&trip.plan, false);
    assert_eq!(
        (told[1].state, told[1].tries, told[2].state),
        (StepState::Failed, 2, StepState::Waiting)
    );
    // Kept and read by another hub, it goes on at the same step.
    let kept = cmdr_link::codec::encode(&trip.progress).unwrap();
    trip.progress = cmdr_link::codec::decode(&kept).unwrap();
    trip.progress.restart();
    assert!(matches!(trip.next(), Next::Do { step: 1, pause_ms: 0, .. }));
    trip.took(0);
    assert_eq!(line(trip.order()), "three");
    trip.took(0);
    assert_eq!(trip.next(), Next::Over);
    assert_eq!(trip.states(), [StepState::Ok; 3]);
}

#[test]
fn a_failure_that_does_not_matter_is_noted_and_can_be_asked_about() {
    let text = "name: x\nsteps:\n- name: a\n  line: one\n  ignore_errors: true\n- name: b\n  when: step.a.failed and step.a.code == 3\n  \
                line: two\n- name: c\n  when: step.a.ok\n  line: three\n- name: d\n  when: step.a.output == 'said' and step.c.skipped\n  line: four\n";
    let mut trip = trip(text, &[]);
    trip.order();
    trip.took(3);
    assert_eq!(line(trip.order()), "two");
    trip.took(0);
    assert_eq!(line(trip.order()), "four");
    trip.took(0);
    assert_eq!(trip.next(), Next::Over);
    assert_eq!(
        trip.states(),
        [StepState::Ignored, StepState::Ok, StepState::Skipped, StepState::Ok]
    );
}

#[test]
fn what_had_to_be_done_already_has_changed_nothing() {
    let text = "name: x\nsteps:\n- name: a\n  push: {to: '/etc/{{host.name}}', content: \"os {{fact.os}}\\n\"}\n- name: b\n  when: step.a.changed\n  line: two\n";
    let mut trip = trip(text, &[]);
    match trip.next() {
        Next::Do { task, .. } => {
            assert_eq!(task.content.as_deref(), Some(&b"os debian\n"[..]));
            assert_eq!(task.order.push.unwrap().path, "/etc/web1");
        }
        other => panic!("{other:?}"),
    }
    let outcome = Outcome { ok: true, already: true, ..Outcome::default() };
    trip.progress.took(&trip.plan, &outcome);
    assert_eq!(trip.next(), Next::Over);
    assert_eq!(trip.states(), [StepState::Ok, StepState::Skipped]);
}

#[test]
fn a_value_stays_a_word_in_a_command_and_a_list_becomes_words() {
    let text = "name: x\nparams:\n- name: p\n- name: all\n  type: list\nsteps:\n- name: a\n  command: [go, '{{p}}', 'a{{p}}b', '{{all}}', '{{fact.addresses}}']\n";
    let mut trip = trip(text, &[("p", "; rm -rf / $(x) {{fact.os}}"), ("all", "[\"x y\",\"z\"]")]);
    let evil = "; rm -rf / $(x) {{fact.os}}";
    let argv = trip.order().command.unwrap().argv;
    assert_eq!(argv, ["go", evil, &format!("a{evil}b"), "x y", "z", "10.0.0.1", "::1"]);
}

#[test]
fn a_line_gets_values_by_its_environment() {
    let text = "name: x\nparams:\n- name: p\n- name: all\n  type: list\nvars:\n- name: v\n  is: p ~ '!'\nsteps:\n- name: a\n  line: go {{p}} {{all}} {{v}} {{fact.os}}\n";
    let mut trip = trip(text, &[("p", "$(x)"), ("all", "b,c")]);
    let order = trip.order();
    assert_eq!(
        order.line.unwrap().text,
        "go \"${CMDR_PARAM_P}\" \"${CMDR_PARAM_ALL_1}\" \"${CMDR_PARAM_ALL_2}\" \"${CMDR_PARAM_V}\" \"${CMDR_FACT_OS}\""
    );
    let env: Vec<_> = order.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        env,
        [
            ("CMDR_FACT_OS", "debian"),
            ("CMDR_PARAM_ALL", "b\nc"),
            ("CMDR_PARAM_ALL_1", "b"),
            ("CMDR_PARAM_ALL_2", "c"),
            ("CMDR_PARAM_P", "$(x)"),
            ("CMDR_PARAM_V", "$(x)!"),
        ]
    );
}

#[test]
fn a_script_of_another_language_reads_its_environment() {
    let text = "name: x\nparams:\n- name: p\nsteps:\n- name: a\n  script: |\n    #!/usr/bin/python3\n    import os; print(os.environ['CMDR_PARAM_P'], {{1}})\n";
    let mut trip = trip(text, &[("p", "v")]);
    let order = trip.order();
    assert_eq!(order.env["CMDR_PARAM_P"], "v");
    assert!(String::from_utf8(order.script.unwrap().content).unwrap().contains("{{1}}"));
}

#[test]
fn a_secret_comes_from_the_vault_to_where_it_is_used_and_nowhere_else() {
    let text = "name: x\nparams:\n- name: key\n  type: secret\nsteps:\n- name: a\n  line: ls\n- name: b\n  line: login {{key}}\n- name: c\n  runbook: inner\n  params: {list: 'x,y', key: '{{key}}'}\n";
    let mut trip = trip(text, &[("key", "runbook.db")]);
    assert_eq!(trip.order().env.len(), 0);
    trip.took(0);
    assert_eq!(trip.order().env["CMDR_PARAM_KEY"], "hunter2");
    trip.took(0);
    assert_eq!(trip.order().command.unwrap().argv, ["go", "x", "y"]);
    trip.took(0);
    assert_eq!(trip.order().env["CMDR_PARAM_KEY"], "hunter2");
    trip.took(0);
    assert_eq!(trip.next(), Next::Over);
    assert!(!format!("{:?}", trip.progress).contains("hunter2"));
}

#[test]
fn a_secret_that_is_not_there_fails_the_step_with_its_name() {
    let text =
        "name: x\nparams:\n- name: key\n  type: secret\nsteps:\n- name: b\n  line: login {{key}}\n";
    let mut trip = trip(text, &[("key", "runbook.gone")]);
    assert_eq!(
        trip.next(),
        Next::Failed("step b failed: there is no secret 'runbook.gone'".into())
    );
}

#[test]
fn a_host_that_the_runbook_is_not_for_is_refused_before_anything_is_done() {
    let mut trip =
        trip("name: x\nrequires: fact.os == 'alpine'\nsteps:\n- name: a\n  line: ls\n", &[]);
    assert!(matches!(trip.next(), Next::Refused(why) if why.contains("fact.os == 'alpine'")));
    assert_eq!(trip.progress, Progress::default());
}

#[test]
fn an_include_whose_condition_does_not_hold_is_left_out_whole() {
    let text = "name: x\nsteps:\n- name: a\n  when: fact.os == 'alpine'\n  runbook: inner\n  params: {list: 'x'}\n- name: b\n  line: last\n";
    let mut trip = trip(text, &[]);
    assert_eq!(line(trip.order()), "last");
    assert_eq!(trip.states(), [StepState::Skipped; 3]);
}

#[test]
fn a_playbook_is_handed_over_as_it_stands_with_values_that_keep_their_kinds() {
    let text = "name: x\nparams:\n- name: port\n  type: number\n  default: 80\n- name: list\n  type: list\n  default: [a, b]\n\
                - name: key\n  type: secret\n  default: runbook.db\nsteps:\n- name: a\n  user: '{{host.name}}'\n  timeout: 5s\n  \
                ansible:\n    playbook: '[{hosts: all, tasks: [{debug: {msg: \"{{ port }}\"}}]}]'\n    \
                files: {a.j2: '{{ port }}'}\n    vars: {port: '{{port}}', list: '{{list}}', key: '{{key}}', text: 'p {{port}}'}\n";
    let mut trip = trip(text, &[]);
    let Next::Do { task, .. } = trip.next() else { panic!("it has a step") };
    let play = task.play.unwrap();
    assert!(task.order == Order { timeout_ms: Some(5000), ..Order::default() });
    assert!(play.playbook.contains("{{ port }}") && play.files["a.j2"] == "{{ port }}");
    let vars = [("port", json!(80)), ("list", json!(["a", "b"])), ("key", json!("hunter2"))];
    for (name, value) in vars {
        assert_eq!(play.vars[name], value);
    }
    assert_eq!(play.vars["text"], json!("p 80"));
    assert_eq!((play.user.as_deref(), play.timeout_ms), (Some("web1"), Some(5000)));
}
