//! What the gate is not able to do, and what it costs.

use crate::world::*;
use agentbox::gate::message::{FromGate, GateEvent};
use agentbox::gate::rules::Mark;
use caps::CapSet;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

fn world() -> World {
    server([127, 0, 0, 2], 5432, echo);
    let mut world = World::new();
    world.name("a.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
    world.configure();
    world
}

#[test]
fn the_gate_has_given_everything_away() {
    in_namespaces("bounds::the_gate_has_given_everything_away", || {
        let world = world();
        assert_eq!(world.status("NoNewPrivs"), "1");
        assert_eq!(world.status("Seccomp"), "2");
        for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(world.status(set), "0000000000000000", "{set}");
        }
        assert_eq!(world.status("Name"), "agentbox-gate");
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

/// The length that a DNS client by TCP announced was kept for it: 4,000 connections of two bytes each ended the gate.
#[test]
fn announced_questions_do_not_fill_the_gate() {
    in_namespaces("bounds::announced_questions_do_not_fill_the_gate", || {
        let world = world();
        let server = "9.9.9.9".parse().unwrap();
        let before = world.kib("RssAnon");
        let clients: Vec<TcpStream> = (0..600)
            .map(|_| {
                let mut stream = world.inside(|| dial(server, 53)).unwrap();
                stream.write_all(&[0xff, 0xff]).unwrap();
                stream
            })
            .collect();
        // Whoever is served after them shows that they were read.
        for _ in 0..20 {
            let mut stream = world.connect_known("a.example", 5432);
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        let kib = world.kib("RssAnon").saturating_sub(before);
        assert!(kib < 16 * 1024, "{kib} KiB");
        drop(clients);
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
        let kib = world.kib("RssAnon");
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
        // The count may overtake refusals that are still queued, so both are waited for. The world's own questions, by which it knows
        // that the rules have arrived, are refused as well: on a busy machine they are dozens of the thousand that are told.
        let told = || -> BTreeSet<String> {
            world
                .events()
                .iter()
                .enumerate()
                .filter_map(|(number, event)| match event {
                    FromGate::Event(GateEvent::Refused(refused)) => {
                        Some((number, refused.to.to_string()))
                    }
                    _ => None,
                })
                .map(|(number, name)| match name.ends_with(".evil.example") {
                    true => name,
                    false => format!("own {number}"),
                })
                .collect()
        };
        let until = Instant::now() + PATIENCE;
        while told().len() < 1000 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let told = told();
        let own = told.iter().filter(|name| name.starts_with("own ")).count();
        let sum = told.len() - own + usize::try_from(refused).unwrap();
        assert!(
            told.len() >= 1000 && sum <= 3000,
            "told {} and {own} of our own, not told {refused}",
            told.len() - own
        );
    });
}
