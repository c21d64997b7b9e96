//! What the audit log keeps of a request: its fields as JSON would have them, secrets struck out, long
//! binary as its length, cut to a few KiB. Needs no type: what a later release adds is kept as well.

use cmdr_link::codec;
use cmdr_protocol::audit::Value;
use data_encoding::BASE32_NOPAD;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// Bytes kept of one request.
pub const MOST: usize = 4096;
/// Levels kept; deeper ones become `…`.
const DEPTH: usize = 6;
/// Binary up to this length is an id or a key and is shown as one.
const SHORT: usize = 32;
/// What stands where a secret was.
pub const STRUCK: &str = "‹secret›";

/// The value of a request's body.
pub fn value(body: &[u8], secrets: &[&str]) -> Value {
    let left = Cell::new(MOST);
    let secrets: Vec<Vec<&str>> = secrets.iter().map(|path| path.split('.').collect()).collect();
    let seed = Seed { secrets: &secrets, path: &[], left: &left, depth: 0 };
    codec::decode_with(body, seed)
        .unwrap_or_else(|e| Value::Text(format!("‹{} bytes that cannot be read: {e}›", body.len())))
}

/// The field `name` of an item, as it is.
pub fn field(item: &[u8], name: &str) -> Option<Value> {
    value(item, &[]).get(name).filter(|value| **value != Value::Null).cloned()
}

/// A text of at most so many bytes.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    secrets: &'a [Vec<&'a str>],
    path: &'a [&'a str],
    left: &'a Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn take(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }

    fn is_full(&self) -> bool {
        self.left.get() == 0
    }

    fn is_secret(&self) -> bool {
        let fits = |secret: &Vec<&str>| {
            secret.len() == self.path.len()
                && secret
                    .iter()
                    .zip(self.path)
                    .all(|(wanted, name)| *wanted == "*" || wanted == name)
        };
        self.secrets.iter().any(fits)
    }

    fn text(&self, text: &str) -> Value {
        let kept = cut(text, self.left.get());
        self.take(kept.len() + 2);
        Value::Text(kept)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        if self.is_secret() {
            d.deserialize_ignored_any(serde::de::IgnoredAny)?;
            self.take(STRUCK.len());
            return Ok(Value::Text(STRUCK.to_owned()));
        }
        self.take(2);
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        self.take(8);
        Ok(Value::Int(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        self.take(8);
        Ok(Value::unsigned(n))
    }
    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        self.take(8);
        Ok(Value::Float(n))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(self.text(text))
    }
    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        if bytes.len() <= SHORT {
            return Ok(self.text(&BASE32_NOPAD.encode(bytes).to_ascii_lowercase()));
        }
        Ok(self.text(&format!("‹{} bytes›", bytes.len())))
    }
    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        self.visit_bytes(&bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        let path = [self.path, &["*"]].concat();
        let inner = Seed { path: &path, depth: self.depth + 1, ..self };
        let mut skipped = 0;
        loop {
            if inner.depth >= DEPTH || inner.is_full() {
                // What is not kept is not built either.
                if seq.next_element::<serde::de::IgnoredAny>()?.is_none() {
                    break;
                }
                skipped += 1;
            } else if let Some(value) = seq.next_element_seed(inner)? {
                values.push(value);
            } else {
                break;
            }
        }
        if skipped > 0 {
            values.push(Value::Text(format!("…{skipped} more")));
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        let mut skipped = 0;
        while let Some(name) = map.next_key_seed(Seed { secrets: &[], path: &[], ..self })? {
            let name = match name {
                Value::Text(name) => name,
                Value::Map(_) | Value::List(_) => {
                    return Err(A::Error::custom("a field's name is no text"));
                }
                other => other.to_string(),
            };
            let path = [self.path, &[name.as_str()]].concat();
            let inner = Seed { path: &path, depth: self.depth + 1, ..self };
            if inner.depth >= DEPTH || inner.is_full() {
                map.next_value::<serde::de::IgnoredAny>()?;
                skipped += 1;
            } else {
                let value = map.next_value_seed(inner)?;
                fields.push((name, value));
            }
        }
        if skipped > 0 {
            fields.push(("…".to_owned(), Value::Text(format!("{skipped} more"))));
        }
        Ok(Value::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::exec::{Script, Start};
    use cmdr_protocol::{Feed as _, HostId, hosts};

    fn of<T: serde::Serialize>(body: &T, secrets: &[&str]) -> String {
        serde_json::to_string(&value(&codec::encode(body).unwrap(), secrets)).unwrap()
    }

    #[test]
    fn the_values_of_an_environment_are_struck_out_and_its_names_stay() {
        let start = Start {
            argv: vec!["deploy".into(), "--now".into()],
            env: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
            ..Start::default()
        };
        let text = of(&start, Start::SECRETS);
        assert!(text.contains(r#""argv":["deploy","--now"]"#), "{text}");
        assert!(text.contains(r#""env":{"TOKEN":"‹secret›"}"#), "{text}");
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn ids_are_shown_as_ids_and_long_binary_as_its_length() {
        let id = HostId([7; 16]);
        let forget = hosts::Forget { host: id };
        assert_eq!(of(&forget, &[]), format!(r#"{{"host":"{id}"}}"#));
        let script = Script { name: "s".into(), content: vec![b'x'; 100] };
        assert_eq!(of(&script, &[]), r#"{"name":"s","content":"‹100 bytes›"}"#);
    }

    #[test]
    fn a_large_request_is_cut_to_a_few_kib_whatever_its_shape() {
        let wide = vec!["word"; 10_000];
        let long = "x".repeat(200_000);
        let maps: Vec<_> =
            (0..1000).map(|n| std::collections::BTreeMap::from([(n.to_string(), n)])).collect();
        for text in [of(&wide, &[]), of(&long, &[]), of(&maps, &[])] {
            assert!(text.len() < 2 * MOST, "{}", text.len());
            assert!(text.contains('…'), "{text}");
        }
    }

    #[test]
    fn secrets_are_struck_out_wherever_their_path_leads() {
        #[derive(serde::Serialize)]
        struct Login {
            users: Vec<std::collections::BTreeMap<&'static str, &'static str>>,
            password: Vec<&'static str>,
        }
        let login = Login {
            users: vec![[("name", "ann"), ("pin", "1234")].into()],
            password: vec!["hunter2"],
        };
        let text = of(&login, &["users.*.pin", "password"]);
        assert_eq!(text, r#"{"users":[{"name":"ann","pin":"‹secret›"}],"password":"‹secret›"}"#);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_length() {
        assert!(value(&[0xc1, 0], &[]).to_string().contains("2 bytes that cannot be read"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_become_a_bounded_value(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let text = serde_json::to_string(&value(&bytes, &["a.*"])).unwrap();
            proptest::prop_assert!(text.len() < 2 * MOST + 600);
        }
    }
}
