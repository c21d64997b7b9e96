//! Every method there is, with what it needs: the table the hub authorises by.

use crate::call::{Access, Call, Feed};
use crate::compose;
use crate::containers;
use crate::envelope::Kind;
use crate::recorder;
use crate::recordings;
use crate::{alerts, gateways, notifiers, probes, rules, states};
use crate::{
    approvals, audit, edits, engine, environment, exec, facts, files, groups, hostkeys, hosts, hub,
    hubkey, keys, login, logs, metrics, operators, ping, processes, roles, secrets, sessions, ssh,
    tokens, totp,
};
use crate::{blobs, data, orders};
use crate::{configs, runbooks, runs};
use crate::{events, history, ports, pushes, services, system};
use crate::{forwards, inside, proxy};
use crate::{images, networks, registries, volumes};

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The name on the wire.
    pub name: &'static str,
    /// Call or feed.
    pub kind: Kind,
    /// What the caller must be allowed.
    pub access: Access,
    /// Who answers it.
    pub place: Place,
    /// Which hosts it is about, when rights are limited to some.
    pub about: About,
    /// Whether it changes anything.
    pub changes: bool,
    /// Fields of the request that the audit log must not hold.
    pub secrets: &'static [&'static str],
    /// The field of the answer or the last item that says how it ended; empty for none.
    pub result: &'static str,
    /// What it is about goes on when its caller goes away, so that this is no error.
    pub leaves: bool,
    /// The audit log has it although it only looks.
    pub recorded: bool,
    /// Which other method the caller must be allowed as well, on what stands in the resource before its last `+`.
    pub within: Option<fn(&str) -> &'static str>,
}

/// Which hosts a method is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The one that is asked, or that the resource names (`host:ID`).
    Host,
    /// All, and its answer leaves out those that the caller may not see.
    Visible,
    /// The fleet as a whole: only a right on all hosts covers it.
    Fleet,
    /// None: any right to use it covers it.
    Nothing,
    /// Hosts and resources that are decided one by one while it is answered: any right to use it covers it
    /// until then.
    Parts,
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
    Method {
        name: C::METHOD,
        kind: Kind::Call,
        access: C::ACCESS,
        place,
        about: about(place),
        changes: C::CHANGES,
        secrets: C::SECRETS,
        result: C::RESULT,
        leaves: false,
        recorded: false,
        within: None,
    }
}

const fn feed<F: Feed>(place: Place) -> Method {
    Method {
        name: F::METHOD,
        kind: Kind::Feed,
        access: F::ACCESS,
        place,
        about: about(place),
        changes: F::CHANGES,
        secrets: F::SECRETS,
        result: F::RESULT,
        leaves: false,
        recorded: false,
        within: None,
    }
}

/// What a method is about that does not say otherwise: the narrower right, so that one that is
/// forgotten here is refused and not let through.
const fn about(place: Place) -> About {
    match place {
        Place::Host => About::Host,
        Place::Hub => About::Fleet,
        Place::Both => About::Nothing,
    }
}

impl Method {
    const fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    const fn leaves(self) -> Self {
        Self { leaves: true, ..self }
    }

    const fn recorded(self) -> Self {
        Self { recorded: true, ..self }
    }

    const fn within(self, within: fn(&str) -> &'static str) -> Self {
        Self { within: Some(within), ..self }
    }

    /// Takes a resource apart: the other method that is to be allowed with what, if any, and its own.
    pub fn parts<'a>(&self, resource: &'a str) -> (Option<(&'static str, &'a str)>, &'a str) {
        match (self.within, resource.rsplit_once('+')) {
            (Some(within), Some((wider, own))) => (Some((within(wider), wider)), own),
            _ => (None, resource),
        }
    }

    /// Whether it says which hosts there are. Whoever has any right on a host may know of it.
    pub const fn shows_hosts(&self) -> bool {
        matches!(self.about, About::Visible)
    }

    /// Whether a right to use it is one on a host.
    pub const fn is_on_hosts(&self) -> bool {
        matches!(self.about, About::Host | About::Visible) || matches!(self.place, Place::Both)
    }

    /// Whether the audit log has it: all but plain looking. What lets keys in is recorded by whoever
    /// answers it: strangers may ask it, and shall not fill the log.
    pub const fn is_recorded(&self) -> bool {
        match self.access {
            Access::Read => self.recorded,
            Access::Open => false,
            Access::Own => self.changes,
            Access::Act | Access::Admin => true,
        }
    }
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
    call::<recorder::List>(Place::Host),
    call::<recorder::At>(Place::Host),
    call::<recorder::Range>(Place::Host),
    call::<ports::List>(Place::Host),
    feed::<ports::Watch>(Place::Host),
    call::<services::List>(Place::Host),
    feed::<services::Watch>(Place::Host),
    call::<services::Show>(Place::Host),
    call::<services::Start>(Place::Host),
    call::<services::Stop>(Place::Host),
    call::<services::Restart>(Place::Host),
    call::<services::Reload>(Place::Host),
    call::<services::Enable>(Place::Host),
    call::<services::Disable>(Place::Host),
    call::<services::Mask>(Place::Host),
    call::<services::Unmask>(Place::Host),
    call::<services::ResetFailed>(Place::Host),
    call::<system::Mounts>(Place::Host),
    call::<system::Interfaces>(Place::Host),
    call::<system::Logins>(Place::Host),
    call::<system::Packages>(Place::Host),
    call::<system::Jobs>(Place::Host),
    call::<engine::Info>(Place::Host),
    call::<engine::Disk>(Place::Host),
    feed::<engine::Events>(Place::Host),
    call::<engine::Unused>(Place::Host),
    feed::<engine::Prune>(Place::Host),
    call::<images::List>(Place::Host),
    feed::<images::Watch>(Place::Host),
    call::<images::History>(Place::Host),
    call::<images::Inspect>(Place::Host),
    call::<images::Tag>(Place::Host),
    call::<images::Remove>(Place::Host),
    feed::<images::Pull>(Place::Host),
    feed::<images::Push>(Place::Host),
    call::<images::Layers>(Place::Host),
    call::<images::Having>(Place::Host),
    feed::<images::Save>(Place::Host),
    feed::<images::Load>(Place::Host),
    feed::<images::Copy>(Place::Hub).about(About::Parts),
    call::<volumes::List>(Place::Host),
    feed::<volumes::Watch>(Place::Host),
    call::<volumes::Inspect>(Place::Host),
    call::<volumes::Create>(Place::Host),
    call::<volumes::CreateSpecial>(Place::Host),
    call::<volumes::Remove>(Place::Host),
    call::<networks::List>(Place::Host),
    feed::<networks::Watch>(Place::Host),
    call::<networks::Inspect>(Place::Host),
    call::<networks::Create>(Place::Host),
    call::<networks::Remove>(Place::Host),
    call::<networks::Connect>(Place::Host),
    call::<networks::Disconnect>(Place::Host),
    feed::<exec::Start>(Place::Host),
    feed::<files::List>(Place::Host),
    call::<files::Stat>(Place::Host),
    call::<files::Real>(Place::Host),
    feed::<files::Read>(Place::Host),
    feed::<files::Write>(Place::Host),
    call::<files::MakeFolder>(Place::Host),
    call::<files::Rename>(Place::Host),
    call::<files::Delete>(Place::Host),
    call::<files::Chmod>(Place::Host),
    call::<files::Checksum>(Place::Host),
    feed::<files::Archive>(Place::Host),
    feed::<files::Unpack>(Place::Host),
    call::<edits::Open>(Place::Host),
    call::<edits::Save>(Place::Host),
    call::<edits::Confirm>(Place::Host),
    call::<edits::Revert>(Place::Host),
    feed::<edits::Pending>(Place::Host),
    call::<edits::Versions>(Place::Host),
    call::<edits::OfVersion>(Place::Host),
    call::<edits::Restore>(Place::Host),
    call::<environment::List>(Place::Host),
    call::<environment::Values>(Place::Host),
    call::<environment::Set>(Place::Host),
    call::<environment::Unset>(Place::Host),
    feed::<files::Copy>(Place::Hub).about(About::Parts),
    call::<logs::Sources>(Place::Host),
    feed::<logs::Follow>(Place::Host),
    feed::<sessions::Open>(Place::Host).leaves(),
    feed::<sessions::Attach>(Place::Host).leaves().within(sessions::opener),
    feed::<sessions::Join>(Place::Host).leaves(),
    call::<sessions::End>(Place::Host),
    call::<sessions::EndAny>(Place::Host),
    call::<sessions::List>(Place::Host),
    feed::<sessions::Watch>(Place::Host),
    feed::<ssh::Open>(Place::Host).leaves(),
    call::<ssh::List>(Place::Host),
    call::<ssh::Trust>(Place::Host),
    call::<ssh::Forget>(Place::Host),
    feed::<inside::Open>(Place::Host).leaves(),
    feed::<inside::Exec>(Place::Host),
    feed::<proxy::Look>(Place::Host).recorded(),
    feed::<proxy::Request>(Place::Host),
    feed::<forwards::Dial>(Place::Host),
    call::<containers::List>(Place::Host),
    feed::<containers::Watch>(Place::Host),
    call::<containers::Inspect>(Place::Host),
    call::<containers::Values>(Place::Host),
    call::<containers::Top>(Place::Host),
    call::<containers::Diff>(Place::Host),
    call::<containers::Start>(Place::Host),
    call::<containers::Stop>(Place::Host),
    call::<containers::Restart>(Place::Host),
    call::<containers::Pause>(Place::Host),
    call::<containers::Unpause>(Place::Host),
    call::<containers::Kill>(Place::Host),
    call::<containers::Rename>(Place::Host),
    call::<containers::Remove>(Place::Host),
    call::<containers::Create>(Place::Host),
    call::<containers::CreatePrivileged>(Place::Host),
    call::<containers::Like>(Place::Host),
    feed::<containers::stats::Stats>(Place::Host),
    call::<containers::change::Update>(Place::Host),
    call::<containers::change::Recreate>(Place::Host).within(containers::change::giver),
    call::<containers::change::Commit>(Place::Host),
    feed::<containers::change::Export>(Place::Host),
    feed::<containers::change::CopyOut>(Place::Host),
    feed::<containers::change::CopyIn>(Place::Host),
    call::<compose::Look>(Place::Host),
    call::<compose::Check>(Place::Host),
    feed::<compose::Up>(Place::Host),
    feed::<compose::UpPrivileged>(Place::Host),
    feed::<compose::Stop>(Place::Host),
    feed::<compose::Down>(Place::Host),
    call::<compose::kept::List>(Place::Hub).about(About::Nothing),
    call::<compose::kept::Show>(Place::Hub).about(About::Nothing),
    call::<compose::kept::Save>(Place::Hub).about(About::Nothing),
    call::<compose::kept::Restore>(Place::Hub).about(About::Nothing),
    call::<compose::kept::Versions>(Place::Hub).about(About::Nothing),
    call::<compose::kept::Delete>(Place::Hub).about(About::Nothing),
    call::<compose::kept::Plan>(Place::Hub).about(About::Parts),
    feed::<compose::kept::Deploy>(Place::Hub).about(About::Parts),
    call::<hosts::List>(Place::Hub).about(About::Visible),
    call::<hosts::Resolve>(Place::Hub).about(About::Visible),
    feed::<hosts::Watch>(Place::Hub).about(About::Visible),
    call::<hosts::Rename>(Place::Hub).about(About::Host),
    call::<hosts::Label>(Place::Hub).about(About::Host),
    call::<hosts::Forget>(Place::Hub).about(About::Host),
    call::<hosts::Approve>(Place::Hub).about(About::Host),
    call::<hosts::Reject>(Place::Hub).about(About::Host),
    call::<hostkeys::Rotate>(Place::Hub).about(About::Host),
    call::<hostkeys::Next>(Place::Host),
    call::<tokens::Create>(Place::Hub),
    call::<tokens::List>(Place::Hub),
    call::<tokens::Revoke>(Place::Hub),
    call::<operators::WhoAmI>(Place::Hub).about(About::Nothing),
    call::<operators::List>(Place::Hub),
    call::<operators::Create>(Place::Hub),
    call::<operators::Update>(Place::Hub),
    call::<operators::Delete>(Place::Hub),
    call::<operators::SetPassword>(Place::Hub),
    call::<operators::ChangePassword>(Place::Hub).about(About::Nothing),
    call::<operators::Revoke>(Place::Hub),
    call::<operators::Locks>(Place::Hub),
    call::<operators::Unlock>(Place::Hub),
    call::<roles::List>(Place::Hub).about(About::Nothing),
    call::<roles::Put>(Place::Hub),
    call::<roles::Delete>(Place::Hub),
    call::<roles::Assign>(Place::Hub),
    call::<roles::CanI>(Place::Hub).about(About::Nothing),
    call::<roles::WhoCan>(Place::Hub),
    call::<roles::Matrix>(Place::Hub).about(About::Nothing),
    call::<roles::Mine>(Place::Hub).about(About::Nothing),
    call::<groups::List>(Place::Hub).about(About::Nothing),
    call::<groups::Put>(Place::Hub),
    call::<groups::Delete>(Place::Hub),
    call::<login::Ways>(Place::Hub).about(About::Nothing),
    call::<login::Password>(Place::Hub).about(About::Nothing),
    feed::<login::Oidc>(Place::Hub).about(About::Nothing),
    call::<login::Renew>(Place::Hub).about(About::Nothing),
    call::<login::Logout>(Place::Hub).about(About::Nothing),
    call::<totp::Begin>(Place::Hub).about(About::Nothing),
    call::<totp::Confirm>(Place::Hub).about(About::Nothing),
    call::<totp::Disable>(Place::Hub).about(About::Nothing),
    call::<totp::Reset>(Place::Hub),
    call::<keys::Create>(Place::Hub).about(About::Nothing),
    call::<keys::List>(Place::Hub).about(About::Nothing),
    call::<keys::Revoke>(Place::Hub).about(About::Nothing),
    call::<approvals::Ask>(Place::Hub).about(About::Nothing),
    call::<approvals::Decide>(Place::Hub).about(About::Nothing),
    call::<approvals::End>(Place::Hub).about(About::Nothing),
    call::<approvals::List>(Place::Hub).about(About::Nothing),
    feed::<approvals::Watch>(Place::Hub).about(About::Nothing),
    call::<secrets::Put>(Place::Hub),
    call::<secrets::List>(Place::Hub),
    call::<secrets::Delete>(Place::Hub),
    feed::<secrets::Rotate>(Place::Hub),
    call::<registries::Put>(Place::Hub),
    call::<registries::List>(Place::Hub).about(About::Nothing),
    call::<registries::Delete>(Place::Hub),
    call::<registries::Catalog>(Place::Hub).about(About::Nothing),
    call::<registries::Tags>(Place::Hub).about(About::Nothing),
    call::<registries::Manifest>(Place::Hub).about(About::Nothing),
    call::<registries::DeleteTag>(Place::Hub).about(About::Nothing),
    feed::<registries::Pull>(Place::Hub).about(About::Parts),
    feed::<registries::Push>(Place::Hub).about(About::Parts),
    call::<registries::Updates>(Place::Hub).about(About::Parts),
    call::<pushes::List>(Place::Hub),
    call::<pushes::Put>(Place::Hub),
    call::<pushes::Delete>(Place::Hub),
    call::<pushes::Test>(Place::Hub),
    feed::<events::Watch>(Place::Hub).about(About::Visible),
    call::<history::Query>(Place::Hub).about(About::Parts),
    call::<history::List>(Place::Hub).about(About::Parts),
    call::<history::Sizes>(Place::Hub),
    call::<history::Purge>(Place::Hub),
    call::<data::Sizes>(Place::Hub),
    call::<data::Purge>(Place::Hub),
    feed::<blobs::Upload>(Place::Hub).about(About::Nothing),
    call::<blobs::List>(Place::Hub),
    call::<blobs::Delete>(Place::Hub),
    call::<hub::Info>(Place::Hub).about(About::Nothing),
    feed::<hub::Backup>(Place::Hub),
    call::<hub::Check>(Place::Hub),
    call::<hubkey::Begin>(Place::Hub),
    call::<hubkey::Status>(Place::Hub),
    call::<hubkey::Switch>(Place::Hub),
    call::<hubkey::Finish>(Place::Hub),
    call::<hubkey::Abort>(Place::Hub),
    call::<audit::List>(Place::Hub),
    feed::<audit::Watch>(Place::Hub),
    call::<audit::Verify>(Place::Hub),
    call::<recordings::Rules>(Place::Hub),
    call::<recordings::PutRule>(Place::Hub),
    call::<recordings::DeleteRule>(Place::Hub),
    call::<recordings::List>(Place::Hub),
    feed::<recordings::Read>(Place::Hub),
    feed::<recordings::Watch>(Place::Hub),
    call::<recordings::Stop>(Place::Hub),
    feed::<recordings::Search>(Place::Hub),
    feed::<recordings::Verify>(Place::Hub),
    call::<recordings::SetMark>(Place::Hub),
    call::<recordings::Delete>(Place::Hub),
    call::<runbooks::List>(Place::Hub).about(About::Nothing),
    call::<runbooks::Show>(Place::Hub).about(About::Nothing),
    call::<runbooks::Check>(Place::Hub).about(About::Nothing),
    call::<runbooks::Save>(Place::Hub).about(About::Nothing),
    call::<runbooks::Versions>(Place::Hub).about(About::Nothing),
    call::<runbooks::Delete>(Place::Hub).about(About::Nothing),
    call::<runbooks::Sign>(Place::Hub).about(About::Nothing),
    call::<runbooks::Steps>(Place::Hub).about(About::Parts),
    call::<configs::List>(Place::Hub).about(About::Nothing),
    call::<configs::Show>(Place::Hub).about(About::Nothing),
    call::<configs::Check>(Place::Hub).about(About::Nothing),
    call::<configs::Save>(Place::Hub).about(About::Nothing),
    call::<configs::Versions>(Place::Hub).about(About::Nothing),
    call::<configs::Delete>(Place::Hub).about(About::Nothing),
    call::<configs::Expect>(Place::Hub).about(About::Parts),
    call::<rules::List>(Place::Hub).about(About::Nothing),
    call::<rules::Show>(Place::Hub).about(About::Nothing),
    call::<rules::Check>(Place::Hub).about(About::Nothing),
    call::<rules::Save>(Place::Hub),
    call::<rules::Switch>(Place::Hub),
    call::<rules::Versions>(Place::Hub).about(About::Nothing),
    call::<rules::Delete>(Place::Hub),
    call::<rules::Try>(Place::Hub).about(About::Parts),
    call::<alerts::List>(Place::Hub).about(About::Parts),
    feed::<alerts::Watch>(Place::Hub).about(About::Parts),
    call::<alerts::Show>(Place::Hub).about(About::Parts),
    call::<alerts::History>(Place::Hub).about(About::Parts),
    call::<alerts::Acknowledge>(Place::Hub).about(About::Parts),
    call::<alerts::Unacknowledge>(Place::Hub).about(About::Parts),
    call::<alerts::Dismiss>(Place::Hub).about(About::Parts),
    call::<alerts::PutSilence>(Place::Hub),
    call::<alerts::EndSilence>(Place::Hub),
    call::<alerts::Silences>(Place::Hub).about(About::Nothing),
    call::<alerts::Policies>(Place::Hub).about(About::Nothing),
    call::<alerts::CheckPolicies>(Place::Hub).about(About::Nothing),
    call::<alerts::SavePolicies>(Place::Hub),
    call::<notifiers::List>(Place::Hub).about(About::Nothing),
    call::<notifiers::Show>(Place::Hub).about(About::Nothing),
    call::<notifiers::Check>(Place::Hub).about(About::Nothing),
    call::<notifiers::Save>(Place::Hub),
    call::<notifiers::Delete>(Place::Hub),
    call::<notifiers::Test>(Place::Hub),
    call::<notifiers::Notices>(Place::Hub).about(About::Nothing),
    call::<probes::List>(Place::Hub).about(About::Nothing),
    call::<probes::Show>(Place::Hub).about(About::Nothing),
    call::<probes::Check>(Place::Hub).about(About::Nothing),
    call::<probes::Save>(Place::Hub),
    call::<probes::Versions>(Place::Hub).about(About::Nothing),
    call::<probes::Delete>(Place::Hub),
    call::<probes::Try>(Place::Hub),
    call::<probes::Status>(Place::Hub).about(About::Nothing),
    call::<forwards::kept::List>(Place::Hub).about(About::Nothing),
    call::<forwards::kept::Put>(Place::Hub),
    call::<forwards::kept::Switch>(Place::Hub),
    call::<forwards::kept::Stop>(Place::Hub),
    call::<forwards::kept::Resume>(Place::Hub),
    call::<forwards::kept::Cut>(Place::Hub),
    call::<forwards::kept::Delete>(Place::Hub),
    call::<gateways::List>(Place::Hub).about(About::Parts),
    call::<gateways::Show>(Place::Hub).about(About::Nothing),
    call::<gateways::Check>(Place::Hub).about(About::Nothing),
    call::<gateways::Save>(Place::Hub),
    call::<gateways::Versions>(Place::Hub).about(About::Nothing),
    call::<gateways::Delete>(Place::Hub),
    call::<gateways::Status>(Place::Host),
    call::<gateways::Log>(Place::Host),
    call::<gateways::Bans>(Place::Host),
    call::<gateways::Drain>(Place::Host),
    call::<gateways::Weight>(Place::Host),
    call::<gateways::Ban>(Place::Host),
    call::<runs::Start>(Place::Hub).about(About::Parts),
    call::<runs::Plan>(Place::Hub).about(About::Parts),
    call::<runs::List>(Place::Hub).about(About::Parts),
    feed::<runs::ListWatch>(Place::Hub).about(About::Parts),
    call::<runs::Show>(Place::Hub).about(About::Parts),
    feed::<runs::Watch>(Place::Hub).about(About::Parts),
    feed::<runs::Output>(Place::Hub).about(About::Parts),
    call::<runs::Stop>(Place::Hub).about(About::Parts),
    call::<runs::Pause>(Place::Hub).about(About::Parts),
    call::<runs::Resume>(Place::Hub).about(About::Parts),
    call::<runs::Retry>(Place::Hub).about(About::Parts),
    call::<runs::Delete>(Place::Hub).about(About::Parts),
    call::<runs::PutSchedule>(Place::Hub).about(About::Parts),
    call::<runs::PauseSchedule>(Place::Hub).about(About::Parts),
    call::<runs::ListSchedules>(Place::Hub).about(About::Parts),
    call::<runs::DeleteSchedule>(Place::Hub).about(About::Parts),
];

/// What the hub alone asks of its hosts. Clients are told that there is no such method: it is no right that
/// anybody could have.
pub const INNER: &[Method] = &[
    call::<orders::Take>(Place::Host),
    feed::<orders::Watch>(Place::Host),
    call::<orders::Cancel>(Place::Host),
    call::<orders::Schedules>(Place::Host),
    call::<blobs::Have>(Place::Host),
    feed::<blobs::Put>(Place::Host),
    feed::<images::PullAs>(Place::Host),
    call::<alerts::away::Carry>(Place::Host),
    feed::<states::Watch>(Place::Host),
    feed::<images::PushAs>(Place::Host),
    feed::<compose::UpAs>(Place::Host),
    call::<gateways::Carry>(Place::Host),
    call::<probes::Run>(Place::Host),
    feed::<probes::Watch>(Place::Host),
    feed::<forwards::kept::Hold>(Place::Host),
    feed::<forwards::kept::Accept>(Place::Host),
    feed::<forwards::direct::Meet>(Place::Host),
];

/// What hosts ask each other, over links that the hub has told them to make: of it the hub hears nothing, and nobody else may ask it.
pub const BETWEEN: &[Method] = &[feed::<forwards::direct::Claim>(Place::Host)];

/// The method of this name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// The method of this name that only hubs ask.
pub fn find_inner(name: &str) -> Option<&'static Method> {
    INNER.iter().find(|method| method.name == name)
}

/// Where a method stands in [`METHODS`].
pub fn index(name: &str) -> Option<usize> {
    METHODS.iter().position(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_names_are_unique_and_say_their_feature() {
        let mut names: Vec<_> =
            METHODS.iter().chain(INNER).chain(BETWEEN).map(|m| m.name).collect();
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
