//! What a container may do to its host, read from what the engine was told or tells of it.

use bollard::models::{HostConfig, MountType};
use cmdr_protocol::containers::powers::{
    capability, device, log_driver, mount, namespace, runtime, security, sorted,
};
use cmdr_protocol::containers::spec::volume;

/// In order, each once. Which group of processes one sees is not told apart from the engine's own usage.
pub(super) fn of(host: &HostConfig) -> Vec<String> {
    let mut all = Vec::new();
    if host.privileged == Some(true) {
        all.push("privileged".to_owned());
    }
    for bind in host.binds.iter().flatten() {
        match volume(bind) {
            Ok(mounted) if mounted.is_of_host() => all.push(mount(&mounted.source)),
            Ok(_) => {}
            // What is written in another way is taken for a path.
            Err(_) => all.push(mount(bind.split(':').next().unwrap_or(bind))),
        }
    }
    for mounted in host.mounts.iter().flatten() {
        let source = mounted.source.as_deref().unwrap_or_default();
        match mounted.typ {
            Some(MountType::TMPFS | MountType::IMAGE) => {}
            Some(MountType::VOLUME) => {
                let driver = mounted.volume_options.as_ref().and_then(|o| o.driver_config.as_ref());
                let name = driver.map(|driver| driver.name.as_deref().unwrap_or("local"));
                all.extend(name.map(|name| format!("volume-driver:{name}")));
            }
            _ => all.push(mount(source)),
        }
    }
    if let Some(driver) = host.volume_driver.as_deref().filter(|d| !matches!(*d, "" | "local")) {
        all.push(format!("volume-driver:{driver}"));
    }
    let devices = host.devices.iter().flatten();
    all.extend(devices.map(|d| device(d.path_on_host.as_deref().unwrap_or_default())));
    all.extend(
        host.device_cgroup_rules.iter().flatten().map(|rule| device(&format!("rule {rule}"))),
    );
    let requests = host.device_requests.iter().flatten();
    all.extend(requests.map(|request| device(request.driver.as_deref().unwrap_or("any"))));
    all.extend(host.cap_add.iter().flatten().map(|name| capability(name)));
    all.extend(host.security_opt.iter().flatten().filter_map(|option| security(option)));
    for (paths, what) in [(&host.masked_paths, "masked"), (&host.readonly_paths, "read-only")] {
        // A list that is there and empty takes away what the engine hides or protects.
        if paths.as_ref().is_some_and(Vec::is_empty) && host.privileged != Some(true) {
            all.push(format!("security:no {what} paths"));
        }
    }
    for (kind, mode) in [
        ("network", &host.network_mode),
        ("pid", &host.pid_mode),
        ("ipc", &host.ipc_mode),
        ("uts", &host.uts_mode),
        ("user", &host.userns_mode),
    ] {
        all.extend(namespace(kind, mode.as_deref().unwrap_or_default()));
    }
    all.extend(host.volumes_from.iter().flatten().map(|from| format!("volumes-from:{from}")));
    let cgroup = host.cgroup_parent.as_deref().filter(|group| !group.is_empty());
    all.extend(cgroup.map(|group| format!("cgroup:{group}")));
    all.extend(runtime(host.runtime.as_deref().unwrap_or_default()));
    let log = host.log_config.as_ref().and_then(|log| log.typ.as_deref());
    all.extend(log_driver(log.unwrap_or_default()));
    if host.oom_score_adj.is_some_and(|n| n < 0) || host.oom_kill_disable == Some(true) {
        all.push("oom".to_owned());
    }
    sorted(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn powers(json: serde_json::Value) -> Vec<String> {
        of(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_plain_container_as_the_engine_tells_of_it_may_do_nothing() {
        let plain = json!({
            "Binds": ["data:/data"], "NetworkMode": "default", "IpcMode": "private", "PidMode": "",
            "Privileged": false, "SecurityOpt": null, "Runtime": "runc", "CgroupnsMode": "host",
            "LogConfig": {"Type": "json-file", "Config": {}}, "CgroupParent": "", "VolumeDriver": "",
            "Mounts": [{"Type": "volume", "Source": "x", "Target": "/x"}, {"Type": "tmpfs", "Target": "/y"}],
            "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/sys"], "OomKillDisable": false,
        });
        assert_eq!(powers(plain), Vec::<String>::new());
    }

    #[test]
    fn ways_around_the_usual_words_are_seen() {
        let sly = json!({
            "Binds": ["../x:/x"], "MaskedPaths": [], "DeviceCgroupRules": ["a *:* rwm"],
            "DeviceRequests": [{"Driver": "nvidia"}], "OomKillDisable": true, "VolumeDriver": "nfs",
            "Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"},
                       {"Type": "volume", "Target": "/y",
                        "VolumeOptions": {"DriverConfig": {"Options": {"device": "/", "o": "bind"}}}}],
        });
        let expected = [
            "device:nvidia",
            "device:rule a *:* rwm",
            "mount:../x",
            "mount:/etc",
            "oom",
            "security:no masked paths",
            "volume-driver:local",
            "volume-driver:nfs",
        ];
        assert_eq!(powers(sly), expected);
    }
}
