//! A request's head: everything that can be known, and refused, before its body is read.
//!
//! Method, path and header fields in; route, ids, key, limits and ready answers out. It does not
//! know what an endpoint does, whether a key is good, or what ASGI is.

mod cors;
mod fields;
mod router;
mod routes;
#[cfg(test)]
mod tests;
mod values;

pub use router::{Fresh, RequestLine, Router};
pub use routes::{BadTemplate, Endpoint, Routes};

/// A response header; names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: Vec<u8>,
    /// Without line feeds.
    pub value: Vec<u8>,
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: Vec<Header>,
    /// All bytes; empty for a preflight.
    pub body: Vec<u8>,
}

/// What the head of one request says.
#[derive(Debug)]
pub struct RequestHead {
    /// As sent.
    pub method: String,
    /// Percent-decoded by the host.
    pub path: String,
    /// Index into the router's endpoints.
    pub endpoint: Option<usize>,
    /// Names and values, in the template's order.
    pub path_params: Vec<(String, String)>,
    /// The client's if sane, else the minted one.
    pub request_id: String,
    /// From `Authorization: Bearer`, else `X-API-Key`.
    pub api_key: Option<Vec<u8>>,
    /// None when absent or bad; a bad one is refused in `answer`.
    pub content_length: Option<u64>,
    /// HTTP/1, and a body is announced: an answer that leaves it unread must say that the
    /// connection ends, or the client's next request on it is lost.
    pub closes_if_unread: bool,
    /// `accept` ranks application/json over text/plain.
    pub accepts_json: bool,
    /// `x-request-timeout`: the client's own deadline, in seconds from now.
    pub timeout_s: Option<f64>,
    /// `x-stainless-read-timeout`: the silence between bytes that the client bears, in seconds.
    pub read_timeout_s: Option<f64>,
    /// A well-formed W3C trace context.
    pub traceparent: Option<String>,
    /// What every answer to this request carries.
    pub headers: Vec<Header>,
    /// Set when the head alone decides.
    pub answer: Option<Answer>,
}

impl Header {
    fn new(name: &[u8], value: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            value: value.to_vec(),
        }
    }
}
