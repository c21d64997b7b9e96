//! What a container may do to its host beside running there. Each is a text that a right names as a resource and a host's
//! policy lists: globs over them, such as `mount:/srv/*`.
//!
//! | power | comes from |
//! |---|---|
//! | `privileged` | `privileged` |
//! | `mount:PATH` | a folder or file of the host that is mounted |
//! | `device:PATH` | a device of the host |
//! | `capability:NAME` | a capability beside the usual ones, without `CAP_` |
//! | `security:OPTION` | a security option other than `no-new-privileges` |
//! | `namespace:KIND` | a namespace that is the host's: `network`, `pid`, `ipc`, `uts`, `user`, `cgroup` |
//! | `namespace:KIND=container:NAME` | one that is another container's |
//! | `volumes-from:NAME` | what is mounted into another container |
//! | `cgroup:NAME` | another group of processes to belong to |
//! | `runtime:NAME` | another program to run containers with |
//! | `log-driver:NAME` | logs that leave the engine's own files |
//! | `volume-driver:NAME` | volumes of another kind, or with options: such may be folders of the host |
//! | `oom` | to be spared when memory runs out |

/// Log drivers that keep to the engine's own files.
const OWN_LOGS: [&str; 4] = ["", "json-file", "local", "none"];

/// A folder or file of the host.
pub fn mount(path: &str) -> String {
    format!("mount:{path}")
}

/// A device of the host.
pub fn device(path: &str) -> String {
    format!("device:{path}")
}

/// A capability.
pub fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    format!("capability:{}", upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// A security option; none for one that only takes away.
pub fn security(option: &str) -> Option<String> {
    let harmless =
        matches!(option, "no-new-privileges" | "no-new-privileges=true" | "no-new-privileges:true");
    (!harmless).then(|| format!("security:{option}"))
}

/// A mode of a namespace: the host's or another container's, or none of these.
pub fn namespace(kind: &str, mode: &str) -> Option<String> {
    match mode {
        "host" => Some(format!("namespace:{kind}")),
        _ if mode.starts_with("container:") => Some(format!("namespace:{kind}={mode}")),
        _ => None,
    }
}

/// A log driver.
pub fn log_driver(name: &str) -> Option<String> {
    (!OWN_LOGS.contains(&name)).then(|| format!("log-driver:{name}"))
}

/// A program that runs containers.
pub fn runtime(name: &str) -> Option<String> {
    (!matches!(name, "" | "runc" | "io.containerd.runc.v2")).then(|| format!("runtime:{name}"))
}

/// In order, each once.
pub fn sorted(mut powers: Vec<String>) -> Vec<String> {
    powers.sort_unstable();
    powers.dedup();
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_takes_away_is_no_power() {
        assert_eq!(security("no-new-privileges:true"), None);
        assert_eq!(
            security("no-new-privileges:false").as_deref(),
            Some("security:no-new-privileges:false")
        );
        assert_eq!(namespace("pid", "private"), None);
        assert_eq!(namespace("pid", ""), None);
        assert_eq!((log_driver("local"), runtime("runc")), (None, None));
    }

    #[test]
    fn powers_are_named_one_way_however_they_were_written() {
        assert_eq!(capability("cap_net_admin"), "capability:NET_ADMIN");
        assert_eq!(namespace("network", "host").as_deref(), Some("namespace:network"));
        assert_eq!(namespace("pid", "container:x").as_deref(), Some("namespace:pid=container:x"));
        assert_eq!(sorted(vec!["b".into(), "a".into(), "b".into()]), ["a", "b"]);
    }
}
