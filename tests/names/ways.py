"""Every way to the content of a name, one line of JSON for each name: {"name": ..., "ways": {way: what came out}}."""
import ctypes, json, mmap, os, shutil, subprocess, sys

def attempt(way, path):
    try:
        out = way(path)
    except OSError as e:
        import errno
        return errno.errorcode.get(e.errno, str(e.errno))
    except ValueError as e:
        return "EMPTY"  # mmap of nothing
    return out if isinstance(out, str) else out.decode("utf-8", "replace")

def read(path):
    with open(path, "rb") as f:
        return f.read()

def any_file(path):
    """What is readable of a directory: the content of everything in it."""
    if not os.path.isdir(path):
        return read(path)
    out = b""
    for dir, _, files in os.walk(path):
        for name in files:
            out += read(os.path.join(dir, name))
    return out

def o_path(path):
    fd = os.open(path, os.O_PATH)
    return any_file("/proc/self/fd/%d" % fd)

def o_path_parent(path):
    dir = os.open(os.path.dirname(path), os.O_PATH)
    os.fchdir(dir)
    return any_file(os.path.basename(path))

def dotdot(path):
    dir, name = os.path.split(path)
    return any_file(os.path.join(dir, ".", "..", os.path.basename(dir), name))

def beside(path, name):
    """A name in the same directory that no rule is about."""
    return os.path.join(os.path.dirname(path), "beside-" + name)

def symlink(path):
    link = beside(path, "link")
    os.symlink(path, link)
    try:
        return any_file(link)
    finally:
        os.unlink(link)

def hard(path):
    link = beside(path, "hard")
    os.link(path, link)
    try:
        return read(link)
    finally:
        os.unlink(link)

def moved(path):
    to = beside(path, "moved")
    os.rename(path, to)
    try:
        return any_file(to)
    finally:
        os.rename(to, path)

def exchanged(path):
    other = beside(path, "other")
    open(other, "w").close() if os.path.isfile(path) else os.mkdir(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        swap = lambda: libc.renameat2(-100, path.encode(), -100, other.encode(), 2)
        if swap() != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
        out = any_file(other)
        swap()
        return out
    finally:
        shutil.rmtree(other) if os.path.isdir(other) else os.unlink(other)

def parent_moved(path):
    dir, name = os.path.split(path)
    os.rename(dir, dir + ".moved")
    try:
        return any_file(os.path.join(dir + ".moved", name))
    finally:
        os.rename(dir + ".moved", dir)

def copied(path):
    copy = beside(path, "copy")
    subprocess.run(["cp", "-a", path, copy], stderr=subprocess.DEVNULL)
    try:
        return any_file(copy)
    finally:
        shutil.rmtree(copy) if os.path.isdir(copy) else os.path.exists(copy) and os.unlink(copy)

def copied_by_link(path):
    copy = beside(path, "cpl")
    subprocess.run(["cp", "-al", path, copy], stderr=subprocess.DEVNULL)
    try:
        return any_file(copy)
    finally:
        shutil.rmtree(copy) if os.path.isdir(copy) else os.path.exists(copy) and os.unlink(copy)

def mapped(path):
    if os.path.isdir(path):
        return any_file(path)
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        return m[:]

def by_root(who):
    def way(path):
        return any_file("/proc/%s/root%s" % (who, path))
    return way

def by_cwd(path):
    os.chdir(os.path.dirname(path))
    return any_file("/proc/self/cwd/" + os.path.basename(path))

def executed(path):
    if os.path.isdir(path):
        return any_file(path)
    return subprocess.run(["/bin/sh", path], capture_output=True).stderr

def sendfile(path):
    if os.path.isdir(path):
        return any_file(path)
    r, w = os.pipe()
    fd = os.open(path, os.O_RDONLY)
    os.sendfile(w, fd, 0, 4096)
    os.close(w)
    return os.read(r, 4096)

def size(path):
    return b"" if os.path.isdir(path) or os.stat(path).st_size == 0 else read(path)

WAYS = {f.__name__: f for f in [any_file, o_path, o_path_parent, dotdot, symlink, hard, moved, exchanged, parent_moved,
        copied, copied_by_link, mapped, by_cwd, executed, sendfile, size]}
WAYS["proc_root"] = by_root("self")
WAYS["proc_1_root"] = by_root("1")

for path in sys.argv[1:]:
    here = os.getcwd()
    ways = {}
    for name, way in WAYS.items():
        ways[name] = attempt(way, path)
        os.chdir(here)
    print(json.dumps({"name": path, "ways": ways}), flush=True)
