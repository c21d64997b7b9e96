use super::*;
use cmdr_protocol::probes::List;
use proptest::prelude::*;

const TEXT: &str = "name: shop\nicmp: { host: 127.0.0.1 }\nfrom: env=edge\nagents: 3\n";

fn host(n: u8, env: &str) -> (HostId, Host) {
    let id = HostId([n; 16]);
    let labels = [("env".to_owned(), env.to_owned())].into();
    (id, Host { id: Some(id), name: format!("h{n}"), labels, ..Host::default() })
}

fn made() -> (tempfile::TempDir, Store, Probes) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let probes = Probes::load(store.clone()).unwrap();
    (dir, store, probes)
}

#[tokio::test]
async fn a_probe_is_kept_in_versions_and_read_again_after_a_start() {
    let (_dir, store, probes) = made();
    let save = Save { name: "shop".into(), text: TEXT.into(), ..Save::default() };
    assert_eq!(probes.save(&save, "ann").await.unwrap().version, 1);
    assert!(probes.save(&save, "ann").await.unwrap().unchanged);
    let wrong = Save { text: TEXT.replace("icmp", "ping"), ..save.clone() };
    let said = probes.save(&wrong, "ann").await.unwrap_err();
    assert!(said.message.contains("2:1: unknown key `ping`"), "{said}");
    let other = Save { name: "other".into(), ..save.clone() };
    assert_eq!(probes.save(&other, "ann").await.unwrap_err().kind, ErrorKind::Malformed);
    let again = Probes::load(store).unwrap();
    let row = &again.all(&List::default())[0];
    assert_eq!((row.name.as_str(), row.kind.as_str(), row.version), ("shop", "icmp", 1));
    assert_eq!((row.state, row.agents), (State::Unknown, 0));
    assert!(row.why.contains("no agent"), "{}", row.why);
}

#[tokio::test]
async fn how_a_probe_stood_is_known_again_after_a_start_and_goes_with_the_probe() {
    let (_dir, store, probes) = made();
    let save = Save { name: "shop".into(), text: TEXT.into(), ..Save::default() };
    probes.save(&save, "ann").await.unwrap();
    let since = clock::now_ms() - 3_600_000;
    {
        let mut inner = probes.lock();
        let known = inner.known.get_mut("shop").unwrap();
        known.past.note(since, State::Down, "2 of 3 agents say it is down");
        known.changed = true;
    }
    probes.write_down(clock::now_ms()).await;
    let again = Probes::load(store.clone()).unwrap();
    let row = &again.all(&List { span_ms: 7_200_000, blocks: 4 })[0];
    assert_eq!((row.state, row.since_ms), (State::Down, since));
    assert_eq!(row.why, "2 of 3 agents say it is down");
    assert_eq!(row.uptime, [Some(0); 3]);
    assert_eq!(row.blocks.len(), 4);
    assert_eq!(row.blocks[3], 0);
    again.shelf.delete("shop").await.unwrap();
    past::forget(&store, "shop").await.unwrap();
    assert_eq!(store.get::<ProbePast>("probe-past/shop").unwrap(), None);
}

#[tokio::test]
async fn what_a_probe_sends_is_struck_out_for_who_may_not_save_it() {
    let (_dir, _, probes) = made();
    let text = "name: shop\nhttp:\n  url: http://shop.example/\n  headers: { Authorization: Bearer abcdef }\n";
    let save = Save { name: "shop".into(), text: text.into(), ..Save::default() };
    probes.save(&save, "ann").await.unwrap();
    let whole = probes.show("shop", None, true).unwrap();
    assert_eq!((whole.text.as_str(), whole.struck), (text, false));
    let shown = probes.show("shop", None, false).unwrap();
    assert!(shown.struck && !shown.text.contains("abcdef"), "{}", shown.text);
    assert!(shown.text.contains("http://shop.example/"), "{}", shown.text);
}

#[tokio::test]
async fn another_way_of_judging_leaves_what_was_seen_and_another_far_end_does_not() {
    let (_dir, _, probes) = made();
    let save = Save { name: "shop".into(), text: TEXT.into(), ..Save::default() };
    probes.save(&save, "ann").await.unwrap();
    let id = HostId([1; 16]);
    {
        let mut inner = probes.lock();
        let known = inner.known.get_mut("shop").unwrap();
        known.agents.insert(id);
        known.seen.insert(id, Look { version: 1, at_ms: 1, measured: Measured::default() });
    }
    assert!(!probes.due(id)[0].soon);
    let save = Save { text: format!("{TEXT}quorum: 2\n"), ..save };
    probes.save(&save, "ann").await.unwrap();
    assert!(!probes.due(id)[0].soon, "what it has seen is true of the new version");
    let save = Save { text: TEXT.replace("127.0.0.1", "127.0.0.2"), ..save };
    probes.save(&save, "ann").await.unwrap();
    assert!(probes.due(id)[0].soon, "nothing is known of another far end");
    assert!(probes.lock().known["shop"].seen.is_empty());
}

proptest! {
    #[test]
    fn those_that_run_it_are_meant_and_no_more_than_it_says_and_one_that_goes_changes_no_other(
        edge in 0_u8..12, others in 0_u8..5, gone in 0_u8..12,
    ) {
        let known = [("shop".to_owned(), Known::of("shop", TEXT, 1))].into();
        let mut hosts: Vec<_> = (0..edge).map(|n| host(n, "edge")).collect();
        hosts.extend((100..100 + others).map(|n| host(n, "prod")));
        let chosen = choose(&known, &hosts).remove(0);
        prop_assert_eq!(chosen.len(), usize::from(edge.min(3)));
        prop_assert!(chosen.iter().all(|id| id.0[0] < edge));
        let left = hosts.into_iter().filter(|(id, _)| id.0[0] != gone).collect::<Vec<_>>();
        let then = choose(&known, &left).remove(0);
        let lost = chosen.difference(&then).count();
        prop_assert_eq!(lost, usize::from(chosen.iter().any(|id| id.0[0] == gone)));
    }

    #[test]
    fn no_agent_runs_more_than_it_can(probes in 150_usize..300) {
        let text = "name: shop\nicmp: { host: 127.0.0.1 }\n";
        let known = (0..probes).map(|n| (format!("p{n}"), Known::of("shop", text, 1))).collect();
        let chosen = choose(&known, &[host(1, "x")]);
        let runs = chosen.iter().filter(|agents| !agents.is_empty()).count();
        prop_assert_eq!(runs, probes.min(MAX_ON_AGENT));
    }

    #[test]
    fn what_one_agent_is_handed_fits_into_one_request(probes in 1_usize..60, kib in 1_usize..30) {
        let body = "x".repeat(kib * 1024);
        let text = format!("name: shop\nhttp: {{ url: 'http://127.0.0.1/', body: {body} }}\n");
        let known: BTreeMap<_, _> =
            (0..probes).map(|n| (format!("p{n}"), Known::of("shop", &text, 1))).collect();
        let chosen = choose(&known, &[host(1, "x")]);
        let runs = chosen.iter().filter(|agents| !agents.is_empty()).count();
        prop_assert!(runs * kib * 1024 < HANDED);
        prop_assert!(runs == probes || (runs + 1) * (kib + 1) * 1024 > HANDED);
    }
}
