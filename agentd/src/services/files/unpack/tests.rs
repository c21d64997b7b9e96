use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 100, replace: false, owners: false };

/// What an entry of a test's archive is.
enum What<'a> {
    File(&'a [u8]),
    Folder,
    Link(&'a str),
    Hard(&'a str),
    Device,
}

/// An archive with exactly these names, however wrong they are.
fn archive(entries: &[(&str, What<'_>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, what) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o6755);
        let (kind, content, target) = match what {
            What::File(content) => (EntryType::Regular, *content, ""),
            What::Folder => (EntryType::Directory, &b""[..], ""),
            What::Link(target) => (EntryType::Symlink, &b""[..], *target),
            What::Hard(target) => (EntryType::Link, &b""[..], *target),
            What::Device => (EntryType::Char, &b""[..], ""),
        };
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_link_name_literal(target).unwrap();
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The same by each packer.
fn packed(bytes: &[u8]) -> [Vec<u8>; 3] {
    use std::io::Write as _;
    let zstd = zstd::encode_all(bytes, 3).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(bytes).unwrap();
    [zstd, gzip.finish().unwrap(), xz.finish().unwrap()]
}

/// A folder with `in` to lay out in and `secret` beside it.
fn lay(bytes: &[u8], limits: Limits) -> (tempfile::TempDir, Result<Counted, CallError>) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("secret"), "untouched").unwrap();
    let root = OwnedFd::from(File::open(dir.path().join("in")).unwrap());
    let laid = lay_out(&root, bytes, limits, |_| Ok(()));
    (dir, laid)
}

/// What lies beside the folder: nothing may ever have changed there.
fn beside(dir: &tempfile::TempDir) -> (Vec<OsString>, String) {
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    (names, fs::read_to_string(dir.path().join("secret")).unwrap())
}

#[test]
fn files_folders_and_links_are_laid_out_without_the_rights_of_their_owner() {
    let bytes = archive(&[
        ("a/", What::Folder),
        ("a/one", What::File(b"1")),
        ("deep/er/two", What::File(b"22")),
        ("a/link", What::Link("../deep/er/two")),
        ("a/hard", What::Hard("a/one")),
    ]);
    let [zstd, gzip, xz] = packed(&bytes);
    for bytes in [bytes, zstd, gzip, xz] {
        let (dir, laid) = lay(&bytes, LIMITS);
        let counted = laid.unwrap();
        assert_eq!((counted.entries, counted.bytes, counted.skipped), (5, 3, 0), "{counted:?}");
        let inside = dir.path().join("in");
        assert_eq!(fs::read(inside.join("a/link")).unwrap(), b"22");
        assert_eq!(fs::read(inside.join("a/hard")).unwrap(), b"1");
        let mode = fs::metadata(inside.join("a/one")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "nothing runs as its owner because an archive says so");
    }
}

#[test]
fn nothing_gets_out_of_the_folder() {
    let (dir, laid) = lay(
        &archive(&[
            ("../secret", What::File(b"x")),
            ("a/../../secret", What::File(b"x")),
            ("/tmp/cmdr-never", What::File(b"x")),
            ("up", What::Link("../secret")),
            ("abs", What::Link("/etc/passwd")),
            ("here", What::Link(".")),
            ("far", What::Link("here/here/../../secret")),
            ("down", What::Folder),
            ("down/ok", What::Link("..")),
            ("down/ok/through", What::File(b"x")),
            ("hard", What::Hard("../secret")),
            ("node", What::Device),
        ]),
        LIMITS,
    );
    let counted = laid.unwrap();
    assert_eq!(counted.skipped, 9, "{counted:?}");
    assert!(counted.words.iter().any(|word| word.contains("a link is in its way")), "{counted:?}");
    assert_eq!(beside(&dir), (vec!["in".into(), "secret".into()], "untouched".into()));
    assert!(!Path::new("/tmp/cmdr-never").exists());
}

#[test]
fn what_is_there_stays_unless_it_may_be_replaced() {
    let bytes = archive(&[("one", What::File(b"1")), ("one", What::File(b"2"))]);
    let (dir, laid) = lay(&bytes, LIMITS);
    assert_eq!(laid.unwrap().skipped, 1);
    assert_eq!(fs::read(dir.path().join("in/one")).unwrap(), b"1");
    let (dir, laid) = lay(&bytes, Limits { replace: true, ..LIMITS });
    assert_eq!(laid.unwrap().skipped, 0);
    assert_eq!(fs::read(dir.path().join("in/one")).unwrap(), b"2");
}

#[test]
fn an_archive_beyond_its_limits_is_stopped() {
    let many: Vec<_> = (0..200).map(|n| (format!("f{n}"), n)).collect();
    let many: Vec<_> = many.iter().map(|(name, _)| (name.as_str(), What::File(b""))).collect();
    let error = lay(&archive(&many), LIMITS).1.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    // A few bytes that become many.
    let large = archive(&[("zeros", What::File(&vec![0; 4 << 20]))]);
    for packed in packed(&large) {
        assert!(packed.len() < 20_000);
        let error = lay(&packed, LIMITS).1.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy, "{error}");
        assert!(error.message.contains("bytes"), "{error}");
    }
}

#[test]
fn an_archive_that_breaks_off_is_an_error_and_leaves_no_half_file() {
    let bytes = archive(&[("one", What::File(&[7; 5000]))]);
    let [zstd, gzip, xz] = packed(&bytes);
    let half = |packed: &[u8]| packed[..packed.len() / 2].to_vec();
    for bytes in [bytes[..3000].to_vec(), half(&zstd), half(&gzip), half(&xz)] {
        let (dir, laid) = lay(&bytes, LIMITS);
        assert_eq!(laid.unwrap_err().kind, ErrorKind::Malformed);
        assert!(fs::read_dir(dir.path().join("in")).unwrap().next().is_none());
    }
}

#[test]
fn a_name_longer_than_any_name_is_refused_before_it_is_read() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let (_dir, laid) = lay(header.as_bytes(), LIMITS);
    assert!(laid.unwrap_err().message.contains("name"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_archive_says_nothing_outside_changes(
        entries in proptest::collection::vec(
            ("(\\.\\./|/|a/|b/|l/|\\./){0,3}(a|b|l|\\.\\.|secret)", 0u8..5, "(\\.\\./|/|a/|l/|\\./){0,3}(a|l|\\.\\.|secret|\\.)"),
            0..12,
        ),
        replace in any::<bool>(),
    ) {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, kind, target)| (name.as_str(), match kind {
                0 => What::File(b"changed"),
                1 => What::Folder,
                2 => What::Link(target),
                3 => What::Hard(target),
                _ => What::Device,
            }))
            .collect();
        let (dir, laid) = lay(&archive(&entries), Limits { replace, ..LIMITS });
        prop_assert!(laid.is_ok(), "{laid:?}");
        prop_assert_eq!(beside(&dir), (vec!["in".into(), "secret".into()], "untouched".into()));
        // Nor does anything inside lead out.
        let root = dir.path().join("in").canonicalize().unwrap();
        let mut left = vec![root.clone()];
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if let Ok(real) = path.canonicalize() {
                    prop_assert!(real.starts_with(&root), "{path:?} leads to {real:?}");
                }
                if path.symlink_metadata().unwrap().is_dir() {
                    left.push(path);
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_laid_out_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (dir, _) = lay(&bytes, LIMITS);
        prop_assert_eq!(beside(&dir).1, "untouched");
    }
}
