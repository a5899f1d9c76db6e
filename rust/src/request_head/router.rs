//! The door: a head in, an endpoint or a ready answer out.

use super::cors::{self, Cors};
use super::fields::{BadLength, Fields};
use super::routes::{Match, Routes};
use super::values::is_json;
use super::{Answer, Header, RequestHead};
use crate::error::ErrorKind;
use crate::error_shape::ErrorShape;
use crate::request_id;

const MAX_SHOWN_PATH_CHARS: usize = 200;

/// What a reading needs from outside: time and randomness.
#[derive(Debug)]
pub struct Fresh {
    /// For a request that brings no sane id of its own.
    pub request_id: String,
    /// Unix seconds, for error bodies.
    pub timestamp: f64,
}

/// What comes before the header fields.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// As sent.
    pub method: &'a str,
    /// Percent-decoded.
    pub path: &'a str,
    /// One request at a time on a connection: what is left of one stands in the way of the next.
    pub is_http_1: bool,
}

/// The door: endpoints, CORS and limits.
#[derive(Debug)]
pub struct Router {
    routes: Routes,
    cors: Cors,
    max_body_bytes: u64,
    max_headers: usize,
}

/// A refusal on its way to become an [`Answer`].
struct Refusal {
    kind: ErrorKind,
    message: String,
    /// Of this answer alone.
    header: Option<Header>,
}

impl Router {
    /// `cors_origins`: none turns CORS off, `*` lets any origin in.
    #[must_use]
    pub fn new(
        routes: Routes,
        cors_origins: &[String],
        max_body_bytes: u64,
        max_headers: usize,
    ) -> Self {
        Self {
            routes,
            cors: Cors::new(cors_origins),
            max_body_bytes,
            max_headers,
        }
    }

    /// Reads one head. Whatever the client sent, this ends in an endpoint or a ready answer.
    pub fn read<'a>(
        &self,
        line: RequestLine<'_>,
        headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        fresh: Fresh,
    ) -> RequestHead {
        let fields = Fields::read(headers);
        let RequestLine { method, path, .. } = line;
        let client_id = fields
            .request_id
            .and_then(request_id::accept)
            .map(str::to_owned);
        let mut head = RequestHead {
            method: method.to_owned(),
            path: path.to_owned(),
            endpoint: None,
            path_params: Vec::new(),
            request_id: client_id.unwrap_or(fresh.request_id),
            api_key: fields.api_key().map(<[u8]>::to_vec),
            content_length: fields.content_length().unwrap_or_default(),
            closes_if_unread: line.is_http_1 && fields.announces_body(),
            accepts_json: fields.accepts_json(),
            timeout_s: fields.timeout_s(),
            read_timeout_s: fields.read_timeout_s(),
            traceparent: fields.traceparent().map(str::to_owned),
            headers: Vec::new(),
            answer: None,
        };
        head.headers = self.base_headers(&head.request_id, fields.origin);
        if let Match::Endpoint(endpoint, parameters) = self.routes.find(method, path) {
            (head.endpoint, head.path_params) = (Some(endpoint), parameters);
        }
        head.answer = match self.check(&head, &fields) {
            Err(refusal) => {
                let shape = self.routes.error_shape_of(path);
                Some(refusal.answer(&head, shape, fresh.timestamp))
            }
            Ok(()) if head.endpoint.is_none() => Some(self.preflight(&head, &fields)),
            Ok(()) => None,
        };
        if let Some(answer) = head.answer.as_mut().filter(|_| head.closes_if_unread) {
            answer.headers.push(Header::new(b"connection", b"close"));
        }
        head
    }

    fn base_headers(&self, request_id: &str, origin: Option<&[u8]>) -> Vec<Header> {
        let mut headers = vec![
            Header::new(b"x-request-id", request_id.as_bytes()),
            Header::new(b"server", b"penstock"),
        ];
        self.cors.extend(&mut headers, origin);
        headers
    }

    /// Passes a head that has an endpoint, and a preflight of a known path.
    fn check(&self, head: &RequestHead, fields: &Fields<'_>) -> Result<(), Refusal> {
        self.check_count(fields)?;
        let Some(endpoint) = head.endpoint else {
            return self.check_route(head, fields);
        };
        self.check_length(fields)?;
        if !self.routes.takes_body(endpoint) {
            return Ok(());
        }
        check_content_type(&head.method, fields)?;
        check_content_coding(fields)
    }

    fn check_count(&self, fields: &Fields<'_>) -> Result<(), Refusal> {
        let (count, limit) = (fields.count, self.max_headers);
        if count <= limit {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorKind::HeadersTooLarge,
            format!("The request has {count} header fields; at most {limit} are read."),
        ))
    }

    fn check_route(&self, head: &RequestHead, fields: &Fields<'_>) -> Result<(), Refusal> {
        let (method, methods) = (&head.method, self.routes.methods_of(&head.path));
        let shown: String = head.path.chars().take(MAX_SHOWN_PATH_CHARS).collect();
        if methods.is_empty() {
            let meant = Some(&head.path)
                .filter(|path| path.len() <= MAX_SHOWN_PATH_CHARS)
                .and_then(|path| self.routes.nearest(path))
                .map_or_else(String::new, |path| format!(" Did you mean {path}?"));
            return Err(Refusal::new(
                ErrorKind::UnknownUrl,
                format!("Unknown request URL: {method} {shown}.{meant}"),
            ));
        }
        if self.cors.is_preflight(method, fields) {
            return Ok(());
        }
        let allow = methods.join(", ");
        let message = format!("{shown} does not take {method}; it takes {allow}.");
        Err(Refusal {
            header: Some(Header::new(b"allow", allow.as_bytes())),
            ..Refusal::new(ErrorKind::MethodNotAllowed, message)
        })
    }

    fn check_length(&self, fields: &Fields<'_>) -> Result<(), Refusal> {
        let limit = self.max_body_bytes;
        match fields.content_length() {
            Err(BadLength) => Err(Refusal::new(
                ErrorKind::InvalidRequest,
                "The content-length header must be a number of bytes, in digits.".to_owned(),
            )),
            Ok(Some(length)) if length > limit => Err(Refusal::new(
                ErrorKind::RequestTooLarge,
                format!("The request body has {length} bytes; at most {limit} are read."),
            )),
            Ok(_) => Ok(()),
        }
    }

    /// An answer of headers only (204 has no content-length, RFC 9110 section 8.6).
    fn preflight(&self, head: &RequestHead, fields: &Fields<'_>) -> Answer {
        let mut headers = head.headers.clone();
        cors::extend_preflight(&mut headers, &self.routes.methods_of(&head.path), fields);
        Answer {
            status: 204,
            headers,
            body: Vec::new(),
        }
    }
}

/// A body must say that it is JSON. One that says nothing is refused too: a web page can send
/// such a body to any address without a preflight, so the type is what keeps strangers' pages
/// from spending this server's time.
fn check_content_type(method: &str, fields: &Fields<'_>) -> Result<(), Refusal> {
    if !matches!(method, "POST" | "PUT" | "PATCH") {
        return Ok(());
    }
    let given = match fields.content_type {
        Some(content_type) if is_json(content_type) => return Ok(()),
        Some(_) if fields.content_length() == Ok(Some(0)) => return Ok(()),
        Some(content_type) => String::from_utf8_lossy(content_type)
            .chars()
            .take(100)
            .collect(),
        None if fields.announces_body() => "none".to_owned(),
        None => return Ok(()),
    };
    let message = format!(
        "The body must be JSON, with the header Content-Type: application/json; got {given}. \
         (curl needs -H 'Content-Type: application/json'.)"
    );
    Err(Refusal::new(ErrorKind::UnsupportedMediaType, message))
}

/// Compressed bodies are not read: a few bytes of one can stand for any number.
fn check_content_coding(fields: &Fields<'_>) -> Result<(), Refusal> {
    let Some(coding) = fields
        .content_encoding
        .filter(|coding| !coding.eq_ignore_ascii_case(b"identity"))
    else {
        return Ok(());
    };
    let shown: String = String::from_utf8_lossy(coding).chars().take(100).collect();
    Err(Refusal {
        header: Some(Header::new(b"accept-encoding", b"identity")),
        ..Refusal::new(
            ErrorKind::UnsupportedMediaType,
            format!("The body must be sent as it is; Content-Encoding: {shown} is not supported."),
        )
    })
}

impl Refusal {
    fn new(kind: ErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            header: None,
        }
    }

    fn answer(self, head: &RequestHead, shape: ErrorShape, timestamp: f64) -> Answer {
        let (kind, request_id) = (self.kind, Some(head.request_id.as_str()));
        let body = shape.body(kind, &self.message, None, request_id, timestamp);
        let mut headers = head.headers.clone();
        headers.push(Header::new(b"content-type", b"application/json"));
        headers.push(Header::new(
            b"content-length",
            body.len().to_string().as_bytes(),
        ));
        headers.extend(self.header);
        Answer {
            status: shape.status(kind),
            headers,
            body,
        }
    }
}
