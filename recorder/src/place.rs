//! Where a process belongs, out of its `cgroup` file: a container, a unit of systemd, or neither.

use crate::kernel::lines;
use crate::sample::Kind;

/// What a cgroup is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Option<Kind>,
    /// A container's id or a unit's name.
    pub(crate) name: String,
    /// Its cgroup: what is deeper belongs to it as well. Empty for neither.
    pub(crate) path: String,
}

/// The path of the cgroup that says most, in the text of a `cgroup` file.
pub(crate) fn path(text: &[u8]) -> &[u8] {
    let mut best: (u8, &[u8]) = (0, b"/");
    for line in lines(text) {
        let mut parts = line.splitn(3, |b| *b == b':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        // Version 2 has one line; of version 1 that of systemd knows units, that of memory every container.
        let rank = match controllers {
            _ if path == b"/" => 1,
            b"" => 4,
            b"name=systemd" => 3,
            b"memory" => 2,
            _ => 1,
        };
        if rank > best.0 {
            best = (rank, path);
        }
    }
    best.1
}

/// What the cgroup with this path is of.
pub(crate) fn place(path: &[u8]) -> Place {
    let mut found = Place { kind: None, name: String::new(), path: String::new() };
    let Ok(path) = std::str::from_utf8(path) else { return found };
    let mut end = 0;
    for part in path.split_inclusive('/') {
        end += part.len();
        let part = part.trim_end_matches('/');
        let upto = || path[..end].trim_end_matches('/').to_owned();
        if let Some(id) = container(part) {
            return Place { kind: Some(Kind::Container), name: id.to_owned(), path: upto() };
        }
        if part.ends_with(".service") {
            let name = part[..part.floor_char_boundary(128)].to_owned();
            found = Place { kind: Some(Kind::Unit), name, path: upto() };
        }
    }
    found
}

/// The id in the last part of an engine's path: `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `libpod-ID.scope`.
fn container(part: &str) -> Option<&str> {
    // The process that watches over a container is none of it.
    if part.contains("conmon") {
        return None;
    }
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let id = part.rsplit(['-', ':']).next()?;
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn containers_of_every_engine_and_units_are_told_apart() {
        let id = "0123456789abcdef".repeat(4);
        for before in [
            "/docker/",
            "/system.slice/docker-",
            "/kubepods.slice/kubepods-pod1.slice/cri-containerd-",
            "/machine.slice/libpod-",
        ] {
            for after in ["", ".scope", ".scope/container"] {
                let found = place(format!("{before}{id}{after}").as_bytes());
                assert_eq!((found.kind, &found.name), (Some(Kind::Container), &id));
                assert!(!found.path.ends_with("/container"), "{}", found.path);
            }
        }
        let unit = |path: &str| place(path.as_bytes()).name;
        assert_eq!(unit("/system.slice/nginx.service"), "nginx.service");
        assert_eq!(
            unit("/user.slice/user-1.slice/user@1.service/app.slice/a.service"),
            "a.service"
        );
        assert_eq!(unit(&format!("/machine.slice/libpod-conmon-{id}.scope")), "");
        assert_eq!(place(b"/").kind, None);
    }

    #[test]
    fn of_the_older_kind_of_cgroups_the_path_that_says_most_is_taken() {
        assert_eq!(path(b"4:memory:/docker/x\n1:name=systemd:/docker/y\n0::/\n"), b"/docker/y");
        assert_eq!(path(b"4:memory:/docker/x\n1:name=systemd:/\n0::/\n"), b"/docker/x");
        assert_eq!(path(b"0::/system.slice/a.service\n"), b"/system.slice/a.service");
        assert_eq!(path(b""), b"/");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_place_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = place(path(&bytes));
        }
    }
}
