//! The four APIs: what a request says, and a reply in its own words. Pure: values in, text out.
//!
//! | agent | API | path |
//! |---|---|---|
//! | claude | Anthropic Messages | `/v1/messages` |
//! | codex | OpenAI Responses | `/v1/responses` |
//! | opencode | OpenAI Chat Completions | `/v1/chat/completions` |
//! | gemini | Gemini generateContent | `/v1beta/models/M:generateContent`, `:streamGenerateContent` |

use crate::script::{Call, Input, Reply, call_id, step_of};
use serde_json::{Value, json};

/// Which API a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// Anthropic Messages.
    Messages,
    /// OpenAI Responses.
    Responses,
    /// OpenAI Chat Completions.
    Chat,
    /// Gemini.
    Gemini,
}

/// Whole or as an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON value.
    Whole,
    /// Server-sent events.
    Stream,
}

/// What a request says.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Whole or as events.
    pub(crate) shape: Shape,
    /// The names of the tools on offer.
    pub(crate) tools: Vec<String>,
    /// The results of tool calls, by step.
    pub(crate) results: Vec<(usize, String)>,
}

impl Api {
    /// The API of a path, if it is one of the four.
    pub(crate) fn of(path: &str) -> Option<Api> {
        if path.ends_with("/messages") {
            Some(Api::Messages)
        } else if path.ends_with("/responses") {
            Some(Api::Responses)
        } else if path.ends_with("/chat/completions") {
            Some(Api::Chat)
        } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
            Some(Api::Gemini)
        } else {
            None
        }
    }

    /// Reads a request.
    pub(crate) fn read(self, path: &str, body: &Value) -> Conversation {
        let streams = body["stream"] == json!(true) || path.ends_with(":streamGenerateContent");
        Conversation {
            shape: if streams { Shape::Stream } else { Shape::Whole },
            tools: self.tools(body),
            results: self.results(body),
        }
    }

    fn tools(self, body: &Value) -> Vec<String> {
        let names = |list: &Value, at: &str| -> Vec<String> {
            items(list)
                .filter_map(|tool| tool.pointer(at)?.as_str().map(str::to_owned))
                .collect()
        };
        match self {
            Api::Messages | Api::Responses => names(&body["tools"], "/name"),
            Api::Chat => names(&body["tools"], "/function/name"),
            Api::Gemini => items(&body["tools"])
                .flat_map(|group| names(&group["functionDeclarations"], "/name"))
                .collect(),
        }
    }

    fn results(self, body: &Value) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        match self {
            Api::Messages => {
                for message in items(&body["messages"]) {
                    for part in items(&message["content"]) {
                        if part["type"] == json!("tool_result") {
                            push(&mut found, &part["tool_use_id"], text(&part["content"]));
                        }
                    }
                }
            }
            Api::Responses => {
                for item in items(&body["input"]) {
                    if matches!(
                        item["type"].as_str(),
                        Some("function_call_output" | "custom_tool_call_output")
                    ) {
                        push(&mut found, &item["call_id"], text(&item["output"]));
                    }
                }
            }
            Api::Chat => {
                for message in items(&body["messages"]) {
                    if message["role"] == json!("tool") {
                        push(
                            &mut found,
                            &message["tool_call_id"],
                            text(&message["content"]),
                        );
                    }
                }
            }
            // Gemini's ids are optional: the order of the answers is the order of the steps.
            Api::Gemini => {
                let answers = items(&body["contents"])
                    .flat_map(|content| items(&content["parts"]))
                    .filter_map(|part| part.get("functionResponse"));
                for (number, answer) in answers.enumerate() {
                    let response = &answer["response"];
                    let said = response
                        .get("output")
                        .or_else(|| response.get("error"))
                        .unwrap_or(response);
                    found.push((number, text(said)));
                }
            }
        }
        found
    }

    /// A reply in the words of this API.
    pub(crate) fn write(self, shape: Shape, model: &str, reply: &Reply) -> String {
        match (self, shape) {
            (Api::Messages, Shape::Stream) => messages_stream(model, reply),
            (Api::Messages, Shape::Whole) => messages_whole(model, reply).to_string(),
            (Api::Responses, Shape::Stream) => responses_stream(model, reply),
            (Api::Responses, Shape::Whole) => responses_whole(model, reply).to_string(),
            (Api::Chat, Shape::Stream) => chat_stream(model, reply),
            (Api::Chat, Shape::Whole) => chat_whole(model, reply).to_string(),
            (Api::Gemini, Shape::Stream) => event(None, &gemini(model, reply)),
            (Api::Gemini, Shape::Whole) => gemini(model, reply).to_string(),
        }
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn push(found: &mut Vec<(usize, String)>, id: &Value, said: String) {
    if let Some(step) = id.as_str().and_then(step_of) {
        found.push((step, said));
    }
}

/// The text of a result: a string, a list of text parts, or whatever else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(|part| {
                part["text"]
                    .as_str()
                    .map_or_else(|| part.to_string(), str::to_owned)
            })
            .collect::<Vec<_>>()
            .join("\n"),
        Value::Object(map) => match map.get("output").or_else(|| map.get("content")) {
            Some(inner) => text(inner),
            None => value.to_string(),
        },
        other => other.to_string(),
    }
}

fn event(name: Option<&str>, data: &Value) -> String {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

/// An event whose name is also the `type` of its data, as Anthropic and the Responses API do it.
fn typed(data: &Value) -> String {
    event(data["type"].as_str(), data)
}

fn messages_block(reply: &Reply) -> Value {
    match reply {
        Reply::Text(text) => json!({ "type": "text", "text": text }),
        Reply::Call(Call { id, tool, input }) => {
            json!({ "type": "tool_use", "id": id, "name": tool, "input": input.json() })
        }
    }
}

fn messages_stop(reply: &Reply) -> &'static str {
    match reply {
        Reply::Text(_) => "end_turn",
        Reply::Call(_) => "tool_use",
    }
}

fn messages_whole(model: &str, reply: &Reply) -> Value {
    json!({
        "id": "msg_scripted", "type": "message", "role": "assistant", "model": model,
        "content": [messages_block(reply)],
        "stop_reason": messages_stop(reply), "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 10 },
    })
}

fn messages_stream(model: &str, reply: &Reply) -> String {
    let (start, delta) = match reply {
        Reply::Text(text) => (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": text }),
        ),
        Reply::Call(Call { id, tool, input }) => (
            json!({ "type": "tool_use", "id": id, "name": tool, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": input.json().to_string() }),
        ),
    };
    let message = json!({
        "id": "msg_scripted", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 1 },
    });
    [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": start }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta",
            "delta": { "stop_reason": messages_stop(reply), "stop_sequence": null },
            "usage": { "output_tokens": 10 },
        }),
        json!({ "type": "message_stop" }),
    ]
    .iter()
    .map(typed)
    .collect()
}

fn responses_item(reply: &Reply) -> Value {
    match reply {
        Reply::Text(text) => json!({
            "type": "message", "id": "msg_scripted", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }),
        Reply::Call(Call { id, tool, input }) => match input {
            Input::Json(value) => json!({
                "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": tool,
                "arguments": value.to_string(), "status": "completed",
            }),
            Input::Text(text) => json!({
                "type": "custom_tool_call", "id": format!("ctc_{id}"), "call_id": id, "name": tool,
                "input": text, "status": "completed",
            }),
        },
    }
}

fn responses_whole(model: &str, reply: &Reply) -> Value {
    json!({
        "id": "resp_scripted", "object": "response", "status": "completed", "model": model,
        "output": [responses_item(reply)],
        "usage": {
            "input_tokens": 10, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": 10, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": 20,
        },
    })
}

fn responses_stream(model: &str, reply: &Reply) -> String {
    let item = responses_item(reply);
    [
        json!({
            "type": "response.created",
            "response": { "id": "resp_scripted", "object": "response", "status": "in_progress", "model": model, "output": [] },
        }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": responses_whole(model, reply) }),
    ]
    .iter()
    .map(typed)
    .collect()
}

fn chat_message(reply: &Reply) -> (Value, &'static str) {
    match reply {
        Reply::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Reply::Call(Call { id, tool, input }) => (
            json!({
                "role": "assistant", "content": null,
                "tool_calls": [{
                    "index": 0, "id": id, "type": "function",
                    "function": { "name": tool, "arguments": input.json().to_string() },
                }],
            }),
            "tool_calls",
        ),
    }
}

const CHAT_USAGE: fn() -> Value =
    || json!({ "prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20 });

fn chat_whole(model: &str, reply: &Reply) -> Value {
    let (message, finish) = chat_message(reply);
    json!({
        "id": "chatcmpl_scripted", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{ "index": 0, "message": message, "finish_reason": finish }],
        "usage": CHAT_USAGE(),
    })
}

fn chat_stream(model: &str, reply: &Reply) -> String {
    let (delta, finish) = chat_message(reply);
    let chunk = |delta: Value, finish: Value, usage: Value| {
        json!({
            "id": "chatcmpl_scripted", "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
            "usage": usage,
        })
    };
    let mut text = event(None, &chunk(delta, Value::Null, Value::Null));
    text.push_str(&event(None, &chunk(json!({}), json!(finish), CHAT_USAGE())));
    text.push_str("data: [DONE]\n\n");
    text
}

fn gemini(model: &str, reply: &Reply) -> Value {
    let part = match reply {
        Reply::Text(text) => json!({ "text": text }),
        Reply::Call(Call { id, tool, input }) => {
            json!({ "functionCall": { "id": id, "name": tool, "args": input.json() } })
        }
    };
    json!({
        "candidates": [{ "index": 0, "content": { "role": "model", "parts": [part] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20 },
        "modelVersion": model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation in which step 1 was answered with "seen", as each API writes it.
    fn answered() -> [(Api, &'static str, Value); 4] {
        let id = call_id(1);
        [
            (
                Api::Messages,
                "/v1/messages",
                json!({
                    "stream": true, "tools": [{ "name": "Bash" }],
                    "messages": [
                        { "role": "user", "content": "go" },
                        { "role": "user", "content": [
                            { "type": "tool_result", "tool_use_id": "other", "content": "no" },
                            { "type": "tool_result", "tool_use_id": id, "content": [{ "type": "text", "text": "seen" }] },
                        ] },
                    ],
                }),
            ),
            (
                Api::Responses,
                "/v1/responses",
                json!({
                    "stream": true, "tools": [{ "type": "function", "name": "Bash" }],
                    "input": [{ "type": "function_call_output", "call_id": id, "output": "seen" }],
                }),
            ),
            (
                Api::Chat,
                "/v1/chat/completions",
                json!({
                    "stream": true, "tools": [{ "function": { "name": "Bash" } }],
                    "messages": [{ "role": "tool", "tool_call_id": id, "content": "seen" }],
                }),
            ),
            (
                Api::Gemini,
                "/v1beta/models/m:streamGenerateContent",
                json!({
                    "tools": [{ "functionDeclarations": [{ "name": "Bash" }] }],
                    "contents": [
                        { "parts": [{ "functionResponse": { "name": "Bash", "response": { "output": "first" } } }] },
                        { "parts": [{ "functionResponse": { "name": "Bash", "response": { "output": "seen" } } }] },
                    ],
                }),
            ),
        ]
    }

    #[test]
    fn each_api_gives_tools_and_results() {
        for (api, path, body) in answered() {
            assert_eq!(Api::of(path), Some(api));
            let conversation = api.read(path, &body);
            assert_eq!(conversation.shape, Shape::Stream, "{api:?}");
            assert_eq!(conversation.tools, ["Bash"], "{api:?}");
            assert_eq!(
                conversation.results.last(),
                Some(&(1, "seen".to_owned())),
                "{api:?}"
            );
        }
    }

    #[test]
    fn a_call_is_in_the_reply_of_each_api() {
        for api in [Api::Messages, Api::Responses, Api::Chat, Api::Gemini] {
            for shape in [Shape::Whole, Shape::Stream] {
                let reply = Reply::Call(Call {
                    id: call_id(3),
                    tool: "Bash".to_owned(),
                    input: Input::Json(json!({ "command": "true" })),
                });
                let text = api.write(shape, "m", &reply);
                assert!(text.contains(&call_id(3)), "{api:?} {shape:?}: {text}");
                assert!(text.contains("command"), "{api:?} {shape:?}: {text}");
            }
        }
    }
}
