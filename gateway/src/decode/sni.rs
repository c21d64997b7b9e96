//! The server name in a TLS ClientHello, read without ending TLS: the hello may be split over
//! records and segments. Bounded by [`LONGEST`]; called by the event loop of `sni` listeners.

use super::{Read, is_host_name};

/// Longest hello that is waited for, records' heads included.
pub const LONGEST: usize = 16 * 1024;

/// The name that the client asks for, in lower case; none when its hello has none.
pub fn read(bytes: &[u8]) -> Read<Option<String>> {
    // The handshake message, put together from its records.
    let mut hello = Vec::new();
    let mut rest = bytes;
    loop {
        if let Some(kind) = rest.first()
            && *kind != 22
        {
            return Read::Bad("no TLS handshake");
        }
        if rest.get(1).is_some_and(|major| *major != 3) {
            return Read::Bad("no TLS record");
        }
        let Some(head) = rest.get(..5) else { break };
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length == 0 || length > 16 * 1024 {
            return Read::Bad("a TLS record of an impossible length");
        }
        let body = &rest[5..];
        hello.extend_from_slice(&body[..length.min(body.len())]);
        if whole(&hello) || body.len() < length {
            break;
        }
        rest = &body[length..];
    }
    match hello.first() {
        None | Some(1) => {}
        Some(_) => return Read::Bad("a TLS handshake that does not begin with a hello"),
    }
    if whole(&hello) {
        let end = 4 + message(&hello).unwrap_or(0);
        return match name(&hello[4..end]) {
            Ok(name) => Read::Whole(name),
            Err(reason) => Read::Bad(reason),
        };
    }
    if bytes.len() >= LONGEST || message(&hello).is_some_and(|length| length > LONGEST) {
        return Read::Bad("a TLS hello that is too long");
    }
    Read::More
}

fn message(hello: &[u8]) -> Option<usize> {
    let head = hello.get(1..4)?;
    Some(usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]))
}

fn whole(hello: &[u8]) -> bool {
    message(hello).is_some_and(|length| hello.len() >= 4 + length)
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (field, rest) =
            self.0.split_at_checked(length).ok_or("a TLS hello whose lengths do not fit")?;
        self.0 = rest;
        Ok(field)
    }

    /// A field behind its length of `width` bytes.
    fn sized(&mut self, width: usize) -> Result<&'a [u8], &'static str> {
        let length = self.take(width)?.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        self.take(length)
    }
}

fn name(body: &[u8]) -> Result<Option<String>, &'static str> {
    let mut fields = Fields(body);
    fields.take(2 + 32)?;
    fields.sized(1)?;
    fields.sized(2)?;
    fields.sized(1)?;
    if fields.0.is_empty() {
        return Ok(None);
    }
    let mut extensions = Fields(fields.sized(2)?);
    while !extensions.0.is_empty() {
        let kind = extensions.take(2)?;
        let mut content = Fields(extensions.sized(2)?);
        if kind != [0, 0] {
            continue;
        }
        let mut names = Fields(content.sized(2)?);
        while !names.0.is_empty() {
            let kind = names.take(1)?;
            let name = names.sized(2)?;
            if kind == [0] {
                if !is_host_name(name) {
                    return Err("a TLS hello with an impossible server name");
                }
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                return Ok(Some(name.trim_end_matches('.').to_owned()));
            }
        }
    }
    Ok(None)
}

/// A hello that asks for `name`, in records of at most `record` bytes: for checks of upstreams and
/// tests. It offers TLS 1.2 and two common suites.
pub fn hello(name: &str, record: usize) -> Vec<u8> {
    let sized = |content: &[u8]| [&(content.len() as u16).to_be_bytes(), content].concat();
    let mut extensions = Vec::new();
    if !name.is_empty() {
        let entry = [&[0], sized(name.as_bytes()).as_slice()].concat();
        extensions.extend([[0, 0].as_slice(), &sized(&sized(&entry))].concat());
    }
    // Groups and signatures that any server knows, so that one that works answers with its hello.
    extensions.extend([0, 10, 0, 6, 0, 4, 0, 29, 0, 23]);
    extensions.extend([0, 13, 0, 10, 0, 8, 4, 3, 8, 4, 4, 1, 2, 1]);
    let mut body = vec![3, 3];
    body.extend((0..32u8).map(|n| n.wrapping_mul(37)));
    body.push(0);
    body.extend(sized(&[0xc0, 0x2f, 0xc0, 0x2b, 0xc0, 0x30, 0xc0, 0x2c, 0x00, 0x9c, 0x00, 0x2f]));
    body.extend([1, 0]);
    body.extend(sized(&extensions));
    let mut message = vec![1, 0];
    message.extend(sized(&body));
    let records = message.chunks(record.clamp(1, 16 * 1024));
    records.flat_map(|part| [[22, 3, 1].as_slice(), &sized(part)].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_found_however_the_hello_is_split() {
        for record in [1, 7, 40, 16_000] {
            let bytes = hello("Web.Example.org", record);
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Read::More, "{record} {cut}");
            }
            assert_eq!(read(&bytes), Read::Whole(Some("web.example.org".into())));
        }
        assert_eq!(read(&hello("", 100)), Read::Whole(None));
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        let mut control = hello("a\nb", 1000);
        for bytes in
            [b"GET / HTTP/1.1".as_slice(), &[22, 3, 1, 0, 0], &[22, 3, 1, 0, 1, 2], &control]
        {
            assert!(matches!(read(bytes), Read::Bad(_)), "{bytes:?}");
        }
        control = [22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff].to_vec();
        assert_eq!(read(&control), Read::Bad("a TLS hello that is too long"));
    }

    proptest! {
        #[test]
        fn a_damaged_hello_never_panics(at in 0usize..120, byte in any::<u8>(), cut in 0usize..140) {
            let mut bytes = hello("web.example.org", 50);
            if let Some(b) = bytes.get_mut(at) { *b = byte; }
            bytes.truncate(cut);
            if let Read::Whole(Some(name)) = read(&bytes) {
                prop_assert!(super::super::is_host_name(name.as_bytes()));
            }
        }
    }
}
