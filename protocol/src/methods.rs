//! Every method there is, with what it needs: the table the hub authorises by.

use crate::call::{Access, Call, Feed};
use crate::envelope::Kind;
use crate::{exec, facts, hosts, hub, metrics, operators, ping, processes, tokens};

/// One method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The name on the wire.
    pub name: &'static str,
    /// Call or feed.
    pub kind: Kind,
    /// What the caller must be allowed.
    pub access: Access,
    /// Who answers it.
    pub place: Place,
}

/// Who answers a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The hub.
    Hub,
    /// A host's agent.
    Host,
    /// Both.
    Both,
}

const fn call<C: Call>(place: Place) -> Method {
    Method { name: C::METHOD, kind: Kind::Call, access: C::ACCESS, place }
}

const fn feed<F: Feed>(place: Place) -> Method {
    Method { name: F::METHOD, kind: Kind::Feed, access: F::ACCESS, place }
}

/// All methods, one line each. What is not here is refused by the hub.
pub const METHODS: &[Method] = &[
    call::<ping::Ping>(Place::Both),
    feed::<ping::Echo>(Place::Both),
    call::<facts::Get>(Place::Host),
    call::<metrics::Get>(Place::Host),
    feed::<metrics::Watch>(Place::Host),
    call::<processes::List>(Place::Host),
    feed::<processes::Watch>(Place::Host),
    call::<processes::Signal>(Place::Host),
    call::<processes::Renice>(Place::Host),
    feed::<exec::Start>(Place::Host),
    call::<hosts::List>(Place::Hub),
    call::<hosts::Resolve>(Place::Hub),
    feed::<hosts::Watch>(Place::Hub),
    call::<hosts::Rename>(Place::Hub),
    call::<hosts::Label>(Place::Hub),
    call::<hosts::Forget>(Place::Hub),
    call::<hosts::Approve>(Place::Hub),
    call::<hosts::Reject>(Place::Hub),
    call::<tokens::Create>(Place::Hub),
    call::<tokens::List>(Place::Hub),
    call::<tokens::Revoke>(Place::Hub),
    call::<operators::WhoAmI>(Place::Hub),
    call::<operators::List>(Place::Hub),
    call::<operators::Revoke>(Place::Hub),
    call::<hub::Info>(Place::Hub),
    feed::<hub::Backup>(Place::Hub),
    call::<hub::Check>(Place::Hub),
];

/// The method of this name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_names_are_unique_and_say_their_feature() {
        let mut names: Vec<_> = METHODS.iter().map(|m| m.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(
            names
                .iter()
                .all(|n| n.split_once('.').is_some_and(|(f, v)| !f.is_empty() && !v.is_empty()))
        );
    }
}
