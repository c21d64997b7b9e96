//! The words of `docker run` and `docker create`, read into a [`Spec`]. What is not known is refused with its name:
//! nothing that somebody asked for is left out unsaid.

use super::Spec;

/// What such words say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The container.
    pub spec: Spec,
    /// They said not to stay.
    pub detach: bool,
}

/// Options that are there or not: the long name, the letter, what they do.
type Flag = (&'static str, char, fn(&mut Words, bool));

const FLAGS: &[Flag] = &[
    ("detach", 'd', |w, on| w.detach = on),
    ("interactive", 'i', |w, on| w.spec.stdin_open = on),
    ("tty", 't', |w, on| w.spec.tty = on),
    ("publish-all", 'P', |w, on| w.spec.publish_all = on),
    ("rm", '\0', |w, on| w.spec.auto_remove = on),
    ("init", '\0', |w, on| w.spec.init = on),
    ("privileged", '\0', |w, on| w.spec.privileged = on),
    ("read-only", '\0', |w, on| w.spec.read_only = on),
    ("no-healthcheck", '\0', |w, on| w.spec.healthcheck.disable = on),
    // How the client shows things; nothing of the container.
    ("quiet", 'q', |_, _| {}),
    ("sig-proxy", '\0', |_, _| {}),
];

type Take = fn(&mut Spec, &str, Env<'_>) -> Result<(), String>;
/// Options with a value: all long names, the letter, what they do.
type Valued = (&'static [&'static str], char, Take);
/// The value of a variable of whoever writes the words.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

fn text(at: fn(&mut Spec) -> &mut String, spec: &mut Spec, value: &str) {
    value.clone_into(at(spec));
}

fn pair(value: &str) -> (String, String) {
    let (name, value) = value.split_once('=').unwrap_or((value, ""));
    (name.to_owned(), value.to_owned())
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("'{value}' is no number that fits"))
}

macro_rules! set {
    ($field:ident) => {
        |spec, value, _| {
            text(|spec| &mut spec.$field, spec, value);
            Ok(())
        }
    };
    (health $field:ident) => {
        |spec, value, _| {
            text(|spec| &mut spec.healthcheck.$field, spec, value);
            Ok(())
        }
    };
    (add $field:ident) => {
        |spec, value, _| {
            spec.$field.push(value.to_owned());
            Ok(())
        }
    };
    (pair $field:ident) => {
        |spec, value, _| {
            spec.$field.extend([pair(value)]);
            Ok(())
        }
    };
    (number $field:ident) => {
        |spec, value, _| {
            spec.$field = number(value)?;
            Ok(())
        }
    };
}

const VALUED: &[Valued] = &[
    (&["name"], '\0', set!(name)),
    (&["env"], 'e', |spec, value, env| {
        match value.split_once('=') {
            Some(_) => spec.environment.extend([pair(value)]),
            // Without a value it is the writer's own, if there is one.
            None => spec.environment.extend(env(value).map(|own| (value.to_owned(), own))),
        }
        Ok(())
    }),
    (&["entrypoint"], '\0', |spec, value, _| {
        spec.entrypoint = vec![value.to_owned()];
        Ok(())
    }),
    (&["workdir"], 'w', set!(working_dir)),
    (&["user"], 'u', set!(user)),
    (&["group-add"], '\0', set!(add group_add)),
    (&["hostname"], 'h', set!(hostname)),
    (&["domainname"], '\0', set!(domainname)),
    (&["label"], 'l', set!(pair labels)),
    (&["publish"], 'p', set!(add ports)),
    (&["expose"], '\0', set!(add expose)),
    (&["network", "net"], '\0', |spec, value, _| {
        if !spec.network.is_empty() {
            return Err("one network; connect it to others when it is made".into());
        }
        if value.contains('=') {
            return Err("the network is a name here; --network-alias and --ip say more".into());
        }
        value.clone_into(&mut spec.network);
        Ok(())
    }),
    (&["network-alias", "net-alias"], '\0', set!(add aliases)),
    (&["ip"], '\0', set!(ip)),
    (&["dns"], '\0', set!(add dns)),
    (&["dns-search"], '\0', set!(add dns_search)),
    (&["dns-option", "dns-opt"], '\0', set!(add dns_opt)),
    (&["add-host"], '\0', set!(add extra_hosts)),
    (&["restart"], '\0', set!(restart)),
    (&["memory"], 'm', set!(mem_limit)),
    (&["memory-swap"], '\0', set!(memswap_limit)),
    (&["memory-reservation"], '\0', set!(mem_reservation)),
    (&["cpus"], '\0', set!(cpus)),
    (&["cpu-shares"], 'c', set!(number cpu_shares)),
    (&["cpuset-cpus"], '\0', set!(cpuset)),
    (&["pids-limit"], '\0', set!(number pids_limit)),
    (&["shm-size"], '\0', set!(shm_size)),
    (&["ulimit"], '\0', set!(add ulimits)),
    (&["volume"], 'v', set!(add volumes)),
    (&["mount"], '\0', |spec, value, _| mount(spec, value)),
    (&["volumes-from"], '\0', set!(add volumes_from)),
    (&["tmpfs"], '\0', set!(add tmpfs)),
    (&["health-cmd"], '\0', |spec, value, _| {
        spec.healthcheck.test = vec!["CMD-SHELL".to_owned(), value.to_owned()];
        Ok(())
    }),
    (&["health-interval"], '\0', set!(health interval)),
    (&["health-timeout"], '\0', set!(health timeout)),
    (&["health-start-period"], '\0', set!(health start_period)),
    (&["health-start-interval"], '\0', set!(health start_interval)),
    (&["health-retries"], '\0', |spec, value, _| {
        spec.healthcheck.retries = number(value)?;
        Ok(())
    }),
    (&["stop-signal"], '\0', set!(stop_signal)),
    (&["stop-timeout"], '\0', |spec, value, _| {
        spec.stop_timeout_s = Some(number(value)?);
        Ok(())
    }),
    (&["log-driver"], '\0', set!(log_driver)),
    (&["log-opt"], '\0', set!(pair log_opt)),
    (&["sysctl"], '\0', set!(pair sysctls)),
    (&["platform"], '\0', set!(platform)),
    (&["cap-add"], '\0', set!(add cap_add)),
    (&["cap-drop"], '\0', set!(add cap_drop)),
    (&["device"], '\0', set!(add devices)),
    (&["security-opt"], '\0', set!(add security_opt)),
    (&["pid"], '\0', set!(pid)),
    (&["ipc"], '\0', set!(ipc)),
    (&["uts"], '\0', set!(uts)),
    (&["userns"], '\0', set!(userns)),
    (&["cgroupns"], '\0', set!(cgroupns)),
    (&["cgroup-parent"], '\0', set!(cgroup_parent)),
    (&["runtime"], '\0', set!(runtime)),
    (&["oom-score-adj"], '\0', set!(number oom_score_adj)),
];

/// `type=bind,source=/srv,target=/x,readonly` and its like, as the shorter form of the same.
fn mount(spec: &mut Spec, value: &str) -> Result<(), String> {
    let (mut kind, mut source, mut target) = ("volume", "", "");
    let mut options: Vec<String> = Vec::new();
    for part in value.split(',') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "type" => kind = value,
            "source" | "src" => source = value,
            "target" | "dst" | "destination" => target = value,
            "readonly" | "ro" => match value {
                "" | "true" | "1" => options.push("ro".into()),
                "false" | "0" => {}
                _ => return Err(format!("'{part}' is not true or false")),
            },
            "bind-propagation" => options.push(value.to_owned()),
            "volume-nocopy" if matches!(value, "" | "true") => options.push("nocopy".into()),
            "tmpfs-size" => options.push(format!("size={value}")),
            "tmpfs-mode" => options.push(format!("mode={value}")),
            "consistency" => {}
            _ => return Err(format!("'{name}' of a mount is not known here")),
        }
    }
    let with = |mut text: String, options: &[String]| {
        if !options.is_empty() {
            text.push(':');
            text.push_str(&options.join(","));
        }
        text
    };
    match kind {
        "tmpfs" => spec.tmpfs.push(with(target.to_owned(), &options)),
        "bind" if !source.starts_with('/') => {
            return Err("the source of a bind mount is a path of the host from the root on".into());
        }
        "volume" if source.starts_with('/') => {
            return Err("the source of a volume is a name".into());
        }
        "bind" | "volume" if source.is_empty() => spec.volumes.push(target.to_owned()),
        "bind" | "volume" => spec.volumes.push(with(format!("{source}:{target}"), &options)),
        _ => return Err(format!("mounts of the kind '{kind}' are not known here")),
    }
    Ok(())
}

/// Reads words: all that stood behind `docker run`, or that with `docker run` before it.
pub fn parse(words: &[String], env: Env<'_>) -> Result<Words, String> {
    let read = parse_some(words, env)?;
    if read.spec.image.is_empty() { Err("they name no image".into()) } else { Ok(read) }
}

/// As [`parse`], where the image is known from elsewhere.
pub fn parse_some(words: &[String], env: Env<'_>) -> Result<Words, String> {
    let mut read = Words::default();
    let mut left = words.iter().map(String::as_str).peekable();
    // What was copied begins with the program's name.
    for before in [&["sudo"][..], &["docker", "podman"], &["container"], &["run", "create"]] {
        left.next_if(|word| before.contains(word));
    }
    while let Some(word) = left.next() {
        if let Some(long) = word.strip_prefix("--") {
            if long.is_empty() {
                break;
            }
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            if let Some((.., set)) = FLAGS.iter().find(|(flag, ..)| *flag == name) {
                let on = match value {
                    None | Some("true" | "1") => true,
                    Some("false" | "0") => false,
                    Some(_) => return Err(format!("--{name} is true or false")),
                };
                set(&mut read, on);
                continue;
            }
            let Some((.., take)) = VALUED.iter().find(|(names, ..)| names.contains(&name)) else {
                return Err(format!("--{name} is not known here"));
            };
            let value =
                value.or_else(|| left.next()).ok_or_else(|| format!("--{name} needs a value"))?;
            take(&mut read.spec, value, env).map_err(|what| format!("--{name}: {what}"))?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if let Some((.., set)) = FLAGS.iter().find(|(_, flag, _)| *flag == letter) {
                    set(&mut read, true);
                    continue;
                }
                let Some((.., take)) = VALUED.iter().find(|(_, flag, _)| *flag == letter) else {
                    return Err(format!("-{letter} is not known here"));
                };
                let joined = rest.as_str();
                let joined = joined.strip_prefix('=').unwrap_or(joined);
                let value = if joined.is_empty() { left.next() } else { Some(joined) };
                let value = value.ok_or_else(|| format!("-{letter} needs a value"))?;
                take(&mut read.spec, value, env).map_err(|what| format!("-{letter}: {what}"))?;
                break;
            }
        } else {
            word.clone_into(&mut read.spec.image);
            break;
        }
    }
    // Behind `--`, or behind the image, all is the container's own.
    if read.spec.image.is_empty() {
        left.next().unwrap_or_default().clone_into(&mut read.spec.image);
    }
    read.spec.command = left.map(str::to_owned).collect();
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Words, String> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        parse(&words, &|name| (name == "HOME").then(|| "/root".to_owned()))
    }

    #[test]
    fn what_people_copy_is_read() {
        let words = read(
            "sudo docker run -dit --name web -p 8080:80 -p127.0.0.1:53:53/udp -e A=1 -eB=2=3 -e HOME -e NONE \
             -v /srv:/srv:ro --restart=unless-stopped -m 512m --cpus 1.5 --network host --rm=false --init \
             --health-cmd true --mount type=bind,src=/etc,dst=/x,readonly nginx:1 nginx -g x --name y",
        )
        .unwrap();
        let spec = &words.spec;
        assert!(words.detach && spec.tty && spec.stdin_open && spec.init && !spec.auto_remove);
        assert_eq!((spec.name.as_str(), spec.image.as_str()), ("web", "nginx:1"));
        assert_eq!(spec.ports, ["8080:80", "127.0.0.1:53:53/udp"]);
        let variables: Vec<_> =
            spec.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(variables, [("A", "1"), ("B", "2=3"), ("HOME", "/root")]);
        assert_eq!(spec.volumes, ["/srv:/srv:ro", "/etc:/x:ro"]);
        assert_eq!(spec.command, ["nginx", "-g", "x", "--name", "y"]);
        assert_eq!((spec.mem_limit.as_str(), spec.cpus.as_str()), ("512m", "1.5"));
        assert_eq!(spec.healthcheck.test, ["CMD-SHELL", "true"]);
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (text, part) in [
            ("--gpus all busybox", "--gpus"),
            ("-z busybox", "-z"),
            ("--name", "--name needs a value"),
            ("-p", "-p needs a value"),
            ("--init=maybe x", "true or false"),
            ("-d", "no image"),
            ("--mount type=npipe,dst=/x busybox", "npipe"),
            ("--mount type=volume,volume-opt=o=bind,dst=/x busybox", "volume-opt"),
            ("--pids-limit many busybox", "no number"),
            ("--network a --network b busybox", "one network"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn behind_two_dashes_comes_the_image() {
        let words = read("-d -- busybox -x").unwrap();
        assert_eq!(
            (words.spec.image.as_str(), words.spec.command.as_slice()),
            ("busybox", &["-x".to_owned()][..])
        );
    }

    proptest! {
        #[test]
        fn no_words_bring_the_reader_down(words in proptest::collection::vec("[-a-z0-9=:/,é]{0,12}", 0..12)) {
            drop(parse(&words, &|_| None));
        }
    }
}
