"""What the measurements share: starting and ending processes by pid, processor time and memory of
process trees, medians, tables. Every script prints Markdown, ratios included; docs/performance.md
keeps what they printed."""
import atexit, fcntl, json, os, pty, re, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, termios, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), os.environ.get("PROFILE", "release"))
TMP = tempfile.mkdtemp(prefix="cmdr-bench-")
HZ = os.sysconf("SC_CLK_TCK")
started = []


def build():
    if os.environ.get("BENCH_NO_BUILD"): return  # what is in target/ is measured as it is
    subprocess.run(["cargo", "build", "--locked", "-q", "--profile", os.environ.get("PROFILE", "release"),
                    "-p", "cmdr-hub", "-p", "cmdr-agentd", "-p", "cmdr", "-p", "cmdr-tui", "-p", "cmdr-tests"], cwd=ROOT, check=True)


def need(**packages):
    """command=package: installs the Debian packages of commands that are missing."""
    missing = [p for c, p in packages.items() if not shutil.which(c) and not os.path.exists(f"/usr/sbin/{c}")]
    if missing:
        policy = "/usr/sbin/policy-rc.d"  # nothing that is installed here may start by itself
        made = not os.path.exists(policy)
        if made:
            open(policy, "w").write("#!/bin/sh\nexit 101\n"); os.chmod(policy, 0o755)
        subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if made:
            os.remove(policy)


def start(argv, **kw):
    kw.setdefault("stdout", subprocess.DEVNULL); kw.setdefault("stderr", subprocess.DEVNULL); kw.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.Popen(argv, start_new_session=True, **kw)
    started.append(p)
    return p


def tree(pid):
    kids = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try: s = open(f"/proc/{d}/stat").read()
            except OSError: continue
            kids.setdefault(int(s.rsplit(")", 1)[1].split()[1]), []).append(int(d))
    out, todo = [], [pid]
    while todo:
        x = todo.pop(); out.append(x); todo += kids.get(x, [])
    return out


def cpu(pid):
    """Seconds of processor time of the process and its threads, to the nanosecond, reaped children included."""
    total = 0
    for x in tree(pid):
        try:
            for t in os.listdir(f"/proc/{x}/task"):
                total += int(open(f"/proc/{x}/task/{t}/schedstat").read().split()[0]) / 1e9
            f = open(f"/proc/{x}/stat").read().rsplit(")", 1)[1].split()
            total += (int(f[13]) + int(f[14])) / HZ
        except OSError: continue
    return total


def pss(pid):
    """KiB of memory, shared pages counted in part."""
    total = 0
    for x in tree(pid):
        try: total += int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{x}/smaps_rollup").read(), re.M)[1])
        except (OSError, TypeError): continue
    return total


def stop(p):
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try: p.send_signal(sig); p.wait(5); break
        except subprocess.TimeoutExpired: continue
    if p in started: started.remove(p)


@atexit.register
def cleanup():
    for p in list(started):
        for x in reversed(tree(p.pid)):
            try: os.kill(x, signal.SIGKILL)
            except OSError: pass
        p.wait()
    shutil.rmtree(TMP, ignore_errors=True)


signal.signal(signal.SIGTERM, lambda *a: sys.exit(1))


def wait_for(what, test, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        got = test()
        if got: return got
        time.sleep(0.01)
    raise SystemExit(f"waited {seconds} s in vain for {what}")


def wait_port(port):
    def up():
        try: socket.create_connection(("127.0.0.1", port), 1).close(); return True
        except OSError: return False
    wait_for(f"port {port}", up)


class Hub:
    """A hub; `config` is the text of its configuration file."""
    def __init__(self, name="hub", config=""):
        self.dir = f"{TMP}/{name}"; self.ready = f"{TMP}/{name}.ready"; self.address = "127.0.0.1:0"; self.config = f"{TMP}/{name}.toml"
        with open(self.config, "w") as file: file.write(config)
        self.start()

    def start(self):
        if os.path.exists(self.ready): os.remove(self.ready)
        self.p = start([f"{BIN}/cmdr-hub", "--config", self.config, "serve", "--data", self.dir, "--listen", self.address, "--no-first-token", "--ready-file", self.ready])
        wait_for("the hub", lambda: os.path.exists(self.ready))
        ready = json.load(open(self.ready)); self.address = ready["address"]; self.api = (ready.get("api") or [None])[0]

    def token(self, operator=None, uses=1):
        kind = ["--operator", operator] if operator else ["--host"]
        return subprocess.run([f"{BIN}/cmdr-hub", "token", "--data", self.dir, "-q", "--uses", str(uses), "--address", self.address, *kind],
                              check=True, capture_output=True, text=True).stdout.strip()

    def agent(self, name="agent", within=(), policy=None):
        """An agent; `within` are a program and words that come before its own, `policy` the text of its policy file."""
        state = f"{TMP}/{name}"
        subprocess.run([f"{BIN}/cmdr-agentd", "join", "--state", state, "--name", name, self.token()], check=True, capture_output=True)
        rules = []
        if policy is not None:
            rules = ["--policy", f"{TMP}/{name}.policy"]
            with open(rules[1], "w") as file: file.write(policy)
            os.chmod(rules[1], 0o600)
        return start([*within, f"{BIN}/cmdr-agentd", "run", "--state", state, *rules])

    def login(self, name="client"):
        env = {**os.environ, "CMDR_HOME": f"{TMP}/{name}"}
        subprocess.run([f"{BIN}/cmdr", "login", self.token("administrator")], check=True, capture_output=True, env=env)
        return env

    def online(self, env, count):
        def up():
            o = subprocess.run([f"{BIN}/cmdr", "hosts", "-o", "json"], capture_output=True, text=True, env=env).stdout
            return o and sum(h["state"] == "online" for h in json.loads(o)) >= count
        wait_for(f"{count} hosts", up, 60)


def med(xs): return statistics.median(xs) if xs else float("nan")
def pct(xs, q): return sorted(xs)[min(len(xs) - 1, int(q / 100 * len(xs)))]
def fmt(x):
    if isinstance(x, str): return x
    a = abs(x)
    return f"{x:,.0f}" if a >= 1000 else f"{x:.1f}" if a >= 100 else f"{x:.3g}"
def spread(xs): return f"{fmt(med(xs))} ({fmt(min(xs))}–{fmt(max(xs))})"


def table(title, head, rows):
    print(f"\n### {title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for r in rows: print("| " + " | ".join(fmt(c) for c in r) + " |")
    sys.stdout.flush()


def verdict(what, value, goal, ok=None):
    holds = value <= goal if ok is None else ok
    print(f"- {what}: **{fmt(value)}** (goal {fmt(goal)}) {'holds' if holds else 'DOES NOT HOLD'}")
    sys.stdout.flush()


def sshd():
    """A throw-away sshd and the options of a client for it; the login is the user who runs this, in an empty home: what
    somebody's start-up files cost is no cost of ssh's."""
    need(sshd="openssh-server", ssh="openssh-client")
    os.makedirs("/run/sshd", exist_ok=True)
    key = f"{TMP}/k"; subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shutil.copy(key + ".pub", f"{TMP}/auth"); os.chmod(f"{TMP}/auth", 0o644); os.chmod(TMP, 0o755)
    os.makedirs(f"{TMP}/home", exist_ok=True)
    s = socket.socket(); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
    open(f"{TMP}/sshd.conf", "w").write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nAuthorizedKeysFile {TMP}/auth\nPidFile none\nUsePAM no\nStrictModes no\n"
                                         "PermitRootLogin yes\nMaxSessions 1000\nMaxStartups 1000\nPrintMotd no\nPrintLastLog no\nUseDNS no\nSetEnv HOME={TMP}/home\nSubsystem sftp internal-sftp\n")
    p = start(["/usr/sbin/sshd", "-D", "-f", f"{TMP}/sshd.conf"]); wait_port(port)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
    base = ["ssh", "-F", "none", "-p", str(port), "-i", key, "-l", user, "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={TMP}/kh",
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    return p, base


drawn = {}
END = b"\x1b[?2026l"  # ends each frame of the client's


def base(env):
    return {**env, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_CONFIG_HOME": f"{TMP}/cfg"}


class Tty:
    """A program on a terminal that answers what terminals are asked at a start."""
    def __init__(self, name, argv, env):
        self.name = name; drawn[name] = 0; self.frames = []
        self.m, s = pty.openpty(); fcntl.ioctl(s, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.t = time.perf_counter()
        self.p = start(argv, stdin=s, stdout=s, stderr=s, env=base(env), preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)); os.close(s)
        self.text = b""; threading.Thread(target=self.read, daemon=True).start()
    def read(self):
        while True:
            try: b = os.read(self.m, 65536)
            except OSError: return
            drawn[self.name] += len(b); self.frames += [time.perf_counter()] * b.count(END); self.text = (self.text + b)[-200000:]
            if b"\x1b[6n" in b: os.write(self.m, b"\x1b[1;1R")
            if b"\x1b]11;?" in b: os.write(self.m, b"\x1b]11;rgb:0000/0000/0000\x07")
            if b"\x1b[c" in b: os.write(self.m, b"\x1b[?62c")
    def keys(self, text): os.write(self.m, text.encode())
    def until(self, what): wait_for(what, lambda: re.search(what.encode(), self.text))
