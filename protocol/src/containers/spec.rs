//! What a container shall be: the form, its YAML and what `docker run` says, all as one struct. Names are those that
//! compose files have for a service, where they have one.

mod parts;

pub use parts::{Device, Mounted, Published, bytes, device, nanos, port, restart, ulimit, volume};

use super::{is_name, powers};
use crate::call::is_default;
use crate::human;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most entries of any list.
pub const MOST: usize = 1000;

/// A struct whose absent fields are not written, with the names of all of them.
macro_rules! with_fields {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$fmeta])* #[serde(skip_serializing_if = "is_default")] pub $field: $type,)+
        }

        impl $name {
            /// The names of all fields.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    };
}

with_fields! {
    /// What a container shall be. What is absent is as the image or the engine has it.
    pub struct Spec {
        /// Its name; empty for one that the engine makes up.
        pub name: String,
        /// The image.
        pub image: String,
        /// Arguments, or program and arguments, instead of the image's.
        pub command: Vec<String>,
        /// The program, instead of the image's.
        pub entrypoint: Vec<String>,
        /// Variables.
        pub environment: BTreeMap<String, String>,
        /// The folder that it begins in.
        pub working_dir: String,
        /// User, and group behind a colon, inside.
        pub user: String,
        /// More groups.
        pub group_add: Vec<String>,
        /// What it calls itself.
        pub hostname: String,
        /// And its domain.
        pub domainname: String,
        /// It has a terminal.
        pub tty: bool,
        /// Its input stays open.
        pub stdin_open: bool,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Ports: `8080:80`, `127.0.0.1:8080:80/tcp`, `53:53/udp`, `8000-8010:8000-8010`, `80` for any port of the host.
        pub ports: Vec<String>,
        /// Every port that the image names gets one of the host.
        pub publish_all: bool,
        /// Ports that it has for others in its network.
        pub expose: Vec<String>,
        /// Its network: a name, `bridge`, `none`, `host` or `container:NAME`.
        pub network: String,
        /// Names that it has in that network.
        pub aliases: Vec<String>,
        /// Its address in that network.
        pub ip: String,
        /// Servers that it asks for names.
        pub dns: Vec<String>,
        /// Domains that it looks in.
        pub dns_search: Vec<String>,
        /// Options of that.
        pub dns_opt: Vec<String>,
        /// More lines of its hosts file: `NAME:ADDRESS`.
        pub extra_hosts: Vec<String>,
        /// When it is started again: `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:5`.
        pub restart: String,
        /// It is taken away when it ends.
        pub auto_remove: bool,
        /// The most memory: `512m`.
        pub mem_limit: String,
        /// The most of memory and swap; `-1` for any.
        pub memswap_limit: String,
        /// Memory that it is brought down to when the host has little.
        pub mem_reservation: String,
        /// Processors: `1.5`.
        pub cpus: String,
        /// Its weight beside others; 1024 is the usual one.
        pub cpu_shares: i64,
        /// Which processors: `0-3`.
        pub cpuset: String,
        /// The most processes; -1 for any.
        pub pids_limit: i64,
        /// The size of `/dev/shm`.
        pub shm_size: String,
        /// Limits of a process: `nofile=1024:2048`.
        pub ulimits: Vec<String>,
        /// What is mounted: `/srv/x:/x:ro`, `data:/data`, `/cache`.
        pub volumes: Vec<String>,
        /// What is mounted into these containers, too.
        pub volumes_from: Vec<String>,
        /// Folders in memory: `/run:size=64m`.
        pub tmpfs: Vec<String>,
        /// Its own files cannot be changed.
        pub read_only: bool,
        /// How one knows whether it is well.
        pub healthcheck: Healthcheck,
        /// A small first process that takes care of the others.
        pub init: bool,
        /// The signal that ends it.
        pub stop_signal: String,
        /// Seconds between that and the end.
        pub stop_timeout_s: Option<u32>,
        /// Where its logs go.
        pub log_driver: String,
        /// Options of that.
        pub log_opt: BTreeMap<String, String>,
        /// Settings of the kernel for its namespaces.
        pub sysctls: BTreeMap<String, String>,
        /// The platform of the image: `linux/arm64`.
        pub platform: String,
        /// It may do nearly all that its host's root may.
        pub privileged: bool,
        /// Capabilities that it has beside the usual ones.
        pub cap_add: Vec<String>,
        /// Capabilities that it has not.
        pub cap_drop: Vec<String>,
        /// Devices: `/dev/fuse`, `/dev/sda:/dev/xvda:r`.
        pub devices: Vec<String>,
        /// Security options.
        pub security_opt: Vec<String>,
        /// Whose processes it sees: `host` or `container:NAME`.
        pub pid: String,
        /// Whose shared memory it has.
        pub ipc: String,
        /// `host` for the host's own name.
        pub uts: String,
        /// `host` for the host's own users.
        pub userns: String,
        /// `host` or `private`.
        pub cgroupns: String,
        /// The group of processes that it belongs to.
        pub cgroup_parent: String,
        /// The program that runs it.
        pub runtime: String,
        /// How likely it is killed when memory runs out, -1000 to 1000.
        pub oom_score_adj: i64,
    }
}

with_fields! {
    /// How one knows whether a container is well.
    pub struct Healthcheck {
        /// A command and its arguments, or behind `CMD-SHELL` one text for the container's shell.
        pub test: Vec<String>,
        /// Between two: `30s`.
        pub interval: String,
        /// One that takes longer has failed.
        pub timeout: String,
        /// So many in a row make it unhealthy.
        pub retries: i64,
        /// At first failures do not count for so long.
        pub start_period: String,
        /// Between two in that time.
        pub start_interval: String,
        /// None, whatever the image says.
        pub disable: bool,
    }
}

/// What is wrong with a [`Spec`], and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub field: &'static str,
    /// In plain words.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// Collects problems.
struct Found(Vec<Problem>);

impl Found {
    fn unless(&mut self, good: bool, field: &'static str, what: impl FnOnce() -> String) {
        if !good {
            self.0.push(Problem { field, what: what() });
        }
    }
    fn all<T>(
        &mut self,
        field: &'static str,
        texts: &[String],
        read: impl Fn(&str) -> Result<T, String>,
    ) {
        self.unless(texts.len() <= MOST, field, || format!("more than {MOST}"));
        let wrong = texts.iter().take(MOST).filter_map(|text| read(text).err());
        self.0.extend(wrong.map(|what| Problem { field, what }));
    }
    fn one<T>(
        &mut self,
        field: &'static str,
        text: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) {
        if let (false, Err(what)) = (text.is_empty(), read(text)) {
            self.0.push(Problem { field, what });
        }
    }
}

impl Spec {
    /// What it may do to its host, in order.
    pub fn powers(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.privileged {
            all.push("privileged".to_owned());
        }
        let mounted = self.volumes.iter().filter_map(|text| volume(text).ok());
        all.extend(mounted.filter(Mounted::is_of_host).map(|m| powers::mount(&m.source)));
        let devices = self.devices.iter().filter_map(|text| device(text).ok());
        all.extend(devices.map(|device| powers::device(&device.host)));
        all.extend(self.cap_add.iter().map(|name| powers::capability(name)));
        all.extend(self.security_opt.iter().filter_map(|option| powers::security(option)));
        for (kind, mode) in [
            ("network", &self.network),
            ("pid", &self.pid),
            ("ipc", &self.ipc),
            ("uts", &self.uts),
            ("user", &self.userns),
            ("cgroup", &self.cgroupns),
        ] {
            all.extend(powers::namespace(kind, mode));
        }
        all.extend(self.volumes_from.iter().map(|from| format!("volumes-from:{from}")));
        all.extend(
            (!self.cgroup_parent.is_empty()).then(|| format!("cgroup:{}", self.cgroup_parent)),
        );
        all.extend(powers::runtime(&self.runtime));
        all.extend(powers::log_driver(&self.log_driver));
        all.extend((self.oom_score_adj < 0).then(|| "oom".to_owned()));
        powers::sorted(all)
    }

    /// What is wrong with it, as far as that shows without an engine.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Found(Vec::new());
        found.unless(!self.image.is_empty(), "image", || "it needs one".to_owned());
        let image = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        found.unless(
            self.image.chars().all(image) && !self.image.starts_with('-'),
            "image",
            || format!("'{}' is not the name of an image", self.image),
        );
        found.unless(self.name.is_empty() || is_name(&self.name) && self.name.len() > 1, "name", || {
            format!(
                "'{}' is no name of a container: at least two letters, digits, '_', '.' and '-', a letter or \
                 digit first",
                self.name
            )
        });
        let variable = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        for (field, wrong) in [
            ("environment", self.environment.keys().find(|name| !variable(name))),
            ("labels", self.labels.keys().find(|name| name.is_empty())),
        ] {
            if let Some(name) = wrong {
                found.0.push(Problem { field, what: format!("'{name}' is no name") });
            }
        }
        let absolute = |text: &str| {
            if text.starts_with('/') {
                Ok(())
            } else {
                Err(format!("'{text}' does not begin with '/'"))
            }
        };
        found.one("working_dir", &self.working_dir, absolute);
        found.all("ports", &self.ports, port);
        found.all("expose", &self.expose, |text| {
            parts::range(text.split('/').next().unwrap_or(text))
        });
        found.all("volumes", &self.volumes, volume);
        found.all("tmpfs", &self.tmpfs, absolute);
        found.all("devices", &self.devices, device);
        found.all("ulimits", &self.ulimits, ulimit);
        found.all("extra_hosts", &self.extra_hosts, |text| match text.split_once([':', '=']) {
            Some((name, address)) if !name.is_empty() && !address.is_empty() => Ok(()),
            _ => Err(format!("'{text}' is not NAME:ADDRESS")),
        });
        found.one("restart", &self.restart, restart);
        found.one("cpus", &self.cpus, nanos);
        for (field, text) in [
            ("mem_limit", &self.mem_limit),
            ("mem_reservation", &self.mem_reservation),
            ("shm_size", &self.shm_size),
        ] {
            found.one(field, text, bytes);
        }
        if self.memswap_limit != "-1" {
            found.one("memswap_limit", &self.memswap_limit, bytes);
        }
        let health = &self.healthcheck;
        for text in
            [&health.interval, &health.timeout, &health.start_period, &health.start_interval]
        {
            found.one("healthcheck", text, human::duration);
        }
        let restarts = !matches!(self.restart.as_str(), "" | "no");
        found.unless(!(self.auto_remove && restarts), "auto_remove", || {
            "what is taken away when it ends cannot be started again: leave out one of auto_remove and restart"
                .to_owned()
        });
        let own = matches!(self.network.as_str(), "host" | "none")
            || self.network.starts_with("container:");
        found.unless(!own || self.ports.is_empty(), "ports", || {
            format!(
                "a container in the network '{}' has no ports of its own to publish",
                self.network
            )
        });
        found.unless(!own || self.ip.is_empty() && self.aliases.is_empty(), "network", || {
            format!("in the network '{}' it can have neither an address nor names", self.network)
        });
        found.unless((-1000..=1000).contains(&self.oom_score_adj), "oom_score_adj", || {
            "it is from -1000 to 1000".to_owned()
        });
        found.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec { image: "busybox".into(), ..Spec::default() }
    }

    #[test]
    fn an_image_is_all_that_is_needed() {
        assert_eq!(spec().problems(), []);
        assert_eq!(Spec::default().problems()[0].field, "image");
        assert!(spec().powers().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        let mut bad = spec();
        bad.name = "../x".into();
        bad.ports = vec!["80:x".into()];
        bad.volumes = vec!["/a:b".into(), "/x/../etc:/y".into()];
        bad.mem_limit = "lots".into();
        bad.restart = "sometimes".into();
        let fields: Vec<_> = bad.problems().iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["name", "ports", "volumes", "volumes", "restart", "mem_limit"]);
        let mut bad = spec();
        (bad.auto_remove, bad.restart) = (true, "always".into());
        (bad.network, bad.ports) = ("host".into(), vec!["80:80".into()]);
        let fields: Vec<_> = bad.problems().iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["auto_remove", "ports"]);
    }

    #[test]
    fn everything_that_reaches_the_host_is_a_power() {
        let mut all = spec();
        all.privileged = true;
        all.volumes = vec!["/:/host".into(), "named:/x".into(), "/anonymous".into()];
        all.devices = vec!["/dev/sda:/dev/x".into()];
        all.cap_add = vec!["sys_admin".into()];
        all.security_opt = vec!["apparmor=unconfined".into(), "no-new-privileges".into()];
        (all.network, all.pid, all.ipc) = ("host".into(), "container:db".into(), "host".into());
        (all.uts, all.userns, all.cgroupns) = ("host".into(), "host".into(), "host".into());
        all.volumes_from = vec!["db".into()];
        (all.cgroup_parent, all.runtime) = ("x".into(), "crun".into());
        (all.log_driver, all.oom_score_adj) = ("syslog".into(), -5);
        let expected = [
            "capability:SYS_ADMIN",
            "cgroup:x",
            "device:/dev/sda",
            "log-driver:syslog",
            "mount:/",
            "namespace:cgroup",
            "namespace:ipc",
            "namespace:network",
            "namespace:pid=container:db",
            "namespace:user",
            "namespace:uts",
            "oom",
            "privileged",
            "runtime:crun",
            "security:apparmor=unconfined",
            "volumes-from:db",
        ];
        assert_eq!(all.powers(), expected);
    }

    #[test]
    fn what_is_not_said_is_not_written() {
        let text = serde_json::to_string(&spec()).unwrap();
        assert_eq!(text, r#"{"image":"busybox"}"#);
        assert!(Spec::FIELDS.contains(&"healthcheck") && Healthcheck::FIELDS.contains(&"test"));
    }
}
