//! Every place where bytes from outside are read, as one function each: the entry points of the
//! fuzzers, and of the test that replays what they have found.

use bytes::Bytes;
use cmdr_gateway::decode::{self, http, sni, socks};
use cmdr_hub::audit::{body, chain};
use cmdr_hub::config::Config;
use cmdr_hub::recording::chunks::{self, Chunks};
use cmdr_link::frame::FrameReader;
use cmdr_link::{card, codec, hubkeys, pins, settings, token};
use cmdr_protocol::display::{Filter, clean, is_harmful};
use cmdr_protocol::envelope::Header;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::version::{Beat, Hello, Verdict};
use cmdr_protocol::{
    CallError, containers, engine, exec, facts, forwards, hosts, images, inside, logs, metrics,
    networks, ports, processes, proxy, recorder, services, sessions, system, table, volumes,
};
use futures::executor::block_on;
use std::io::Cursor;
use std::path::Path;
use zeroize::Zeroizing;

/// Reads bytes; panics when it does not keep its promise.
pub type Target = fn(&[u8]);

/// Name and entry point of each.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame),
    ("messages", messages),
    ("control", control),
    ("mux", mux),
    ("handshake", handshake),
    ("selector", selector),
    ("join_token", join_token),
    ("hub_config", hub_config),
    ("terminal_text", terminal_text),
    ("cards", cards),
    ("key_files", key_files),
    ("recording_file", recording_file),
    ("recording_index", recording_index),
    ("searched", searched),
    ("audit_log", audit_log),
    ("id_token", id_token),
    ("log_lines", log_lines),
    ("host_files", host_files),
    ("holder", holder),
    ("file_path", file_path),
    ("unpack", unpack),
    ("packed_text", packed_text),
    ("runbook", runbook),
    ("docker_words", docker_words),
    ("container_output", container_output),
    ("gateway_prefaces", gateway_prefaces),
];

/// Cuts bytes into frames.
pub fn frame(data: &[u8]) {
    let mut reader = FrameReader::new(data);
    let mut total = 0;
    while let Ok(Some(frame)) = block_on(reader.next()) {
        total += frame.payload.len();
        assert!(total <= data.len());
    }
}

/// Decodes a message of any kind, and what decodes encodes and decodes to the same.
pub fn messages(data: &[u8]) {
    fn each<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
        data: &[u8],
    ) {
        if let Ok(value) = codec::decode::<T>(data) {
            let again: Bytes = codec::encode(&value).unwrap();
            if codec::check(&again).is_ok() {
                assert_eq!(codec::decode::<T>(&again).unwrap(), value);
            }
        }
    }
    each::<Header>(data);
    each::<CallError>(data);
    each::<hosts::Change>(data);
    each::<processes::Change>(data);
    each::<processes::Listing>(data);
    each::<exec::Start>(data);
    each::<exec::Item>(data);
    each::<logs::Follow>(data);
    each::<logs::Item>(data);
    each::<sessions::Open>(data);
    each::<sessions::Input>(data);
    each::<sessions::Item>(data);
    each::<sessions::Listing>(data);
    each::<inside::Open>(data);
    each::<proxy::Request>(data);
    each::<proxy::Item>(data);
    each::<forwards::Dial>(data);
    each::<forwards::Piece>(data);
    each::<forwards::kept::Hold>(data);
    each::<forwards::kept::Word>(data);
    each::<forwards::kept::Told>(data);
    each::<facts::Facts>(data);
    each::<metrics::Metrics>(data);
    each::<recorder::Moment>(data);
    each::<recorder::Steps>(data);
    each::<ports::Change>(data);
    each::<ports::Listing>(data);
    each::<table::Change<services::Unit>>(data);
    each::<table::Change<containers::Container>>(data);
    each::<table::Change<containers::stats::Figures>>(data);
    each::<table::Change<images::Image>>(data);
    each::<table::Change<volumes::Volume>>(data);
    each::<table::Change<networks::Network>>(data);
    each::<containers::Create>(data);
    each::<containers::Inspected>(data);
    each::<engine::Event>(data);
    each::<engine::Leftovers>(data);
    each::<images::Progress>(data);
    each::<services::Done>(data);
    each::<services::Shown>(data);
    each::<system::Found<system::Mount>>(data);
    each::<system::Found<system::Interface>>(data);
    each::<system::Found<system::Login>>(data);
    each::<system::Found<system::Job>>(data);
    each::<system::PackagePage>(data);
}

/// Decodes what the control stream carries.
pub fn control(data: &[u8]) {
    drop(codec::decode::<Hello>(data));
    drop(codec::decode::<Verdict>(data));
    drop(codec::decode::<Beat>(data));
}

/// Takes apart what a peer with a proved key sends: no more is read than came, and no stream is held
/// beyond the limit.
pub fn mux(data: &[u8]) {
    use cmdr_link::{mux, noise};
    thread_local! {
        static CHANNEL: std::cell::RefCell<Option<noise::Channel>> = const { std::cell::RefCell::new(None) };
    }
    let channel = CHANNEL.take().unwrap_or_else(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (near, far) = tokio::io::duplex(1024);
            let [ours, theirs] = [(); 2].map(|()| cmdr_link::SecretKey::generate().unwrap());
            let public = theirs.public();
            let dial = noise::initiate(near, &ours, &public, noise::Suite::best());
            let (dialed, answered) = tokio::join!(dial, noise::respond(far, &theirs));
            dialed.unwrap();
            answered.unwrap().1
        })
    });
    let limits = mux::Limits { streams: 8, window: 4 << 20 };
    let (mut channel, read) = mux::try_bytes(channel, limits, data);
    if let Ok(read) = read {
        assert!(read <= data.len());
    }
    channel.discard();
    CHANNEL.set(Some(channel));
}

/// Answers a handshake.
pub fn handshake(data: &[u8]) {
    thread_local! {
        static KEY: cmdr_link::SecretKey = cmdr_link::SecretKey::generate().unwrap();
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    let io = tokio::io::join(data, tokio::io::sink());
    let accepted =
        KEY.with(|key| RUNTIME.with(|rt| rt.block_on(cmdr_link::noise::respond(io, key)).is_ok()));
    assert!(!accepted, "bytes that know nothing of the key were accepted");
}

/// Parses a selector; what parses prints and parses to the same.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = Selector::parse(text) {
        assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
        let host = hosts::Host { name: "web1".to_owned(), ..hosts::Host::default() };
        selector.matches(&host);
    }
}

/// Reads a join token.
pub fn join_token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(token::JoinToken::parse(text));
        drop(token::JoinToken::parse(&format!("cmdr1-{text}")));
    }
}

/// Reads the hub's configuration.
pub fn hub_config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(settings::parse::<Config>(Path::new("fuzz"), text));
    }
}

/// Reads the path of a file: what is taken stands in one way, and goes nowhere up.
pub fn file_path(data: &[u8]) {
    use cmdr_protocol::files::{FilePath, escape, shown, unescape};
    let text = escape(data);
    assert_eq!(unescape(&text).as_deref(), Some(data));
    assert!(!shown(&text).chars().any(is_harmful));
    let read = std::str::from_utf8(data).ok().and_then(|text| FilePath::parse(text).ok());
    for path in read.into_iter().chain(FilePath::from_bytes(data).ok()) {
        assert_eq!(FilePath::parse(path.as_str()).as_ref(), Ok(&path));
        assert!(path.parts().all(|part| !matches!(part, "" | "." | "..")));
    }
}

/// Lays an archive out: nothing appears beside the folder.
pub fn unpack(data: &[u8]) {
    use cmdr_agentd::services::files::unpack::{Limits, lay_out};
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    let root = std::fs::File::open(dir.path().join("in")).unwrap().into();
    let limits = Limits { bytes: 1 << 20, entries: 100, replace: true, owners: false };
    drop(lay_out(&root, data, limits, |_| Ok(())));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Reads the text of a file as it travels: never more than it says it is.
pub fn packed_text(data: &[u8]) {
    use cmdr_link::packed::{hash, pack, unpack};
    use cmdr_protocol::edits::Content;
    let packed = pack(data).unwrap();
    assert_eq!(unpack(&packed).unwrap(), data);
    let (size, rest) = data.split_at(data.len().min(4));
    let size = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    let content = Content { size, hash: hash(rest), data: rest.to_vec() };
    if let Ok(text) = unpack(&content) {
        assert_eq!(text.len() as u64, size);
    }
}

/// Makes text harmless, whole and streamed in pieces.
pub fn terminal_text(data: &[u8]) {
    assert!(!clean(&String::from_utf8_lossy(data)).chars().any(is_harmful));
    let (head, tail) = data.split_at(data.len() / 2);
    let mut filter = Filter::new();
    let out = filter.push(head) + &filter.push(tail) + &filter.finish();
    let mut whole = Filter::new();
    assert_eq!(whole.push(data) + &whole.finish(), out);
}

/// Reads a hub's card and a program's key.
pub fn cards(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for text in [text.to_owned(), format!("cmdrhub1-{text}"), format!("cmdrkey1-{text}")] {
        drop(card::read_card(&text));
        drop(card::read_key(&text));
    }
}

/// Reads the files with a hub's keys and with what peers pin of them.
pub fn key_files(data: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    DIR.with(|dir| {
        for name in ["hub.key", "hub", "key", "server"] {
            std::fs::write(dir.path().join(name), data).unwrap();
        }
        drop(hubkeys::HubKeys::load(&dir.path().join("hub.key")));
        drop(pins::Pins::load(dir.path()));
        drop(cmdr_link::context::Context::load(dir.path()));
    });
}

/// Reads the file of a recording; what is in it must have been sealed with its key.
pub fn recording_file(data: &[u8]) {
    let key = Zeroizing::new([7; 32]);
    let file = [&chunks::file_head(1), data].concat();
    for file in [data, &file] {
        drop(chunks::find(&mut Cursor::new(file), 1_000_000));
        let Ok(Ok(mut chunks)) = Chunks::new(file, 1, &key) else { continue };
        assert!(!matches!(chunks.read(), Ok(Ok(Some(_)))), "bytes that know nothing of the key");
    }
}

/// Reads the index of a folder of recordings: nobody but the hub has sealed one.
pub fn recording_index(data: &[u8]) {
    thread_local! {
        static KEY: cmdr_link::SecretKey = cmdr_link::SecretKey::generate().unwrap();
    }
    KEY.with(|key| {
        let hub = key.public();
        let mut known = format!("{{\"cmdr_recordings\":1,\"hub\":\"{hub}\"}}\n").into_bytes();
        known.extend_from_slice(data);
        for bytes in [data, &known] {
            let taken = cmdr_hub::backup::recordings::try_bytes(bytes, key);
            assert!(!taken, "an index that nobody has sealed");
        }
    });
}

/// Searches in what a program wrote: cut in pieces or whole, the same is found.
pub fn searched(data: &[u8]) {
    let (first, rest) = data.split_at(data.len() / 2);
    let whole = cmdr_hub::recording::found(&[data]);
    assert_eq!(cmdr_hub::recording::found(&[first, rest]), whole);
}

/// Reads a segment of the audit log, and the bodies that are recorded in it.
pub fn audit_log(data: &[u8]) {
    thread_local! {
        static KEY: chain::ChainKey = chain::ChainKey::new(&cmdr_link::SecretKey::generate().unwrap());
    }
    KEY.with(|key| {
        let head = chain::Head { number: 1, first_seq: 1, at_ms: 0, before: [0; 32] };
        let segment = [head.encode(key).0.as_slice(), data].concat();
        for bytes in [data, &segment] {
            if let Ok((_, records)) = chain::Records::of(key, bytes) {
                assert_eq!(records.flatten().count(), 0);
            }
        }
    });
    drop(body::value(data, &["password", "env.*", "a.*.b"]));
    drop(body::field(data, "x"));
}

/// Reads what an OpenID Connect provider answers.
pub fn id_token(data: &[u8]) {
    assert!(!cmdr_hub::login::oidc::try_bytes(data), "bytes that nobody has signed");
}

/// Reads times, levels and entries of a journal: a line of any bytes has them or has none, and the same
/// ones each time.
pub fn log_lines(data: &[u8]) {
    use cmdr_agentd::services::logs::{Times, is_entry, level_of};
    let times = || Times::new(cmdr_link::zone::Zone::utc(), 1_795_183_320_000);
    let mut one = times();
    for line in data.split(|b| *b == b'\n') {
        assert_eq!(one.of(line), times().of(line));
        level_of(line);
        is_entry(line);
    }
}

/// Reads what the kernel and programs of a host write.
pub fn host_files(data: &[u8]) {
    cmdr_agentd::services::system::untrusted::read(data);
    for line in data.split(|b| *b == b'\n') {
        cmdr_agentd::services::ports::read_line(false, line);
        cmdr_agentd::services::ports::read_line(true, line);
    }
}

/// What a session's holder is told over its socket, and what it then shows: frames, messages, output.
pub fn holder(data: &[u8]) {
    cmdr_agentd::holder::untrusted(data);
}

/// Reads a runbook: it makes sense or says what is wrong, and what makes sense can be gone through by a host.
pub fn runbook(data: &[u8]) {
    use cmdr_hub::runbooks::{Plan, Progress, Walk, read};
    let text = String::from_utf8_lossy(data);
    let book = match read(&text) {
        Ok(book) => std::sync::Arc::new(book),
        Err(problems) => return assert!(problems.iter().all(|problem| !problem.what.is_empty())),
    };
    let Ok(plan) = Plan::make(book, &|_| None) else { return };
    let values =
        plan.book().params.iter().filter_map(|p| Some((p.name.clone(), p.default.clone()?)));
    let (values, host) = (values.collect(), hosts::Host::default());
    let secrets = |name: &str| Err(format!("no {name}"));
    let walk = Walk { plan: &plan, values: &values, host: &host, secrets: &secrets };
    // Whatever comes first: nothing of it may hang.
    drop(walk.next(&mut Progress::default()));
}

/// Reads what somebody types or an engine says about a container: words of `docker run`, a state, an image's name. What
/// makes sense as a container can be looked through for what is wrong with it and for what it may do.
pub fn docker_words(data: &[u8]) {
    use cmdr_protocol::containers::{Spec, powers, run, status};
    use cmdr_protocol::images::Reference;
    let text = String::from_utf8_lossy(data);
    let words: Vec<String> = text.split([' ', '\n']).map(str::to_owned).collect();
    let through = |spec: &Spec| {
        let powers = powers::sorted(spec.powers());
        assert_eq!(powers, spec.powers());
        assert!(spec.problems().iter().all(|problem| !problem.what.is_empty()));
    };
    if let Ok(read) = run::parse_some(&words, &|_| None) {
        through(&read.spec);
    }
    if let Ok(spec) = serde_json::from_slice::<Spec>(data) {
        through(&spec);
    }
    status::read(&text);
    if let Ok(reference) = Reference::parse(&text) {
        assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
    }
}

/// What a container's programs write, as an engine sends two outputs in one.
pub fn container_output(data: &[u8]) {
    cmdr_agentd::inside::untrusted(data);
}

/// Reads what comes before anything is forwarded: PROXY headers, the name in a TLS hello, SOCKS5, HTTP proxy requests. What
/// is wrong already stays so whatever follows, and what is whole needs no more than there is.
pub fn gateway_prefaces(data: &[u8]) {
    fn each<T>(data: &[u8], read: fn(&[u8]) -> decode::Read<T>, taken: fn(&T) -> usize) {
        let whole = read(data);
        if let decode::Read::Whole(told) = &whole {
            assert!(taken(told) <= data.len());
        }
        let half = read(&data[..data.len() / 2]);
        match half {
            decode::Read::Bad(_) => assert!(matches!(whole, decode::Read::Bad(_))),
            decode::Read::Whole(_) => assert!(matches!(whole, decode::Read::Whole(_))),
            decode::Read::More => {}
        }
    }
    each(data, decode::proxy::read, |header| header.length);
    each(data, sni::read, |_| 0);
    each(data, http::read, |request| request.consumed);
    let may = |user: &[u8], word: &[u8]| user == b"ann" && word == b"secret";
    for may in [None, Some(&may as decode::May<'_>)] {
        let (mut rest, mut stage) = (data, socks::Stage::default());
        // Each step takes something, and there are three.
        for _ in 0..4 {
            match socks::step(stage, rest, may) {
                socks::Step::Next { consumed, stage: next, .. } => {
                    assert!(consumed > 0 && consumed <= rest.len());
                    (rest, stage) = (&rest[consumed..], next);
                }
                socks::Step::Whole { consumed, .. } => {
                    assert!(consumed <= rest.len());
                    break;
                }
                socks::Step::More | socks::Step::Bad { .. } => break,
            }
        }
    }
    if let Some((_, content)) = socks::datagram(data) {
        assert!(content.len() < data.len());
    }
    let _ = http::allowed(Some(data), &may);
}
