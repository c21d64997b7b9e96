//! Distinguished names: what somebody typed in one, and the name in one (RFC 4514).

use std::fmt::Write as _;

/// Stands for the name in a pattern.
pub(super) const PLACE: &str = "{name}";

/// The pattern with the name in its place. Whatever could mean anything in a DN is escaped.
pub(super) fn fill(pattern: &str, name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@') {
            escaped.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string cannot fail.
                write!(escaped, "\\{byte:02x}").ok();
            }
        }
    }
    pattern.replacen(PLACE, &escaped, 1)
}

/// The value of a DN's first part: `ops` for `cn=ops,ou=groups,dc=example`. None when that part is not
/// of one kind or not text.
pub(super) fn first_value(dn: &str) -> Option<String> {
    let (_, rest) = dn.split_once('=')?;
    let (mut value, mut bytes) = (Vec::new(), rest.trim_start().bytes().peekable());
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b';' => break,
            b'+' => return None,
            b'\\' => {
                let next = bytes.next()?;
                match (hex(next), bytes.peek().copied().and_then(hex)) {
                    (Some(high), Some(low)) => {
                        bytes.next();
                        value.push(high << 4 | low);
                    }
                    _ => value.push(next),
                }
            }
            byte => value.push(byte),
        }
    }
    let value = String::from_utf8(value).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_typed_name_cannot_leave_its_place_in_a_dn() {
        let pattern = "uid={name},ou=people,dc=example";
        assert_eq!(fill(pattern, "alice"), "uid=alice,ou=people,dc=example");
        assert_eq!(fill(pattern, "a,ou=x"), "uid=a\\2cou\\3dx,ou=people,dc=example");
        assert_eq!(fill(pattern, "{name}"), "uid=\\7bname\\7d,ou=people,dc=example");
        assert_eq!(
            fill(pattern, " #\\\"+<>;"),
            "uid=\\20\\23\\5c\\22\\2b\\3c\\3e\\3b,ou=people,dc=example"
        );
    }

    #[test]
    fn a_groups_name_is_the_value_of_its_dns_first_part() {
        assert_eq!(first_value("cn=ops,ou=groups,dc=x").as_deref(), Some("ops"));
        assert_eq!(first_value("CN=Web\\, Team,DC=x").as_deref(), Some("Web, Team"));
        assert_eq!(first_value("cn=L\\c3\\bcd,dc=x").as_deref(), Some("Lüd"));
        for none in ["", "cn", "cn=", "cn=a+uid=b,dc=x", "cn=\\ff,dc=x", "cn=\\"] {
            assert_eq!(first_value(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_is_filled_in_comes_out_again(name in "\\PC{1,40}") {
            prop_assume!(name.trim() == name && !name.is_empty());
            let dn = fill("uid={name},dc=x", &name);
            prop_assert_eq!(first_value(&dn), Some(name));
        }
    }
}
