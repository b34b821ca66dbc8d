"""Every way to change what a name stands for, one line of JSON for each name: {"name": ..., "ways": {way: "ok" or errno}}."""
import ctypes, errno, json, os, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)

def attempt(way, path):
    try:
        way(path)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    return "ok"

def keep(path):
    return open(path, "rb").read()

def put(path, text):
    with open(path, "wb") as f:
        f.write(text)

def write(path):
    put(path, b"evil")

def append(path):
    with open(path, "ab") as f:
        f.write(b"evil")

def truncate(path):
    os.truncate(path, 0)

def mode(path):
    os.chmod(path, os.stat(path).st_mode ^ 0o111)

def times(path):
    os.utime(path, (1, 1))

def unlink(path):
    text = keep(path)
    os.unlink(path)
    put(path, text)

def away(path):
    os.rename(path, path + ".away")
    os.rename(path + ".away", path)

def over(path):
    other = os.path.join(os.path.dirname(path), "evil.tmp")
    put(other, b"evil")
    try:
        os.rename(other, path)
    finally:
        if os.path.exists(other):
            os.unlink(other)

def exchange(path):
    other = path + ".swap"
    put(other, b"evil")
    try:
        if libc.renameat2(-100, path.encode(), -100, other.encode(), 2) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
        libc.renameat2(-100, path.encode(), -100, other.encode(), 2)
    finally:
        os.unlink(other)

def link_and_write(path):
    os.link(path, path + ".link")
    try:
        append(path + ".link")
    finally:
        os.unlink(path + ".link")

def by_root(path):
    write("/proc/self/root" + path)

def by_descriptor(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.close(os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_TRUNC))
    finally:
        os.close(fd)

WAYS = {f.__name__: f for f in [write, append, truncate, mode, times, unlink, away, over, exchange,
        link_and_write, by_root, by_descriptor]}

for path in sys.argv[1:]:
    ways = {name: attempt(way, path) for name, way in WAYS.items()}
    print(json.dumps({"name": path, "ways": ways}), flush=True)
