//! Far ends: real programs on free ports of this machine, and ends that misbehave.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is ended with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) at: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Program {
    pub(crate) fn end(mut self) -> SocketAddr {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.at
    }
}

/// A port on which nothing listens now.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(folder: tempfile::TempDir, at: SocketAddr, program: &str, args: &[&str]) -> Program {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("errors")).unwrap())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}; scripts/install-tools installs it"));
    let mut program = Program { child, at, folder };
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(at).is_err() {
        let ended = program.child.try_wait().unwrap();
        let said = std::fs::read_to_string(program.folder.path().join("errors"));
        assert!(ended.is_none() && Instant::now() < until, "it does not listen: {said:?}");
        std::thread::yield_now();
    }
    program
}

/// nginx with this in its `server`.
pub(crate) fn nginx(inside: &str) -> Program {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let here = folder.path().display().to_string();
    let config = format!(
        "daemon off; master_process off; pid {here}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c;\n\
         uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;\n\
         server {{ listen {at}; {inside} }} }}\n"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    start(folder, at, "/usr/sbin/nginx", &["-e", "stderr", "-p", &here, "-c", &file])
}

pub(crate) fn sshd() -> Program {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let key = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    // It wants this folder, and does not make it.
    let apart = Path::new("/run/sshd");
    if !apart.exists() {
        std::fs::create_dir(apart).unwrap();
    }
    let (port, key) = (at.port().to_string(), key.display().to_string());
    let args =
        ["-D", "-e", "-f", "/dev/null", "-o", "ListenAddress=127.0.0.1", "-p", &port, "-h", &key];
    start(folder, at, "/usr/sbin/sshd", &args)
}

/// A name server for `test.`.
pub(crate) fn dnsmasq() -> Program {
    let (folder, at) = (tempfile::tempdir().unwrap(), free());
    let port = format!("--port={}", at.port());
    let args = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--no-daemon",
        "--user=",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--local=/test/",
        "--auth-ttl=1",
        "--host-record=web.test,192.0.2.7,2001:db8::7",
        "--cname=www.test,web.test",
        "--mx-host=test,mail.test,10",
        "--txt-record=test,v=spf1 -all",
        "--dns-rr=test,2,036e73310474657374 00",
        &port,
    ];
    // The record of a name server is told in bytes, without the space that makes it readable above.
    let args: Vec<String> = args
        .iter()
        .map(|a| if a.contains("dns-rr") { a.replace(' ', "") } else { (*a).into() })
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    start(folder, at, "/usr/sbin/dnsmasq", &args)
}

/// A far end that takes each connection, reads a request's lines and does this with it.
pub(crate) fn odd(with: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let with = std::sync::Arc::new(with);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let with = with.clone();
            std::thread::spawn(move || with(stream));
        }
    });
    at
}

/// Reads a request's lines.
pub(crate) fn request(stream: &TcpStream) -> String {
    let (mut whole, mut from) = (String::new(), BufReader::new(stream));
    while from.read_line(&mut whole).is_ok_and(|read| read > 2) {}
    whole
}

/// Writes until nobody reads any more.
pub(crate) fn endless(mut to: TcpStream, begin: &str, piece: &[u8]) {
    let mut going = to.write_all(begin.as_bytes()).is_ok();
    while going {
        going = to.write_all(piece).is_ok();
    }
}

/// Holds the connection until the other end closes it.
pub(crate) fn hold(mut stream: TcpStream) {
    let mut piece = [0; 1024];
    while stream.read(&mut piece).is_ok_and(|read| read > 0) {}
}
