//! Kind and permissions of a file as a row of letters.

use super::FileKind;

/// Kind and permissions as everybody knows them: `drwxr-xr-x`.
pub fn letters(kind: FileKind, mode: u32) -> String {
    let mut out = String::with_capacity(10);
    out.push(match kind {
        FileKind::Folder => 'd',
        FileKind::Link => 'l',
        FileKind::Pipe => 'p',
        FileKind::Socket => 's',
        FileKind::Block => 'b',
        FileKind::Character => 'c',
        FileKind::File => '-',
        FileKind::Unknown => '?',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        out.push(if bits & 4 > 0 { 'r' } else { '-' });
        out.push(if bits & 2 > 0 { 'w' } else { '-' });
        out.push(match (mode & special > 0, bits & 1 > 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_permissions_are_ten_letters() {
        assert_eq!(letters(FileKind::File, 0o644), "-rw-r--r--");
        assert_eq!(letters(FileKind::Folder, 0o1777), "drwxrwxrwt");
        assert_eq!(letters(FileKind::File, 0o6654), "-rwSr-sr--");
    }
}
