//! People in a real LDAP directory, by their passwords; and directories that are not as they should be.

use cmdr_hub::login::groups::{Mapping, role_of};
use cmdr_hub::login::ldap::{Settings, authenticate, look_up};
use cmdr_hub::login::person::{Person, Unable};
use cmdr_protocol::role::Role;
use harness::directory::{Directory, HUB_PASSWORD, settings};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

const OPS: &str = "cn=ops,ou=groups,dc=example,dc=com";

async fn login(settings: &Settings, name: &str, password: &str) -> Result<Person, Unable> {
    authenticate(settings, None, name, password).await
}

fn check_wrong(asked: &Result<Person, Unable>, what: &str) {
    assert_eq!(*asked, Err(Unable::Wrong), "{what}");
}

#[tokio::test]
async fn the_right_password_shows_who_it_is_and_anything_else_is_wrong() {
    let directory = Directory::start();
    let settings = directory.settings("");
    let alice = login(&settings, "alice", "wonderland").await.unwrap();
    assert_eq!((alice.name.as_str(), alice.full_name.as_str()), ("alice", "Alice Ångström"));
    assert_eq!(alice.groups[..2], ["Web, Team", "ops"]);
    assert!(alice.groups.contains(&OPS.to_owned()), "{:?}", alice.groups);
    // However somebody types it, they are called what the directory calls them.
    assert_eq!(login(&settings, "ALICE", "wonderland").await.unwrap().name, "alice");
    for (name, password) in [
        ("alice", "Wonderland"),
        ("alice", "builder"),
        ("alice", ""),
        ("nobody", "wonderland"),
        ("nobody", ""),
        ("", ""),
        ("", "wonderland"),
        ("alice ", "wonderland"),
        ("carol", "locked out"),
        ("twin", "twin"),
        ("hub", HUB_PASSWORD),
    ] {
        check_wrong(&login(&settings, name, password).await, &format!("{name} {password}"));
    }
}

#[tokio::test]
async fn what_somebody_types_means_nothing_to_the_directory_but_itself() {
    let directory = Directory::start();
    let search = directory.settings("");
    let direct = settings(&format!(
        "url = \"{}\"\nperson_dn = \"uid={{name}},ou=people,dc=example,dc=com\"",
        directory.url()
    ));
    for settings in [&search, &direct] {
        // A real person whose name is full of what filters and DNs are made of.
        let odd = login(settings, "o,dd (name)*", "odd").await.unwrap();
        assert_eq!(odd.name, "o,dd (name)*");
        for name in [
            "*",
            "a*",
            "alic?",
            "alice)(uid=*",
            "*)(uid=alice",
            "alice)(|(uid=*",
            "\\61lice",
            "\\2a",
            "alice\\",
            "alice\0",
            "\\00",
            "alice,ou=people,dc=example,dc=com",
            "alice+cn=Alice",
            "x,uid=alice",
            "#616c696365",
            "\"alice\"",
            "alice;",
            "alice\n",
            "al\u{200b}ice",
            "\u{202e}ecila",
            "álice",
            &"a".repeat(100_000),
        ] {
            check_wrong(&login(settings, name, "wonderland").await, name);
            assert_eq!(look_up(&search, None, name).await, Ok(None), "{name}");
        }
    }
}

#[tokio::test]
async fn groups_are_found_by_the_person_and_by_their_members() {
    let directory = Directory::start();
    let role = |person: &Person, group: &str| {
        let mapping = Mapping { group: group.to_owned(), role: Role::OPERATOR };
        role_of(&person.groups, &[mapping])
    };
    let by_member = "member_of = \"\"\ngroup_base = \"ou=groups,dc=example,dc=com\"";
    let by_object = format!("{by_member}\ngroup_filter = \"(objectClass=groupOfNames)\"");
    for lines in ["", by_member, &by_object] {
        let settings = directory.settings(lines);
        let alice = login(&settings, "alice", "wonderland").await.unwrap();
        assert_eq!(role(&alice, "ops"), Some(Role::OPERATOR), "{lines}");
        assert_eq!(role(&alice, "Web, *"), Some(Role::OPERATOR), "{lines}");
        assert_eq!(role(&alice, &OPS.to_uppercase()), Some(Role::OPERATOR), "{lines}");
        assert_eq!(role(&alice, "posix"), None, "{lines}");
        // A group whose name reads like another's DN is not that group.
        let bob = login(&settings, "bob", "builder").await.unwrap();
        assert_eq!(role(&bob, OPS), None, "{lines} {:?}", bob.groups);
        assert_eq!(role(&bob, "ops"), None, "{lines}");
    }
    let posix = format!("{by_member}\ngroup_member = \"memberUid\"\ngroup_member_is = \"name\"");
    let bob = login(&directory.settings(&posix), "bob", "builder").await.unwrap();
    assert_eq!(role(&bob, "posix"), Some(Role::OPERATOR));
    assert_eq!(role(&bob, "ops"), None);
}

#[tokio::test]
async fn somebody_who_left_or_was_locked_out_is_gone_at_the_next_look() {
    let directory = Directory::start();
    let settings = directory.settings("filter = \"(!(pwdAccountLockedTime=*))\"");
    let alice = login(&settings, "alice", "wonderland").await.unwrap();
    assert_eq!(look_up(&settings, None, "alice").await, Ok(Some(alice)));
    assert_eq!(look_up(&settings, None, "carol").await, Ok(None));
    directory.remove("uid=alice,ou=people,dc=example,dc=com");
    assert_eq!(look_up(&settings, None, "alice").await, Ok(None));
    check_wrong(&login(&settings, "alice", "wonderland").await, "removed");
}

#[tokio::test]
async fn a_directory_that_is_down_is_said_to_be_and_is_asked_again_when_it_is_back() {
    let mut directory = Directory::start();
    let settings = directory.settings("");
    directory.kill();
    for asked in [
        login(&settings, "alice", "wonderland").await.map(Some),
        look_up(&settings, None, "alice").await,
    ] {
        let Err(Unable::Down(why)) = asked else { panic!("{asked:?}") };
        let words = "asking the directory ldap://127.0.0.1:";
        assert!(why.starts_with(words) && why.contains("refused"), "{why}");
    }
    directory.start_again();
    login(&settings, "alice", "wonderland").await.unwrap();
}

#[tokio::test]
async fn over_tls_a_directory_proves_itself_before_it_hears_a_password() {
    let directory = Directory::start();
    let ca = directory.dir.path().join("ca.pem").display().to_string();
    let other = directory.dir.path().join("other.pem").display().to_string();
    let plain = directory.settings("").url.to_string();
    let with = |url: &str, lines: &str| {
        settings(&format!(
            "url = \"{url}\"\nperson_dn = \"uid={{name}},ou=people,dc=example,dc=com\"\n{lines}"
        ))
    };
    let start_tls = |ca: &str| with(&plain, &format!("start_tls = true\nca_file = \"{ca}\""));
    let tls = |ca: &str| with(&directory.tls_url(), &format!("ca_file = \"{ca}\""));
    for right in [start_tls(&ca), tls(&ca)] {
        assert_eq!(login(&right, "alice", "wonderland").await.unwrap().name, "alice");
        check_wrong(&login(&right, "alice", "wrong").await, "wrong over TLS");
    }
    let mut untrusted = tls(&ca);
    untrusted.ca_file = None;
    for wrong in [start_tls(&other), tls(&other), untrusted] {
        let asked = login(&wrong, "alice", "wonderland").await;
        let Err(Unable::Down(why)) = asked else { panic!("{asked:?}") };
        assert!(why.contains("does not prove who it is"), "{why}");
    }
    let asked = login(&tls("/nowhere.pem"), "alice", "wonderland").await;
    assert!(matches!(&asked, Err(Unable::Down(why)) if why.contains("/nowhere.pem")), "{asked:?}");
}

#[tokio::test]
async fn mistakes_in_the_settings_are_not_taken_for_wrong_passwords() {
    let directory = Directory::start();
    let wrong = Zeroizing::new("wrong".to_owned());
    let asked = authenticate(&directory.settings(""), Some(&wrong), "alice", "wonderland").await;
    assert!(
        matches!(&asked, Err(Unable::Misconfigured(why)) if why.contains("check bind_dn")),
        "{asked:?}"
    );
    let mut elsewhere = directory.settings("");
    elsewhere.base = "dc=elsewhere".to_owned();
    let asked = login(&elsewhere, "alice", "wonderland").await;
    assert!(
        matches!(&asked, Err(Unable::Misconfigured(why)) if why.contains("check base")),
        "{asked:?}"
    );
    let mut unmapped = directory.settings("");
    unmapped.groups.clear();
    assert!(matches!(login(&unmapped, "alice", "wonderland").await, Err(Unable::Misconfigured(_))));
}

#[tokio::test]
async fn a_name_that_nobody_has_takes_as_long_as_a_wrong_password() {
    let directory = Directory::start();
    let settings = directory.settings("");
    let mut times = Vec::new();
    for name in ["alice", "nobody"] {
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let begin = Instant::now();
            check_wrong(&login(&settings, name, "wrong").await, name);
            least = least.min(begin.elapsed());
        }
        times.push(least);
    }
    let apart = times[0].abs_diff(times[1]);
    assert!(apart < times[0] / 10, "{times:?}");
}

/// A server that answers with these bytes, then goes on as `hang` says.
async fn fake(answer: Vec<u8>, hang: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                let _asked = tcp.read(&mut asked).await;
                tcp.write_all(&answer).await.ok();
                while hang && tcp.read(&mut asked).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    format!("ldap://{address}")
}

async fn ask_fake(answer: Vec<u8>, hang: bool, lines: &str) -> Result<Person, Unable> {
    let url = fake(answer, hang).await;
    let person_dn = "person_dn = \"uid={name},dc=example\"";
    login(&settings(&format!("url = \"{url}\"\n{person_dn}\n{lines}")), "alice", "secret").await
}

#[tokio::test]
async fn a_directory_that_hangs_hangs_up_or_talks_nonsense_is_down() {
    let begin = Instant::now();
    let asked = ask_fake(Vec::new(), true, "timeout_s = 1").await;
    assert!(matches!(&asked, Err(Unable::Down(why)) if why.contains("within 1 s")), "{asked:?}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    // Each level says that one more of a megabyte lies in it.
    let deep = [0x30, 0x83, 0x0f, 0xff, 0xff].repeat(200_000);
    let huge = [&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff][..], &vec![b'x'; 5 << 20]].concat();
    // Message 9 answers what was asked as message 1.
    let out_of_turn = vec![0x30, 12, 2, 1, 9, 0x61, 7, 10, 1, 0, 4, 0, 4, 0];
    for (answer, what) in [
        (Vec::new(), "hung up"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(100), ""),
        (vec![0xff; 4096], ""),
        (vec![0; 4096], ""),
        (deep, ""),
        (huge, "too large"),
        (out_of_turn, "something else"),
    ] {
        let asked = ask_fake(answer, false, "").await;
        let Err(Unable::Down(why)) = &asked else { panic!("{asked:?}") };
        assert!(why.contains(what), "{why}");
    }
}

#[tokio::test]
async fn a_directory_may_say_why_it_refuses_and_its_words_are_made_harmless() {
    let bind = |code: u8, message: &str| {
        let len = u8::try_from(message.len()).unwrap();
        let mut answer = vec![0x30, len + 12, 2, 1, 1, 0x61, len + 7, 10, 1, code, 4, 0, 4, len];
        answer.extend(message.bytes());
        answer
    };
    let asked = ask_fake(bind(53, "Account \u{1b}[2Jinactivated"), true, "").await;
    assert_eq!(
        asked,
        Err(Unable::Refused("UnwillingToPerform (53): Account ␛[2Jinactivated".into()))
    );
    let disabled = "80090308: AcceptSecurityContext error, data 533, v4563";
    let asked = ask_fake(bind(49, disabled), true, "").await;
    assert_eq!(asked, Err(Unable::Refused("the account is disabled".to_owned())));
    check_wrong(&ask_fake(bind(49, ""), true, "").await, "49");
    let asked = ask_fake(bind(13, "TLS required"), true, "").await;
    assert!(
        matches!(&asked, Err(Unable::Misconfigured(why)) if why.contains("start_tls")),
        "{asked:?}"
    );
    assert!(matches!(ask_fake(bind(51, ""), true, "").await, Err(Unable::Down(_))));
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_begins_ends_the_connection() {
    // StartTLS is granted, and a bind's success comes along in the clear.
    let granted = [0x30, 12, 2, 1, 1, 0x78, 7, 10, 1, 0, 4, 0, 4, 0];
    let bound = [0x30, 12, 2, 1, 2, 0x61, 7, 10, 1, 0, 4, 0, 4, 0];
    let asked = ask_fake([granted, bound].concat(), true, "start_tls = true").await;
    assert!(
        matches!(&asked, Err(Unable::Down(why)) if why.contains("before TLS began")),
        "{asked:?}"
    );
}
