//! Lists over the fleet have hosts look for what is filtered for, and say what was left out.

use super::*;

/// What hosts know that sift: many listeners of which few are told, and one idle process.
fn sifting_answers(asked: &Asked) -> Value {
    let nth = u32::from(asked.to.map_or(0, |id| id.0[1]));
    let sifts = asked.body.get("sift").is_some();
    let idle = support::process(900 + nth, 1, "/opt/idler --sleep");
    let busy = support::process(100 + nth, 1, "/usr/bin/java -jar x");
    let value = match asked.method {
        "ports.list" => serde_json::to_value(ports::Listing {
            sockets: vec![if sifts {
                socket(2, Protocol::Tcp, "0.0.0.0", 8080, 100 + nth, "java")
            } else {
                socket(1, Protocol::Tcp, "0.0.0.0", 22, 40, "sshd")
            }],
            left_out: if sifts { 0 } else { 700 },
            sifted: true,
            ..ports::Listing::default()
        }),
        _ => serde_json::to_value(cmdr_protocol::processes::Listing {
            processes: vec![if sifts { idle } else { busy }],
            left_out: if sifts { 0 } else { 300 },
            sifted: true,
        }),
    };
    value.expect("value")
}

/// Time goes by until the hosts were asked for what was typed.
async fn asked(world: &mut World) -> Vec<Asked> {
    let mut calls = world.calls();
    while calls.is_empty() {
        tokio::task::yield_now().await;
        world.idle().await;
        calls = world.calls();
    }
    world.idle().await;
    calls.extend(world.calls());
    calls
}

#[tokio::test]
async fn what_is_filtered_for_is_looked_for_by_the_hosts_and_what_is_left_out_is_said() {
    let mut world = World::new(Setup { size: (160, 45), ..Setup::default() }).await;
    world.far.answer(|asked| Ok(sifting_answers(asked)));
    world.fleet(some_hosts()).await;
    world.press("W").await;
    world.check_shows("6 of 6 hosts have answered");
    world.check_shows("4,200 more on 6 hosts, narrow with /");
    world.check_hides("8080");
    assert!(world.calls().iter().all(|call| call.body.get("sift").is_none()));
    // Each letter begins anew; only what stands still is asked for.
    world.press("/80").await;
    world.press("80<enter>").await;
    let calls = asked(&mut world).await;
    assert_eq!(calls.len(), 6);
    let web1 = calls.iter().find(|call| call.to == Some(id(1))).expect("web1 was asked");
    assert_eq!(web1.body["sift"], json!({ "fits": ["(?i)8080"], "before": "web1" }));
    world.check_shows("java");
    world.check_hides("narrow with");
    world.press("<esc>").await;
    asked(&mut world).await;
    world.check_shows("narrow with");
}

#[tokio::test]
async fn an_idle_process_is_found_on_every_host_also_by_agents_that_cannot_look_for_it() {
    let mut world = World::new(Setup { size: (160, 45), ..Setup::default() }).await;
    world.far.answer(|asked| Ok(sifting_answers(asked)));
    world.fleet(some_hosts()).await;
    world.press("E").await;
    world.check_shows("the 20 busiest of each, / looks through all");
    world.calls();
    world.press("/idler<enter>").await;
    let calls = asked(&mut world).await;
    assert!(calls.iter().all(|call| call.body["busiest"] == 200));
    world.check_shows("/opt/idler --sleep");
    world.press("Y").await;
    assert_eq!(world.control.copied.last().unwrap(), "cmdr ps '*' --filter idler");
    // Older agents pass the question over: they are asked for everything.
    world.far.answer(|asked| {
        let nth = u32::from(asked.to.map_or(0, |id| id.0[1]));
        let busy = support::process(100 + nth, 1, "/usr/bin/java -jar x");
        let mut processes = vec![busy];
        if asked.body["busiest"] == 0 {
            processes.push(support::process(900 + nth, 1, "/opt/lazy"));
        }
        Ok(json!({ "processes": processes }))
    });
    world.press("/C-ulazy<enter>").await;
    let calls = asked(&mut world).await;
    assert_eq!(calls.iter().filter(|call| call.body["busiest"] == 0).count(), 6);
    world.check_shows("/opt/lazy");
    world.check_hides("narrow with");
}

#[tokio::test]
async fn nobody_is_asked_by_a_list_over_the_fleet_that_is_not_seen_any_more() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(|asked| Ok(sifting_answers(asked)));
    world.fleet(some_hosts()).await;
    world.press("W").await;
    world.calls();
    // It is left before what was typed has stood still.
    world.press("/8080<enter><esc><esc>").await;
    world.later(60).await;
    assert!(world.calls().is_empty());
    world.press("W").await;
    assert_eq!(world.calls().len(), 6);
}

#[tokio::test]
async fn a_large_fleet_is_asked_so_many_hosts_at_once_and_each_once() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(fleet_answers);
    let hosts = (100..400).map(|n| host(n, &format!("node{n}"), HostState::Online)).collect();
    world.fleet(hosts).await;
    world.press("W").await;
    world.check_shows("300 of 300 hosts have answered");
    let asked: Vec<HostId> = world.calls().iter().filter_map(|c| c.to).collect();
    assert_eq!((asked.len(), asked.iter().collect::<HashSet<_>>().len()), (300, 300));
}
