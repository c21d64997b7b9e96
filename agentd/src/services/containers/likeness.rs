//! "More like this": what a container was made with, as a specification, without what its image says anyway.

use super::check;
use crate::Agent;
use crate::engine::told;
use bollard::models::{
    ContainerConfig, ContainerInspectResponse, HealthConfig, HostConfig, ImageConfig, PortMap,
};
use cmdr_link::service::Asked;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::spec::{Healthcheck, Spec};
use cmdr_protocol::containers::{Like, Likeness, short};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) async fn like(agent: Arc<Agent>, _: Asked, call: Like) -> Result<Likeness, CallError> {
    check(&call.container)?;
    let engine = agent.engine().await?;
    let attempted = format!("look at the container {}", call.container);
    let inspected = engine.inspect_container(&call.container, None).await;
    let inspected = inspected.map_err(|error| told(&attempted, &error))?;
    // An image that is gone says nothing; all of it is the container's then.
    let image = match &inspected.image {
        Some(id) => engine.inspect_image(id).await.ok().and_then(|image| image.config),
        None => None,
    };
    Ok(likeness(inspected, &image.unwrap_or_default()))
}

fn pairs(
    all: Option<HashMap<String, String>>,
    but: Option<&HashMap<String, String>>,
) -> BTreeMap<String, String> {
    let own = |(name, value): &(String, String)| but.and_then(|but| but.get(name)) != Some(value);
    all.unwrap_or_default().into_iter().filter(own).collect()
}

/// What is not the image's.
fn own<T: PartialEq + Default>(value: Option<T>, image: Option<&T>) -> T {
    value.filter(|value| Some(value) != image).unwrap_or_default()
}

fn size(bytes: Option<i64>) -> String {
    const UNITS: [(&str, i64); 3] = [("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)];
    match bytes.unwrap_or_default() {
        0 => String::new(),
        -1 => "-1".to_owned(),
        bytes => UNITS
            .iter()
            .find(|(_, unit)| bytes % unit == 0)
            .map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit)),
    }
}

fn span(nanos: Option<i64>) -> String {
    match nanos.unwrap_or_default() / 1_000_000 {
        ms if ms <= 0 => String::new(),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

fn health(check: Option<HealthConfig>, image: Option<&HealthConfig>) -> Healthcheck {
    let Some(check) = check.filter(|check| Some(check) != image) else {
        return Healthcheck::default();
    };
    let test = check.test.unwrap_or_default();
    if test.first().is_some_and(|word| word == "NONE") {
        return Healthcheck { disable: true, ..Healthcheck::default() };
    }
    Healthcheck {
        test,
        interval: span(check.interval),
        timeout: span(check.timeout),
        retries: check.retries.unwrap_or_default(),
        start_period: span(check.start_period),
        start_interval: span(check.start_interval),
        disable: false,
    }
}

fn ports(bindings: Option<PortMap>) -> Vec<String> {
    let mut ports = Vec::new();
    for (inside, at) in bindings.unwrap_or_default() {
        let inside = inside.strip_suffix("/tcp").unwrap_or(&inside).to_owned();
        for binding in at.unwrap_or_default() {
            let port = binding.host_port.filter(|port| !matches!(port.as_str(), "" | "0"));
            let port = port.unwrap_or_default();
            let address = binding
                .host_ip
                .filter(|address| !matches!(address.as_str(), "" | "0.0.0.0" | "::"));
            ports.push(match (address, port.as_str()) {
                (Some(address), port) if address.contains(':') => {
                    format!("[{address}]:{port}:{inside}")
                }
                (Some(address), port) => format!("{address}:{port}:{inside}"),
                (None, "") => inside.clone(),
                (None, port) => format!("{port}:{inside}"),
            });
        }
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// As far as a specification can say it, and what it cannot.
fn likeness(inspected: ContainerInspectResponse, image: &ImageConfig) -> Likeness {
    let ContainerInspectResponse {
        id,
        name,
        config,
        host_config,
        network_settings,
        platform: _,
        ..
    } = inspected;
    let mut beyond = Vec::new();
    let host = host_config.unwrap_or_default();
    let config = config.unwrap_or_default();
    let id = id.unwrap_or_default();
    let networks = network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mode = host.network_mode.clone().unwrap_or_default();
    let mode = if mode == "default" { String::new() } else { mode };
    let main = networks.get(if mode.is_empty() { "bridge" } else { &mode });
    let mut spec = of_config(config, image, &id);
    name.unwrap_or_default().trim_start_matches('/').clone_into(&mut spec.name);
    let aliases = main.and_then(|at| at.aliases.clone()).unwrap_or_default();
    // The engine adds the short id by itself.
    spec.aliases = aliases.into_iter().filter(|alias| alias != short(&id)).collect();
    let fixed = main.and_then(|at| at.ipam_config.as_ref());
    spec.ip = fixed.and_then(|ipam| ipam.ipv4_address.clone()).unwrap_or_default();
    if mode.is_empty() || mode == "bridge" {
        (spec.aliases, spec.ip) = Default::default();
    }
    let others = networks.keys().filter(|name| **name != mode && *name != "bridge");
    beyond.extend(others.map(|name| format!("the network {name}")));
    spec.network = mode;
    of_host(&mut spec, host, &mut beyond);
    beyond.sort_unstable();
    Likeness { spec, beyond }
}

fn of_config(config: ContainerConfig, image: &ImageConfig, id: &str) -> Spec {
    let of_image = image.env.clone().unwrap_or_default();
    let variables = config.env.unwrap_or_default();
    let variables = variables.iter().filter(|variable| !of_image.contains(variable));
    let hostname = config.hostname.filter(|name| name != short(id)).unwrap_or_default();
    let exposed = config.exposed_ports.unwrap_or_default();
    let known = image.exposed_ports.clone().unwrap_or_default();
    let mut expose: Vec<_> = exposed.into_iter().filter(|port| !known.contains(port)).collect();
    expose.sort_unstable();
    let volumes = config.volumes.unwrap_or_default();
    let known = image.volumes.clone().unwrap_or_default();
    let volumes = volumes.into_iter().filter(|volume| !known.contains(volume));
    Spec {
        image: config.image.unwrap_or_default(),
        command: own(config.cmd, image.cmd.as_ref()),
        entrypoint: own(config.entrypoint, image.entrypoint.as_ref()),
        environment: variables
            .filter_map(|text| text.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        working_dir: own(config.working_dir, image.working_dir.as_ref()),
        user: own(config.user, image.user.as_ref()),
        hostname,
        domainname: config.domainname.unwrap_or_default(),
        tty: config.tty.unwrap_or_default(),
        stdin_open: config.open_stdin.unwrap_or_default(),
        labels: pairs(config.labels, image.labels.as_ref()),
        expose,
        volumes: volumes.collect(),
        healthcheck: health(config.healthcheck, image.healthcheck.as_ref()),
        stop_signal: own(config.stop_signal, image.stop_signal.as_ref()),
        stop_timeout_s: config.stop_timeout.and_then(|s| u32::try_from(s).ok()),
        ..Spec::default()
    }
}

fn of_host(spec: &mut Spec, host: HostConfig, beyond: &mut Vec<String>) {
    spec.ports = ports(host.port_bindings);
    let published: Vec<_> = spec.ports.iter().filter_map(|text| text.rsplit(':').next()).collect();
    let is_published =
        |port: &String| published.contains(&port.strip_suffix("/tcp").unwrap_or(port));
    spec.expose.retain(|port| !is_published(port));
    spec.publish_all = host.publish_all_ports.unwrap_or_default();
    spec.volumes.extend(host.binds.unwrap_or_default());
    for mount in host.mounts.unwrap_or_default() {
        let kind = mount.typ.map(|kind| kind.to_string()).unwrap_or_default();
        let (source, target) = (mount.source.unwrap_or_default(), mount.target.unwrap_or_default());
        let more = mount.bind_options.is_some() || mount.volume_options.is_some();
        match kind.as_str() {
            "bind" | "volume" if !more && !source.is_empty() => {
                let options = if mount.read_only == Some(true) { ":ro" } else { "" };
                spec.volumes.push(format!("{source}:{target}{options}"));
            }
            "tmpfs" if mount.tmpfs_options.is_none() => spec.tmpfs.push(target),
            kind => beyond.push(format!("the {kind} mount at {target}")),
        }
    }
    spec.volumes_from = host.volumes_from.unwrap_or_default();
    spec.tmpfs.extend(host.tmpfs.unwrap_or_default().into_iter().map(|(path, options)| {
        if options.is_empty() { path } else { format!("{path}:{options}") }
    }));
    spec.tmpfs.sort_unstable();
    spec.dns = host.dns.unwrap_or_default();
    spec.dns_search = host.dns_search.unwrap_or_default();
    spec.dns_opt = host.dns_options.unwrap_or_default();
    spec.extra_hosts = host.extra_hosts.unwrap_or_default();
    spec.group_add = host.group_add.unwrap_or_default();
    if let Some(policy) = host.restart_policy {
        let name = policy.name.map(|name| name.to_string()).unwrap_or_default();
        spec.restart = match (name.as_str(), policy.maximum_retry_count.unwrap_or_default()) {
            ("" | "no", _) => String::new(),
            ("on-failure", times) if times > 0 => format!("on-failure:{times}"),
            (name, _) => name.to_owned(),
        };
    }
    spec.auto_remove = host.auto_remove.unwrap_or_default();
    spec.mem_limit = size(host.memory);
    // The engine makes twice the memory of it when nobody said anything.
    let usual = host.memory.map(|memory| memory.saturating_mul(2));
    spec.memswap_limit = size(host.memory_swap.filter(|swap| Some(*swap) != usual));
    spec.mem_reservation = size(host.memory_reservation);
    spec.cpus = match host.nano_cpus.unwrap_or_default() {
        0 => String::new(),
        nanos => format!("{}", nanos as f64 / 1e9),
    };
    spec.cpu_shares = host.cpu_shares.unwrap_or_default();
    spec.cpuset = host.cpuset_cpus.unwrap_or_default();
    spec.pids_limit = host.pids_limit.unwrap_or_default();
    spec.shm_size = size(host.shm_size.filter(|size| *size != 64 << 20));
    let ulimits = host.ulimits.unwrap_or_default().into_iter();
    spec.ulimits = ulimits
        .map(|limit| {
            let (soft, hard) = (limit.soft.unwrap_or_default(), limit.hard.unwrap_or_default());
            format!("{}={soft}:{hard}", limit.name.unwrap_or_default())
        })
        .collect();
    spec.read_only = host.readonly_rootfs.unwrap_or_default();
    spec.init = host.init.unwrap_or_default();
    if let Some(log) = host.log_config {
        spec.log_driver = log.typ.filter(|driver| driver != "json-file").unwrap_or_default();
        spec.log_opt = pairs(log.config, None);
    }
    spec.sysctls = pairs(host.sysctls, None);
    spec.privileged = host.privileged.unwrap_or_default();
    spec.cap_add = host.cap_add.unwrap_or_default();
    spec.cap_drop = host.cap_drop.unwrap_or_default();
    let devices = host.devices.unwrap_or_default().into_iter();
    spec.devices = devices
        .map(|device| {
            let at = device.path_on_host.unwrap_or_default();
            let inside = device.path_in_container.unwrap_or_else(|| at.clone());
            let rights = device.cgroup_permissions.unwrap_or_else(|| "rwm".into());
            if at == inside && rights == "rwm" { at } else { format!("{at}:{inside}:{rights}") }
        })
        .collect();
    spec.security_opt = host.security_opt.unwrap_or_default();
    if spec.privileged {
        // The engine adds this by itself.
        spec.security_opt.retain(|option| option != "label=disable");
    }
    spec.pid = host.pid_mode.unwrap_or_default();
    spec.ipc = host.ipc_mode.filter(|mode| mode != "private").unwrap_or_default();
    spec.uts = host.uts_mode.unwrap_or_default();
    spec.userns = host.userns_mode.unwrap_or_default();
    spec.cgroup_parent = host.cgroup_parent.unwrap_or_default();
    spec.runtime = host.runtime.filter(|runtime| runtime != "runc").unwrap_or_default();
    spec.oom_score_adj = host.oom_score_adj.unwrap_or_default();
    for (name, there) in [
        ("links to other containers", host.links.is_some_and(|links| !links.is_empty())),
        ("device rules", host.device_cgroup_rules.is_some_and(|rules| !rules.is_empty())),
        ("devices of a driver", host.device_requests.is_some_and(|all| !all.is_empty())),
        ("a volume driver", host.volume_driver.is_some_and(|driver| !driver.is_empty())),
        ("storage options", host.storage_opt.is_some_and(|all| !all.is_empty())),
        ("processor quota and period", host.cpu_quota.is_some_and(|n| n != 0)),
        ("weights of block devices", host.blkio_weight.is_some_and(|n| n != 0)),
        ("no killing when memory runs out", host.oom_kill_disable == Some(true)),
    ] {
        beyond.extend(there.then(|| name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::containers::{body::body, powers};
    use serde_json::json;

    #[test]
    fn what_the_image_says_anyway_is_left_out_and_what_cannot_be_said_is_named() {
        let inspected = json!({
            "Id": format!("{:064}", 7), "Name": "/web",
            "Config": {"Hostname": "000000000000", "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "Image": "busybox",
                       "Labels": {"of": "image", "my": "own"}, "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}},
            "HostConfig": {"NetworkMode": "backend", "Memory": 536_870_912, "MemorySwap": 1_073_741_824,
                "NanoCpus": 1_500_000_000, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
                "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "ShmSize": 67_108_864,
                "Binds": ["/srv:/srv:ro"], "Links": ["/db:/web/db"], "CapAdd": ["CAP_NET_ADMIN"]},
            "NetworkSettings": {"Networks": {
                "backend": {"Aliases": ["000000000000", "www"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}},
                "other": {}}},
        });
        let image = json!({"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"of": "image"}});
        let found = likeness(
            serde_json::from_value(inspected).unwrap(),
            &serde_json::from_value(image).unwrap(),
        );
        let spec = &found.spec;
        assert_eq!(found.beyond, ["links to other containers", "the network other"]);
        assert_eq!(
            (spec.name.as_str(), spec.image.as_str(), spec.hostname.as_str()),
            ("web", "busybox", "")
        );
        assert!(spec.command.is_empty());
        assert_eq!(spec.environment, [("A".to_owned(), "1".to_owned())].into());
        assert_eq!(spec.labels, [("my".to_owned(), "own".to_owned())].into());
        assert_eq!(
            (spec.ports.as_slice(), spec.expose.as_slice()),
            (&["8080:80".into()][..], &["81/tcp".into()][..])
        );
        assert_eq!(
            (spec.mem_limit.as_str(), spec.memswap_limit.as_str(), spec.cpus.as_str()),
            ("512m", "", "1.5")
        );
        assert_eq!((spec.restart.as_str(), spec.shm_size.as_str()), ("on-failure:3", ""));
        assert_eq!(
            (spec.aliases.as_slice(), spec.ip.as_str()),
            (&["www".to_owned()][..], "10.0.0.9")
        );
        assert_eq!(spec.problems(), []);
        assert_eq!(spec.powers(), ["capability:NET_ADMIN", "mount:/srv"]);
        assert_eq!(powers::of(&body(spec).unwrap().host_config.unwrap()), spec.powers());
    }

    #[test]
    fn sizes_and_spans_come_back_as_they_are_written() {
        assert_eq!(
            (size(Some(3 << 29)), size(Some(1000)), size(None)),
            ("1536m".into(), "1000".into(), String::new())
        );
        assert_eq!(
            (span(Some(30_000_000_000)), span(Some(1_500_000_000))),
            ("30s".into(), "1500ms".into())
        );
    }
}
