//! Heads and bodies of HTTP requests.
#![no_main]

use agentbox::gate::chunked::Follow;
use agentbox::gate::http::{Form, Head, Last, Pass, head};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Head::Whole(request, len) = head(bytes) else {
        return;
    };
    let mut body = Follow::new(request.body);
    let rest = &bytes[len..];
    if let Ok(part) = body.advance(rest) {
        assert!(part <= rest.len());
    }
    if request.form != Form::Authority {
        // What is passed on is read the same by whoever gets it.
        let written = request.write(Pass::Server, Last::No);
        let Head::Whole(again, all) = head(&written) else {
            panic!("{}", String::from_utf8_lossy(&written));
        };
        assert_eq!(all, written.len());
        assert_eq!((again.host, again.body), (request.host, request.body));
    }
});
