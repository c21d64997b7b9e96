//! Pasted text on its way to a program: marked as such where the program can tell, looked at first where
//! each line would be a command at once.

use super::Modes;

/// Whether to ask before it goes in: its lines would run one after the other.
pub fn is_risky(text: &str, modes: Modes) -> bool {
    !modes.contains(Modes::BRACKETED_PASTE) && text.contains(['\n', '\r'])
}

/// The lines of a paste, as a person counts them.
pub fn lines(text: &str) -> Vec<String> {
    text.replace("\r\n", "\n").replace('\r', "\n").lines().map(str::to_owned).collect()
}

/// The bytes that go in. Nothing in the text can end the mark around it.
pub fn encode(text: &str, modes: Modes) -> Vec<u8> {
    let text = text.replace("\r\n", "\r").replace('\n', "\r");
    let harmless = |c: &char| !c.is_control() || matches!(c, '\r' | '\t');
    if modes.contains(Modes::BRACKETED_PASTE) {
        let text: String = text.chars().filter(harmless).collect();
        return [b"\x1b[200~", text.as_bytes(), b"\x1b[201~"].concat();
    }
    text.chars().filter(harmless).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines_are_asked_about_only_where_they_would_run() {
        assert!(is_risky("rm -rf /\nls", Modes::default()));
        assert!(is_risky("rm -rf /\r", Modes::default()));
        assert!(!is_risky("ls", Modes::default()));
        assert!(!is_risky("a\nb", Modes::BRACKETED_PASTE));
        assert_eq!(lines("a\r\nb\rc\n"), ["a", "b", "c"]);
    }

    #[test]
    fn a_paste_cannot_leave_its_marks() {
        let sent = encode("a\nb\x1b[201~\x03c\t\r\n", Modes::BRACKETED_PASTE);
        assert_eq!(sent, b"\x1b[200~a\rb[201~c\t\r\x1b[201~");
        assert_eq!(encode("a\nb\x1b", Modes::default()), b"a\rb");
    }
}
