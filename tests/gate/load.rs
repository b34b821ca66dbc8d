//! Load: every byte is compared, and afterwards the gate has as many descriptors and as little memory as before. Each test
//! has a small size for every run and, ignored, the full one for `scripts/test --all`.

use crate::world::*;
use agentbox::gate::message::{FromGate, GateEvent};
use agentbox::gate::rules::Mark;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A number for docs/gate.md.
macro_rules! say {
    ($($word:tt)*) => {
        tell(&format!($($word)*))
    };
}

/// Not by a print macro: the harness would swallow it in the process outside.
fn tell(words: &str) {
    let line = format!("load: {words}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The bytes of a block.
const BLOCK: usize = 1 << 20;
/// How long the full sizes may take.
const LONG: Duration = Duration::from_secs(600);

/// Bytes without a period, the same in every process, by xorshift64.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_ne_bytes());
    }
    out.truncate(len);
    out
}

/// Sends so many blocks, each with its number in front.
fn send_blocks(to: &mut impl Write, seed: u64, blocks: u64) {
    let mut block = noise(seed, BLOCK);
    for number in 0..blocks {
        block[..8].copy_from_slice(&number.to_ne_bytes());
        to.write_all(&block).unwrap();
    }
}

/// Reads so many blocks; nothing may be lost, added, moved or changed.
fn take_blocks(from: &mut impl Read, seed: u64, blocks: u64) {
    let mut want = noise(seed, BLOCK);
    let mut got = vec![0; BLOCK];
    for number in 0..blocks {
        want[..8].copy_from_slice(&number.to_ne_bytes());
        from.read_exact(&mut got)
            .unwrap_or_else(|e| panic!("block {number}: {e}"));
        // Not by assert_eq: nobody wants to read 1 MiB.
        assert!(got == want, "block {number} differs");
    }
}

/// A world whose name `a.example` has a server on port 5432 that echoes, after it was used once: everything that stays is
/// there.
fn world() -> World {
    server([127, 0, 0, 2], 5432, echo);
    let mut world = World::new();
    world.name("a.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
    world.name("b.example", &[5433], &[Mark::Private], [127, 0, 0, 2]);
    world.configure();
    // The gate's listeners for a name are made with the first question.
    world.inside(|| ask("b.example"));
    let mut first = world.connect_known("a.example", 5432);
    first.write_all(b"x").unwrap();
    first.read_exact(&mut [0]).unwrap();
    drop(first);
    world
}

/// What a gate has.
struct Before {
    descriptors: usize,
    anon: u64,
}

impl Before {
    fn of(world: &World) -> Before {
        settle(world, None);
        Before {
            descriptors: world.descriptors(),
            anon: world.kib("RssAnon"),
        }
    }

    /// Everything was given back: all descriptors, and all memory but for some that the allocator keeps.
    fn given_back(&self, world: &World, what: &str) {
        settle(world, Some(self.descriptors));
        let (descriptors, anon, all) = (
            world.descriptors(),
            world.kib("RssAnon"),
            world.kib("VmRSS"),
        );
        say!(
            "{what}: descriptors {} -> {descriptors}, anonymous memory {} -> {anon} KiB, all {all} KiB",
            self.descriptors,
            self.anon
        );
        assert_eq!(descriptors, self.descriptors, "{what}");
        assert!(
            anon < self.anon + 4 * 1024,
            "{what}: {} KiB before, {anon} KiB after",
            self.anon
        );
    }
}

/// Waits until what was closed is closed in the gate, too: as many descriptors as wanted, or none less for a while.
fn settle(world: &World, want: Option<usize>) {
    let until = Instant::now() + PATIENCE;
    let (mut last, mut same) = (world.descriptors(), 0);
    while Instant::now() < until && Some(last) != want && (want.is_some() || same < 30) {
        std::thread::sleep(Duration::from_millis(10));
        let now = world.descriptors();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
}

/// No refusal but that of the question by which a world knows that its rules are in force.
fn nothing_was_refused(world: &World) {
    for event in world.events() {
        if let FromGate::Event(GateEvent::Refused(refused)) = &event {
            assert!(refused.to.as_str().starts_with("told-"), "{event:?}");
        }
    }
}

/// Does something as several programs of the box at a time.
fn threads(world: &World, threads: u64, act: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let act = &act;
            scope.spawn(move || world.inside(|| act(thread)));
        }
    });
}

fn short_connections(count: u64) {
    let world = world();
    let before = Before::of(&world);
    let addr = world.inside(|| ask("a.example")).unwrap();
    let begun = Instant::now();
    const THREADS: u64 = 8;
    threads(&world, THREADS, |thread| {
        for i in 0..count / THREADS {
            let number = thread * count + i;
            let words = noise(number, 100 + usize::try_from(number % 900).unwrap());
            let mut stream = dial(addr, 5432).unwrap_or_else(|e| panic!("{number}: {e}"));
            stream.write_all(&words).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let got = rest(&mut stream).unwrap_or_else(|e| panic!("{number}: {e}"));
            assert!(got == words, "connection {number}: other bytes");
        }
    });
    let took = begun.elapsed();
    say!("{count} short connections in {took:.1?}");
    before.given_back(&world, &format!("{count} short connections"));
    nothing_was_refused(&world);
}

#[test]
fn short_connections_leave_nothing() {
    in_namespaces("load::short_connections_leave_nothing", || {
        short_connections(1_600);
    });
}

#[test]
#[ignore = "full size"]
fn ten_thousand_short_connections_leave_nothing() {
    let name = "load::ten_thousand_short_connections_leave_nothing";
    in_namespaces_within(name, LONG, || short_connections(10_000));
}

/// So many connections open at the same time, each with bytes of its own in both directions, several times.
fn parallel_connections(count: usize, bytes: usize, rounds: usize) {
    let world = world();
    let mut before = Before::of(&world);
    for round in 0..rounds {
        if round == 1 {
            // What the allocator keeps of the first round is used again by all others.
            before.anon = world.kib("RssAnon");
        }
        let streams: Vec<TcpStream> = (0..count)
            .map(|_| world.connect_known("a.example", 5432))
            .collect();
        let streams = Mutex::new(streams.into_iter().enumerate());
        let done = Mutex::new(Vec::new());
        // Everybody sends before anybody reads, as far as sockets hold it: all are busy at the same time.
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    loop {
                        let Some((i, mut stream)) = streams.lock().unwrap().next() else {
                            return;
                        };
                        let words = noise(i as u64 + 1, bytes);
                        stream.write_all(&words).unwrap();
                        done.lock().unwrap().push((i, stream));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        let (anon, all) = (world.kib("RssAnon"), world.kib("VmRSS"));
        say!("{count} open connections: {anon} KiB of anonymous memory, {all} KiB of all");
        assert!(all < 32 * 1024, "{all} KiB with {count} connections open");
        for (i, stream) in &mut done {
            let want = noise(*i as u64 + 1, bytes);
            let mut got = vec![0; bytes];
            stream
                .read_exact(&mut got)
                .unwrap_or_else(|e| panic!("round {round}, connection {i}: {e}"));
            assert!(got == want, "round {round}, connection {i}: other bytes");
        }
    }
    before.given_back(&world, &format!("{rounds} times {count} connections"));
    nothing_was_refused(&world);
}

#[test]
fn a_thousand_connections_are_cheap_and_leave_nothing() {
    let name = "load::a_thousand_connections_are_cheap_and_leave_nothing";
    in_namespaces(name, || parallel_connections(1000, 4 * 1024, 2));
}

#[test]
#[ignore = "full size"]
fn a_thousand_busy_connections_are_exact() {
    let name = "load::a_thousand_busy_connections_are_exact";
    in_namespaces_within(name, LONG, || parallel_connections(1000, 64 * 1024, 6));
}

/// Both directions of one connection at the same time, then its end: first the client's, and what it still gets.
fn one_connection(blocks: u64) {
    const SEED: u64 = 7;
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 5433)).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut writer = stream.try_clone().unwrap();
        let writes = std::thread::spawn(move || send_blocks(&mut writer, SEED + 1, blocks));
        take_blocks(&mut stream, SEED, blocks);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than was sent");
        writes.join().unwrap();
        // The client's half is closed by now, ours is not.
        send_blocks(&mut stream, SEED + 2, 8);
    });
    let world = world();
    let before = Before::of(&world);
    let mut stream = world.connect("b.example", 5433);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    let begun = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let writes = std::thread::spawn(move || {
        send_blocks(&mut writer, SEED, blocks);
        writer.shutdown(Shutdown::Write).unwrap();
    });
    take_blocks(&mut stream, SEED + 1, blocks);
    writes.join().unwrap();
    let took = begun.elapsed();
    take_blocks(&mut stream, SEED + 2, 8);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than was sent");
    served.join().unwrap();
    drop(stream);
    say!("{blocks} MiB in each direction of one connection in {took:.1?}");
    let (sent, received) = (blocks * BLOCK as u64, (blocks + 8) * BLOCK as u64);
    world.wait("Closed", |event| {
        matches!(event, FromGate::Event(GateEvent::Closed { sent: s, received: r, .. }) if (*s, *r) == (sent, received))
    });
    before.given_back(&world, &format!("{blocks} MiB through one connection"));
}

#[test]
fn a_long_connection_is_exact() {
    in_namespaces("load::a_long_connection_is_exact", || one_connection(128));
}

#[test]
#[ignore = "full size"]
fn four_gigabytes_through_one_connection_are_exact() {
    let name = "load::four_gigabytes_through_one_connection_are_exact";
    in_namespaces_within(name, LONG, || one_connection(4096));
}

/// The server ends first, and still gets everything.
#[test]
fn a_server_that_has_ended_still_gets_what_the_client_sends() {
    let name = "load::a_server_that_has_ended_still_gets_what_the_client_sends";
    in_namespaces(name, || {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 5433)).unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            take_blocks(&mut stream, 3, 32);
            stream.read(&mut [0]).unwrap()
        });
        let world = world();
        let before = Before::of(&world);
        let mut stream = world.connect("b.example", 5433);
        assert_eq!(rest(&mut stream).unwrap(), b"bye");
        send_blocks(&mut stream, 3, 32);
        drop(stream);
        assert_eq!(served.join().unwrap(), 0);
        before.given_back(&world, "a server that ended first");
    });
}

/// Who does not read stops the sender: nothing of it is kept in the gate. When it reads, everything is there.
fn slow_reader(blocks: u64) {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 5433)).unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        send_blocks(&mut Counted(stream), 5, blocks);
    });
    let world = world();
    let before = Before::of(&world);
    let mut stream = world.connect("b.example", 5433);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.peek(&mut [0; 1]).unwrap();
    // It has stopped when nothing more is written for a second.
    let mut last = 0;
    let mut still = Instant::now();
    while still.elapsed() < Duration::from_secs(1) {
        let now = WRITTEN.load(Ordering::Relaxed);
        if now != last {
            (last, still) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let kept = world.kib("RssAnon").saturating_sub(before.anon);
    say!("a reader that does not: {last} bytes written, {kept} KiB in the gate");
    assert!(last < blocks * BLOCK as u64, "the sender was not stopped");
    assert!(kept < 8 * 1024, "{kept} KiB for one reader");
    // Small reads first, so that everybody in between has to wait again and again.
    take_blocks(&mut Small(&mut stream, 2 * BLOCK), 5, blocks);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than was sent");
    drop(stream);
    served.join().unwrap();
    before.given_back(&world, "a slow reader");

    /// Counts what was written.
    struct Counted(TcpStream);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let len = self.0.write(bytes)?;
            WRITTEN.fetch_add(len as u64, Ordering::Relaxed);
            Ok(len)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Reads a thousand bytes at a time until so many are there.
    struct Small<'a>(&'a mut TcpStream, usize);
    impl Read for Small<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let most = if self.1 > 0 { 1000 } else { BLOCK };
            let most = into.len().min(most);
            let len = self.0.read(&mut into[..most])?;
            self.1 = self.1.saturating_sub(len);
            Ok(len)
        }
    }
}

#[test]
fn a_slow_reader_stops_the_sender() {
    in_namespaces("load::a_slow_reader_stops_the_sender", || slow_reader(64));
}

#[test]
#[ignore = "full size"]
fn a_slow_reader_gets_a_gigabyte() {
    let name = "load::a_slow_reader_gets_a_gigabyte";
    in_namespaces_within(name, LONG, || slow_reader(1024));
}
