//! HTTP/1.1 for the model server: just what the four agents send. One thread per connection, bodies by length or in
//! chunks, connections kept open. It refuses nothing and knows nothing of the APIs.

use std::io::{BufRead, BufReader, Error, ErrorKind, Result, Write};
use std::net::TcpStream;

/// The most bytes of one body. The agents send their whole conversation each time, a few hundred KiB.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// One request.
pub(crate) struct Request {
    /// GET, POST, ...
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) target: String,
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The first header of that name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// One response. The body is always sent whole and with its length: an agent reads a complete event stream the same
/// way as one that comes piece by piece.
pub(crate) struct Response {
    /// The status.
    pub(crate) status: u16,
    /// The content type.
    pub(crate) kind: &'static str,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// A JSON body.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Response {
            status,
            kind: "application/json",
            body: value.to_string().into_bytes(),
        }
    }

    /// An event stream.
    pub(crate) fn events(text: String) -> Self {
        Response {
            status: 200,
            kind: "text/event-stream",
            body: text.into_bytes(),
        }
    }
}

/// Serves one connection until its end. `answer` is asked for each request.
pub(crate) fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Response) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, &mut writer)? {
        let response = answer(&request);
        write!(
            writer,
            "HTTP/1.1 {} scripted\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            response.status,
            response.kind,
            response.body.len()
        )?;
        if request.method != "HEAD" {
            writer.write_all(&response.body)?;
        }
        writer.flush()?;
        if request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        {
            break;
        }
    }
    Ok(())
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn read_line(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read_request(reader: &mut impl BufRead, writer: &mut impl Write) -> Result<Option<Request>> {
    let Some(first) = read_line(reader)? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(bad("request line"));
    };
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let line = read_line(reader)?.ok_or_else(|| bad("end of file in headers"))?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("header"))?;
        request
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if request
        .header("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        writer.flush()?;
    }
    let chunked = request
        .header("transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if chunked {
        request.body = read_chunks(reader)?;
    } else if let Some(length) = request.header("content-length") {
        let length: usize = length.parse().map_err(|_| bad("content-length"))?;
        if length > MAX_BODY {
            return Err(bad("body too long"));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        request.body = body;
    }
    Ok(Some(request))
}

fn read_chunks(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?.ok_or_else(|| bad("end of file in chunks"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("chunk size"))?;
        if body.len().saturating_add(size) > MAX_BODY {
            return Err(bad("body too long"));
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        read_line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_by_length_or_in_chunks() {
        for wire in [
            "POST /a?b=c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            "POST /a?b=c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        ] {
            let mut sink = Vec::new();
            let request = read_request(&mut BufReader::new(wire.as_bytes()), &mut sink)
                .expect("a good request")
                .expect("not the end");
            assert_eq!(request.body, b"hello");
            assert_eq!(request.path(), "/a");
            assert!(sink.is_empty(), "nobody asked for 100-continue");
        }
    }

    #[test]
    fn a_request_that_is_cut_short_is_an_error() {
        let wire = "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhell";
        assert!(read_request(&mut BufReader::new(wire.as_bytes()), &mut Vec::new()).is_err());
    }
}
