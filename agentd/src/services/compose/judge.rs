//! What a compose file may do to its host. [`before`] refuses what would have the compose program read files of the host
//! while it looks at the file; [`powers`] reads what the program made of it. Settings that are not known here count as
//! powers of their own names, so that a newer program brings nothing past the rights.

use cmdr_protocol::CallError;
use cmdr_protocol::containers::powers::{
    capability, device, log_driver, mount, namespace, runtime, security, sorted,
};
use cmdr_protocol::containers::spec::volume;
use cmdr_protocol::display::clean_to_width;
use serde_json::{Map, Value};

/// Settings of a service that reach nothing of its host beside what any container does.
const HARMLESS: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "cap_drop",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "develop",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "external_links",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "isolation",
    "label_file",
    "labels",
    "links",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "scale",
    "secrets",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "working_dir",
];
/// Beginnings of variables that are for programs and not for the file.
const NOT_FOR_FILES: [&str; 6] = ["COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_", "LD_", "PYTHON"];
/// The one of them that a file of variables may set: which services it is about.
const PROFILES: &str = "COMPOSE_PROFILES";

/// Refuses a file that names other files beside those of the project's own folder: they would be read with the
/// agent's rights, and what is in them would end in containers.
pub(super) fn before(text: &str) -> Result<(), CallError> {
    if let Some(line) = text.lines().position(retypes) {
        return Err(CallError::malformed(format!(
            "line {} of the compose file says with a tag of YAML ('!!' and a name, '!<', or '%TAG') how a value is to be \
             read; write the value itself",
            line + 1
        )));
    }
    let value = super::reads::yaml(text.as_bytes())
        .map_err(|e| CallError::malformed(format!("the compose file is no YAML: {e}")))?;
    if !value.is_object() {
        return Err(CallError::malformed(
            "the compose file is no list of settings with names: it begins with 'services:'",
        ));
    }
    walk(&value)
}

/// Whether a line may say that a text stands for another one (`!!binary`): the compose program would see one that was
/// not looked at here.
fn retypes(line: &str) -> bool {
    let begins = |at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "[{,:-?&*\u{feff}".contains(c))
    };
    let tag = |(at, found): (usize, &str)| {
        let after = line[at + found.len()..].chars().next();
        begins(at) && (found == "!<" || after.is_some_and(char::is_alphanumeric))
    };
    line.trim_start_matches('\u{feff}').starts_with('%')
        || line.match_indices("!!").chain(line.match_indices("!<")).any(tag)
}

fn walk(value: &Value) -> Result<(), CallError> {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match key.as_str() {
                    "env_file" | "label_file" | "include" => files(key, inner, "path")?,
                    "extends" => {
                        if let Some(file) = inner.get("file") {
                            files(key, file, "file")?;
                        }
                    }
                    _ => {}
                }
                walk(inner)?;
            }
            Ok(())
        }
        Value::Array(list) => list.iter().try_for_each(walk),
        _ => Ok(()),
    }
}

/// Looks at a path, at many, or at settings with a path among them.
fn files(key: &str, value: &Value, field: &str) -> Result<(), CallError> {
    match value {
        Value::String(path) => own(key, path),
        Value::Array(list) => list.iter().try_for_each(|one| files(key, one, field)),
        Value::Object(map) => {
            let others = map.get("project_directory").into_iter().chain(map.get(field));
            others.into_iter().try_for_each(|one| files(key, one, field))
        }
        _ => Ok(()),
    }
}

/// Whether a path stays in the folder of the project.
fn own(key: &str, path: &str) -> Result<(), CallError> {
    let leads_out = path.starts_with(['/', '~'])
        || path.contains(['$', ':', '\\', '\0'])
        || path.split('/').any(|part| part == "..");
    if !leads_out {
        return Ok(());
    }
    Err(CallError::denied(format!(
        "'{key}: {}' names a file outside of the project's own folder, which would be read with the agent's rights; \
         keep what is in it with the project: cmdr docker compose put --env",
        clean_to_width(path, 120)
    )))
}

/// Refuses variables that are for the compose program itself; the profiles that the others name.
pub(super) fn variables(text: &str) -> Result<Vec<String>, CallError> {
    let mut profiles = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches('\u{feff}').trim();
        let line = line.strip_prefix("export").map_or(line, str::trim_start);
        if let Some(value) = line.strip_prefix(PROFILES) {
            let value = value.trim_start().trim_start_matches(['=', ':']);
            let names = value.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
            profiles.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        } else if let Some(prefix) = NOT_FOR_FILES.iter().find(|prefix| line.starts_with(**prefix))
        {
            return Err(CallError::malformed(format!(
                "the variables of a project do not begin with {prefix}: such are for the compose program; \
                 only {PROFILES} may be set"
            )));
        }
    }
    Ok(profiles)
}

/// Leaves out services of other profiles, which one of the programs tells as well, and says no more of profiles: what
/// is left is what is brought up.
pub(super) fn without_others(value: &mut Value, profiles: &[String]) {
    let Some(services) = value.get_mut("services").and_then(Value::as_object_mut) else { return };
    services.retain(|_, service| {
        let of = texts(service.get("profiles"));
        of.is_empty() || of.iter().any(|name| profiles.iter().any(|p| p == "*" || p == name))
    });
    for service in services.values_mut().filter_map(Value::as_object_mut) {
        service.remove("profiles");
    }
}

/// What stands somewhere, as texts: one, each of a list, `KEY=VALUE` of settings with names.
fn texts(value: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(Value::Object(map)) => map.iter().map(|(k, v)| format!("{k}={}", text(v))).collect(),
        Some(one) => vec![text(one)],
    }
}

fn named<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// All that the containers of a project may do to their host, in order, each once.
pub(super) fn powers(value: &Value) -> Result<Vec<String>, CallError> {
    let mut all = Vec::new();
    let known = ["name", "version", "services", "networks", "volumes", "configs", "secrets"];
    let map = value.as_object().ok_or_else(|| {
        CallError::failed(
            "read what the compose program makes of the file: it is no list of settings",
        )
    })?;
    let other = |key: &&String| !known.contains(&key.as_str()) && !key.starts_with("x-");
    all.extend(map.keys().filter(other).map(|key| format!("compose:{key}")));
    for (name, service) in named(value, "services") {
        let service = service.as_object().ok_or_else(|| {
            let name = clean_to_width(name, 80);
            CallError::failed(format!(
                "read what the compose program makes of the service {name}: it is none"
            ))
        })?;
        if service.get("build").is_some_and(|build| !build.is_null()) {
            return Err(CallError::malformed(format!(
                "the service '{}' is built from sources ('build:'), which is not done on hosts; build its image \
                 elsewhere, bring it to a registry or to the host (cmdr docker load), and name it with 'image:'",
                clean_to_width(name, 80)
            )));
        }
        of_service(service, &mut all);
    }
    for (key, network) in named(value, "networks") {
        let external = network.get("external");
        let own = external.is_some_and(|e| *e != Value::Bool(false)).then_some(key.as_str());
        let names = [own, network.get("name").and_then(Value::as_str)];
        let outer = external.and_then(|e| e.get("name")).and_then(Value::as_str);
        for name in names.into_iter().chain([outer]).flatten() {
            all.extend(namespace("network", name));
        }
    }
    for (_, volume) in named(value, "volumes") {
        let driver = volume.get("driver").and_then(Value::as_str).unwrap_or("local");
        let options = volume.get("driver_opts").is_some_and(|opts| !texts(Some(opts)).is_empty());
        if driver != "local" || options {
            all.push(format!("volume-driver:{driver}"));
        }
    }
    for kind in ["configs", "secrets"] {
        for (_, one) in named(value, kind) {
            for (key, value) in one.as_object().into_iter().flatten() {
                match key.as_str() {
                    "file" => all.extend(texts(Some(value)).iter().map(|path| mount(path))),
                    "content" | "environment" | "external" | "labels" | "name" => {}
                    key if key.starts_with("x-") => {}
                    key => all.push(format!("compose:{kind}.{key}")),
                }
            }
        }
    }
    all.iter().try_for_each(|power| plain(power))?;
    Ok(sorted(all))
}

/// Rights are given on patterns of paths, which such a path would get around.
fn plain(power: &str) -> Result<(), CallError> {
    let path = power.strip_prefix("mount:").or_else(|| power.strip_prefix("device:"));
    let dots = path.is_some_and(|path| path.split('/').any(|part| matches!(part, "." | "..")));
    if !dots && !power.contains(char::is_control) {
        return Ok(());
    }
    Err(CallError::malformed(format!(
        "'{}': '.', '..' and control characters are not parts of a path of the host here; write it from the root on",
        clean_to_width(power, 200)
    )))
}

fn of_service(service: &Map<String, Value>, all: &mut Vec<String>) {
    for (key, value) in service {
        let texts = || texts(Some(value)).into_iter();
        match key.as_str() {
            "build" => {}
            "privileged" if *value == Value::Bool(false) => {}
            "privileged" => all.push("privileged".to_owned()),
            "cap_add" => all.extend(texts().map(|name| capability(&name))),
            "security_opt" => all.extend(texts().filter_map(|option| security(&option))),
            "device_cgroup_rules" => {
                all.extend(texts().map(|rule| device(&format!("rule {rule}"))));
            }
            "devices" => all.extend(entries(value).map(|one| match one.get("source") {
                Some(source) => device(source.as_str().unwrap_or("any")),
                None => {
                    device(one.as_str().and_then(|text| text.split(':').next()).unwrap_or("any"))
                }
            })),
            "gpus" => all.extend((!value.is_null()).then(|| device("any"))),
            "deploy" => {
                let devices = value.pointer("/resources/reservations/devices");
                let devices = devices.map(entries).into_iter().flatten();
                all.extend(
                    devices.map(|one| {
                        device(one.get("driver").and_then(Value::as_str).unwrap_or("any"))
                    }),
                );
            }
            "network_mode" => all.extend(texts().filter_map(|mode| namespace("network", &mode))),
            "networks" => {
                // The names of networks are looked at where those are described; these stand for themselves.
                let host = |name: &String| name.split('=').next() == Some("host");
                all.extend(texts().filter(host).map(|_| "namespace:network".to_owned()));
            }
            "pid" => all.extend(texts().filter_map(|mode| namespace("pid", &mode))),
            "ipc" => all.extend(texts().filter_map(|mode| namespace("ipc", &mode))),
            "uts" => all.extend(texts().filter_map(|mode| namespace("uts", &mode))),
            "userns_mode" => all.extend(texts().filter_map(|mode| namespace("user", &mode))),
            "cgroup" => all.extend(texts().filter_map(|mode| namespace("cgroup", &mode))),
            "cgroup_parent" => all.extend(
                texts().filter(|group| !group.is_empty()).map(|group| format!("cgroup:{group}")),
            ),
            "runtime" => all.extend(texts().filter_map(|name| runtime(&name))),
            "volume_driver" => {
                let other = |name: &String| !matches!(name.as_str(), "" | "local");
                all.extend(texts().filter(other).map(|name| format!("volume-driver:{name}")));
            }
            "volumes_from" => all.extend(texts().filter_map(|from| {
                let other = from.strip_prefix("container:")?;
                Some(format!("volumes-from:{}", other.split(':').next().unwrap_or(other)))
            })),
            "logging" => {
                let driver = value.get("driver").and_then(Value::as_str);
                all.extend(log_driver(driver.unwrap_or_default()));
            }
            "oom_kill_disable" => {
                all.extend((*value != Value::Bool(false)).then(|| "oom".to_owned()));
            }
            "oom_score_adj" => {
                let harmless = value.as_i64().is_some_and(|n| n >= 0) || value.is_null();
                all.extend((!harmless).then(|| "oom".to_owned()));
            }
            "volumes" => all.extend(entries(value).filter_map(mounted)),
            key if HARMLESS.contains(&key) || key.starts_with("x-") || value.is_null() => {}
            key => all.push(format!("compose:{key}")),
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = &Value> {
    let list = value.as_array();
    let one = (list.is_none() && !value.is_null()).then_some(value);
    list.into_iter().flatten().chain(one)
}

/// What mounting something into a container reaches.
fn mounted(entry: &Value) -> Option<String> {
    if let Some(text) = entry.as_str() {
        return match volume(text) {
            Ok(mounted) => mounted.is_of_host().then(|| mount(&mounted.source)),
            // What is written in another way is taken for a path.
            Err(_) => Some(mount(text.split(':').next().unwrap_or(text))),
        };
    }
    let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    match field("type") {
        "volume" if !field("source").contains('/') => None,
        "tmpfs" | "image" => None,
        _ => Some(mount(field("source"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;
    use serde_json::json;

    fn of(service: &Value) -> Vec<String> {
        powers(&json!({"services": {"web": service}})).unwrap()
    }

    #[test]
    fn what_the_program_would_read_as_something_else_is_refused() {
        for text in [
            "services: {a: {image: b, env_file: !!binary L2V0Yy9zaGFkb3c=}}",
            "services:\n  a:\n    !!binary ZW52X2ZpbGU=: x",
            "services: {a: {env_file: !<tag:yaml.org,2002:binary> L2V0Yw==}}",
            "%TAG !e! tag:yaml.org,2002:\n---\nservices: {a: {env_file: !e!binary L2V0Yw==}}",
            "services: {}\n---\nservices: {a: {env_file: /etc/shadow}}",
            "x: &c {env_file: /etc/shadow}\nservices: {a: {<<: *c}}",
        ] {
            assert!(before(text).is_err(), "{text}");
        }
        assert!(before("services: {a: {image: b, command: 'echo hello!! a!<b'}}").is_ok());
    }

    #[test]
    fn a_plain_service_may_do_nothing_to_its_host() {
        let plain = json!({
            "image": "web:1", "command": ["x"], "entrypoint": null, "environment": {"A": "b"}, "x-note": {"a": 1},
            "volumes": ["data:/data:rw", "/cache", {"type": "volume", "source": "data", "target": "/d"},
                        {"type": "tmpfs", "target": "/t"}],
            "network_mode": "none", "networks": {"inner": null}, "privileged": false, "pid": "service:db",
            "deploy": {"replicas": 2}, "logging": {"driver": "local"}, "oom_score_adj": 100, "gpus": null,
            "security_opt": ["no-new-privileges:true"], "volumes_from": ["db:ro"], "credential_spec": null,
        });
        let whole = json!({
            "name": "x", "version": "3.8", "x-a": 1, "services": {"web": plain},
            "networks": {"inner": {"name": "x_inner", "internal": true}}, "volumes": {"data": {"name": "x_data"}},
            "secrets": {"s": {"environment": "S"}}, "configs": {"c": {"content": "x"}},
        });
        assert_eq!(powers(&whole).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn everything_that_reaches_the_host_is_named_in_either_way_of_writing_it() {
        let sly = json!({
            "privileged": true, "cap_add": ["CAP_NET_ADMIN"], "security_opt": ["seccomp:unconfined"],
            "devices": ["/dev/kvm:/dev/kvm:rwm", {"source": "/dev/sda", "target": "/x"}], "gpus": "all",
            "device_cgroup_rules": ["a *:* rwm"], "network_mode": "host", "pid": "host", "ipc": "container:x",
            "uts": "host", "userns_mode": "host", "cgroup": "host", "cgroup_parent": "/a", "runtime": "kata",
            "volumes": ["/etc:/etc:ro", {"type": "bind", "source": "/srv", "target": "/x"}, "~x:/y"],
            "volumes_from": ["container:db:ro"], "volume_driver": "nfs", "oom_kill_disable": true,
            "logging": {"driver": "syslog"}, "use_api_socket": true,
            "deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "capabilities": ["gpu"]}]}}},
        });
        let expected = [
            "capability:NET_ADMIN",
            "cgroup:/a",
            "compose:use_api_socket",
            "device:/dev/kvm",
            "device:/dev/sda",
            "device:any",
            "device:nvidia",
            "device:rule a *:* rwm",
            "log-driver:syslog",
            "mount:/etc",
            "mount:/srv",
            "mount:~x",
            "namespace:cgroup",
            "namespace:ipc=container:x",
            "namespace:network",
            "namespace:pid",
            "namespace:user",
            "namespace:uts",
            "oom",
            "privileged",
            "runtime:kata",
            "security:seccomp:unconfined",
            "volume-driver:nfs",
            "volumes-from:db",
        ];
        assert_eq!(of(&sly), expected);
    }

    #[test]
    fn no_path_gets_around_a_pattern_of_paths() {
        for source in ["/srv/../etc", "/srv/./x", "./x", "/srv/\u{0}x"] {
            let long = json!({"type": "bind", "source": source, "target": "/x"});
            for entry in [long, json!(format!("{source}:/x:ro"))] {
                let whole = json!({"services": {"web": {"volumes": [entry]}}});
                assert_eq!(powers(&whole).unwrap_err().kind, ErrorKind::Malformed, "{whole}");
            }
        }
        let device = json!({"services": {"web": {"devices": ["/dev/../etc:/x"]}}});
        assert!(powers(&device).is_err());
    }

    #[test]
    fn what_stands_beside_the_services_is_seen_too() {
        let whole = json!({
            "services": {"web": {"image": "x", "networks": ["host"]}},
            "networks": {"a": {"external": true, "name": "host"}, "b": {"external": {"name": "container:x"}}},
            "volumes": {"v": {"driver_opts": {"device": "/", "o": "bind"}}, "n": {"driver": "nfs"}},
            "secrets": {"s": {"file": "/etc/shadow"}}, "configs": {"c": {"template_driver": "golang"}},
            "models": {"m": {}},
        });
        let expected = [
            "compose:configs.template_driver",
            "compose:models",
            "mount:/etc/shadow",
            "namespace:network",
            "namespace:network=container:x",
            "volume-driver:local",
            "volume-driver:nfs",
        ];
        assert_eq!(powers(&whole).unwrap(), expected);
    }

    #[test]
    fn sources_are_not_built_on_hosts() {
        let built = json!({"services": {"web": {"build": {"context": "/srv"}, "image": "x"}}});
        let error = powers(&built).unwrap_err();
        assert!(error.message.contains("'build:'"), "{error}");
    }

    #[test]
    fn files_of_the_host_are_not_read_for_a_compose_file_wherever_it_names_them() {
        for good in [
            "services: {web: {env_file: .env, image: x}}",
            "services: {web: {env_file: [a.env, {path: conf/b.env, required: false}]}}",
            "include: [other.yaml]\nservices: {a: {extends: {service: b}}}",
        ] {
            assert_eq!(before(good), Ok(()), "{good}");
        }
        for bad in [
            "services: {web: {env_file: /etc/shadow}}",
            "services: {web: {env_file: [a.env, {path: ../b.env}]}}",
            "services: {web: {env_file: '${P}'}}",
            "services: {web: {label_file: [~/x]}}",
            "services: {web: {extends: {file: /srv/x.yaml, service: a}}}",
            "include: ['git@github.com:a/b.git']",
            "include: [{path: [a.yaml, /etc/x], env_file: b}]",
            "include: [{path: a.yaml, env_file: /etc/b}]",
            "include: [{path: a.yaml, project_directory: /etc}]",
            "x-a: &a {env_file: a/../../b}\nservices: {web: {<<: *a}}",
        ] {
            assert_eq!(before(bad).unwrap_err().kind, ErrorKind::Denied, "{bad}");
        }
        let torn = before("services:\n  web: \"x\n").unwrap_err();
        assert_eq!(torn.kind, ErrorKind::Malformed);
        assert!(torn.message.contains("line"), "{torn}");
        assert_eq!(before("just words").unwrap_err().kind, ErrorKind::Malformed);
    }

    #[test]
    fn variables_are_for_the_file_and_not_for_the_program() {
        assert_eq!(variables("A=1\n# DOCKER_HOST\nexport B='x'\n").unwrap(), Vec::<String>::new());
        assert_eq!(variables("COMPOSE_PROFILES=\"a, b\"").unwrap(), ["a", "b"]);
        for bad in
            ["DOCKER_HOST=x", " export COMPOSE_FILE=/x", "LD_PRELOAD: /x", "\u{feff}PYTHONPATH=x"]
        {
            assert!(variables(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn services_of_profiles_that_are_not_asked_for_are_left_out() {
        let whole = || json!({"services": {"a": {"profiles": ["x"]}, "b": {"profiles": ["y"]}, "c": {"profiles": []}}});
        let left = |profiles: &[&str]| {
            let mut value = whole();
            without_others(
                &mut value,
                &profiles.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(),
            );
            value["services"].as_object().unwrap().keys().cloned().collect::<String>()
        };
        assert_eq!(
            (left(&[]), left(&["y"]), left(&["*"])),
            ("c".into(), "bc".into(), "abc".into())
        );
    }
}
