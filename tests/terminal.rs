//! The terminal client on a real pseudo-terminal, as a job of a small job-control shell. The test itself plays the supervisor.
//!
//! ```text
//! test ── forks ── shell (session leader of the pty) ── forks ── client::run (a job with its own process group)
//! ```
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

use agentbox::launch::channel::{self, Channel};
use agentbox::launch::message::{FromClient, SignalTo, ToClient};
use agentbox::launch::pty::{HostTerminal, make_controlling};
use agentbox::supervise::client::{self, ClientLink, Signals};
use agentbox::sys::tty::{self, Winsize};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::termios::{
    InputFlags, LocalFlags, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Pid, fork, getpgrp, getpid, read, setpgid, setsid, tcgetpgrp, tcsetpgrp, write,
};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(10);

/// What the little shell says of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Stopped(i32),
    Exited(i32),
    Signaled(i32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Foreground,
    Background,
    /// In the foreground, with another process in the group: a pipeline's next, or a script around agentbox.
    Pipeline,
    /// In the group of the session's leader, which no shell looks after: the entrypoint of a container.
    Alone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Streams {
    Terminal,
    /// A terminal that cannot be opened again, as after su(1). Root can all the same: it matters in the run as a user.
    Unopenable,
    StdinPipe,
    StdoutPipe,
}

struct World {
    /// The person at the terminal.
    host: OwnedFd,
    /// Kept open, to look at what a shell would read next.
    slave: OwnedFd,
    control: Option<Channel>,
    data: Option<UnixStream>,
    shell: Pid,
    client: Pid,
    /// The shell has seen its end: by now the number may be another's.
    over: bool,
    /// From and to the shell.
    words: UnixStream,
    before: Termios,
    /// The far end of a redirected stdin or stdout.
    pipe: Option<OwnedFd>,
}

fn start(place: Place, streams: Streams) -> World {
    let pty = nix::pty::openpty(None, None).unwrap();
    let size = Winsize {
        rows: 24,
        cols: 80,
        ..Winsize::default()
    };
    tty::set_window_size(pty.master.as_fd(), size).unwrap();
    if streams == Streams::Unopenable {
        nix::sys::stat::fchmod(&pty.slave, nix::sys::stat::Mode::empty()).unwrap();
    }
    let before = tcgetattr(&pty.slave).unwrap();
    let (control, theirs) = channel::pair().unwrap();
    let (data, their_data) = UnixStream::pair().unwrap();
    let (mut words, shell_words) = UnixStream::pair().unwrap();
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (stdin, stdout, far) = match streams {
        Streams::Terminal | Streams::Unopenable => (&pty.slave, &pty.slave, None),
        Streams::StdinPipe => (&reader, &pty.slave, Some(writer.try_clone().unwrap())),
        Streams::StdoutPipe => (&pty.slave, &writer, Some(reader.try_clone().unwrap())),
    };
    // SAFETY: the child runs only code of this test and of the library and leaves by _exit; glibc keeps its allocator usable
    // in the child of a process with threads.
    let shell = match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            nix::unistd::dup2_stdin(stdin).unwrap();
            nix::unistd::dup2_stdout(stdout).unwrap();
            nix::unistd::dup2_stderr(&pty.slave).unwrap();
            setsid().unwrap();
            make_controlling(pty.slave.as_fd()).unwrap();
            // As at a real start: the client has its ends and nothing else, in particular nothing of tests beside this one.
            let keep = [
                shell_words.as_raw_fd(),
                pty.slave.as_raw_fd(),
                theirs.as_fd().as_raw_fd(),
                their_data.as_raw_fd(),
            ];
            for fd in (3..1024).filter(|fd| !keep.contains(fd)) {
                let _ = nix::unistd::close(fd);
            }
            // What is said is compared byte for byte; colours have tests of their own (manners.rs).
            // SAFETY: this child has one thread, and nobody reads the environment beside it.
            unsafe { std::env::set_var("NO_COLOR", "1") };
            shell_main(place, shell_words, pty.slave, theirs, their_data)
        }
    };
    drop((theirs, their_data, shell_words, reader, writer));
    words.set_read_timeout(Some(LONG)).unwrap();
    data.set_read_timeout(Some(LONG)).unwrap();
    let mut pid = [0; 4];
    words.read_exact(&mut pid).unwrap();
    let client = Pid::from_raw(i32::from_ne_bytes(pid));
    let end = Instant::now() + LONG;
    while matches!(place, Place::Foreground | Place::Pipeline)
        && tcgetpgrp(&pty.master) != Ok(client)
    {
        assert!(Instant::now() < end, "the job never gets the terminal");
        std::thread::sleep(Duration::from_millis(1));
    }
    World {
        host: pty.master,
        slave: pty.slave,
        control: Some(control),
        data: Some(data),
        shell,
        client,
        over: false,
        words,
        before,
        pipe: far,
    }
}

/// A shell of one job: tells each change of it, and continues it when told to.
fn shell_main(
    place: Place,
    mut words: UnixStream,
    tty: OwnedFd,
    control: Channel,
    data: UnixStream,
) -> ! {
    let mut ttou = SigSet::empty();
    ttou.add(Signal::SIGTTOU);
    ttou.thread_block().unwrap();
    // Before the fork, so that no signal of a test comes too early.
    let signals = Signals::block().unwrap();
    // SAFETY: as above; this process has a single thread.
    let job = match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let own = getpid();
            if place != Place::Alone {
                setpgid(own, own).unwrap();
            } else {
                tcsetpgrp(&tty, getpgrp()).unwrap();
            }
            if matches!(place, Place::Foreground | Place::Pipeline) {
                tcsetpgrp(&tty, own).unwrap();
            }
            ttou.thread_unblock().unwrap();
            drop((tty, words));
            if place == Place::Pipeline {
                // SAFETY: as above; it only waits, and dies with its parent.
                if let ForkResult::Child = unsafe { fork() }.unwrap() {
                    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
                    signals.before().thread_set_mask().unwrap();
                    loop {
                        nix::unistd::pause();
                    }
                }
            }
            let terminal = HostTerminal::capture();
            let end = client::run(ClientLink {
                control,
                role: client::Role::Owner,
                data: Some(data.into()),
                signals,
                terminal,
                nursery: None,
                supervisor: None,
            });
            // SAFETY: _exit takes a number and does not return.
            unsafe { libc::_exit(i32::from(end.status())) }
        }
    };
    drop((control, data));
    if place != Place::Alone {
        let _ = setpgid(job, job);
    }
    words.write_all(&job.as_raw().to_ne_bytes()).unwrap();
    loop {
        let (kind, number) = match waitpid(job, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(_, signal)) => (b's', signal as i32),
            Ok(WaitStatus::Exited(_, code)) => (b'e', code),
            Ok(WaitStatus::Signaled(_, signal, _)) => (b'k', signal as i32),
            _ => continue,
        };
        if kind == b's' {
            tcsetpgrp(&tty, getpid()).unwrap();
        }
        let told = words.write_all(&[kind, number as u8]);
        let mut order = [0];
        if kind == b's' && told.is_ok() && words.read_exact(&mut order).is_ok() {
            if order[0] == b'f' {
                tcsetpgrp(&tty, job).unwrap();
            }
            killpg(job, Signal::SIGCONT).unwrap();
            // `fg` of a job that runs: it gets the terminal and no signal.
            if order[0] == b'b' && words.read_exact(&mut order).is_ok() {
                tcsetpgrp(&tty, job).unwrap();
            }
        } else {
            // SAFETY: _exit takes a number and does not return.
            unsafe { libc::_exit(0) }
        }
    }
}

impl World {
    fn say(&self, message: &ToClient) {
        self.control.as_ref().unwrap().send(message, &[]).unwrap();
    }

    fn hear(&self) -> FromClient {
        let control = self.control.as_ref().unwrap();
        assert!(readable(control, LONG), "the client says nothing");
        control.recv().unwrap().unwrap().0
    }

    fn hears_nothing(&self) -> bool {
        !readable(self.control.as_ref().unwrap(), Duration::from_millis(150))
    }

    fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.slave).unwrap();
        !now.local_flags.contains(LocalFlags::ICANON)
    }

    fn until_raw(&self, raw: bool) {
        let end = Instant::now() + LONG;
        while self.is_raw() != raw {
            assert!(Instant::now() < end, "raw mode is not {raw}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn started(&self) {
        self.say(&ToClient::Started { pty: true });
        self.until_raw(true);
    }

    fn restored(&self) {
        let now = tcgetattr(&self.slave).unwrap();
        assert_eq!(now, self.before, "the terminal is not as it was");
    }

    /// What is typed can be read at once, as a shell's line editor has it.
    fn reads_raw(&self) {
        let mut raw = self.before.clone();
        nix::sys::termios::cfmakeraw(&mut raw);
        tcsetattr(&self.slave, SetArg::TCSANOW, &raw).unwrap();
    }

    fn job(&mut self) -> Job {
        let mut word = [0; 2];
        self.words
            .read_exact(&mut word)
            .expect("the shell is silent");
        let number = i32::from(word[1]);
        self.over |= word[0] != b's';
        match word[0] {
            b's' => Job::Stopped(number),
            b'e' => Job::Exited(number),
            _ => Job::Signaled(number),
        }
    }

    /// What the person sees within the time, up to `len` bytes.
    fn sees(&self, len: usize) -> Vec<u8> {
        let (mut all, mut buf) = (Vec::new(), [0; 4096]);
        while all.len() < len && readable(&self.host, LONG) {
            match read(&self.host, &mut buf) {
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(_) => break,
            }
        }
        all
    }

    fn sees_now(&self) -> Vec<u8> {
        let (mut all, mut buf) = (Vec::new(), [0; 4096]);
        while readable(&self.host, Duration::from_millis(50)) {
            match read(&self.host, &mut buf) {
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(_) => break,
            }
        }
        all
    }

    fn shows(&self, bytes: &[u8]) {
        self.data.as_ref().unwrap().write_all_to(bytes);
    }

    fn ends(&mut self, status: u8) -> Job {
        self.data = None;
        self.say(&ToClient::Ended { status });
        self.job()
    }
}

trait WriteAll {
    fn write_all_to(&self, bytes: &[u8]);
}

impl WriteAll for UnixStream {
    fn write_all_to(&self, bytes: &[u8]) {
        let mut stream = self;
        stream.write_all(bytes).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.over {
            let _ = kill(self.client, Signal::SIGKILL);
        }
        let _ = kill(self.shell, Signal::SIGKILL);
        let _ = waitpid(self.shell, None);
    }
}

fn readable(fd: &impl AsFd, patience: Duration) -> bool {
    let mut set = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut set, patience.as_millis() as u16).unwrap() > 0
}

#[test]
fn raw_mode_is_put_back_at_every_end() {
    // Ended: all output is shown first.
    let mut world = start(Place::Foreground, Streams::Terminal);
    assert!(!world.is_raw(), "raw before the command runs");
    world.started();
    let raw = tcgetattr(&world.slave).unwrap();
    assert!(
        !raw.local_flags
            .intersects(LocalFlags::ISIG | LocalFlags::ECHO)
    );
    assert!(!raw.input_flags.contains(InputFlags::IXON));
    assert!(!raw.output_flags.contains(OutputFlags::OPOST));
    world.shows(b"last words\n");
    assert_eq!(world.ends(3), Job::Exited(3));
    assert_eq!(world.sees_now(), b"last words\n");
    world.restored();

    // The supervisor is killed.
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    world.shows(b"x");
    world.data = None;
    world.control = None;
    assert_eq!(world.job(), Job::Exited(137));
    let seen = String::from_utf8(world.sees_now()).unwrap();
    assert!(
        seen.starts_with("x\r\n\u{1b}[Jagentbox: the supervisor is gone"),
        "{seen:?}"
    );
    world.restored();

    // SIGTERM: forwarded, twice if it comes twice; the end is the supervisor's.
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    for _ in 0..2 {
        kill(world.client, Signal::SIGTERM).unwrap();
        let term = FromClient::Signal {
            signal: libc::SIGTERM,
            to: SignalTo::Command,
        };
        assert_eq!(world.hear(), term);
    }
    assert!(world.is_raw());
    assert_eq!(world.ends(143), Job::Exited(143));
    world.restored();
}

#[test]
fn a_message_that_makes_no_sense_ends_the_client_and_not_the_terminal() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    world
        .control
        .as_ref()
        .unwrap()
        .send(&"nonsense", &[])
        .unwrap();
    assert_eq!(world.job(), Job::Exited(137));
    world.restored();
}

#[test]
fn keys_pass_as_bytes_and_the_window_size_as_a_message() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    let keys = b"\x03\x1a\x1c\x11\x13\x04\x7f\r\n\xff\xc3\xa9\x1b[200~paste\x1b[201~\x1b[97;5u";
    write(&world.host, keys).unwrap();
    let mut got = vec![0; keys.len()];
    world.data.as_mut().unwrap().read_exact(&mut got).unwrap();
    assert_eq!(got, keys);
    assert!(world.hears_nothing(), "a key became a signal");

    tty::set_window_size(
        world.host.as_fd(),
        Winsize {
            rows: 50,
            cols: 132,
            xpixel: 3,
            ypixel: 4,
        },
    )
    .unwrap();
    let resize = FromClient::Resize {
        rows: 50,
        cols: 132,
        xpixel: 3,
        ypixel: 4,
    };
    assert_eq!(world.hear(), resize);
    assert_eq!(world.ends(0), Job::Exited(0));
}

#[test]
fn ten_megabytes_reach_a_slow_terminal_byte_for_byte() {
    megabytes_arrive(Streams::Terminal, 10);
}

#[test]
fn one_megabyte_reaches_a_terminal_that_cannot_be_opened_again() {
    megabytes_arrive(Streams::Unopenable, 1);
}

fn megabytes_arrive(streams: Streams, count: usize) {
    let mut world = start(Place::Foreground, streams);
    world.started();
    let sent: Vec<u8> = (0..count * 1024 * 1024)
        .map(|i| (i * 31 % 251) as u8)
        .collect();
    let expected = sent.clone();
    let mut data = world.data.take().unwrap();
    let writer = std::thread::spawn(move || data.write_all(&sent).unwrap());
    let (mut all, mut buf) = (Vec::new(), [0; 65536]);
    while all.len() < expected.len() {
        assert!(readable(&world.host, LONG), "{} bytes came", all.len());
        let n = read(&world.host, &mut buf).unwrap();
        all.extend_from_slice(&buf[..n]);
        if all.len() % 97 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    assert!(all == expected, "bytes were lost or changed");
    writer.join().unwrap();
    assert_eq!(world.ends(0), Job::Exited(0));
}

#[test]
fn the_client_stops_with_the_command_and_goes_on_with_it() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    for round in 0..2 {
        // What the command wrote before it stopped is on the screen before the shell's prompt.
        world.shows(b"\x1b[?1049lbye");
        world.say(&ToClient::Stopped {
            signal: libc::SIGTSTP,
        });
        assert_eq!(world.job(), Job::Stopped(libc::SIGTSTP), "round {round}");
        world.restored();
        assert_eq!(world.sees(11), b"\x1b[?1049lbye");
        // Nothing is read or said while it is stopped.
        assert!(world.hears_nothing());
        world.words.write_all(b"f").unwrap();
        let first = world.hear();
        assert!(
            matches!(first, FromClient::Resize { rows: 24, .. }),
            "{first:?}"
        );
        assert_eq!(world.hear(), FromClient::Continued);
        assert!(world.hears_nothing(), "said twice");
        world.until_raw(true);
    }
    assert_eq!(world.ends(0), Job::Exited(0));
    world.restored();
}

#[test]
fn a_key_stops_the_whole_job_and_a_signal_to_the_client_only_the_client() {
    let mut world = start(Place::Pipeline, Streams::Terminal);
    world.started();
    let sibling = sibling(world.client);
    let stopped = || stat(sibling).unwrap()[0] == "T";
    // By kill(1): outside only that one process would stop.
    kill(world.client, Signal::SIGTSTP).unwrap();
    let expected = FromClient::Signal {
        signal: libc::SIGTSTP,
        to: SignalTo::Command,
    };
    assert_eq!(world.hear(), expected);
    let stop = ToClient::Stopped {
        signal: libc::SIGTSTP,
    };
    world.say(&stop);
    assert_eq!(world.job(), Job::Stopped(libc::SIGTSTP));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!stopped());
    world.words.write_all(b"f").unwrap();
    assert!(matches!(world.hear(), FromClient::Resize { .. }));
    assert_eq!(world.hear(), FromClient::Continued);
    world.until_raw(true);
    // By the key, which in raw mode only the box has seen.
    world.say(&stop);
    assert_eq!(world.job(), Job::Stopped(libc::SIGTSTP));
    let end = Instant::now() + LONG;
    while !stopped() {
        assert!(Instant::now() < end, "the rest of the job runs on");
        std::thread::sleep(Duration::from_millis(2));
    }
    world.words.write_all(b"f").unwrap();
    assert_eq!(world.ends(0), Job::Exited(0));
}

/// The other process of the client's group.
fn sibling(client: Pid) -> Pid {
    let processes = std::fs::read_dir("/proc").unwrap();
    let mut pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let found = pids.find(|&pid: &i32| {
        pid != client.as_raw()
            && stat(Pid::from_raw(pid)).is_some_and(|fields| fields[2] == client.to_string())
    });
    Pid::from_raw(found.expect("no other process in the group"))
}

#[test]
fn where_no_shell_could_continue_it_it_does_not_stop() {
    for signal in [libc::SIGTSTP, libc::SIGSTOP] {
        let mut world = start(Place::Alone, Streams::Terminal);
        world.started();
        world.say(&ToClient::Stopped { signal });
        assert!(matches!(world.hear(), FromClient::Resize { .. }));
        assert_eq!(world.hear(), FromClient::Continued);
        world.until_raw(true);
        assert_eq!(world.ends(0), Job::Exited(0));
        world.restored();
    }
}

#[test]
fn a_stop_that_nobody_announced_is_survived() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    kill(world.client, Signal::SIGSTOP).unwrap();
    assert_eq!(world.job(), Job::Stopped(libc::SIGSTOP));
    // The shell puts its own settings in place.
    tcsetattr(&world.slave, SetArg::TCSANOW, &world.before).unwrap();
    world.words.write_all(b"f").unwrap();
    world.until_raw(true);
    assert!(matches!(world.hear(), FromClient::Resize { .. }));
    assert_eq!(world.hear(), FromClient::Continued);
    assert_eq!(world.ends(0), Job::Exited(0));
    world.restored();
}

#[test]
fn continued_in_the_background_it_leaves_the_terminal_alone_until_it_is_its_turn() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    world.say(&ToClient::Stopped {
        signal: libc::SIGTSTP,
    });
    assert_eq!(world.job(), Job::Stopped(libc::SIGTSTP));
    world.words.write_all(b"b").unwrap();
    assert!(matches!(world.hear(), FromClient::Resize { .. }));
    assert_eq!(world.hear(), FromClient::Continued);
    world.restored();
    // What is typed now is for the shell.
    write(&world.host, b"ls\n").unwrap();
    assert!(!readable(
        world.data.as_ref().unwrap(),
        Duration::from_millis(150)
    ));
    assert!(!world.is_raw());
    // `fg` of a running job tells it nothing but gives it the terminal; the next output or key makes it ours.
    world.words.write_all(b"F").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    world.shows(b"prompt");
    world.until_raw(true);
    assert_eq!(world.ends(0), Job::Exited(0));
    world.restored();
}

#[test]
fn started_in_the_background_it_touches_nothing() {
    let mut world = start(Place::Background, Streams::Terminal);
    world.say(&ToClient::Started { pty: true });
    world.shows(b"building\n");
    // The terminal is cooked, as the shell left it: the newline is translated there.
    assert_eq!(world.sees(10), b"building\r\n");
    world.restored();
    write(&world.host, b"typed for the shell\n").unwrap();
    assert!(!readable(
        world.data.as_ref().unwrap(),
        Duration::from_millis(150)
    ));
    assert!(rests(world.client), "unread input keeps it awake");
    assert_eq!(world.ends(0), Job::Exited(0));
    world.restored();
}

#[test]
fn signals_are_told_apart_by_their_sender() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    // Cooked, since the command does not run yet: a key is a signal of the kernel to the foreground group.
    for (key, signal) in [(b"\x03", libc::SIGINT), (b"\x1c", libc::SIGQUIT)] {
        write(&world.host, key).unwrap();
        let expected = FromClient::Signal {
            signal,
            to: SignalTo::Foreground,
        };
        assert_eq!(world.hear(), expected);
    }
    world.started();
    for signal in [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGHUP,
    ] {
        kill(world.client, signal).unwrap();
        let expected = FromClient::Signal {
            signal: signal as i32,
            to: SignalTo::Command,
        };
        assert_eq!(world.hear(), expected);
    }
    assert!(world.is_raw());
    assert_eq!(world.ends(130), Job::Exited(130));
    world.restored();
}

#[test]
fn ctrl_z_on_pipes_is_passed_on_and_followed() {
    let mut world = start(Place::Foreground, Streams::StdinPipe);
    world.say(&ToClient::Started { pty: false });
    std::thread::sleep(Duration::from_millis(50));
    write(&world.host, b"\x1a").unwrap();
    let expected = FromClient::Signal {
        signal: libc::SIGTSTP,
        to: SignalTo::Foreground,
    };
    assert_eq!(world.hear(), expected);
    world.say(&ToClient::Stopped {
        signal: libc::SIGTSTP,
    });
    assert_eq!(world.job(), Job::Stopped(libc::SIGTSTP));
    world.words.write_all(b"f").unwrap();
    assert_eq!(world.hear(), FromClient::Continued);
    assert!(world.hears_nothing());
    assert_eq!(world.ends(0), Job::Exited(0));
}

#[test]
fn a_redirected_stdin_is_let_go_so_that_its_writer_learns_the_end() {
    let world = start(Place::Foreground, Streams::StdinPipe);
    let pipe = world.pipe.as_ref().unwrap();
    assert_eq!(write(pipe, b"before").unwrap(), 6);
    world.say(&ToClient::Started { pty: true });
    // Only the shell and the client had it; the shell has it for good, so look at the client's table.
    let stdin = format!("/proc/{}/fd/0", world.client);
    let end = Instant::now() + LONG;
    while std::fs::read_link(&stdin).unwrap() != std::path::Path::new("/dev/null") {
        assert!(Instant::now() < end, "stdin is still held");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(
        !world.is_raw(),
        "the keyboard is not ours when stdin is a pipe"
    );
    let stderr = std::fs::read_link(format!("/proc/{}/fd/2", world.client)).unwrap();
    assert_ne!(stderr, std::path::Path::new("/dev/null"));
}

#[test]
fn output_processing_stays_on_where_others_write_on_the_terminal() {
    let mut world = start(Place::Foreground, Streams::StdoutPipe);
    world.started();
    let raw = tcgetattr(&world.slave).unwrap();
    assert!(raw.output_flags.contains(OutputFlags::OPOST));
    // stdout is a pipe, so the pseudo-terminal's output goes to stderr's terminal.
    world.shows(b"a\n");
    assert_eq!(world.sees(3), b"a\r\n");
    assert_eq!(world.ends(0), Job::Exited(0));
    world.restored();
}

#[test]
fn what_a_killed_command_left_on_is_switched_off() {
    // (status, what follows the output)
    let rows: [(u8, &[u8]); 4] = [
        (137, b"\x1b[<1u\x1b[?2004l\x1b[?1049l\x1b[0m"),
        (124, b"\x1b[<1u\x1b[?2004l\x1b[?1049l\x1b[0m"),
        (0, b""),
        (1, b""),
    ];
    for (status, expected) in rows {
        let mut world = start(Place::Foreground, Streams::Terminal);
        world.started();
        let output = b"\x1b[?1049h\x1b[?2004h\x1b[>1u";
        world.shows(output);
        assert_eq!(world.ends(status), Job::Exited(i32::from(status)));
        assert_eq!(
            world.sees_now(),
            [output.as_slice(), expected].concat(),
            "{status}"
        );
        world.restored();
    }
}

/// A command has asked where the cursor is.
fn asked() -> World {
    let world = start(Place::Foreground, Streams::Terminal);
    world.started();
    world.shows(b"\x1b[6n");
    assert_eq!(world.sees(4), b"\x1b[6n");
    world
}

#[test]
fn a_late_answer_of_the_terminal_does_not_reach_the_shell() {
    let mut world = asked();
    world.data = None;
    world.say(&ToClient::Ended { status: 0 });
    std::thread::sleep(Duration::from_millis(60));
    write(&world.host, b"\x1b[5;1R").unwrap();
    assert_eq!(world.job(), Job::Exited(0));
    world.restored();
    // The shell reads next.
    world.reads_raw();
    assert!(!readable(&world.slave, Duration::from_millis(100)));
    // The twin: what is typed after the end does reach it.
    write(&world.host, b"ls").unwrap();
    assert!(readable(&world.slave, LONG));
}

/// A command asks where the cursor is and stops; `meanwhile` the terminal sends this. Then the shell reads.
fn stopped_with_a_question(meanwhile: impl FnOnce(&World)) -> World {
    let mut world = asked();
    world.say(&ToClient::Stopped {
        signal: libc::SIGTSTP,
    });
    meanwhile(&world);
    assert_eq!(world.job(), Job::Stopped(libc::SIGTSTP));
    world.restored();
    world.reads_raw();
    world
}

/// Continued, it goes on and ends.
fn goes_on(mut world: World) {
    tcsetattr(&world.slave, SetArg::TCSANOW, &world.before).unwrap();
    world.words.write_all(b"f").unwrap();
    assert!(matches!(world.hear(), FromClient::Resize { .. }));
    assert_eq!(world.hear(), FromClient::Continued);
    assert_eq!(world.ends(0), Job::Exited(0));
}

/// A terminal that does not answer: what was typed for a second after Ctrl-Z was read away, and of a line the rest was executed.
#[test]
fn what_is_typed_at_a_stop_is_not_taken_for_an_answer() {
    let world = stopped_with_a_question(|world| {
        // So many that a client without a turn does not find all of them at once.
        for key in b"ls -l *.rs" {
            std::thread::sleep(Duration::from_millis(60));
            write(&world.host, &[*key]).unwrap();
        }
    });
    assert!(
        readable(&world.slave, LONG),
        "what follows the first key is the shell's"
    );
    goes_on(world);
}

/// Nor where the command is stopped: the shell's next prompt had it as typed.
#[test]
fn an_answer_to_a_command_that_stopped_does_not_reach_the_shell() {
    let world = stopped_with_a_question(|world| {
        std::thread::sleep(Duration::from_millis(60));
        write(&world.host, b"\x1b[5;1R").unwrap();
    });
    assert!(!readable(&world.slave, Duration::from_millis(100)));
    // The twin: what is typed while it is stopped does reach the shell.
    write(&world.host, b"ls").unwrap();
    assert!(readable(&world.slave, LONG));
    goes_on(world);
}

#[test]
fn a_closed_terminal_is_told_once_and_waited_out() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    let host = std::mem::replace(
        &mut world.host,
        std::fs::File::open("/dev/null").unwrap().into(),
    );
    drop(host);
    let hup = world.hear();
    assert!(
        matches!(
            hup,
            FromClient::Signal {
                signal: libc::SIGHUP,
                ..
            }
        ),
        "{hup:?}"
    );
    assert!(world.hears_nothing(), "said twice");
    // Output goes nowhere without an error, and nothing spins.
    for _ in 0..40 {
        world.shows(&[b'x'; 50_000]);
    }
    let end = Instant::now() + LONG;
    loop {
        if rests(world.client) {
            break;
        }
        assert!(Instant::now() < end, "it never comes to rest");
    }
    world.data = None;
    world.say(&ToClient::Ended { status: 129 });
    // The shell died of the hang-up, so the client itself is watched.
    let end = Instant::now() + LONG;
    while kill(world.client, None) != Err(Errno::ESRCH) && !is_zombie(world.client) {
        assert!(Instant::now() < end, "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn nothing_happens_when_nothing_happens() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    world.started();
    std::thread::sleep(Duration::from_millis(50));
    assert!(rests(world.client), "it woke up");
    let switches = wakeups(world.client);
    // The twin: a key wakes it.
    write(&world.host, b"k").unwrap();
    let mut key = [0];
    world.data.as_mut().unwrap().read_exact(&mut key).unwrap();
    // A switch is counted when it goes to sleep again.
    let end = Instant::now() + LONG;
    while wakeups(world.client) == switches {
        assert!(Instant::now() < end, "wake-ups are not counted");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn messages_have_prefix_and_line_end_of_the_mode() {
    let mut world = start(Place::Foreground, Streams::Terminal);
    let say = |world: &World, line: &str| world.say(&ToClient::Say { line: line.into() });
    say(&world, "cooked\nsecond");
    let expected = b"agentbox: cooked\r\nagentbox: second\r\n";
    assert_eq!(world.sees(expected.len()), expected);
    world.started();
    say(&world, "raw\x1b[31m");
    let expected = b"agentbox: raw\\u{1b}[31m\r\n";
    assert_eq!(world.sees(expected.len()), expected);
    assert_eq!(world.ends(0), Job::Exited(0));
}

/// True if it does nothing for 400 ms. Both are needed: a process that spins is never counted as going to sleep.
fn rests(pid: Pid) -> bool {
    let before = (wakeups(pid), cpu_ticks(pid));
    std::thread::sleep(Duration::from_millis(400));
    wakeups(pid) == before.0 && cpu_ticks(pid) - before.1 < 5
}

fn wakeups(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|l| l.starts_with("voluntary_ctxt_switches"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn stat(pid: Pid) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn cpu_ticks(pid: Pid) -> u64 {
    let fields = stat(pid).unwrap();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn is_zombie(pid: Pid) -> bool {
    stat(pid).is_none_or(|fields| fields[0] == "Z")
}
