//! The scripted model server: it listens on loopback, follows a script, and keeps every tool result word for word.
//!
//! It has no state of a conversation. The number of the next step is the number of results that the request carries, so
//! side requests (titles, summaries, token counts) and retries do no harm.

use crate::api::{Api, Shape};
use crate::http::{Request, Response, serve};
use crate::script::{Reply, Step, call};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// What the model says when the script is over. Tests look for it on the agent's stdout.
pub(crate) const DONE: &str = "The script is finished.";

/// In the instructions of an agent that is told where it is.
pub(crate) const TOLD: &str = "TOLD-where-it-is-5e2c";

/// The first line of the box's own briefing.
pub(crate) const BRIEFED: &str = "# You are in an agentbox";

/// What the server saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// The result of each step, as the agent told it.
    pub(crate) results: BTreeMap<usize, String>,
    /// Bodies that were posted to `/collect`: what an agent was told to send away.
    pub(crate) collected: Vec<String>,
    /// One line for each request, for the message of a failing test.
    pub(crate) requests: Vec<String>,
    /// The value of each authorisation header.
    pub(crate) keys: Vec<String>,
    /// Words that were looked for in what the model was sent, and found ([`TOLD`], [`BRIEFED`]).
    pub(crate) told: bool,
    /// The last request that had no tool for a step.
    pub(crate) trouble: Option<String>,
}

struct Shared {
    steps: Vec<Step>,
    seen: Mutex<Seen>,
    closing: AtomicBool,
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1, or the address of the place, and follows `steps`.
    pub(crate) fn start(steps: Vec<Step>) -> Server {
        Server::start_with(|_| steps)
    }

    /// The same for steps that name the server's own port.
    pub(crate) fn start_with(steps: impl FnOnce(u16) -> Vec<Step>) -> Server {
        let listener = TcpListener::bind((crate::place::address(), 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            steps: steps(address.port()),
            seen: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        let inner = Arc::clone(&shared);
        let thread = thread::spawn(move || accept(&listener, &inner));
        Server {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        // A thread that panicked has been reported by its own message; what it saw before is still worth printing.
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of the step of that name, if the agent answered it.
    pub(crate) fn result(&self, name: &str) -> Option<String> {
        let number = self
            .shared
            .steps
            .iter()
            .position(|step| step.name == name)?;
        self.seen().results.get(&number).cloned()
    }

    /// Everything that was seen, for the message of a failing test.
    pub(crate) fn transcript(&self) -> String {
        let seen = self.seen();
        let mut text = seen.requests.join("\n");
        for (number, step) in self.shared.steps.iter().enumerate() {
            let result = seen
                .results
                .get(&number)
                .map_or("(no result)", String::as_str);
            text.push_str(&format!(
                "\n--- {number} {}: {:?}\n{result}",
                step.name, step.action
            ));
        }
        for body in &seen.collected {
            text.push_str(&format!("\n--- collected\n{body}"));
        }
        if let Some(trouble) = &seen.trouble {
            text.push_str(&format!("\n--- trouble\n{trouble}"));
        }
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // accept(2) returns for a connection only, so the server makes itself one.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        // A connection ends with its agent, which is gone before the test ends; nobody waits for this thread.
        thread::spawn(move || {
            let _ = serve(stream, &|request| answer(&shared, request));
        });
    }
}

fn answer(shared: &Shared, request: &Request) -> Response {
    let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.requests.push(format!(
        "{} {} ({} bytes)",
        request.method,
        request.target,
        request.body.len()
    ));
    let has = |text: &str| {
        let text = text.as_bytes();
        request.body.windows(text.len()).any(|words| words == text)
    };
    seen.told |= has(TOLD) || has(BRIEFED);
    for name in ["x-api-key", "authorization", "x-goog-api-key"] {
        if let Some(value) = request.header(name) {
            seen.keys.push(value.to_owned());
        }
    }
    let path = request.path();
    if path == "/collect" {
        seen.collected
            .push(String::from_utf8_lossy(&request.body).into_owned());
        return Response::json(200, &json!({ "ok": true }));
    }
    if path.ends_with("/count_tokens") || path.ends_with(":countTokens") {
        return Response::json(200, &json!({ "input_tokens": 10, "totalTokens": 10 }));
    }
    let Some(api) = Api::of(path).filter(|_| request.method == "POST") else {
        return Response::json(
            404,
            &json!({ "error": { "type": "not_found_error", "message": "no such path" } }),
        );
    };
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => {
            seen.trouble = Some(format!("{path}: the body is not JSON: {error}"));
            return Response::json(400, &json!({ "error": { "message": "not JSON" } }));
        }
    };
    let conversation = api.read(path, &body);
    for (step, said) in &conversation.results {
        seen.results.insert(*step, said.clone());
    }
    let reply = next(
        &shared.steps,
        &conversation.tools,
        conversation.results.len(),
        &mut seen,
    );
    let model = body["model"].as_str().unwrap_or("scripted");
    let text = api.write(conversation.shape, model, &reply);
    match conversation.shape {
        Shape::Stream => Response::events(text),
        Shape::Whole => Response {
            status: 200,
            kind: "application/json",
            body: text.into_bytes(),
        },
    }
}

fn next(steps: &[Step], tools: &[String], done: usize, seen: &mut Seen) -> Reply {
    // A request without tools asks for a title or a summary.
    if tools.is_empty() {
        return Reply::Text("Scripted".to_owned());
    }
    let Some(step) = steps.get(done) else {
        return Reply::Text(DONE.to_owned());
    };
    match call(done, &step.action, tools) {
        Some(call) => Reply::Call(call),
        None => {
            seen.trouble = Some(format!("no tool for {:?} among {tools:?}", step.action));
            Reply::Text("There is no tool for the next step.".to_owned())
        }
    }
}
