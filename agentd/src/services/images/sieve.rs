//! What an engine saves, as it comes by: an archive out of which layers are taken that the other side has.
//!
//! An engine that loads looks at a layer's file only when it does not have the layer. Newer engines call such a file
//! by what is in it; older ones by a name that only the list at the end explains, so that theirs are kept
//! and gone through twice ([`super::spool`]).

use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// The blocks that archives are made of.
const BLOCK: usize = 512;
/// The list at the end, and what stands before a name that is too long, have at most so many bytes.
const LARGEST: usize = 4 << 20;
/// The list.
const LIST: &str = "manifest.json";

/// What is done with the bytes that come.
#[derive(Debug)]
enum Doing {
    /// A head is gathered.
    Head,
    /// What belongs to the head after it is gathered.
    Before { left: usize },
    /// They pass.
    Pass { left: u64 },
    /// They do not.
    Drop { left: u64 },
    /// They pass and are kept as well: the first so many, then what fills the block.
    Keep { left: usize, fill: usize },
}

/// One archive on its way.
#[derive(Debug)]
pub(super) struct Sieve {
    without: HashSet<String>,
    doing: Doing,
    /// The head that is gathered, after what belongs to it.
    held: Vec<u8>,
    /// Where in it the head begins.
    head_at: usize,
    /// What the head before said of the size and name of the next.
    size: Option<u64>,
    name: Option<String>,
    first: Option<String>,
    list: Vec<u8>,
    links: HashMap<String, String>,
    /// Files that were taken out.
    pub(super) left_out: u32,
}

/// It is no archive that could be looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the Docker engine saves is no archive that could be looked through")]
pub(super) struct NoArchive;

impl Sieve {
    /// Takes out files of these names.
    pub(super) fn new(without: HashSet<String>) -> Self {
        Self {
            without,
            doing: Doing::Head,
            held: Vec::new(),
            head_at: 0,
            size: None,
            name: None,
            first: None,
            list: Vec::new(),
            links: HashMap::new(),
            left_out: 0,
        }
    }

    /// The names of layers' files in archives of newer engines.
    pub(super) fn names(layers: &[String]) -> HashSet<String> {
        let hex = layers.iter().filter_map(|layer| layer.strip_prefix("sha256:"));
        hex.map(|hex| format!("blobs/sha256/{hex}")).collect()
    }

    /// Whether only the list at the end says what is what; nothing as long as that is not known.
    pub(super) fn is_of_an_older_engine(&self) -> Option<bool> {
        let name = self.first.as_ref()?;
        Some(!["blobs", "index.json", "oci-layout"].iter().any(|word| name.starts_with(word)))
    }

    /// Lets bytes through, into `out`.
    pub(super) fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NoArchive> {
        while !bytes.is_empty() {
            let least = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            match &mut self.doing {
                Doing::Head => {
                    let missing = self.head_at + BLOCK - self.held.len();
                    let (now, later) = bytes.split_at(missing.min(bytes.len()));
                    self.held.extend_from_slice(now);
                    bytes = later;
                    if self.held.len() == self.head_at + BLOCK {
                        self.head(out)?;
                    }
                }
                Doing::Before { left } => {
                    let (now, later) = bytes.split_at((*left).min(bytes.len()));
                    self.held.extend_from_slice(now);
                    *left -= now.len();
                    bytes = later;
                    if *left == 0 {
                        self.before();
                    }
                }
                Doing::Pass { left } => {
                    let (now, later) = bytes.split_at(least(*left));
                    out.extend_from_slice(now);
                    *left -= now.len() as u64;
                    bytes = later;
                    if *left == 0 {
                        self.doing = Doing::Head;
                    }
                }
                Doing::Drop { left } => {
                    let now = least(*left);
                    *left -= now as u64;
                    bytes = &bytes[now..];
                    if *left == 0 {
                        self.doing = Doing::Head;
                    }
                }
                Doing::Keep { left, fill } => {
                    let (now, later) = bytes.split_at((*left + *fill).min(bytes.len()));
                    out.extend_from_slice(now);
                    let kept = now.len().min(*left);
                    self.list.extend_from_slice(&now[..kept]);
                    *left -= kept;
                    *fill -= now.len() - kept;
                    bytes = later;
                    if *left + *fill == 0 {
                        self.doing = Doing::Head;
                    }
                }
            }
        }
        Ok(())
    }

    /// A head is whole.
    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), NoArchive> {
        let head = &self.held[self.head_at..];
        if head.iter().all(|byte| *byte == 0) {
            // The end, or what fills the last piece.
            out.append(&mut self.held);
            self.head_at = 0;
            return Ok(());
        }
        let kind = head[156];
        let size = match self.size.take() {
            Some(size) if !matches!(kind, b'x' | b'L' | b'K' | b'g') => size,
            _ => number(&head[124..136]).ok_or(NoArchive)?,
        };
        let padded = size.checked_next_multiple_of(BLOCK as u64).ok_or(NoArchive)?;
        if matches!(kind, b'x' | b'L' | b'K') {
            let left = usize::try_from(padded).unwrap_or(usize::MAX);
            if left > LARGEST || self.held.len() > 2 * LARGEST {
                return Err(NoArchive);
            }
            self.doing = Doing::Before { left };
            if left == 0 {
                self.before();
            }
            return Ok(());
        }
        let plain = || [text(&head[345..500]), text(&head[..100])];
        let name = self.name.take().unwrap_or_else(|| match plain() {
            [front, back] if head[257..262] == *b"ustar" && !front.is_empty() => {
                format!("{front}/{back}")
            }
            [_, back] => back,
        });
        let link = text(&head[157..257]);
        let name = name.trim_start_matches("./").to_owned();
        if kind == b'2' {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.links.insert(name.clone(), resolved(folder, &link));
        }
        let file = matches!(kind, b'0' | 0);
        let dropped = file && self.without.contains(&name);
        let list = file && name == LIST;
        self.first.get_or_insert(name);
        if dropped {
            self.left_out += 1;
            self.held.clear();
        } else {
            out.append(&mut self.held);
        }
        self.head_at = 0;
        // Only files have contents; what other kinds say of their size is about something else.
        let has = if matches!(kind, b'1'..=b'6') { 0 } else { padded };
        self.doing = match has {
            0 => Doing::Head,
            left if dropped => Doing::Drop { left },
            left if list && size <= LARGEST as u64 => {
                self.list.clear();
                let size = usize::try_from(size).map_err(|_| NoArchive)?;
                let fill = usize::try_from(left).map_err(|_| NoArchive)? - size;
                Doing::Keep { left: size, fill }
            }
            left => Doing::Pass { left },
        };
        Ok(())
    }

    /// What belongs to the next head is whole.
    fn before(&mut self) {
        let (head, body) = self.held[self.head_at..].split_at(BLOCK);
        match head[156] {
            b'x' => {
                let size = number(&head[124..136]).and_then(|size| usize::try_from(size).ok());
                let body = &body[..size.unwrap_or(0).min(body.len())];
                for (key, value) in words(body) {
                    match key {
                        "size" => self.size = value.parse().ok(),
                        "path" => self.name = Some(value.to_owned()),
                        _ => {}
                    }
                }
            }
            b'L' => self.name = Some(text(body)),
            _ => {}
        }
        self.head_at = self.held.len();
        self.doing = Doing::Head;
    }

    /// After a whole archive of an older engine: the names of files of these layers, without those that other layers
    /// lead to.
    pub(super) fn files_of(&self, layers: &[Vec<String>], without: &[String]) -> HashSet<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Image {
            layers: Vec<String>,
        }
        let images: Vec<Image> = serde_json::from_slice(&self.list).unwrap_or_default();
        let (mut names, mut needed) = (HashSet::new(), HashSet::new());
        for (image, layers) in images.iter().zip(layers) {
            if image.layers.len() != layers.len() {
                return HashSet::new();
            }
            for (name, layer) in image.layers.iter().zip(layers) {
                if without.contains(layer) {
                    names.insert(name.clone());
                } else {
                    needed.insert(name.clone());
                    needed.extend(self.links.get(name).cloned());
                }
            }
        }
        if images.len() != layers.len() {
            return HashSet::new();
        }
        names.difference(&needed).cloned().collect()
    }
}

/// A number of a head: octal, or with its first bit set as it is.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (front, back) = field.split_at(field.len() - 8);
        let plain = front[0] == 0x80 && front[1..].iter().all(|byte| *byte == 0);
        return plain.then(|| u64::from_be_bytes(back.try_into().unwrap_or([0xff; 8])));
    }
    let text = text(field);
    let text = text.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// `LENGTH KEY=VALUE\n`, one after the other.
fn words(mut body: &[u8]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    while let Some(space) = body.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&body[..space]).ok().and_then(|n| n.parse().ok());
        let Some(record) = length.and_then(|length: usize| body.get(space + 1..length)) else {
            break;
        };
        let record = std::str::from_utf8(record).ok().map(|text| text.trim_end_matches('\n'));
        found.extend(record.and_then(|text| text.split_once('=')));
        body = &body[length.unwrap_or(body.len())..];
    }
    found
}

/// Where a link leads, from the folder that it is in.
fn resolved(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;

    fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let one = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(one).collect()
    }

    fn sieved(sieve: &mut Sieve, archive: &[u8], step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in archive.chunks(step) {
            sieve.take(piece, &mut out).unwrap();
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_not_taken_out_is_as_it_was(
            sizes in proptest::collection::vec(0usize..3000, 0..8),
            out in proptest::collection::hash_set(0usize..8, 0..8),
            long: bool,
            step in 1usize..2000,
        ) {
            let front = if long { "x".repeat(150) } else { "x".to_owned() };
            let names: Vec<_> = (0..sizes.len()).map(|n| format!("{front}/{n}")).collect();
            let files: Vec<_> =
                names.iter().zip(&sizes).map(|(n, s)| (n.as_str(), vec![7u8; *s])).collect();
            let without = out.iter().filter_map(|n| names.get(*n)).cloned().collect();
            let mut sieve = Sieve::new(without);
            let left = sieved(&mut sieve, &archive(&files), step);
            let expected: Vec<_> = files
                .iter()
                .enumerate()
                .filter(|(n, _)| !out.contains(n))
                .map(|(_, (name, content))| ((*name).to_owned(), content.clone()))
                .collect();
            prop_assert_eq!(read(&left), expected);
        }

        #[test]
        fn any_bytes_are_passed_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000), step in 1usize..700,
        ) {
            let (mut sieve, mut out) = (Sieve::new(HashSet::new()), Vec::new());
            for piece in bytes.chunks(step) {
                if sieve.take(piece, &mut out).is_err() {
                    break;
                }
            }
            prop_assert!(out.len() <= bytes.len());
        }
    }

    #[test]
    fn the_list_at_the_end_of_an_older_archive_says_which_file_is_which_layer() {
        let list =
            br#"[{"Config":"c.json","RepoTags":["x:1"],"Layers":["a/layer.tar","b/layer.tar"]}]"#;
        let files =
            [("a/layer.tar", vec![1; 600]), ("b/layer.tar", vec![2]), (LIST, list.to_vec())];
        let whole = archive(&files);
        let mut sieve = Sieve::new(Sieve::names(&["sha256:1".to_owned()]));
        assert_eq!(sieve.is_of_an_older_engine(), None);
        assert_eq!(sieved(&mut sieve, &whole, 100), whole);
        assert_eq!(sieve.is_of_an_older_engine(), Some(true));
        let layers = [vec!["sha256:1".to_owned(), "sha256:2".to_owned()]];
        let without = sieve.files_of(&layers, &["sha256:1".to_owned()]);
        assert_eq!(without, HashSet::from(["a/layer.tar".to_owned()]));
        let mut sieve = Sieve::new(without);
        let names: Vec<_> =
            read(&sieved(&mut sieve, &whole, 999)).into_iter().map(|f| f.0).collect();
        assert_eq!((names, sieve.left_out), (vec!["b/layer.tar".to_owned(), LIST.to_owned()], 1));
        assert!(Sieve::new(HashSet::new()).files_of(&layers, &[]).is_empty(), "no list, no names");
    }

    #[test]
    fn a_file_that_a_link_of_another_layer_leads_to_stays() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "b/layer.tar", "../a/layer.tar").unwrap();
        let list = br#"[{"Layers":["a/layer.tar","b/layer.tar"]}]"#;
        let mut header = tar::Header::new_gnu();
        header.set_size(list.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, LIST, &list[..]).unwrap();
        let mut sieve = Sieve::new(HashSet::new());
        sieved(&mut sieve, &builder.into_inner().unwrap(), 512);
        let layers = [vec!["sha256:1".to_owned(), "sha256:2".to_owned()]];
        assert!(sieve.files_of(&layers, &["sha256:1".to_owned()]).is_empty());
    }
}
