//! As much of HTTP/1.1 as the application needs: one request a connection, no body.

use std::{
    io::{self, Read},
    net::TcpStream,
    time::{Duration, Instant},
};

/// The longest request that is read, in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// How long a client may take for its request, and again for reading the answer.
pub(crate) const CLIENT_TIME_MAX: Duration = Duration::from_secs(5);

/// A request that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: String,
}

/// The methods that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
}

/// An answer's status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TooLarge,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// Reads a request from a connection.
pub(crate) fn receive(connection: &TcpStream) -> io::Result<Result<Request, Status>> {
    let start = Instant::now();
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while end_of_head(&head).is_none() {
        if head.len() > REQUEST_BYTES_MAX {
            return Ok(Err(Status::TooLarge));
        }
        let left = CLIENT_TIME_MAX.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(left))?;
        match { connection }.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => head.extend_from_slice(&chunk[..bytes]),
        }
    }
    Ok(parse(&head))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Reads the request line; the headers mean nothing to us.
fn parse(head: &[u8]) -> Result<Request, Status> {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Status::BadRequest)?;
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err(Status::BadRequest);
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(Status::BadRequest);
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => return Err(Status::MethodNotAllowed),
    };
    let path = target.split('?').next().unwrap_or(target).to_owned();
    Ok(Request { method, path })
}

/// An answer without its body; the client reads to its end.
pub(crate) fn head(status: Status, content_type: &str, body_bytes: usize, more: &str) -> String {
    let line = status.line();
    format!(
        "HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {body_bytes}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n{more}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<(Method, String), Status> {
        parse(head.as_bytes()).map(|request| (request.method, request.path))
    }

    #[test]
    fn a_request_line_is_read() {
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n"), Ok((Method::Get, "/".to_owned())));
        assert_eq!(read("HEAD /a/b?c=d HTTP/1.0\r\nHost: x\r\n\r\n"), Ok((Method::Head, "/a/b".to_owned())));
    }

    #[test]
    fn other_requests_are_refused() {
        for (head, expected) in [
            ("POST / HTTP/1.1\r\n\r\n", Status::MethodNotAllowed),
            ("get / HTTP/1.1\r\n\r\n", Status::MethodNotAllowed),
            ("GET /\r\n\r\n", Status::BadRequest),
            ("GET  / HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET http://x/ HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/2\r\n\r\n", Status::BadRequest),
            ("\r\n\r\n", Status::BadRequest),
            ("", Status::BadRequest),
        ] {
            assert_eq!(read(head), Err(expected), "{head:?}");
        }
        assert_eq!(parse(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(Status::BadRequest));
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        assert_eq!(
            head(Status::NotFound, "text/plain", 7, "X: y\r\n"),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\
             Cache-Control: no-store\r\nConnection: close\r\nX: y\r\n\r\n"
        );
    }
}
