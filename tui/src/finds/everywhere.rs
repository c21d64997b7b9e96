//! Asks the hosts for what the finder looks for: processes, ports, units, containers and sessions whose pages were never
//! looked at. The hosts look for the letters as the finder does; what they tell goes into the store.

use crate::link::Link;
use crate::panes::gather::{self, Round};
use crate::panes::sessions::columns;
use crate::panes::{Choice, Entry, Place, SHELL, Subscription, TABS, processes as pane};
use crate::store::everywhere::{self, Found, Told, What};
use crate::store::rights::Offer;
use crate::store::{
    FeedKey, Store, containers as of_containers, ports as of_ports, services as of_units, sheets,
};
use cmdr_protocol::display::clean;
use cmdr_protocol::sift::Sift;
use cmdr_protocol::{
    Call, CallError, ErrorKind, HostId, containers, ports, processes, services, sessions,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// So few letters are no question yet.
pub const LETTERS: usize = 2;
/// Words of a question, and the letters of a word.
const WORDS: usize = 8;
const LONGEST: usize = 32;
/// Rows of one kind of all hosts together, and of one host at least and at most.
const ROWS: usize = 20_000;
const LEAST: usize = 20;
const MOST: usize = 200;
const PATIENCE: Duration = Duration::from_secs(10);

/// What hosts look for: the words, without the signs that mean something to the finder alone.
fn words(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| !word.starts_with('!'));
    let plain = words.map(|word| word.trim_matches(['^', '\'', '$', '\\']));
    plain
        .filter(|word| !word.is_empty())
        .take(WORDS)
        .map(|word| word.chars().take(LONGEST).collect())
        .collect()
}

/// Whether the letters of a word come one after the other.
fn has(text: &str, word: &str) -> bool {
    let mut letters = text.chars().flat_map(char::to_lowercase);
    word.chars().flat_map(char::to_lowercase).all(|c| letters.any(|letter| letter == c))
}

/// The words that are not about the host's name; all of them when every one could be.
fn without_name(words: &[String], name: &str) -> Vec<String> {
    let others: Vec<String> = words.iter().filter(|word| !has(name, word)).cloned().collect();
    if others.is_empty() { words.to_vec() } else { others }
}

/// The same for a host to look for.
fn sift(words: &[String]) -> Sift {
    let pattern = |word: &String| {
        let case = if word.chars().any(char::is_uppercase) { "(?s)" } else { "(?is)" };
        let letters: Vec<String> = word.chars().map(|c| regex::escape(&c.to_string())).collect();
        format!("{case}{}", letters.join(".*"))
    };
    Sift { fits: words.iter().map(pattern).collect(), ..Sift::default() }
}

/// Whether a text is one that hosts are asked for.
pub fn asks(text: &str) -> bool {
    words(text).iter().map(|word| word.chars().count()).sum::<usize>() >= LETTERS
}

/// Asks the hosts that are online for what fits a text; another `turn` ends it.
pub fn subscription(owner: u64, turn: u64, text: &str) -> Option<Subscription> {
    if !asks(text) {
        return None;
    }
    let words = words(text);
    let request = sheets::id_of(&(owner, turn, "finder"));
    let key = FeedKey { host: None, method: processes::List::METHOD, request };
    let round = move |store: &Store| round(store, owner, turn, &words);
    Some(gather::subscription(key, turn, gather::STILL, round))
}

/// What the operator may list.
#[derive(Clone, Copy)]
struct May {
    processes: bool,
    ports: bool,
    units: bool,
    containers: bool,
    sessions: bool,
}

fn round(store: &Store, owner: u64, turn: u64, words: &[String]) -> Round {
    let may = |verb| store.offer(verb, false, &[]) == Offer::Yes;
    let may = May {
        processes: may(processes::List::METHOD),
        ports: may(ports::List::METHOD),
        units: may(services::List::METHOD),
        containers: may(containers::List::METHOD),
        sessions: may(sessions::List::METHOD),
    };
    let online = gather::online(store);
    let (of, limit) = (online.len(), (ROWS / online.len().max(1)).clamp(LEAST, MOST));
    let (mut told, mut hosts) = (Vec::new(), Vec::new());
    let mut asked: HashMap<HostId, (String, Vec<String>, bool)> = HashMap::new();
    for host in online {
        let name = store.hosts.name(host);
        let own = without_name(words, &name);
        let known = &store.everywhere;
        if known.has_told(owner, host, &own) {
            told.push(host);
            continue;
        }
        // Those that are named come first.
        let named = words.iter().any(|word| has(&name, word));
        hosts.push((!named, host));
        asked.insert(host, (name, own, known.has_told_sessions(owner, host)));
    }
    hosts.sort_unstable();
    let asks: gather::Asks = Arc::new(move |link, host| {
        let (name, words, has_sessions) = asked.get(&host).cloned().unwrap_or_default();
        let may = May { sessions: may.sessions && !has_sessions, ..may };
        Box::pin(async move {
            let answer = ask(&link, host, &name, &words, limit, may).await;
            everywhere::told(owner, turn, host, words, answer)
        })
    });
    let hosts = hosts.into_iter().map(|(_, host)| host).collect();
    Round { hosts, begun: everywhere::begun(owner, turn, of, told), asks }
}

/// Asks one host for all that may be asked of it.
async fn ask(
    link: &Link,
    host: HostId,
    name: &str,
    words: &[String],
    limit: usize,
    may: May,
) -> Told {
    let (sift, most) = (sift(words), limit as u32);
    let one = processes::List { busiest: most, sift: sift.clone() };
    let two = ports::List { limit: most, sift: sift.clone(), ..ports::List::default() };
    let three = services::List { limit: most, sift: sift.clone(), ..services::List::default() };
    let four = containers::List { all: true, limit: most, sift, ..containers::List::default() };
    let (running, listening, units, contained, open) = futures::join!(
        call(may.processes, link, host, one),
        call(may.ports, link, host, two),
        call(may.units, link, host, three),
        call(may.containers, link, host, four),
        call(may.sessions, link, host, sessions::List {}),
    );
    // A host without an engine has told that it has no containers.
    let contained = contained.map(|answer| match answer {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(containers::Listing::default()),
        answer => answer,
    });
    let answers = [
        running.as_ref().map(Result::is_ok),
        listening.as_ref().map(Result::is_ok),
        units.as_ref().map(Result::is_ok),
        contained.as_ref().map(Result::is_ok),
        open.as_ref().map(Result::is_ok),
    ];
    let (mut whole, mut found) = (true, Vec::new());
    let mut put = |kind, what, text: String, note| {
        found.push(Found { kind, host, what, text: format!("{name} {text}"), note });
    };
    if let Some(Ok(listing)) = &running {
        whole &= listing.sifted && listing.left_out == 0;
        for process in &listing.processes {
            let shown = pane::shown_command(process);
            let text = format!("{} {}", process.pid, clean(&shown));
            let note = clean(&process.user).into_owned();
            put("palette.process", What::Row(process.pid.into()), text, note);
        }
    }
    let mut row = |kind, record: sheets::Record| {
        let mut text = String::new();
        record.haystack(&mut text);
        put(kind, What::Row(record.id), text, String::new());
    };
    if let Some(Ok(listing)) = &listening {
        whole &= listing.sifted && listing.left_out == 0;
        let sockets = listing.sockets.iter().take(limit);
        sockets.for_each(|socket| row("palette.port", of_ports::record(host, socket)));
    }
    if let Some(Ok(listing)) = &units {
        whole &= listing.sifted && listing.left_out == 0;
        let units = listing.units.iter();
        units.for_each(|unit| row("palette.service", of_units::record(host, unit)));
    }
    if let Some(Ok(listing)) = &contained {
        // Those without an engine leave nothing out.
        whole &= listing.left_out == 0 && (listing.sifted || listing.containers.is_empty());
        let contained = listing.containers.iter().take(limit);
        for record in contained.map(|one| of_containers::record(host, "", one)) {
            let text = of_containers::words(&record);
            put("palette.container", What::Row(record.id), text, String::new());
        }
    }
    let has_sessions = matches!(open, Some(Ok(_)));
    if let Some(Ok(listing)) = open {
        for session in listing.sessions.into_iter().map(crate::store::sessions::harmless) {
            let note = format!("{} {}", session.id, session.name);
            put(
                "palette.session",
                What::Session(session.id.clone()),
                columns::what(&session),
                note,
            );
        }
    }
    let failed = answers.iter().flatten().count() > 0 && !answers.contains(&Some(true));
    Told { found, whole, sessions: has_sessions, failed }
}

async fn call<C: Call>(
    may: bool,
    link: &Link,
    host: HostId,
    call: C,
) -> Option<Result<C::Reply, CallError>> {
    if may { Some(link.call(Some(host), call, PATIENCE).await) } else { None }
}

/// As the finder shows it.
pub fn entry(found: &Found) -> Entry {
    let tab = |title: &str| TABS.iter().position(|tab| tab.title == title).unwrap_or(0);
    let at = match found.kind {
        "palette.process" => tab("processes.title"),
        "palette.port" => tab("ports.title"),
        "palette.service" => tab("services.title"),
        "palette.container" => tab("docker.title"),
        _ => SHELL,
    };
    let place = Place::Host(found.host, at);
    let choice = match &found.what {
        What::Row(number) => Choice::At(place, *number),
        What::Session(id) => Choice::Open(place, id.clone()),
    };
    Entry { kind: found.kind, text: found.text.clone(), note: found.note.clone(), choice }
}

/// What an entry is about, if hosts could tell it too.
pub fn about(entry: &Entry) -> Option<(&'static str, HostId, What)> {
    match &entry.choice {
        Choice::At(Place::Host(host, _), number) => Some((entry.kind, *host, What::Row(*number))),
        Choice::Open(Place::Host(host, _), id) if entry.kind == "palette.session" => {
            Some((entry.kind, *host, What::Session(id.clone())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_asked_for_the_words_that_are_not_about_their_names() {
        let split = |text: &str, name: &str| without_name(&words(text), name).join(" ");
        assert_eq!(split("web1 nginx", "web1"), "nginx");
        assert_eq!(split("WB ^nginx !x", "web1"), "nginx");
        assert_eq!(split("nginx", "nginx-3"), "nginx");
        assert_eq!(split("web1 nginx", "db1"), "web1 nginx");
    }

    #[test]
    fn hosts_look_for_letters_one_after_the_other_as_the_finder_does() {
        let sift = sift(&words("n.x Ab"));
        assert_eq!(sift.fits, ["(?is)n.*\\..*x", "(?s)A.*b"]);
        assert!(has("Web-1", "w1") && !has("web1", "1w"));
    }

    #[test]
    fn few_letters_are_no_question() {
        assert!(subscription(1, 1, "n").is_none() && subscription(1, 1, "!nginx ^").is_none());
        assert!(subscription(1, 1, "ng").is_some());
    }
}
