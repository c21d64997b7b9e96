//! Alerts, what happened to them, silences, rules, notifiers and policies: driven by keys, and their pictures; the badge,
//! the sentence and the bell.

mod stage;

use stage::*;

use crate::support::pictures::each;
use crate::support::{Setup, World, some_hosts, verbs};
use cmdr_protocol::CallError;
use cmdr_protocol::alerts::{News, Severity, State, Watch};
use cmdr_protocol::role::Role;
use cmdr_protocol::runbooks::Problem;
use cmdr_tui::event::Event;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::json;

fn large() -> Setup {
    Setup { size: (160, 45), ..Setup::default() }
}

#[tokio::test]
async fn alerts_in_every_state() {
    for setup in each() {
        let (mut world, _) = at_alerts(setup.clone()).await;
        snap!("alerts", world);
        world.press("a").await;
        snap!("alert_ack", world);
        world.press("<esc>s").await;
        snap!("alert_silence", world);
        world.press("<esc><enter>").await;
        snap!("alert_detail", world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("alerts_hub_lost", world);
        let mut world = World::new(setup.clone()).await;
        world.fleet(some_hosts()).await;
        tell(&world, Vec::new());
        world.press("&").await;
        snap!("alerts_none", world);
        let mut world = World::new(setup).await;
        world.fleet(some_hosts()).await;
        world.far.fail::<Watch>(None, &CallError::denied("alerts are off here"));
        world.press("&").await;
        snap!("alerts_denied", world);
    }
}

#[tokio::test]
async fn the_lists_beside_the_alerts() {
    for setup in each() {
        let (mut world, hub) = at_list(setup, "2").await;
        snap!("alerts_past", world);
        world.press("3").await;
        world.later(1).await;
        snap!("silences", world);
        world.press("x").await;
        snap!("silence_end", world);
        world.press("<esc>4").await;
        world.later(1).await;
        snap!("rules", world);
        hub.now().failing = true;
        world.press("5").await;
        world.later(6).await;
        world.press("<down>").await;
        snap!("notifiers", world);
        world.press("g<enter>").await;
        snap!("notifier_detail", world);
    }
}

#[tokio::test]
async fn a_rule_in_every_state() {
    for setup in each() {
        let (mut world, hub) = at_list(setup, "4").await;
        world.press("/disk<enter><enter>").await;
        snap!("rule_text", world);
        world.press("<esc>e").await;
        snap!("rule_write", world);
        world.press("<f7>").await;
        snap!("rule_form", world);
        world.press("<esc><f6>").await;
        snap!("rule_try", world);
        world.press("<enter>").await;
        snap!("rule_tried", world);
        world.press("<esc>").await;
        let what = "'whem' is no key here; did you mean 'when'? \u{1b}[2J";
        hub.now().problems = vec![Problem { line: 4, column: 5, what: what.into() }];
        world.press("x<f9>").await;
        snap!("rule_wrong", world);
    }
}

#[tokio::test]
async fn what_fires_and_nobody_knows_of_is_counted_on_every_page() {
    for size in [(160, 45), (60, 18)] {
        let (mut world, _) = at_alerts(Setup { size, ..Setup::default() }).await;
        world.press("<esc>").await;
        world.check_shows("▲ 3");
        for key in ["J", "W", "P"] {
            world.press(key).await;
            world.check_shows("▲ 3");
        }
        let mut known = alerts();
        known[1].state = State::Acknowledged;
        tell(&world, vec![known[1].clone()]);
        world.idle().await;
        world.check_shows("△ 2");
        world.far.push::<Watch>(
            None,
            &News {
                gone: vec![known[0].id.clone(), known[2].id.clone()],
                all: true,
                ..News::default()
            },
        );
        world.idle().await;
        world.check_hides("△");
    }
}

#[tokio::test]
async fn what_begins_to_fire_is_said_and_rings_once_and_what_fired_before_does_not() {
    let (mut world, _) = at_alerts(large()).await;
    world.press("<esc>").await;
    assert_eq!(world.control.bells, 0);
    let storm: Vec<_> =
        (10..2010).map(|n| alert(n, "disk-used", Severity::Critical, State::Firing, 0)).collect();
    for part in storm.chunks(500) {
        world
            .far
            .push::<Watch>(None, &News { alerts: part.to_vec(), all: true, ..News::default() });
    }
    world.idle().await;
    world.check_shows("2000 alerts have begun to fire");
    world.check_shows("▲ 2,003 alerts");
    assert_eq!(world.control.bells, 1);
    world.press("&").await;
    world.check_shows("1 alerts 2,007");
    // After a while another one is said by itself, with what it says made harmless.
    world.later(60).await;
    let mut one = alert(1, "memory-used", Severity::Warning, State::Firing, 0);
    one.message = "web1: \u{1b}[2Jmemory".into();
    tell(&world, vec![one]);
    world.idle().await;
    world.check_shows("△ web1: ␛[2Jmemory");
    assert_eq!(world.control.bells, 2);
    // When the link was lost and is back, what fired before is no news.
    world.lose().await;
    world.later(30).await;
    world.up(Role::ADMINISTRATOR);
    tell(&world, alerts());
    world.idle().await;
    assert_eq!(world.control.bells, 2);
    world.check_shows("▲ 3 alerts");
}

#[tokio::test]
async fn the_fleets_counter_of_alerts_leads_to_them() {
    let (mut world, _) = at_alerts(large()).await;
    world.press("<esc>").await;
    let buffer = world.terminal.backend().buffer();
    let signs = buffer.content().iter().enumerate().filter(|(_, cell)| cell.symbol() == "▲");
    // The first one is in the top line.
    let (column, row) = signs.map(|(at, _)| buffer.pos_of(at)).find(|at| at.1 > 0).expect("a sign");
    for (column, leads) in [(column - 1, false), (column + 2, true)] {
        let kind = MouseEventKind::Down(MouseButton::Left);
        let modifiers = KeyModifiers::NONE;
        world.events([Event::Mouse(MouseEvent { kind, column, row, modifiers })]).await;
        let top = world.screen().lines().next().unwrap_or_default().to_owned();
        assert_eq!(top.contains("hosts ▸ alerts"), leads, "{top}");
    }
}

#[tokio::test]
async fn the_settings_say_from_which_severity_on_it_is_said_and_rings() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("tui.toml");
    std::fs::write(&config, "[alerts]\ntoast = \"critical\"\nbell = \"never\"\n").expect("write");
    let (mut world, _) = at_alerts(Setup { config: Some(config), ..large() }).await;
    tell(&world, vec![alert(8, "x", Severity::Warning, State::Firing, 0)]);
    world.idle().await;
    world.check_hides("△ web8: x is too high");
    tell(&world, vec![alert(9, "x", Severity::Critical, State::Firing, 0)]);
    world.idle().await;
    world.check_shows("▲ web9: x is too high");
    assert_eq!(world.control.bells, 0);
}

#[tokio::test]
async fn a_notifier_that_begins_to_fail_is_said_wherever_one_is() {
    let (mut world, hub) = at_alerts(large()).await;
    world.press("<esc>").await;
    world.later(61).await;
    hub.now().failing = true;
    world.later(61).await;
    world.check_shows("The notifier mail fails: mail.example.com: refused");
    assert_eq!(world.control.bells, 1);
    world.later(61).await;
    assert_eq!(world.control.bells, 1);
}

#[tokio::test]
async fn one_alert_is_acknowledged_with_why_and_the_next_one_is_at_hand() {
    let (mut world, _) = at_alerts(large()).await;
    world.press("a").await;
    world.check_shows("Acknowledge web2 disk-used");
    assert!(asked(&world, "alerts.acknowledge").is_empty());
    world.press("a disk is ordered<enter>").await;
    let calls = asked(&world, "alerts.acknowledge");
    assert_eq!(calls[0].body, json!({"alerts": ["a-2-disk-used"], "why": "a disk is ordered"}));
    world.check_shows("Acknowledged: 1");
    world.press("a<enter>").await;
    let calls = asked(&world, "alerts.acknowledge");
    assert_eq!(calls[0].body, json!({"alerts": ["a-1-cpu-busy"], "why": ""}));
}

#[tokio::test]
async fn marked_alerts_are_answered_together_and_what_is_over_meanwhile_is_said() {
    let (mut world, hub) = at_alerts(large()).await;
    hub.now().over = vec!["a-3-memory-used".into()];
    world.press("f*a").await;
    world.check_shows("Acknowledge 3 alerts");
    world.press("<enter>").await;
    let calls = asked(&world, "alerts.acknowledge");
    assert_eq!(calls[0].body["alerts"].as_array().map(Vec::len), Some(3));
    world.check_shows("Done to 2, not to 1: there is no such alert any more");
    world.press("u").await;
    let calls = asked(&world, "alerts.unacknowledge");
    assert_eq!(calls[0].body["alerts"].as_array().map(Vec::len), Some(1), "marks are gone");
    world.press("x<enter>").await;
    world.check_shows("say why");
    assert!(asked(&world, "alerts.dismiss").is_empty());
    world.press("gone for good<enter>").await;
    assert_eq!(asked(&world, "alerts.dismiss")[0].body["why"], "gone for good");
}

#[tokio::test]
async fn more_alerts_than_the_hub_takes_at_once_are_answered_in_parts() {
    let (mut world, _) = at_alerts(large()).await;
    let storm =
        (10..2010).map(|n| alert(n, "disk-used", Severity::Warning, State::Firing, 0)).collect();
    tell(&world, storm);
    world.idle().await;
    world.press("f*a").await;
    world.press("<enter>").await;
    let calls = asked(&world, "alerts.acknowledge");
    let counts: Vec<_> =
        calls.iter().map(|call| call.body["alerts"].as_array().map(Vec::len)).collect();
    assert_eq!(counts, [Some(1000), Some(1000), Some(3)]);
    world.check_shows("Acknowledged: 2,003");
}

#[tokio::test]
async fn the_detail_tells_all_about_an_alert_and_leads_to_host_chart_and_rule() {
    let (mut world, _) = at_alerts(large()).await;
    world.press("<enter>").await;
    for text in [
        "env=prod  team=db",
        "91 % (limit 60 %)",
        "li@laptop: looking ␛[2J",
        "◌ waiting",
        "✓ taken",
        "tries 2: mail.example.com: ␛[31mrefused",
        "dd if=/dev/zero",
        "kernel: ␛[2J full",
    ] {
        if text == "◌ waiting" {
            world.check_shows("↻ tried again");
        } else {
            world.check_shows(text);
        }
    }
    world.press("o").await;
    world.check_shows("hosts ▸ web2");
    world.press("<esc><enter>c").await;
    world.check_shows("hosts ▸ charts");
    world.check_shows("mount.used{/home}");
    world.press("<esc><enter>e").await;
    world.check_shows("# ours");
}

#[tokio::test]
async fn what_may_not_be_seen_of_an_alert_is_said_and_the_rest_is_shown() {
    let (mut world, hub) = at_alerts(large()).await;
    hub.now().denied = vec!["notifiers.notices", "rules.show"];
    world.press("<enter>").await;
    world.check_shows("notifiers.notices is not allowed for li@laptop");
    world.check_shows("dd if=/dev/zero");
    world.press("<esc>e").await;
    world.check_shows("rules.show is not allowed for li@laptop");
}

#[tokio::test]
async fn who_may_only_look_is_offered_no_change() {
    let mut verbs = verbs(Role::OBSERVER);
    verbs.retain(|verb| verb != "notifiers.list");
    let setup = Setup { role: Role::OBSERVER, verbs: Some(verbs), ..large() };
    let (mut world, _) = at_alerts(setup).await;
    world.check_hides("a acknowledge");
    world.check_hides("5 notifiers");
    world.press("a").await;
    world.check_shows("does not allow");
    world.press("4").await;
    world.later(1).await;
    world.press("/disk<enter>p").await;
    assert!(asked(&world, "rules.switch").is_empty());
    world.press("e").await;
    world.check_shows("read only");
}

#[tokio::test]
async fn a_silence_is_made_of_what_alerts_have_in_common_and_ended() {
    let (mut world, _) = at_alerts(large()).await;
    world.press("s").await;
    world.check_shows("host=web2, rule=disk-used, instance=/home");
    world.press("C-unever<enter>").await;
    world.check_shows("30m, 2h, 1d");
    world.press("C-u90m<tab>a new disk<enter>").await;
    let calls = asked(&world, "alerts.silence");
    let matcher = "host=web2, rule=disk-used, instance=/home";
    let wanted = json!({"matcher": matcher, "for_ms": 5_400_000, "why": "a new disk"});
    assert_eq!(calls[0].body, wanted);
    world.check_shows("Silence 8: alerts that it keeps quiet now: 2");
    world.press("3").await;
    world.later(1).await;
    world.press("s<enter>").await;
    world.check_shows("say which");
    world.press("<esc>gx").await;
    world.check_shows("End silence 7?");
    world.press("y").await;
    assert_eq!(asked(&world, "alerts.unsilence")[0].body, json!({"id": 7}));
}

#[tokio::test]
async fn what_happened_is_looked_at_over_any_time() {
    let (mut world, _) = at_list(large(), "2").await;
    world.check_shows("the last 1d");
    world.check_shows("older ones are left out");
    world.press("f").await;
    world.check_hides("◌ pending");
    asked(&world, "");
    world.press("tC-u-3h..-1h<enter>").await;
    world.later(1).await;
    let calls = asked(&world, "alerts.history");
    let span = |key: &str| calls[0].body[key].as_u64().expect("a time");
    assert_eq!(span("to_ms") - span("from_ms"), 7_200_000);
    world.press("tC-unonsense<enter>").await;
    world.check_shows("✗");
    world.press("<enter>").await;
    world.check_shows("What happened");
}

#[tokio::test]
async fn a_rule_is_changed_by_its_form_with_all_else_as_it_was_and_saved_after_a_look() {
    let (mut world, _) = at_list(large(), "4").await;
    world.press("/disk<enter>e").await;
    world.press("<f7>").await;
    world.press("C-umount.used{*} / mount.total{*} > 80%<tab><tab><tab><tab>C-ubad<enter>").await;
    world.check_shows("info, warning or critical");
    world.press("C-ucritical<enter>").await;
    world.check_shows("# ours");
    world.check_shows("> 80%");
    world.check_shows("severity: critical");
    world.press("<f6><enter>").await;
    world.check_shows("It would have fired 14 times in 7d");
    world.check_shows("web1␛[2J");
    let tried = asked(&world, "rules.try");
    assert!(tried[0].body["text"].as_str().is_some_and(|text| text.contains("> 80%")));
    world.press("<esc>C-s").await;
    world.check_shows("+    severity: critical");
    assert!(asked(&world, "rules.save").is_empty());
    world.press("s").await;
    let saved = asked(&world, "rules.save");
    assert_eq!((&saved[0].body["name"], &saved[0].body["was"]), (&json!("disk-used"), &json!(3)));
    world.check_shows("disk-used is saved as version 4 and counts from now on");
}

#[tokio::test]
async fn what_is_wrong_in_a_rule_is_shown_at_its_place_and_the_text_is_kept() {
    let (mut world, hub) = at_list(Setup::default(), "4").await;
    world.press("/disk<enter>e").await;
    world.press("<down>#").await;
    let problem = Problem { line: 4, column: 11, what: "there is no metric 'x' \u{1b}".into() };
    hub.now().problems = vec![problem];
    world.press("C-s").await;
    world.check_shows("disk-used:4:11: there is no metric 'x' ␛ (1 in all)");
    world.check_shows("4:11 ");
    assert!(asked(&world, "rules.save").is_empty());
    world.press("<esc>").await;
    world.check_shows("e goes on with it");
    world.press("e").await;
    world.check_shows("#  # ours");
    // Another name would be another rule.
    hub.now().problems = Vec::new();
    world.press("C-xy").await;
    world.press("<down><down><end>-2C-s").await;
    world.check_shows("disk-used-2");
    assert!(asked(&world, "rules.save").is_empty());
}

#[tokio::test]
async fn who_was_slower_than_others_loses_nothing() {
    let (mut world, hub) = at_list(large(), "4").await;
    world.press("/disk<enter>e").await;
    world.press("# mine <enter>").await;
    {
        let mut stage = hub.now();
        stage.version = 4;
        stage.text = format!("{TEXT}# theirs\n");
    }
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("was changed meanwhile");
    world.press("m").await;
    world.check_shows("# mine");
    world.check_shows("# theirs");
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("saved as version 5");
}

#[tokio::test]
async fn rules_are_switched_off_and_on_tried_and_brought_back_and_deleted_after_a_question() {
    let (mut world, _) = at_list(large(), "4").await;
    world.press("/load<enter>p").await;
    assert_eq!(asked(&world, "rules.switch")[0].body, json!({"name": "load", "off": false}));
    world.press("/C-udisk<enter>p").await;
    world.check_shows("Switch the rule disk-used off?");
    world.check_shows("Alerts of it that end by that: 1");
    world.press("y").await;
    assert_eq!(asked(&world, "rules.switch")[0].body, json!({"name": "disk-used", "off": true}));
    world.press("t<enter>").await;
    world.check_shows("It would have fired 14 times in 7d");
    world.press("<esc>u").await;
    world.check_shows("Versions of disk-used");
    world.press("j<enter>").await;
    world.check_shows("+    when: mount.used{*} / mount.total{*} > 20%");
    world.press("ry").await;
    assert_eq!(asked(&world, "rules.save")[0].body["was"], json!(3));
    world.press("xy").await;
    assert_eq!(asked(&world, "rules.delete")[0].body, json!({"name": "disk-used"}));
    world.press("anew-one<enter>").await;
    world.check_shows("name: new-one");
}

#[tokio::test]
async fn policies_and_notifiers_are_written_as_rules_are() {
    let (mut world, hub) = at_list(large(), "5").await;
    world.press("m").await;
    world.check_shows("to: [mail]");
    world.press("# x<enter>C-s").await;
    world.press("s").await;
    assert_eq!(asked(&world, "alerts.save-policies")[0].body["was"], json!(2));
    world.press("<esc>/mail<enter>e").await;
    world.check_shows("password: mail.password");
    world.press("<f9>").await;
    world.check_shows("it would say: web1: disk ␛[2J");
    world.press("<esc>ty").await;
    assert_eq!(asked(&world, "notifiers.test")[0].body, json!({"name": "mail"}));
    world.check_shows("mail has taken the try in 140 ms");
    hub.now().failing = true;
    world.later(6).await;
    world.press("x").await;
    world.check_shows("Notices that wait and are not sent any more: 1");
    world.press("y").await;
    assert_eq!(asked(&world, "notifiers.delete")[0].body, json!({"name": "mail"}));
    world.press("achat<enter>").await;
    world.check_shows("kind: email");
}

#[tokio::test]
async fn the_finder_finds_alerts_and_rules() {
    let (mut world, _) = at_list(large(), "4").await;
    world.press("<esc>C-p").await;
    world.press("memory-used").await;
    world.press("<enter>").await;
    world.check_shows("hosts ▸ alerts");
    world.press("<enter>").await;
    world.check_shows("What happened");
}
