//! Messages as an older and as a newer release write them still decode. What stands here was written
//! by a release and is never changed; a release adds to it.

use cmdr_link::codec;
use cmdr_protocol::envelope::{Header, Kind};
use cmdr_protocol::hosts::{Host, HostState};
use cmdr_protocol::role::Role;
use cmdr_protocol::version::{Hello, PeerKind, RefusalKind, Verdict, Welcome};
use cmdr_protocol::{CallError, ErrorKind, exec, processes};
use serde::Serialize;

/// The bytes that release 0.1.0 wrote.
const HELLO_0_1: &[u8] = b"\x83\xa8protocol\x01\xa4kind\xa5agent\xa4name\xa4web1";
const HEADER_0_1: &[u8] =
    b"\x83\xa6method\xb0processes.signal\xa4kind\xa4call\xa8resource\xaaprocess:42";
const EXIT_0_1: &[u8] =
    b"\x82\xa1o\xc4\x02hi\xa1x\x83\xa7outcome\xa6exited\xa4code\x03\xa7took_ms\x05";

#[test]
fn bytes_of_the_first_release_decode() {
    let hello: Hello = codec::decode(HELLO_0_1).unwrap();
    assert_eq!((hello.protocol, hello.kind, hello.name.as_str()), (1, PeerKind::Agent, "web1"));
    let header: Header = codec::decode(HEADER_0_1).unwrap();
    assert_eq!(
        (header.method.as_str(), header.kind, header.resource.as_str()),
        ("processes.signal", Kind::Call, "process:42")
    );
    let item: exec::Item = codec::decode(EXIT_0_1).unwrap();
    assert_eq!((item.stdout.as_slice(), item.exit.unwrap().code), (&b"hi"[..], 3));
}

/// What a later release might send: fields and words that this one does not know.
#[derive(Serialize)]
struct Newer<'a> {
    kind: &'a str,
    message: &'a str,
    hint: Vec<u8>,
}

#[test]
fn words_and_fields_of_a_later_release_do_not_break_this_one() {
    let bytes =
        codec::encode(&Newer { kind: "too-windy", message: "later", hint: vec![1, 2] }).unwrap();
    let error: CallError = codec::decode(&bytes).unwrap();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Unknown, "later"));
    assert_eq!(HostState::parse("hibernating"), HostState::Unknown);
    let role: Role = codec::decode(&codec::encode("Wizard of Oz").unwrap()).unwrap();
    assert_eq!(role, Role::NONE);
    assert_eq!(RefusalKind::parse("later"), RefusalKind::Unknown);
    let verdict: Verdict = codec::decode(b"\x81\xa5maybe\xc3").unwrap();
    assert_eq!((verdict.welcome, verdict.refused), (None, None));
}

#[test]
fn messages_with_every_field_left_out_decode_to_their_defaults() {
    let empty = b"\x80";
    assert_eq!(codec::decode::<Host>(empty).unwrap(), Host::default());
    assert_eq!(codec::decode::<processes::Change>(empty).unwrap(), processes::Change::default());
    assert_eq!(codec::decode::<exec::Start>(empty).unwrap(), exec::Start::default());
    let welcome: Welcome = codec::decode(b"\x81\xa8protocol\x01").unwrap();
    assert_eq!(welcome.protocol, 1);
}
