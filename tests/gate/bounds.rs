//! What the gate is not able to do, and what it costs.

use crate::world::*;
use agentbox::gate::message::{FromGate, GateEvent};
use agentbox::gate::rules::Mark;
use caps::CapSet;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

fn world() -> World {
    server([127, 0, 0, 2], 5432, echo);
    let mut world = World::new();
    world.name("a.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
    world.configure();
    world
}

fn status(world: &World, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", world.pid())).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn the_gate_has_given_everything_away() {
    in_namespaces("bounds::the_gate_has_given_everything_away", || {
        let world = world();
        assert_eq!(status(&world, "NoNewPrivs"), "1");
        assert_eq!(status(&world, "Seccomp"), "2");
        for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(status(&world, set), "0000000000000000", "{set}");
        }
        assert_eq!(status(&world, "Name"), "agentbox-gate");
        // Not dumpable: a process of the same user cannot read its memory and environment, as it can those of others.
        let mut twin = Command::new("setpriv")
            .args(["--bounding-set=-all", "--inh-caps=-all", "sleep", "60"])
            .spawn()
            .unwrap();
        let other = twin.id();
        let pid = world.pid();
        let read = std::thread::spawn(move || {
            // Here the tests have every capability.
            caps::clear(None, CapSet::Effective).unwrap();
            caps::clear(None, CapSet::Permitted).unwrap();
            for file in ["environ", "maps"] {
                let until = Instant::now() + PATIENCE;
                while fs::read(format!("/proc/{other}/{file}")).is_err() {
                    assert!(Instant::now() < until, "the twin cannot be read");
                }
                let path = format!("/proc/{pid}/{file}");
                assert!(fs::read(&path).is_err(), "{path}");
            }
        })
        .join();
        twin.kill().unwrap();
        twin.wait().unwrap();
        read.unwrap();
        let limits = fs::read_to_string(format!("/proc/{}/limits", world.pid())).unwrap();
        for limit in ["Max core file size", "Max file size", "Max processes"] {
            let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
            let words: Vec<&str> = line[limit.len()..].split_whitespace().collect();
            assert_eq!(words[..2], ["0", "0"], "{line}");
        }
    });
}

#[test]
fn a_thousand_connections_are_cheap_and_leave_nothing() {
    in_namespaces(
        "bounds::a_thousand_connections_are_cheap_and_leave_nothing",
        || {
            let world = world();
            let mut streams: Vec<TcpStream> = Vec::new();
            world.inside(|| {
                let addr = ask("a.example").unwrap();
                for _ in 0..1000 {
                    streams.push(dial(addr, 5432).unwrap());
                }
            });
            for (i, stream) in streams.iter_mut().enumerate() {
                stream
                    .write_all(&u32::try_from(i).unwrap().to_be_bytes())
                    .unwrap();
            }
            for (i, stream) in streams.iter_mut().enumerate() {
                let mut got = [0; 4];
                stream.read_exact(&mut got).unwrap();
                assert_eq!(u32::from_be_bytes(got) as usize, i);
            }
            let kib: u64 = status(&world, "RssAnon")
                .trim_end_matches(" kB")
                .parse()
                .unwrap();
            assert!(kib < 32 * 1024, "{kib} KiB with 1,000 connections open");
            drop(streams);
            // Everything is given back: as many can be opened again, several times, without reaching a bound.
            for round in 0..5 {
                let again: Vec<TcpStream> = (0..1000)
                    .map(|_| world.connect_known("a.example", 5432))
                    .collect();
                for mut stream in again {
                    stream.write_all(b"x").unwrap();
                    stream
                        .read_exact(&mut [0])
                        .unwrap_or_else(|e| panic!("round {round}: {e}"));
                }
            }
            for event in world.events() {
                // But for the question by which the tests wait for their rules.
                if let FromGate::Event(GateEvent::Refused(refused)) = &event {
                    assert!(refused.to.as_str().starts_with("told-"), "{event:?}");
                }
            }
        },
    );
}

#[test]
fn bytes_are_exact_with_a_slow_reader_and_half_closed_ends() {
    let name = "bounds::bytes_are_exact_with_a_slow_reader_and_half_closed_ends";
    in_namespaces(name, || {
        let world = world();
        const LEN: usize = 48 << 20;
        let byte = |i: usize| u8::try_from((i * 7 + i / 251) % 256).unwrap();
        let mut stream = world.connect("a.example", 5432);
        let mut writer = stream.try_clone().unwrap();
        let feeder = std::thread::spawn(move || {
            let all: Vec<u8> = (0..LEN).map(byte).collect();
            writer.write_all(&all).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut at = 0;
        let mut buf = vec![0; 1 << 20];
        // Small reads first, so that everybody in between has to wait.
        for size in std::iter::repeat_n(1000, 2000).chain(std::iter::repeat(1 << 20)) {
            let len = stream.read(&mut buf[..size]).unwrap();
            if len == 0 {
                break;
            }
            for got in &buf[..len] {
                assert_eq!(*got, byte(at), "at {at}");
                at += 1;
            }
        }
        assert_eq!(at, LEN);
        feeder.join().unwrap();
        let len = LEN as u64;
        world.wait("Closed", |event| {
            matches!(event, FromGate::Event(GateEvent::Closed { sent, received, .. }) if (*sent, *received) == (len, len))
        });
        // What is waited for is not kept in memory.
        let kib: u64 = status(&world, "RssAnon")
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(kib < 24 * 1024, "{kib} KiB");
    });
}

#[test]
fn many_slow_readers_do_not_fill_the_gate() {
    in_namespaces("bounds::many_slow_readers_do_not_fill_the_gate", || {
        server([127, 0, 0, 2], 5433, |mut stream| {
            let block = vec![7; 1 << 20];
            while stream.write_all(&block).is_ok() {}
        });
        let mut world = world();
        world.name("b.example", &[5433], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        // Nobody reads, so the socket buffers fill, and then the gate's own.
        let slow: Vec<TcpStream> = (0..300)
            .map(|_| world.connect_known("b.example", 5433))
            .collect();
        for stream in &slow {
            stream.peek(&mut [0; 1]).unwrap();
        }
        // Others are served meanwhile, and the memory stays within its bound.
        for _ in 0..200 {
            let mut stream = world.connect_known("a.example", 5432);
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        let kib: u64 = status(&world, "RssAnon")
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(kib < 64 * 1024, "{kib} KiB");
    });
}

#[test]
fn a_reset_arrives_as_one() {
    in_namespaces("bounds::a_reset_arrives_as_one", || {
        server([127, 0, 0, 2], 5433, |stream| {
            // Unread bytes make the close a reset.
            let mut wait = [0; 1];
            let _ = stream.peek(&mut wait);
        });
        let mut world = world();
        world.name("b.example", &[5433], &[Mark::Private], [127, 0, 0, 2]);
        world.configure();
        let mut stream = world.connect("b.example", 5433);
        stream.write_all(b"unread").unwrap();
        assert_eq!(rest(&mut stream), Err(std::io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_flood_of_refusals_is_counted() {
    in_namespaces("bounds::a_flood_of_refusals_is_counted", || {
        let world = world();
        world.inside(|| {
            for i in 0..3000 {
                assert_eq!(ask(&format!("n{i}.evil.example")), None);
            }
        });
        let dropped = world.wait("Dropped", |event| {
            matches!(
                event,
                FromGate::Event(GateEvent::Dropped { refused: 1.., .. })
            )
        });
        let FromGate::Event(GateEvent::Dropped { refused, .. }) = dropped else {
            panic!()
        };
        // The count may overtake refusals that are still queued, so both are waited for.
        let told = || -> BTreeSet<String> {
            world
                .events()
                .iter()
                .filter_map(|event| match event {
                    FromGate::Event(GateEvent::Refused(refused)) => Some(refused.to.to_string()),
                    _ => None,
                })
                // The world's own question, by which it knows that the rules have arrived, is refused as well.
                .filter(|name| name.ends_with(".evil.example"))
                .collect()
        };
        let until = Instant::now() + PATIENCE;
        while told().len() < 1000 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let told = told();
        let sum = told.len() + usize::try_from(refused).unwrap();
        assert!(
            told.len() >= 1000 && sum <= 3000,
            "told {}, not told {refused}",
            told.len()
        );
    });
}
