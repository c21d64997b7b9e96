//! A real LDAP server with a few people: OpenLDAP's slapd on a private port, in a folder of its own.

use crate::process::{Running, pause, run};
use cmdr_hub::login::ldap::Settings;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The password of the hub's own entry.
pub const HUB_PASSWORD: &str = "the hub's own";

const SLAPD: &str = "/usr/sbin/slapd";

const CONF: &str = r#"
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile DIR/slapd.pid
TLSCACertificateFile DIR/ca.pem
TLSCertificateFile DIR/server.pem
TLSCertificateKeyFile DIR/server.key
database mdb
maxsize 67108864
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw root
directory DIR/data
overlay memberof
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=com"
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=hidden,dc=example,dc=com" by * none
access to * by users read by * none
"#;

const PEOPLE: &str = r"
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: cn=policy,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE

dn: cn=hub,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: hub
userPassword: the hub's own

dn: uid=alice,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice Ångström
sn: Ångström
userPassword: wonderland

dn: uid=bob,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
userPassword: builder

dn: uid=carol,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: carol
cn: Carol
sn: Carol
userPassword: locked out
pwdAccountLockedTime: 000001010000Z

dn: uid=o\2Cdd \28name\29*,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: o,dd (name)*
cn: Odd
sn: Odd
userPassword: odd

dn: uid=twin,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin
cn: One
sn: One
userPassword: twin

dn: cn=other twin,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin
cn: other twin
sn: Other
userPassword: twin

dn: cn=ops,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: ops
member: uid=alice,ou=people,dc=example,dc=com
member: uid=carol,ou=people,dc=example,dc=com

dn: cn=Web\2C Team,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: Web, Team
member: uid=alice,ou=people,dc=example,dc=com

dn: cn=cn\3Dops\2Cou\3Dgroups\2Cdc\3Dexample\2Cdc\3Dcom,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: cn=ops,ou=groups,dc=example,dc=com
member: uid=bob,ou=people,dc=example,dc=com

dn: cn=posix,ou=groups,dc=example,dc=com
objectClass: posixGroup
cn: posix
gidNumber: 5000
memberUid: bob
";

/// A running server.
#[derive(Debug)]
pub struct Directory {
    /// Its files; `ca.pem` signs its certificate, `other.pem` does not.
    pub dir: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    running: Option<Running>,
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = run(Command::new("openssl").current_dir(dir).args(args));
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes `ca.pem` that signs `server.pem` (with `server.key`) for `localhost` and 127.0.0.1, and
/// `other.pem` that signs nothing.
pub fn certificates(dir: &Path) {
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    for name in ["ca", "other"] {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN=test {name}");
        let rest = ["-keyout", &key, "-out", &pem, "-subj", &subject, "-days", "2"];
        openssl(dir, &[new.as_slice(), &rest].concat());
    }
    certificate(dir, dir);
}

/// Makes another `server.pem` with `server.key` in `to`, signed by the `ca.pem` of `by`.
pub fn certificate(by: &Path, to: &Path) {
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let at = |name: &str| to.join(name).to_string_lossy().into_owned();
    let (key, pem) = (at("server.key"), at("server.pem"));
    let rest = ["-keyout", &key, "-out", &pem, "-subj", "/CN=localhost"];
    let for_us = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    let no_ca = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"];
    openssl(by, &[new.as_slice(), &rest, &for_us, &no_ca, &signed].concat());
}

impl Directory {
    /// Starts a server with people and groups.
    pub fn start() -> Self {
        assert!(Path::new(SLAPD).exists(), "slapd is missing; run scripts/install-tools");
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_string_lossy().into_owned();
        certificates(dir.path());
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("slapd.conf"), CONF.replace("DIR", &place)).unwrap();
        std::fs::write(dir.path().join("people.ldif"), PEOPLE).unwrap();
        let (port, tls_port) = (cmdr_link::port::choose(), cmdr_link::port::choose());
        let mut directory = Self { dir, port, tls_port, running: None };
        directory.start_again();
        directory.add();
        directory
    }

    /// Starts it on the same data and port.
    pub fn start_again(&mut self) {
        let mut command = Command::new(SLAPD);
        let at = format!("ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/", self.port, self.tls_port);
        command.args(["-d", "0", "-h", &at, "-f"]).arg(self.dir.path().join("slapd.conf"));
        let mut running = Running::start(&mut command, &self.dir.path().join("slapd.log"));
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = running.ended();
            assert!(ended.is_none(), "slapd ended with {ended:?}:\n{}", running.text());
            assert!(begin.elapsed() < Duration::from_secs(30), "slapd is not up");
            pause();
        }
        self.running = Some(running);
    }

    fn add(&self) {
        // Relaxed rules let the test lock somebody out.
        let output = run(Command::new("ldapadd")
            .args(["-x", "-e", "relax", "-D", "cn=root,dc=example,dc=com", "-w", "root", "-H"])
            .arg(format!("ldap://127.0.0.1:{}", self.port))
            .arg("-f")
            .arg(self.dir.path().join("people.ldif")));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Removes an entry.
    pub fn remove(&self, dn: &str) {
        let output = run(Command::new("ldapdelete")
            .args(["-x", "-D", "cn=root,dc=example,dc=com", "-w", "root", "-H"])
            .arg(format!("ldap://127.0.0.1:{}", self.port))
            .arg(dn));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.running.take().expect("slapd runs").kill();
    }

    /// Where it listens without TLS.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// Where it listens with TLS.
    pub fn tls_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port)
    }

    /// Settings for it with these lines added; `ops` is mapped.
    pub fn settings(&self, lines: &str) -> Settings {
        let password = self.dir.path().join("hub password");
        cmdr_link::files::write_private(&password, HUB_PASSWORD.as_bytes()).unwrap();
        settings(&format!(
            "url = \"{}\"\nbase = \"ou=people,dc=example,dc=com\"\n\
             bind_dn = \"cn=hub,dc=example,dc=com\"\nbind_password_file = \"{}\"\n{lines}",
            self.url(),
            password.display()
        ))
    }
}

/// Reads settings, with a mapping added.
pub fn settings(text: &str) -> Settings {
    let groups = "[[groups]]\ngroup = \"ops\"\nrole = \"operator\"\n";
    let path = Path::new("hub.toml");
    cmdr_link::settings::parse(path, &format!("{text}\n{groups}")).unwrap()
}
