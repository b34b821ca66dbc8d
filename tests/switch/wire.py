"""What a remote switch takes from the wire to the death of the last process of a box, measured from outside with real servers on
this machine: a file, a key of a redis-server (told), a document behind HTTPS (held back by the server), an object of an S3
(moto, where `scripts/test --all` has installed it) and a program. Then BOXES boxes and one key.
The clock starts before the first byte of the change is written, and stops when init of the box is dead, which the kernel lets
be the last of its pid namespace. Usage: AGENTBOX=BINARY [AGENTBOX_AS=USER] wire.py [BOXES [ROUNDS [KIND...]]]
With AGENTBOX_AS (root only) the boxes are that user's; the servers are the caller's.
"""
import json
import os
import pathlib
import pwd
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

boxes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
kinds = sys.argv[3:] or ["file", "redis", "https", "s3", "exec", "many"]
agentbox = os.environ["AGENTBOX"]
here = pathlib.Path(__file__).resolve().parent
root = pathlib.Path(tempfile.mkdtemp(prefix="agentbox-wire.", dir="/var/tmp"))
PATIENCE = 60
user = pwd.getpwnam(os.environ["AGENTBOX_AS"]) if "AGENTBOX_AS" in os.environ else None
become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
os.umask(0o022)
root.chmod(0o755)
# Of the switches that are asked: so often.
INTERVAL = 1.0


def own(path):
    """Gives it to whose boxes these are."""
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


class Box:
    """One box, and a pidfd of its init."""

    def __init__(self, home, number):
        work = home / f"work{number}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        own(work)
        self.up = work / "up"
        self.client = subprocess.Popen(
            [agentbox, "run", "-q", "--net", "none", "--", "sh", "-c", ": > up; sleep 600 & exec sleep 600"],
            cwd=work,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(home / f"err{number}", "w"),
            **become,
        )
        self.said = home / f"err{number}"
        self.init = None

    def is_up(self):
        if not self.up.exists():
            if self.client.poll() is not None:
                raise SystemExit(f"a box did not start: {self.said.read_text()}")
            return False
        self.init = os.pidfd_open(init_of(self.client.pid))
        return True

    def end(self):
        status = self.client.wait(PATIENCE)
        os.close(self.init)
        if status != 137:
            raise SystemExit(f"it ended with {status}: {self.said.read_text()}")


def environment(home):
    return {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin"}


def init_of(client):
    """The descendant that is number 1 of its own pid namespace."""
    family = [client]
    for pid in family:
        try:
            for line in open(f"/proc/{pid}/status"):
                if line.startswith("NSpid:"):
                    numbers = line.split()[1:]
                    if len(numbers) > 1 and numbers[-1] == "1":
                        return pid
            family += map(int, open(f"/proc/{pid}/task/{pid}/children").read().split())
        except OSError:
            pass
    raise SystemExit(f"no init below {client}")


def until(what, seconds=PATIENCE):
    limit = time.monotonic() + seconds
    while not what():
        if time.monotonic() > limit:
            raise SystemExit("it takes too long")
        time.sleep(0.002)


def dead(inits, begun):
    """Seconds until each is dead, in the order of their deaths."""
    poll = select.poll()
    left = set(inits)
    for init in inits:
        poll.register(init, select.POLLIN)
    times = []
    while left:
        found = poll.poll(PATIENCE * 1000)
        now = time.monotonic() - begun
        if not found:
            raise SystemExit("it is not killed")
        for init, _ in found:
            poll.unregister(init)
            left.discard(init)
            times.append(now)
    return times


def watched(home, count, push):
    """Whether so many sessions have had an answer, and know whether the other side tells them."""
    ran = subprocess.run([agentbox, "status", "--json"], env=environment(home), capture_output=True, cwd=home, **become)
    found = json.loads(ran.stdout)["remotes"][0]["sessions"]
    return len(found) == count and all(push is None or one["push"] == push for one in found)


def configure(home, text):
    home.mkdir()
    own(home)
    path = home / ".config/agentbox"
    path.mkdir(parents=True)
    own(path.parent)
    own(path)
    (path / "config.toml").write_text('[[kill-switch.remote]]\nname = "ops"\non-unreachable = "stop"\ngrace = "60s"\n' + text)


def row(name, times, more):
    times = sorted(1000 * t for t in times)
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
    print(f"{name:<8} {statistics.median(times):9.2f} {p99:9.2f} {times[-1]:9.2f}   {more}", flush=True)


def measure(name, text, on, off, push, more):
    home = root / name
    configure(home, text)
    times = []
    for number in range(rounds):
        box = Box(home, 0)
        until(box.is_up)
        until(lambda: watched(home, 1, push))
        # Not in step with the interval.
        time.sleep(0.01 + (number % 7) * INTERVAL / 7)
        begun = time.monotonic()
        on()
        times += dead([box.init], begun)
        box.end()
        off()
    row(name, times, more)


# --- the other side ----------------------------------------------------------------------------------------------
def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Redis:
    def __init__(self):
        self.port = free_port()
        self.server = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(root)],
            # The same program; the package that has it under this name starts no service.
            executable=shutil.which("redis-check-rdb"),
            stdout=subprocess.DEVNULL,
        )
        until(self.listens)
        self.link = socket.create_connection(("127.0.0.1", self.port))

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def tell(self, *commands):
        out = b""
        for words in commands:
            out += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)
        self.link.sendall(out)

    def on(self):
        self.tell(["SET", "stop", "bench"], ["PUBLISH", "stop", "changed"])
        self.link.recv(4096)

    def off(self):
        self.tell(["DEL", "stop"])
        self.link.recv(4096)

    def config(self):
        return f'url = "redis://127.0.0.1:{self.port}"\nkeys = ["stop"]\n'


class Talking:
    """A server that takes commands by its stdin and answers each by a line."""

    def __init__(self, *command):
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.words = self.server.stdout.readline().split()
        if not self.words:
            raise SystemExit(f"{command} does not start")

    def tell(self, command):
        self.server.stdin.write(command + "\n")
        self.server.stdin.flush()
        return self.server.stdout.readline().strip()


def certificate():
    run = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=root)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", "-days", "2", "-subj", "/CN=bench", *key, "-keyout", "ca.key", "-out", "ca.pem")
    run("req", "-subj", "/CN=flags", *key, "-keyout", "key.pem", "-out", "csr")
    (root / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    run("x509", "-req", "-days", "2", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "cert.pem", "-extfile", "ext")


servers = []


def kept(server):
    servers.append(server.server)
    return server


def main():
    asked = f'interval = "{INTERVAL}s"\njitter = "100ms"\n'
    print(f"from the wire to the last process dead, milliseconds, {rounds} rounds, boxes of uid {user.pw_uid if user else os.getuid()}")
    print(f"{'':<8} {'median':>9} {'p99':>9} {'most':>9}", flush=True)
    if "file" in kinds:
        share = root / "share"
        share.mkdir()
        stop = share / "stop"
        measure("file", f'url = "file://{stop}"\n' + asked, stop.touch, stop.unlink, False, f"asked every {INTERVAL:g} s")
    if "redis" in kinds:
        redis = kept(Redis())
        measure("redis", redis.config(), redis.on, redis.off, True, "told; asked every 10 s")
    if "https" in kinds:
        certificate()
        flags = kept(Talking(sys.executable, here / "flags.py", root / "cert.pem", root / "key.pem", ""))
        text = f'url = "https://127.0.0.1:{flags.words[1]}/stop"\nca = "{root}/ca.pem"\n'
        on, off = (lambda: flags.tell("set /stop bench")), (lambda: flags.tell("del /stop"))
        # It is held back from the second question on, and that it is is known when that one is answered.
        measure("https", text, on, off, None, "held back by the server; asked every 10 s")
    moto = pathlib.Path(os.environ.get("AGENTBOX_TEST_MOTO", here.parent.parent / "target/moto")) / "bin/python"
    if "s3" in kinds and not moto.exists():
        print("s3       skipped: no moto (scripts/test --all installs it)")
    elif "s3" in kinds:
        s3 = kept(Talking(moto, here / "s3.py"))
        token = root / "aws"
        token.write_text(f"[default]\naws_access_key_id = {s3.words[2]}\naws_secret_access_key = {s3.words[3]}\n")
        text = f'url = "s3://ops/agents/stop"\nendpoint = "http://127.0.0.1:{s3.words[1]}"\ntoken-file = "{token}"\n' + asked
        measure("s3", text, lambda: s3.tell("put bench"), lambda: s3.tell("del"), False, f"asked every {INTERVAL:g} s")
    if "exec" in kinds:
        said = root / "said"
        said.write_text("clear\n")
        program = root / "ask"
        program.write_text(f"#!/bin/sh\nexec cat {said}\n")
        program.chmod(0o755)
        write = lambda text: (root / "new").write_text(text) and os.rename(root / "new", said)
        measure("exec", f'url = "exec:{program}"\n' + asked, lambda: write("stop\n"), lambda: write("clear\n"), False, f"asked every {INTERVAL:g} s")
    if "many" in kinds:
        many()


def many():
    redis = kept(Redis())
    home = root / "many"
    configure(home, redis.config())
    all_of_them = []
    for number in range(boxes):
        all_of_them.append(Box(home, number))
        # Not a hundred builds at once.
        if number % 8 == 7:
            until(all_of_them[-1].is_up)
    for box in all_of_them:
        until(lambda box=box: box.init is not None or box.is_up())
    until(lambda: watched(home, boxes, True))
    time.sleep(1)
    begun = time.monotonic()
    redis.on()
    times = dead([box.init for box in all_of_them], begun)
    for box in all_of_them:
        box.end()
    print(f"{boxes} boxes, one key of a redis: all dead; the first after {1000 * times[0]:.0f} ms, half of them after {1000 * statistics.median(times):.0f} ms, the last after {1000 * times[-1]:.0f} ms")


try:
    main()
finally:
    for server in servers:
        server.kill()
        server.wait()
    # Supervisors may still write their records for an instant.
    for _ in range(50):
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            break
        time.sleep(0.02)
