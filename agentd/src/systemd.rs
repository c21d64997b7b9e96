//! The host's service manager over the system bus. `services/services` and `services/system` use it;
//! a connection lives as long as what was asked for.

use crate::Config;
use crate::text::small;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::wire::{DynamicType, Type};
use zbus::{
    Connection, Error, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant, message,
};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";
/// One question takes no longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Signals that wait to be taken, before older ones make the manager wait.
const QUEUED: usize = 4096;

/// A unit as the manager lists it: name, description, load, active, sub, followed unit, path, and a
/// job with its number, kind and path.
pub(crate) type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Properties by name.
pub(crate) type Properties = HashMap<String, OwnedVariant>;

/// A connection to the service manager.
pub(crate) struct Manager {
    bus: Connection,
}

/// Why there is no service manager to ask; nothing when there should be one.
fn absent(config: &Config) -> Option<CallError> {
    if config.run_root.join("systemd/system").is_dir() {
        return None;
    }
    let init = small(&config.proc_root.join("1/comm"));
    let init = if init.is_empty() { "unknown".to_owned() } else { clean_to_width(&init, 40) };
    Some(CallError::not_found(format!(
        "this host has no systemd: its first process is '{init}', and only units of systemd can be \
         shown and acted on"
    )))
}

impl Manager {
    /// Connects; says plainly when the host has no systemd or no bus.
    pub(crate) async fn connect(config: &Config) -> Result<Self, CallError> {
        if let Some(absent) = absent(config) {
            return Err(absent);
        }
        let socket = config.run_root.join("dbus/system_bus_socket");
        let address = format!("unix:path={}", socket.display());
        let connect =
            async { Builder::address(address.as_str()).method_timeout(PATIENCE).build().await };
        let bus = match tokio::time::timeout(PATIENCE, connect).await {
            Ok(Ok(bus)) => bus,
            Ok(Err(e)) => {
                return Err(CallError::failed(format!(
                    "this host runs systemd, but its message bus cannot be reached at {}: {e}; \
                     is the package dbus installed?",
                    socket.display()
                )));
            }
            Err(_) => {
                return Err(CallError::new(
                    ErrorKind::TimedOut,
                    "the host's message bus does not answer",
                ));
            }
        };
        Ok(Self { bus })
    }

    async fn ask<B, R>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, CallError>
    where
        B: serde::Serialize + DynamicType,
        R: serde::de::DeserializeOwned + Type,
    {
        let asked = self.bus.call_method(Some(SYSTEMD), path, Some(interface), method, body).await;
        let reply = asked.map_err(|e| told(&e))?;
        reply.body().deserialize::<R>().map_err(|e| told(&e))
    }

    /// Asks the manager.
    pub(crate) async fn call<B, R>(&self, method: &str, body: &B) -> Result<R, CallError>
    where
        B: serde::Serialize + DynamicType,
        R: serde::de::DeserializeOwned + Type,
    {
        self.ask(ROOT, MANAGER, method, body).await
    }

    /// All units that are loaded.
    pub(crate) async fn units(&self) -> Result<Vec<Listed>, CallError> {
        self.call("ListUnits", &()).await
    }

    /// These units, loaded for the purpose.
    pub(crate) async fn named(&self, names: &[&str]) -> Result<Vec<Listed>, CallError> {
        self.call("ListUnitsByNames", &(names,)).await
    }

    /// All files of units, with whether they begin with the host.
    pub(crate) async fn files(&self) -> Result<Vec<(String, String)>, CallError> {
        self.call("ListUnitFiles", &()).await
    }

    /// All properties of an object of this interface (`Unit`, `Service`, `Timer`).
    pub(crate) async fn properties(
        &self,
        path: &str,
        interface: &str,
    ) -> Result<Properties, CallError> {
        let interface = format!("{SYSTEMD}.{interface}");
        self.ask(path, "org.freedesktop.DBus.Properties", "GetAll", &(interface,)).await
    }

    /// What the manager says of itself from now on: signals of this name, or all of them.
    pub(crate) async fn signals(&self, member: Option<&str>) -> Result<MessageStream, CallError> {
        let rule = || {
            let rule = MatchRule::builder().msg_type(message::Type::Signal).sender(SYSTEMD);
            match member {
                Some(member) => rule.interface(MANAGER).member(member).build(),
                None => rule.build(),
            }
        };
        let rule = rule().map_err(|e: Error| told(&e))?;
        let queued = std::num::NonZeroUsize::new(QUEUED);
        let stream = MessageStream::for_match_rule(rule, &self.bus, queued).await;
        let stream = stream.map_err(|e| told(&e))?;
        // Without it the manager keeps to itself what happens.
        self.call::<_, ()>("Subscribe", &()).await?;
        Ok(stream)
    }
}

/// What a signal about a job that is over says: its path and how it ended.
pub(crate) fn job_removed(message: &Message) -> Option<(String, String)> {
    let body: (u32, OwnedObjectPath, String, String) = message.body().deserialize().ok()?;
    Some((body.1.as_str().to_owned(), body.3))
}

/// An error of the bus, in our words.
pub(crate) fn told(error: &Error) -> CallError {
    let (name, text) = match error {
        Error::MethodError(name, text, _) => {
            (name.as_str().to_owned(), text.clone().unwrap_or_default())
        }
        Error::FDO(error) => {
            let text = error.to_string();
            let name = text.split(':').next().unwrap_or_default().to_owned();
            (name, text)
        }
        other => (String::new(), other.to_string()),
    };
    let text = clean_to_width(&text, 400);
    let kind = match name.rsplit('.').next().unwrap_or_default() {
        "NoSuchUnit" | "LoadFailed" => ErrorKind::NotFound,
        "AccessDenied" | "InteractiveAuthorizationRequired" => ErrorKind::Denied,
        "NoReply" | "Timeout" | "TimedOut" => ErrorKind::TimedOut,
        _ => ErrorKind::Failed,
    };
    let text = if text.is_empty() { clean_to_width(&name, 100) } else { text };
    CallError::new(kind, format!("the service manager says: {text}"))
}

/// A figure among properties; absent when it is not there, or is the manager's word for "none".
pub(crate) fn figure(properties: &Properties, name: &str) -> Option<u64> {
    let value = properties.get(name)?;
    let number = u64::try_from(value.clone())
        .ok()
        .or_else(|| u32::try_from(value.clone()).ok().map(u64::from))?;
    (number != u64::MAX).then_some(number)
}

/// A text among properties; empty when it is not there.
pub(crate) fn word(properties: &Properties, name: &str) -> String {
    properties.get(name).and_then(|v| String::try_from(v.clone()).ok()).unwrap_or_default()
}

/// Texts among properties.
pub(crate) fn words(properties: &Properties, name: &str) -> Vec<String> {
    properties.get(name).and_then(|v| Vec::<String>::try_from(v.clone()).ok()).unwrap_or_default()
}

/// The unit that this program runs in; empty for none.
pub(crate) fn own_unit(proc_root: &Path) -> String {
    let groups = small(&proc_root.join("self/cgroup"));
    let units = groups.lines().filter_map(|line| line.rsplit('/').next());
    units.rev().find(|unit| unit.ends_with(".service")).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_without_systemd_says_so_and_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1")).unwrap();
        std::fs::write(dir.path().join("1/comm"), "runit\u{1b}\n").unwrap();
        let mut config = Config::new(dir.path().into());
        config.run_root = dir.path().into();
        config.proc_root = dir.path().into();
        let error = Manager::connect(&config).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.message.contains("no systemd: its first process is 'runit"), "{error}");
        assert!(!error.message.contains('\u{1b}'));
        std::fs::create_dir_all(dir.path().join("systemd/system")).unwrap();
        let error = Manager::connect(&config).await.err().unwrap();
        assert!(error.message.contains("message bus cannot be reached"), "{error}");
    }

    #[test]
    fn odd_properties_are_absent_and_harm_nothing() {
        let mut properties = Properties::new();
        properties.insert("MemoryCurrent".into(), OwnedVariant::from(u64::MAX));
        properties.insert("MainPID".into(), OwnedVariant::from(7u32));
        properties.insert("FragmentPath".into(), OwnedVariant::from(true));
        assert_eq!(figure(&properties, "MemoryCurrent"), None);
        assert_eq!(figure(&properties, "MainPID"), Some(7));
        assert_eq!(figure(&properties, "none"), None);
        assert_eq!(word(&properties, "FragmentPath"), "");
        assert!(words(&properties, "MainPID").is_empty());
    }

    #[test]
    fn the_agents_own_unit_is_the_last_service_of_its_groups() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("self")).unwrap();
        let groups = "1:cpu:/\n0::/system.slice/cmdr-agentd.service\n";
        std::fs::write(dir.path().join("self/cgroup"), groups).unwrap();
        assert_eq!(own_unit(dir.path()), "cmdr-agentd.service");
    }
}
