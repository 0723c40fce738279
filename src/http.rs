//! The little of HTTP/1.1 that health checks and metrics need: request heads in, responses out. It is pure:
//! bytes to values and back, within fixed limits.

use std::fmt::Write as _;

/// Bytes of the longest request head.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// A status that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 413
    ContentTooLarge,
    /// 431
    HeadTooLarge,
    /// 500
    InternalServerError,
    /// 503
    ServiceUnavailable,
    /// 505
    VersionNotSupported,
}

impl Status {
    /// The number and the words of the status line.
    #[must_use]
    pub fn line(self) -> (u16, &'static str) {
        match self {
            Status::Ok => (200, "OK"),
            Status::BadRequest => (400, "Bad Request"),
            Status::Unauthorized => (401, "Unauthorized"),
            Status::Forbidden => (403, "Forbidden"),
            Status::NotFound => (404, "Not Found"),
            Status::MethodNotAllowed => (405, "Method Not Allowed"),
            Status::ContentTooLarge => (413, "Content Too Large"),
            Status::HeadTooLarge => (431, "Request Header Fields Too Large"),
            Status::InternalServerError => (500, "Internal Server Error"),
            Status::ServiceUnavailable => (503, "Service Unavailable"),
            Status::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }
}

/// What a request asks for: a body, or its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The head and the body.
    Get,
    /// The head that GET would have.
    Head,
}

/// A request: it has a head and no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// GET or HEAD.
    pub method: Method,
    /// The path as sent, without the query; it begins with a slash.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// Whether it is HTTP/1.1: chunks are understood.
    pub is_1_1: bool,
    /// Whether the connection outlives the response.
    pub keep_alive: bool,
    /// The value of `Accept`.
    pub accept: Option<&'a str>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
    /// Bytes that the head occupies.
    pub head_len: usize,
}

/// What bytes at the front of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse<'a> {
    /// The beginning of a request.
    Incomplete,
    /// Not a request to be served: send [`Response::error`] with this status, then close.
    Bad(Status),
    /// A request.
    Request(Request<'a>),
}

/// Reads one request head.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parse<'_> {
    let head = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(head_len)) => {
            judge(&request, head_len).map_or_else(Parse::Bad, Parse::Request)
        }
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => Parse::Incomplete,
        Ok(httparse::Status::Partial) => Parse::Bad(Status::HeadTooLarge),
        Err(httparse::Error::TooManyHeaders) => Parse::Bad(Status::HeadTooLarge),
        Err(httparse::Error::Version) => Parse::Bad(Status::VersionNotSupported),
        Err(_) => Parse::Bad(Status::BadRequest),
    }
}

/// Decides whether a well-formed head is one that is served.
fn judge<'a>(head: &httparse::Request<'_, 'a>, head_len: usize) -> Result<Request<'a>, Status> {
    let is_1_1 = head.version == Some(1);
    let headers = Headers::read(head.headers)?;
    if headers.hosts > 1 || (is_1_1 && headers.hosts == 0) {
        return Err(Status::BadRequest);
    }
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(Status::MethodNotAllowed),
    };
    if headers.has_body {
        return Err(Status::ContentTooLarge);
    }
    let target = head.path.and_then(origin_form).ok_or(Status::BadRequest)?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let keep_alive = !headers.close && (is_1_1 || headers.keep_alive);
    let (accept, authorization) = (headers.accept, headers.authorization);
    Ok(Request { method, path, query, is_1_1, keep_alive, accept, authorization, head_len })
}

/// The path and query of a request target, which a client may send as a whole URL (RFC 9112, 3.2.2).
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    Some(rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"))
}

/// The headers that matter here.
#[derive(Default)]
struct Headers<'a> {
    hosts: usize,
    has_body: bool,
    close: bool,
    keep_alive: bool,
    accept: Option<&'a str>,
    authorization: Option<&'a str>,
}

impl<'a> Headers<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<Headers<'a>, Status> {
        let mut found = Headers::default();
        for header in headers {
            found.note(header.name, header.value)?;
        }
        Ok(found)
    }

    fn note(&mut self, name: &str, value: &'a [u8]) -> Result<(), Status> {
        let is = |expected: &str| name.eq_ignore_ascii_case(expected);
        let text = std::str::from_utf8(value).ok().map(str::trim);
        if is("host") {
            self.hosts += 1;
        } else if is("transfer-encoding") {
            self.has_body = true;
        } else if is("content-length") {
            let digits = text.filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
            let digits = digits.filter(|text| !text.is_empty()).ok_or(Status::BadRequest)?;
            self.has_body |= digits.bytes().any(|c| c != b'0');
        } else if is("connection") {
            for option in text.unwrap_or_default().split(',').map(str::trim) {
                self.close |= option.eq_ignore_ascii_case("close");
                self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
            }
        } else if is("accept") {
            self.accept = text;
        } else if is("authorization") {
            self.authorization = text;
        }
        Ok(())
    }
}

/// A response under construction.
#[derive(Clone, Debug)]
pub struct Response {
    head: String,
    method: Method,
    is_1_1: bool,
    keep_alive: bool,
}

impl Response {
    /// A response to `request`.
    #[must_use]
    pub fn new(request: &Request<'_>, status: Status) -> Response {
        Response::begin(status, request.method, request.is_1_1, request.keep_alive)
    }

    /// The whole response to what is not a request: the status in words, after which the connection closes.
    #[must_use]
    pub fn error(status: Status) -> Vec<u8> {
        let response = Response::begin(status, Method::Get, true, false);
        let response = match status {
            Status::MethodNotAllowed => response.header("Allow", "GET, HEAD"),
            _ => response,
        };
        let words = format!("{}\n", status.line().1);
        response.header("Content-Type", "text/plain; charset=utf-8").body(words.as_bytes())
    }

    fn begin(status: Status, method: Method, is_1_1: bool, keep_alive: bool) -> Response {
        let (code, words) = status.line();
        let mut response =
            Response { head: format!("HTTP/1.1 {code} {words}\r\n"), method, is_1_1, keep_alive };
        if !keep_alive {
            response = response.header("Connection", "close");
        } else if !is_1_1 {
            response = response.header("Connection", "keep-alive");
        }
        response
    }

    /// Adds a header. Neither part may come from a peer; line ends in them are left out all the same.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        let safe = |text: &str| text.replace(['\r', '\n'], "");
        // Writing to a string cannot fail.
        let _ = write!(self.head, "{}: {}\r\n", safe(name), safe(value));
        self
    }

    /// The response with a body of known length. HEAD gets the length alone.
    #[must_use]
    pub fn body(self, body: &[u8]) -> Vec<u8> {
        let method = self.method;
        let length = body.len().to_string();
        let mut bytes = self.header("Content-Length", &length).finish();
        if method == Method::Get {
            bytes.extend_from_slice(body);
        }
        bytes
    }

    /// The response with a body that is made piece by piece: the head, and how to frame the pieces.
    #[must_use]
    pub fn pieces(mut self) -> (Vec<u8>, Pieces) {
        let framing = match (self.method, self.is_1_1) {
            (Method::Head, _) => Framing::None,
            (Method::Get, true) => Framing::Chunks,
            (Method::Get, false) => Framing::UntilClose,
        };
        if self.is_1_1 {
            self = self.header("Transfer-Encoding", "chunked");
        } else if framing == Framing::UntilClose && self.keep_alive {
            self.head = self.head.replace("Connection: keep-alive\r\n", "Connection: close\r\n");
            self.keep_alive = false;
        }
        let keep_alive = self.keep_alive;
        (self.finish(), Pieces { framing, keep_alive })
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = self.head.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// HEAD: no body.
    None,
    /// HTTP/1.1: chunks, the last one empty.
    Chunks,
    /// HTTP/1.0: the end of the connection is the end of the body.
    UntilClose,
}

/// How the pieces of a body of unknown length are framed.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    framing: Framing,
    /// Whether the connection outlives the body.
    pub keep_alive: bool,
}

impl Pieces {
    /// Whether pieces are wanted at all: not for HEAD.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.framing != Framing::None
    }

    /// One piece as it travels. An empty one is nothing, for an empty chunk would end the body.
    #[must_use]
    pub fn piece(&self, piece: &[u8]) -> Vec<u8> {
        match self.framing {
            _ if piece.is_empty() => Vec::new(),
            Framing::None => Vec::new(),
            Framing::UntilClose => piece.to_vec(),
            Framing::Chunks => {
                let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
                bytes
            }
        }
    }

    /// What follows the last piece.
    #[must_use]
    pub fn end(&self) -> &'static [u8] {
        match self.framing {
            Framing::Chunks => b"0\r\n\r\n",
            Framing::None | Framing::UntilClose => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Parse::Request(request) => request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_at_every_length() {
        let text = "GET /metrics?name=a HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\nGET /next";
        let whole = request(text);
        assert_eq!(
            (whole.method, whole.path, whole.query),
            (Method::Get, "/metrics", Some("name=a"))
        );
        assert_eq!((whole.accept, whole.keep_alive), (Some("text/plain"), true));
        assert_eq!(&text[whole.head_len..], "GET /next");
        for len in 0..whole.head_len {
            assert_eq!(parse(&text.as_bytes()[..len]), Parse::Incomplete, "{len}");
        }
    }

    #[test]
    fn the_connection_ends_when_the_client_says_so_or_is_old() {
        let cases = [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ];
        for (text, keep_alive) in cases {
            assert_eq!(request(text).keep_alive, keep_alive, "{text}");
        }
    }

    #[test]
    fn what_is_not_served_is_refused_by_its_status() {
        let many: String = (0..65).map(|n| format!("h{n}: v\r\n")).collect();
        let cases = [
            ("POST / HTTP/1.1\r\nHost: x\r\n\r\n".into(), Status::MethodNotAllowed),
            ("GET / HTTP/1.1\r\n\r\n".into(), Status::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), Status::BadRequest),
            ("GET x HTTP/1.1\r\nHost: x\r\n\r\n".into(), Status::BadRequest),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Status::VersionNotSupported),
            ("\x16\x03\x01\x02\x00".into(), Status::BadRequest),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n".into(),
                Status::ContentTooLarge,
            ),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(), Status::BadRequest),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                Status::ContentTooLarge,
            ),
            (format!("GET / HTTP/1.1\r\n{many}\r\n"), Status::HeadTooLarge),
            (format!("GET /{}", "a".repeat(HEAD_BYTES_MAX)), Status::HeadTooLarge),
        ];
        for (text, status) in cases {
            assert_eq!(parse(text.as_bytes()), Parse::Bad(status), "{text:?}");
        }
    }

    #[test]
    fn a_whole_url_is_a_path_too() {
        assert_eq!(request("GET http://host:80/a?b HTTP/1.1\r\nHost: x\r\n\r\n").path, "/a");
        assert_eq!(request("GET http://host HTTP/1.1\r\nHost: x\r\n\r\n").path, "/");
    }

    #[test]
    fn head_gets_the_length_without_the_body() {
        let get = request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = request("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        let respond = |request| Response::new(request, Status::Ok).body(b"ok\n");
        let expected = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(respond(&head), expected);
        assert_eq!(respond(&get), [&expected[..], b"ok\n"].concat());
    }

    #[test]
    fn pieces_are_chunks_for_the_new_and_raw_for_the_old() {
        let new = request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, pieces) = Response::new(&new, Status::Ok).pieces();
        assert!(head.ends_with(b"Transfer-Encoding: chunked\r\n\r\n") && pieces.keep_alive);
        assert_eq!(pieces.piece(&[b'x'; 26])[..6], *b"1a\r\nxx");
        assert_eq!((pieces.piece(b""), pieces.end()), (vec![], &b"0\r\n\r\n"[..]));
        let old = request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let (head, pieces) = Response::new(&old, Status::Ok).pieces();
        assert_eq!(head, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        assert_eq!((pieces.piece(b"ab"), pieces.keep_alive), (b"ab".to_vec(), false));
    }

    #[test]
    fn no_header_can_end_the_head() {
        let get = request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let bytes = Response::new(&get, Status::Ok).header("X", "a\r\n\r\nb").body(b"");
        assert_eq!(bytes, b"HTTP/1.1 200 OK\r\nX: ab\r\nContent-Length: 0\r\n\r\n");
    }
}
