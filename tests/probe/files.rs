//! Operations on files.

use crate::raw::{Args, number, sys};
use crate::{Answer, At, last, refused, usage};
use serde_json::{Value, json};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

pub(crate) fn run(op: &str, args: &Args<'_>) -> Option<Answer> {
    Some(match op {
        "read" => read(args),
        "may" => may(args),
        "write" => write(OpenOptions::new().write(true), args),
        "append" => write(OpenOptions::new().append(true), args),
        "create" => create(args),
        "unlink" => none(fs::remove_file(args.os(0)), "unlink"),
        "rmdir" => none(fs::remove_dir(args.os(0)), "rmdir"),
        "mkdir" => none(fs::create_dir(args.os(0)), "mkdir"),
        "rename" => none(fs::rename(args.os(0), args.os(1)), "rename"),
        "link" => none(fs::hard_link(args.os(0), args.os(1)), "link"),
        "symlink" => none(
            std::os::unix::fs::symlink(args.os(0), args.os(1)),
            "symlink",
        ),
        "truncate" => none(
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(args.os(0))
                .map(drop),
            "truncate",
        ),
        "stat" => stat(fs::metadata(args.os(0)), "stat"),
        "lstat" => stat(fs::symlink_metadata(args.os(0)), "lstat"),
        "readlink" => fs::read_link(args.os(0))
            .at("readlink")
            .map(|to| json!({"to": to.to_string_lossy()})),
        "listdir" => listdir(Path::new(args.os(0))),
        "open" => open(args).map(|_| Value::Null),
        "open-write-fd" => open_write_fd(args),
        "chmod" => at_call(libc::SYS_fchmodat, args, args.num(0)),
        "chmod2" => at_call(crate::raw::FCHMODAT2, args, args.num(0)),
        "fchmod" => fchmod(args),
        "chown" => none(
            std::os::unix::fs::chown(
                args.os(2),
                u32::try_from(args.num(0)).ok(),
                u32::try_from(args.num(1)).ok(),
            ),
            "chown",
        ),
        "mknod" => mknod(args),
        "utime" => with_path(libc::SYS_utimensat, &args.c(0), [0, 0]),
        "setxattr" => setxattr(args),
        "reopen" => reopen(args),
        "opath-fchdir" => opath_fchdir(args),
        "fd-read-at" => fd_read_at(args),
        "handle-open" => handle_open(args),
        "flood-file" => flood_file(args),
        "exec" => exec(args),
        "memfd-exec" => memfd_exec(args),
        "exec-copy" => exec_copy(args),
        _ => return None,
    })
}

fn none(result: std::io::Result<()>, at: &str) -> Answer {
    result.at(at).map(|()| Value::Null)
}

fn contents(mut file: impl Read) -> Answer {
    let mut bytes = vec![0; 4096];
    let count = file.read(&mut bytes).at("read")?;
    bytes.truncate(count);
    Ok(json!({"size": count, "text": String::from_utf8_lossy(&bytes)}))
}

/// At most the first 4096 bytes.
/// `may read|write|exec PATH`: can it be done? What is made is taken away again. Says also whether what is there is the stub of
/// a refused program, and how many bytes of it can be read.
fn may(args: &Args<'_>) -> Answer {
    const AT_EXECVE_CHECK: i32 = 0x10000;
    let path = Path::new(args.os(1));
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    match args.text(0) {
        "read" => {
            let mut head = Vec::new();
            let mut file = OpenOptions::new()
                .read(true)
                .custom_flags(flags)
                .open(path)
                .at("open")?;
            if file.metadata().at("fstat")?.is_file() {
                let _ = (&mut file).take(32).read_to_end(&mut head);
            }
            let stub = head.starts_with(b"#!/run/agentbox/agentbox ");
            Ok(json!({"stub": stub, "bytes": head.len()}))
        }
        "write" => {
            let is_dir = fs::metadata(path).is_ok_and(|m| m.is_dir());
            let new = path.join(format!(".may.{}", std::process::id()));
            let path = if is_dir { &new } else { path };
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags(flags)
                .open(path);
            match opened {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    OpenOptions::new()
                        .write(true)
                        .create(true)
                        .truncate(false)
                        .open(path)
                        .at("create")?;
                    // By a link that led nowhere the file is made where that leads.
                    let made = fs::canonicalize(path).at("realpath")?;
                    none(fs::remove_file(made), "unlink")
                }
                other => none(other.map(drop), "open"),
            }
        }
        _ => {
            let path = args.c(1);
            let none = [std::ptr::null::<libc::c_char>()];
            // SAFETY: a C string and two empty, terminated arrays, all of which outlive the call; with AT_EXECVE_CHECK nothing
            // is executed.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    none.as_ptr(),
                    none.as_ptr(),
                    AT_EXECVE_CHECK,
                )
            };
            if done != 0 {
                return last("execveat");
            }
            Ok(Value::Null)
        }
    }
}

fn read(args: &Args<'_>) -> Answer {
    contents(File::open(args.os(0)).at("open")?)
}

fn write(options: &OpenOptions, args: &Args<'_>) -> Answer {
    let mut file = options.open(args.os(0)).at("open")?;
    let text = if args.len() > 1 { args.text(1) } else { "x" };
    none(file.write_all(text.as_bytes()), "write")
}

/// `create PATH [MODE]`: must not exist.
fn create(args: &Args<'_>) -> Answer {
    let mode = u32::try_from(args.num_or(1, 0o644)).unwrap();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(args.os(0))
        .at("open")?;
    Ok(Value::Null)
}

fn stat(meta: std::io::Result<fs::Metadata>, at: &str) -> Answer {
    let meta = meta.at(at)?;
    Ok(
        json!({"mode": meta.mode(), "uid": meta.uid(), "gid": meta.gid(), "size": meta.size(),
        "dev": meta.dev(), "ino": meta.ino(), "nlink": meta.nlink(), "rdev": meta.rdev()}),
    )
}

fn listdir(path: &Path) -> Answer {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).at("open")? {
        names.push(
            entry
                .at("getdents")?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(json!({"names": names}))
}

fn flags(text: &str) -> i32 {
    text.split(',').fold(0, |flags, name| {
        flags
            | match name {
                "rdonly" => libc::O_RDONLY,
                "wronly" => libc::O_WRONLY,
                "rdwr" => libc::O_RDWR,
                "creat" => libc::O_CREAT,
                "excl" => libc::O_EXCL,
                "trunc" => libc::O_TRUNC,
                "append" => libc::O_APPEND,
                "path" => libc::O_PATH,
                "directory" => libc::O_DIRECTORY,
                "nofollow" => libc::O_NOFOLLOW,
                "tmpfile" => libc::O_TMPFILE,
                "nonblock" => libc::O_NONBLOCK,
                "noctty" => libc::O_NOCTTY,
                other => i32::try_from(number(other)).unwrap(),
            }
    })
}

/// `open PATH FLAG,FLAG [MODE]`.
fn open(args: &Args<'_>) -> Result<OwnedFd, crate::Refused> {
    let (path, flags) = (args.c(0), flags(args.text(1)));
    let mode = u32::try_from(args.num_or(2, 0o644)).unwrap();
    // SAFETY: `path` is a C string that lives for the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags, mode) };
    if fd < 0 {
        return last("open");
    }
    // SAFETY: the descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `open-write-fd PATH FLAGS TEXT`: opens and then writes TEXT.
fn open_write_fd(args: &Args<'_>) -> Answer {
    let flags = flags(args.text(1));
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(flags & !libc::O_ACCMODE)
        .open(args.os(0))
        .at("open")?;
    none(file.write_all(args.text(2).as_bytes()), "write")
}

fn with_path(nr: i64, path: &CString, more: [usize; 2]) -> Answer {
    let [a, b] = more;
    let dirfd = usize::MAX - 99; // AT_FDCWD
    sys(nr, [dirfd, path.as_ptr() as usize, a, b, 0, 0])?;
    Ok(Value::Null)
}

/// `chmod MODE PATH`, by the call of that number.
fn at_call(nr: i64, args: &Args<'_>, mode: i64) -> Answer {
    with_path(nr, &args.c(1), [usize::try_from(mode).unwrap(), 0])
}

/// `fchmod MODE PATH`.
fn fchmod(args: &Args<'_>) -> Answer {
    let file = File::open(args.os(1)).at("open")?;
    let mode = usize::try_from(args.num(0)).unwrap();
    let fd = usize::try_from(file.as_raw_fd()).unwrap();
    sys(libc::SYS_fchmod, [fd, mode, 0, 0, 0, 0])?;
    Ok(Value::Null)
}

/// `mknod PATH c|b|p|s|f MAJOR MINOR [MODE]`.
fn mknod(args: &Args<'_>) -> Answer {
    let kind = match args.text(1) {
        "c" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        "s" => libc::S_IFSOCK,
        "f" => libc::S_IFREG,
        _ => usage("mknod: c, b, p, s or f"),
    };
    let number = |i| u32::try_from(args.num_or(i, 0)).unwrap();
    let dev = libc::makedev(number(2), number(3));
    let mode = kind | u32::try_from(args.num_or(4, 0o600)).unwrap();
    let more = [
        usize::try_from(mode).unwrap(),
        usize::try_from(dev).unwrap(),
    ];
    with_path(libc::SYS_mknodat, &args.c(0), more)
}

/// `setxattr PATH NAME VALUE`.
fn setxattr(args: &Args<'_>) -> Answer {
    let (path, name, value) = (args.c(0), args.c(1), args.c(2));
    let [p, n, v] = [&path, &name, &value].map(|s| s.as_ptr() as usize);
    let size = value.as_bytes().len();
    sys(libc::SYS_setxattr, [p, n, v, size, 0, 0])?;
    Ok(Value::Null)
}

/// `reopen PATH FLAGS`: opens with O_PATH, then again through /proc/self/fd.
fn reopen(args: &Args<'_>) -> Answer {
    let fd = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(args.os(0))
        .at("open O_PATH")?;
    let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let words = [again.into(), args.os(1).to_owned()];
    let fd = open(&Args::new(&words))?;
    if flags(args.text(1)) & libc::O_ACCMODE == libc::O_RDONLY {
        return contents(File::from(fd));
    }
    Ok(Value::Null)
}

/// `opath-fchdir PATH`: opens a directory with O_PATH, makes it the current one, lists `.` and says what it is called.
fn opath_fchdir(args: &Args<'_>) -> Answer {
    let fd = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(args.os(0))
        .at("open O_PATH")?;
    nix::unistd::fchdir(&fd).at("fchdir")?;
    let mut answer = listdir(Path::new("."))?;
    answer["cwd"] = std::env::current_dir().map_or(Value::Null, |d| d.to_string_lossy().into());
    Ok(answer)
}

/// `fd-read-at FD PATH`: openat(2) below a descriptor that was inherited.
fn fd_read_at(args: &Args<'_>) -> Answer {
    let (fd, path) = (args.num(0), args.c(1));
    let fd = usize::try_from(fd).unwrap();
    let new = sys(libc::SYS_openat, [fd, path.as_ptr() as usize, 0, 0, 0, 0])?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    contents(unsafe { File::from_raw_fd(i32::try_from(new).unwrap()) })
}

/// `handle-open DIR PATH`: name_to_handle_at(2) of PATH, then open_by_handle_at(2) with DIR as the mount (the shocker
/// exploit of 2014).
fn handle_open(args: &Args<'_>) -> Answer {
    let mount = File::open(args.os(0)).at("open")?;
    let path = args.c(1);
    let mut handle = [0u8; 8 + 128];
    handle[0] = 128;
    let mut mount_id = 0i32;
    let (h, m) = (handle.as_mut_ptr() as usize, (&raw mut mount_id) as usize);
    let cwd = usize::MAX - 99;
    sys(
        libc::SYS_name_to_handle_at,
        [cwd, path.as_ptr() as usize, h, m, 0, 0],
    )?;
    let fd = usize::try_from(mount.as_raw_fd()).unwrap();
    let new = sys(libc::SYS_open_by_handle_at, [fd, h, 0, 0, 0, 0])?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    contents(unsafe { File::from_raw_fd(i32::try_from(new).unwrap()) })
}

/// `flood-file PATH BYTES`: writes until BYTES are there or the kernel refuses; says how many were written.
fn flood_file(args: &Args<'_>) -> Answer {
    let mut file = File::create(args.os(0)).at("open")?;
    let (block, want) = (vec![0u8; 1 << 20], u64::try_from(args.num(1)).unwrap());
    let mut written = 0u64;
    while written < want {
        match file.write(&block) {
            Ok(count) => written += count as u64,
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                return Ok(json!({"written": written, "errno": errno}));
            }
        }
    }
    Ok(json!({"written": written, "errno": 0}))
}

fn spawn(program: &Path, args: &Args<'_>, from: usize) -> Answer {
    let output = std::process::Command::new(program)
        .args(args.rest(from))
        .output()
        .at("execve")?;
    Ok(
        json!({"status": output.status.code(), "stdout": String::from_utf8_lossy(&output.stdout),
        "stderr": String::from_utf8_lossy(&output.stderr)}),
    )
}

/// `exec PATH ARG...`.
fn exec(args: &Args<'_>) -> Answer {
    spawn(Path::new(args.os(0)), args, 1)
}

/// `memfd-exec PATH ARG...`: copies a program into a memfd and executes that.
fn memfd_exec(args: &Args<'_>) -> Answer {
    let bytes = fs::read(args.os(0)).at("read")?;
    let fd =
        nix::sys::memfd::memfd_create(c"copy", nix::sys::memfd::MFdFlags::empty()).at("memfd")?;
    let mut file = File::from(fd);
    file.write_all(&bytes).at("write")?;
    spawn(
        Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())),
        args,
        1,
    )
}

/// `exec-copy FROM TO ARG...`: copies a program and executes the copy.
fn exec_copy(args: &Args<'_>) -> Answer {
    if args.os(1).as_bytes().is_empty() {
        return refused(libc::ENOENT, "copy");
    }
    fs::copy(args.os(0), args.os(1)).at("copy")?;
    spawn(Path::new(args.os(1)), args, 2)
}
