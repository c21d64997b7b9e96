//! Pictures of sessions: their lists, and one that is open.

use super::*;
use crate::support::named_hosts;
use crate::support::pictures::each_of;
use cmdr_protocol::recordings::Notice;

#[tokio::test]
async fn the_sessions_of_a_host_are_listed_and_nothing_in_them_steers() {
    for setup in each_of(setup()) {
        let mut world = at_list(setup).await;
        world.far.push::<Watch>(Some(id(1)), &Listing::default());
        world.idle().await;
        snap!("shell_none", world);
        world.far.push::<Watch>(Some(id(1)), &some_sessions());
        world.idle().await;
        snap!("shell_list", world);
        world.press("?").await;
        snap!("shell_help", world);
        world.press("<esc>n").await;
        world.idle().await;
        let denied = CallError::new(ErrorKind::Denied, "your role allows shells as deploy only");
        world.far.fail::<Open>(Some(id(1)), &denied);
        world.idle().await;
        world.idle().await;
        snap!("shell_as_whom", world);
    }
}

#[tokio::test]
async fn a_session_in_every_state() {
    for setup in each_of(setup()) {
        let mut world = in_shell(setup.clone()).await;
        let text = "\u{1b}[32mroot@web1\u{1b}[0m:~# 目录\r\n".to_owned()
            + &"一二三四五六七八九十".repeat(7)
            + "\r\n\u{1b}]0;编辑 main.rs\u{7}$ ";
        wrote(&mut world, &text).await;
        let clients = vec![client(5, "li", Mode::Drive), client(6, "wang", Mode::Watch)];
        let notice = Notice { recording: Some(12), watchers: Some(vec!["chen".into()]) };
        let item = Item { clients: Some(clients), notice: Some(notice), ..Item::default() };
        came::<Open>(&mut world, item).await;
        snap!("session", world);
        world.press("C-\\?").await;
        snap!("session_help", world);
        world.press("<esc>").await;
        world.events([Event::Paste("rm -rf /\necho \u{1b}[2J\n".into())]).await;
        snap!("session_paste", world);
        world.press("n").await;
        world.lose().await;
        world.later(30).await;
        snap!("session_hub_lost", world);
        let mut world = in_shell(setup).await;
        for n in 0..200 {
            wrote(&mut world, &format!("line {n} of 日志\r\n")).await;
        }
        world.press("C-\\[").await;
        world.press("/line 5[0-9] <enter>").await;
        world.press("n").await;
        world.press("N").await;
        snap!("session_look", world);
        world.press("q").await;
        let exit = Exit { outcome: Outcome::Exited, code: 3, took_ms: 10 };
        came::<Open>(&mut world, Item { exit: Some(exit), ..Item::default() }).await;
        world.far.end::<Open>(Some(id(1)));
        world.idle().await;
        snap!("session_ended", world);
    }
}

#[tokio::test]
async fn the_sessions_of_the_fleet_in_every_state() {
    for setup in each_of(setup()) {
        let mut world = World::new(setup).await;
        world.fleet(some_hosts()).await;
        world.press("S").await;
        world.idle().await;
        snap!("sessions_waiting", world);
        for host in named_hosts() {
            world.far.push::<Watch>(Some(host.0), &Listing::default());
        }
        world.idle().await;
        snap!("sessions_none", world);
        world.far.push::<Watch>(Some(id(1)), &some_sessions());
        let one = Listing { sessions: vec![session("dddddddddd", "li", "htop")] };
        world.far.push::<Watch>(Some(id(5)), &one);
        world.idle().await;
        snap!("sessions", world);
        world.lose().await;
        world.later(30).await;
        snap!("sessions_hub_lost", world);
    }
}
