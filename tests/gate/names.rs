//! DNS, and connections by name on ports without a protocol that is judged.

use crate::world::*;
use agentbox::gate::message::{FromGate, GateEvent, Why};
use agentbox::gate::rules::Mark;
use std::io::Write;
use std::net::Shutdown;

#[test]
fn a_granted_name_is_relayed_and_others_do_not_exist() {
    in_namespaces(
        "names::a_granted_name_is_relayed_and_others_do_not_exist",
        || {
            server([127, 0, 0, 2], 5432, echo);
            let mut world = World::new();
            world.name("db.example", &[5432], &[Mark::Private], [127, 0, 0, 2]);
            world.configure();
            let mut stream = world.connect("db.example", 5432);
            stream.write_all(b"hello").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut stream).unwrap(), b"hello");
            drop(stream);
            // What the record says of it.
            let closed = world.wait("Closed", |event| {
                matches!(event, FromGate::Event(GateEvent::Closed { .. }))
            });
            assert_eq!(
                closed,
                FromGate::Event(GateEvent::Closed {
                    id: 1,
                    sent: 5,
                    received: 5
                })
            );
            // Not granted: no such name, and the refusal says what was asked for.
            assert_eq!(world.inside(|| ask("secret-4711.evil.example")), None);
            let refused = world.refusal("secret-4711.evil.example");
            assert_eq!((refused.why, refused.port), (Why::NotGranted, None));
            // Another port of a granted name: nobody listens.
            let addr = world.inside(|| ask("db.example")).unwrap();
            let error = world.inside(|| dial(addr, 5433)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        },
    );
}
