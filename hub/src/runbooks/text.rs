//! Small things about texts.

/// With the ends of lines that shells know: a script that was written on another system has `\r\n`, and `sh` would
/// look for a program whose name ends in `\r`.
pub(super) fn plain_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Without control characters: what a host says about itself is put into files and commands.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
