//! The names of series, each once, with what its numbers are. A name is text only where it comes in
//! and where it is told; between those it is a number.

use crate::codec::{Broken, put, take, take_below, take_bytes};
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Such as `cpu.busy` or `mount.used{/var}`.
    pub text: Arc<str>,
    /// What it counts.
    pub kind: Kind,
    /// Numbers are kept whole: a value is what is kept, divided by this.
    pub scale: u32,
}

/// What the numbers of a series are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A state that goes up and down.
    #[default]
    Gauge,
    /// What only grows, except when what is counted begins anew: then it is smaller than before.
    Counter,
}

/// A name's number in an open store. It is not kept: another opening gives another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub(crate) u32);

/// The longest name that is taken, in bytes.
pub const NAME_MAX: usize = 512;
/// So many names at most, so that a host that makes up names cannot fill the memory.
pub(crate) const NAMES_MAX: usize = 1 << 20;

/// All names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Vec<Name>,
    ids: HashMap<Arc<str>, u32>,
}

impl Names {
    /// The number of a name; what was first said of it stays, for its samples are of that kind.
    pub(crate) fn intern(&mut self, text: &str, kind: Kind, scale: u32) -> Option<NameId> {
        if let Some(id) = self.ids.get(text) {
            return Some(NameId(*id));
        }
        if text.is_empty() || text.len() > NAME_MAX || self.list.len() >= NAMES_MAX || scale == 0 {
            return None;
        }
        let id = self.list.len() as u32;
        let text: Arc<str> = text.into();
        self.ids.insert(text.clone(), id);
        self.list.push(Name { text, kind, scale });
        Some(NameId(id))
    }

    pub(crate) fn get(&self, id: NameId) -> Option<&Name> {
        self.list.get(id.0 as usize)
    }

    pub(crate) fn find(&self, text: &str) -> Option<NameId> {
        self.ids.get(text).copied().map(NameId)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NameId, &Name)> {
        self.list.iter().enumerate().map(|(i, name)| (NameId(i as u32), name))
    }
}

pub(crate) fn write(out: &mut Vec<u8>, name: &Name) {
    out.push(u8::from(name.kind == Kind::Counter));
    put(out, u64::from(name.scale));
    put(out, name.text.len() as u64);
    out.extend_from_slice(name.text.as_bytes());
}

pub(crate) fn read(bytes: &mut &[u8], names: &mut Names) -> Result<NameId, Broken> {
    let kind = match take_bytes(bytes, 1)? {
        [0] => Kind::Gauge,
        [1] => Kind::Counter,
        _ => return Err(Broken),
    };
    let scale = u32::try_from(take(bytes)?).map_err(|_| Broken)?;
    let len = take_below(bytes, NAME_MAX + 1)?;
    let text = std::str::from_utf8(take_bytes(bytes, len)?).map_err(|_| Broken)?;
    names.intern(text, kind, scale).ok_or(Broken)
}

/// Whether `text` is meant by `pattern`, in which `*` is anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything_and_everything_else_is_itself() {
        for (pattern, text, meant) in [
            ("cpu.*", "cpu.busy", true),
            ("cpu.*", "mount.used{/}", false),
            ("*{web}", "container.cpu{web}", true),
            ("mount.*{/var*", "mount.used{/var/lib}", true),
            ("cpu.busy", "cpu.busy", true),
            ("cpu.busy", "cpu.busy2", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), meant, "{pattern} {text}");
        }
    }

    #[test]
    fn a_name_has_one_number_and_stays_what_it_was_first() {
        let mut names = Names::default();
        let id = names.intern("cpu.busy", Kind::Gauge, 10).unwrap();
        assert_eq!(names.intern("cpu.busy", Kind::Counter, 1), Some(id));
        assert_eq!(names.get(id).unwrap().scale, 10);
        assert_eq!(names.intern("", Kind::Gauge, 1), None);
        assert_eq!(names.intern(&"x".repeat(NAME_MAX + 1), Kind::Gauge, 1), None);
    }
}
