//! Policies as text: YAML, read and written by whoever keeps them.
//!
//! ```yaml
//! policies:
//!   - name: nights
//!     match: severity=critical, env=prod
//!     to: [on-call]
//!     group_by: [rule]
//!     group_wait: 30s
//!     repeat: 1h
//!     escalate:
//!       - { after: 15m, to: [boss] }
//!   - name: others
//!     to: [mail]
//!     quiet:
//!       - { days: [fri, sat], from: "22:00", to: "07:00", zone: Europe/Berlin }
//! ```
//!
//! `hours:`, of the same form as `quiet:`, says when a policy counts at all.

use super::policy::Policy;
use crate::problem::Problem;
use crate::text::{at_place, document};
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;
use std::collections::BTreeSet;

/// Policies in a text.
const POLICIES: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the key `policies` with a list")]
struct Document {
    policies: Vec<Spanned<Policy>>,
}

/// Reads policies, or says all that is wrong.
pub fn read(text: &str) -> Result<Vec<Policy>, Vec<Problem>> {
    let document: Document = document(text)?;
    let mut problems = Vec::new();
    if document.policies.len() > POLICIES {
        let what = format!("at most {POLICIES} policies are taken");
        problems.push(Problem { line: 1, column: 1, what });
    }
    let (mut names, mut read) = (BTreeSet::new(), Vec::new());
    for policy in document.policies {
        let at = policy.referenced;
        let policy = policy.value;
        if let Err(what) = policy.check() {
            problems.push(at_place(at, what));
        }
        if !names.insert(policy.name.clone()) {
            problems.push(at_place(at, "a policy before this one has the same name"));
        }
        read.push(policy);
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

/// Writes policies so that [`read`] reads the same.
pub fn write(policies: &[Policy]) -> Result<String, String> {
    #[derive(Serialize)]
    struct Written<'a> {
        policies: &'a [Policy],
    }
    serde_saphyr::to_string(&Written { policies })
        .map_err(|e| format!("writing policies as YAML: {e}"))
}

/// A time of the day as `"22:00"`.
pub(super) mod minute {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(crate) fn serialize<S: Serializer>(minute: &u16, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{:02}:{:02}", minute / 60, minute % 60))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u16, D::Error> {
        let text = String::deserialize(d)?;
        parse(&text).ok_or_else(|| D::Error::custom("here should be a time such as \"22:00\""))
    }

    fn parse(text: &str) -> Option<u16> {
        let (hour, minute) = text.split_once(':')?;
        let number = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        let whole = hour < 24 || hour == 24 && minute == 0;
        (whole && minute < 60).then_some(hour * 60 + minute)
    }
}

/// Days of the week as `[mon, sun]`.
pub(super) mod days {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    pub(crate) fn serialize<S: Serializer>(days: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(days.iter().filter_map(|day| NAMES.get(usize::from(*day))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let days = Vec::<String>::deserialize(d)?;
        let number = |day: &String| {
            let place = NAMES.iter().position(|name| name.eq_ignore_ascii_case(day));
            let place = place.and_then(|place| u8::try_from(place).ok());
            place.ok_or_else(|| D::Error::custom("days are mon, tue, wed, thu, fri, sat and sun"))
        };
        days.iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;
    use crate::unit::Span;

    #[test]
    fn policies_are_read_as_they_were_written() {
        let text = "policies:\n- name: nights\n  match: severity=critical\n  to: [on-call]\n  repeat: 1h\n  quiet_spares: warning\n  \
            escalate:\n  - {after: 15m, to: [boss]}\n  quiet:\n  - {days: [fri, SAT], from: \"22:00\", to: \"07:30\", zone: Europe/Berlin}\n";
        let policies = read(text).unwrap();
        let nights = &policies[0];
        assert_eq!(
            (nights.repeat, nights.escalate[0].after),
            (Span::minutes(60), Span::minutes(15))
        );
        let quiet = &nights.quiet[0];
        assert_eq!((&quiet.days[..], quiet.from, quiet.to), (&[4, 5][..], 1320, 450));
        let with_default = [policies, vec![defaults::policy()]].concat();
        assert_eq!(read(&write(&with_default).unwrap()).unwrap(), with_default);
    }

    #[test]
    fn what_is_wrong_with_policies_has_its_place() {
        let wrong = |text: &str| read(text).unwrap_err().remove(0).to_string();
        let said = wrong("policies:\n- name: a\n  too: [x]\n");
        assert!(said.starts_with("3:") && said.contains("did you mean `to`"), "{said}");
        let said = wrong("policies:\n- name: a\n- name: a\n");
        assert!(said.starts_with("3:") && said.contains("same name"), "{said}");
        let said = wrong("policies:\n- name: a\n  repeat: 1s\n");
        assert!(said.starts_with("2:") && said.contains("each minute"), "{said}");
        let said = wrong("policies:\n- name: a\n  quiet:\n  - {from: \"25:00\", to: \"07:00\"}\n");
        assert!(said.contains("a time such as"), "{said}");
        let said = wrong("policies:\n- name: a\n  match: nonsense\n");
        assert!(said.contains("NAME=VALUE"), "{said}");
    }
}
