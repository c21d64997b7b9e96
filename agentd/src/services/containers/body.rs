//! A specification as the engine takes it.

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, NetworkingConfig, PortBinding,
    PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use cmdr_protocol::CallError;
use cmdr_protocol::containers::spec::{
    Healthcheck, Spec, bytes, device, nanos, port, restart, ulimit, volume,
};
use cmdr_protocol::human;
use std::collections::HashMap;

/// What is not said is left to the engine and the image.
fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn list(texts: &[String]) -> Option<Vec<String>> {
    (!texts.is_empty()).then(|| texts.to_vec())
}

fn map(pairs: &std::collections::BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.iter().map(|(n, v)| (n.clone(), v.clone())).collect())
}

fn on(flag: bool) -> Option<bool> {
    flag.then_some(true)
}

fn number(n: i64) -> Option<i64> {
    (n != 0).then_some(n)
}

fn size(text: &str) -> Result<Option<i64>, String> {
    match text {
        "" => Ok(None),
        "-1" => Ok(Some(-1)),
        text => bytes(text).map(|bytes| i64::try_from(bytes).ok()),
    }
}

/// Nanoseconds of a span.
fn span(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    human::duration(text).map(|span| i64::try_from(span.as_nanos()).ok())
}

/// The body of the question that makes it.
pub(super) fn body(spec: &Spec) -> Result<ContainerCreateBody, CallError> {
    made(spec).map_err(CallError::malformed)
}

fn made(spec: &Spec) -> Result<ContainerCreateBody, String> {
    let (bindings, mut exposed) = ports(&spec.ports)?;
    exposed.extend(
        spec.expose
            .iter()
            .map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") }),
    );
    let (mut binds, mut volumes) = (Vec::new(), Vec::new());
    for text in &spec.volumes {
        let mounted = volume(text)?;
        if mounted.source.is_empty() {
            volumes.push(mounted.target);
        } else {
            binds.push(text.clone());
        }
    }
    Ok(ContainerCreateBody {
        hostname: text(&spec.hostname),
        domainname: text(&spec.domainname),
        user: text(&spec.user),
        exposed_ports: Some(exposed),
        tty: on(spec.tty),
        open_stdin: on(spec.stdin_open),
        env: (!spec.environment.is_empty()).then(|| {
            spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
        }),
        cmd: list(&spec.command),
        healthcheck: health(&spec.healthcheck)?,
        image: text(&spec.image),
        volumes: Some(volumes),
        working_dir: text(&spec.working_dir),
        entrypoint: list(&spec.entrypoint),
        labels: map(&spec.labels),
        stop_signal: text(&spec.stop_signal),
        stop_timeout: spec.stop_timeout_s.map(i64::from),
        host_config: Some(host(spec, bindings, binds)?),
        networking_config: networking(spec),
        ..ContainerCreateBody::default()
    })
}

fn ports(texts: &[String]) -> Result<(PortMap, Vec<String>), String> {
    let mut bindings = PortMap::new();
    for text in texts {
        for published in port(text)? {
            let binding = PortBinding {
                host_ip: self::text(&published.address),
                host_port: published.public.map(|port| port.to_string()),
            };
            let inside = format!("{}/{}", published.private, published.protocol);
            bindings.entry(inside).or_default().get_or_insert_default().push(binding);
        }
    }
    let mut exposed: Vec<_> = bindings.keys().cloned().collect();
    exposed.sort_unstable();
    Ok((bindings, exposed))
}

fn health(check: &Healthcheck) -> Result<Option<HealthConfig>, String> {
    if *check == Healthcheck::default() {
        return Ok(None);
    }
    if check.disable {
        let none = HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
        return Ok(Some(none));
    }
    // Plain words are a command; what begins as the engine has it is left so.
    let test = match check.test.first().map(String::as_str) {
        None => None,
        Some("CMD" | "CMD-SHELL" | "NONE") => Some(check.test.clone()),
        Some(_) => {
            Some(std::iter::once("CMD".to_owned()).chain(check.test.iter().cloned()).collect())
        }
    };
    Ok(Some(HealthConfig {
        test,
        interval: span(&check.interval)?,
        timeout: span(&check.timeout)?,
        retries: number(check.retries),
        start_period: span(&check.start_period)?,
        start_interval: span(&check.start_interval)?,
    }))
}

fn networking(spec: &Spec) -> Option<NetworkingConfig> {
    if spec.aliases.is_empty() && spec.ip.is_empty() {
        return None;
    }
    let address = text(&spec.ip);
    let (v4, v6) = if spec.ip.contains(':') { (None, address) } else { (address, None) };
    let ipam = (!spec.ip.is_empty()).then(|| EndpointIpamConfig {
        ipv4_address: v4,
        ipv6_address: v6,
        ..EndpointIpamConfig::default()
    });
    let settings = EndpointSettings {
        aliases: list(&spec.aliases),
        ipam_config: ipam,
        ..EndpointSettings::default()
    };
    let name = if spec.network.is_empty() { "default" } else { &spec.network };
    Some(NetworkingConfig { endpoints_config: Some([(name.to_owned(), settings)].into()) })
}

/// When it is started again.
pub(super) fn restart_policy(text: &str) -> Result<Option<RestartPolicy>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (word, times) = restart(text)?;
    let name = match word {
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    let maximum_retry_count = number(times.into());
    Ok(Some(RestartPolicy { name: Some(name), maximum_retry_count }))
}

fn host(spec: &Spec, bindings: PortMap, binds: Vec<String>) -> Result<HostConfig, String> {
    let ulimits = spec.ulimits.iter().map(|text| {
        let (name, soft, hard) = ulimit(text)?;
        Ok(ResourcesUlimits { name: Some(name), soft: Some(soft), hard: Some(hard) })
    });
    let ulimits: Vec<_> = ulimits.collect::<Result<_, String>>()?;
    let devices = spec.devices.iter().map(|text| {
        let device = device(text)?;
        Ok(DeviceMapping {
            path_on_host: Some(device.host),
            path_in_container: Some(device.inside),
            cgroup_permissions: Some(device.rights),
        })
    });
    let devices: Vec<_> = devices.collect::<Result<_, String>>()?;
    let tmpfs = spec.tmpfs.iter().map(|text| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), options.to_owned())
    });
    let log_config = (!spec.log_driver.is_empty() || !spec.log_opt.is_empty())
        .then(|| HostConfigLogConfig { typ: text(&spec.log_driver), config: map(&spec.log_opt) });
    let cgroupns = match spec.cgroupns.as_str() {
        "" => None,
        "host" => Some(HostConfigCgroupnsModeEnum::HOST),
        "private" => Some(HostConfigCgroupnsModeEnum::PRIVATE),
        other => return Err(format!("cgroupns is host or private, not '{other}'")),
    };
    Ok(HostConfig {
        cpu_shares: number(spec.cpu_shares),
        memory: size(&spec.mem_limit)?,
        memory_swap: size(&spec.memswap_limit)?,
        memory_reservation: size(&spec.mem_reservation)?,
        nano_cpus: if spec.cpus.is_empty() { None } else { Some(nanos(&spec.cpus)?) },
        cpuset_cpus: text(&spec.cpuset),
        pids_limit: number(spec.pids_limit),
        shm_size: size(&spec.shm_size)?,
        ulimits: (!ulimits.is_empty()).then_some(ulimits),
        binds: (!binds.is_empty()).then_some(binds),
        volumes_from: list(&spec.volumes_from),
        tmpfs: (!spec.tmpfs.is_empty()).then(|| tmpfs.collect()),
        readonly_rootfs: on(spec.read_only),
        log_config,
        network_mode: text(&spec.network),
        port_bindings: (!bindings.is_empty()).then_some(bindings),
        publish_all_ports: on(spec.publish_all),
        restart_policy: restart_policy(&spec.restart)?,
        auto_remove: on(spec.auto_remove),
        cap_add: list(&spec.cap_add),
        cap_drop: list(&spec.cap_drop),
        cgroupns_mode: cgroupns,
        dns: list(&spec.dns),
        dns_options: list(&spec.dns_opt),
        dns_search: list(&spec.dns_search),
        extra_hosts: list(&spec.extra_hosts),
        group_add: list(&spec.group_add),
        ipc_mode: text(&spec.ipc),
        pid_mode: text(&spec.pid),
        uts_mode: text(&spec.uts),
        userns_mode: text(&spec.userns),
        privileged: on(spec.privileged),
        devices: (!devices.is_empty()).then_some(devices),
        security_opt: list(&spec.security_opt),
        cgroup_parent: text(&spec.cgroup_parent),
        runtime: text(&spec.runtime),
        sysctls: map(&spec.sysctls),
        init: on(spec.init),
        oom_score_adj: number(spec.oom_score_adj),
        ..HostConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_becomes_what_the_engine_takes() {
        let spec = Spec {
            image: "busybox".into(),
            ports: vec!["127.0.0.1:8080:80".into(), "8081:80".into(), "53:53/udp".into()],
            volumes: vec!["/srv:/x:ro".into(), "data:/data".into(), "/cache".into()],
            mem_limit: "512m".into(),
            cpus: "0.5".into(),
            restart: "on-failure:3".into(),
            healthcheck: Healthcheck {
                test: vec!["true".into()],
                interval: "30s".into(),
                ..Healthcheck::default()
            },
            network: "backend".into(),
            ip: "10.0.0.7".into(),
            tmpfs: vec!["/run:size=1m".into()],
            ..Spec::default()
        };
        let body = body(&spec).unwrap();
        let host = body.host_config.unwrap();
        assert_eq!(body.exposed_ports.unwrap(), ["53/udp", "80/tcp"]);
        assert_eq!(host.port_bindings.unwrap()["80/tcp"].as_ref().unwrap().len(), 2);
        assert_eq!(host.binds.unwrap(), ["/srv:/x:ro", "data:/data"]);
        assert_eq!(body.volumes.unwrap(), ["/cache"]);
        assert_eq!((host.memory, host.nano_cpus), (Some(512 << 20), Some(500_000_000)));
        assert_eq!(host.restart_policy.unwrap().maximum_retry_count, Some(3));
        assert_eq!(body.healthcheck.unwrap().test.unwrap(), ["CMD", "true"]);
        assert_eq!(host.tmpfs.unwrap()["/run"], "size=1m");
        assert!(body.networking_config.unwrap().endpoints_config.unwrap().contains_key("backend"));
        assert!(super::body(&Spec { mem_limit: "x".into(), ..Spec::default() }).is_err());
    }

    #[test]
    fn what_a_specification_says_is_what_its_body_may_do() {
        let spec = Spec {
            image: "x".into(),
            privileged: true,
            volumes: vec!["/srv:/x".into(), "data:/y".into()],
            devices: vec!["/dev/fuse".into()],
            cap_add: vec!["net_admin".into()],
            security_opt: vec!["seccomp=unconfined".into(), "no-new-privileges".into()],
            network: "host".into(),
            pid: "host".into(),
            ipc: "container:x".into(),
            uts: "host".into(),
            userns: "host".into(),
            volumes_from: vec!["y".into()],
            cgroup_parent: "/z".into(),
            runtime: "crun".into(),
            log_driver: "syslog".into(),
            oom_score_adj: -1,
            ..Spec::default()
        };
        let host = body(&spec).unwrap().host_config.unwrap();
        assert_eq!(super::super::powers::of(&host), spec.powers());
    }
}
