//! The error table: every error a client can see, and its body in `OpenAI`'s shape.
//!
//! The one home of status, `type` and `code`; Python raises by a row's name. It does not know
//! when an error happens, nor which headers go with it.

use serde::Serialize;

const INVALID: &str = "invalid_request_error";
const LIMITED: &str = "rate_limit_exceeded";
const SERVER: &str = "server_error";

macro_rules! error_table {
    ($($(#[$doc:meta])* $kind:ident: $name:literal, $status:literal, $type:ident, $code:expr;)+) => {
        /// A row of the error table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $kind),+ }

        impl ErrorKind {
            /// All rows, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            const fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row { name: $name, status: $status, r#type: $type, code: $code },)+
                }
            }
        }
    };
}

struct Row {
    name: &'static str,
    status: u16,
    r#type: &'static str,
    code: Option<&'static str>,
}

error_table! {
    /// The request cannot be answered, for a reason that has no row of its own.
    InvalidRequest: "invalid_request", 400, INVALID, None;
    /// The body is not JSON.
    InvalidJson: "invalid_json", 400, INVALID, None;
    /// A field has the wrong JSON type.
    InvalidType: "invalid_type", 400, INVALID, Some("invalid_type");
    /// A field is out of its range.
    InvalidValue: "invalid_value", 400, INVALID, Some("invalid_value");
    /// A required field is not there.
    MissingParameter: "missing_parameter", 400, INVALID, Some("missing_required_parameter");
    /// A field that is known, not built, and would change the answer.
    UnsupportedParameter: "unsupported_parameter", 400, INVALID, Some("unsupported_parameter");
    /// The prompt does not fit the model's context.
    ContextLengthExceeded: "context_length_exceeded", 400, INVALID, Some("context_length_exceeded");
    /// No API key, or one that is not ours.
    InvalidApiKey: "invalid_api_key", 401, INVALID, Some("invalid_api_key");
    /// A model that is not served here.
    ModelNotFound: "model_not_found", 404, INVALID, Some("model_not_found");
    /// A response that is not stored here, or is another key's.
    ResponseNotFound: "response_not_found", 404, INVALID, Some("response_not_found");
    /// The same, of one to go on from.
    PreviousResponseNotFound: "previous_response_not_found", 404, INVALID, Some("previous_response_not_found");
    /// An item that a request refers to and that no stored response has.
    ItemNotFound: "item_not_found", 404, INVALID, Some("item_not_found");
    /// No endpoint has this path.
    UnknownUrl: "unknown_url", 404, INVALID, Some("unknown_url");
    /// The endpoint does not take this method; goes with an `allow` header.
    MethodNotAllowed: "method_not_allowed", 405, INVALID, Some("method_not_allowed");
    /// The reader left more unread than a stream may hold; seen inside streams only.
    SlowReader: "slow_reader", 408, INVALID, Some("slow_reader");
    /// The body is over the limit.
    RequestTooLarge: "request_too_large", 413, INVALID, Some("request_too_large");
    /// The body is not `application/json`.
    UnsupportedMediaType: "unsupported_media_type", 415, INVALID, Some("unsupported_media_type");
    /// A key's limit is used up.
    RateLimitExceeded: "rate_limit_exceeded", 429, LIMITED, Some("rate_limit_exceeded");
    /// Too many header fields.
    HeadersTooLarge: "headers_too_large", 431, INVALID, Some("headers_too_large");
    /// The client left; counted, never sent (nginx's 499).
    ClientClosed: "client_closed", 499, INVALID, Some("client_closed");
    /// The engine failed on this request's step and goes on.
    EngineError: "engine_error", 500, SERVER, Some("engine_error");
    /// A defect of the server.
    InternalError: "internal_error", 500, SERVER, Some("internal_error");
    /// A hook that this server does not fill.
    NotImplemented: "not_implemented", 501, SERVER, Some("not_implemented");
    /// The queue is full.
    ServerOverloaded: "server_overloaded", 503, SERVER, Some("server_overloaded");
    /// The engine is not ready yet.
    ModelLoading: "model_loading", 503, SERVER, Some("model_loading");
    /// The server is going down and takes no new work.
    Draining: "draining", 503, SERVER, Some("draining");
    /// The engine is gone for good.
    EngineDead: "engine_dead", 503, SERVER, Some("engine_dead");
    /// The request's time limit passed.
    DeadlineExceeded: "deadline_exceeded", 504, SERVER, Some("deadline_exceeded");
}

#[derive(Serialize)]
struct Detail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct Event<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Detail<'a>,
    request_id: Option<&'a str>,
    timestamp: f64,
}

impl ErrorKind {
    /// The row of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The row's name, by which Python raises it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// `error.type` of the body.
    #[must_use]
    pub const fn error_type(self) -> &'static str {
        self.row().r#type
    }

    /// `error.code` of the body.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        self.row().code
    }

    /// The body of an error answer, as JSON: `OpenAI`'s `error`, with `request_id` and
    /// `timestamp` (Unix seconds) beside it.
    #[must_use]
    pub fn body(
        self,
        message: &str,
        param: Option<&str>,
        request_id: Option<&str>,
        timestamp: f64,
    ) -> Vec<u8> {
        let error = self.detail(message, param);
        to_json(&Body {
            error,
            request_id,
            timestamp,
        })
    }

    /// The error as one SSE frame, `data: {"error": …}` and its blank line: what ends a stream
    /// whose headers are out (openai-python raises `APIError` on it).
    #[must_use]
    pub fn frame(self, message: &str, param: Option<&str>) -> Vec<u8> {
        let error = self.detail(message, param);
        [b"data: ", to_json(&Event { error }).as_slice(), b"\n\n"].concat()
    }

    fn detail<'a>(self, message: &'a str, param: Option<&'a str>) -> Detail<'a> {
        let Row { r#type, code, .. } = self.row();
        Detail {
            message,
            r#type,
            param,
            code,
        }
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn names_are_found_and_differ() {
        for &kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("no_such_row"), None);
    }

    #[test]
    fn types_follow_the_status() {
        for &kind in ErrorKind::ALL {
            let expected = match kind.status() {
                429 => "rate_limit_exceeded",
                400..=499 => "invalid_request_error",
                _ => "server_error",
            };
            assert_eq!(kind.error_type(), expected, "{}", kind.name());
        }
    }

    #[test]
    fn body_escapes_what_it_is_given() {
        let message = "a \"quoted\"\n\u{1} back\\slash, 日本";
        let body = ErrorKind::InvalidValue.body(message, Some("top_p"), Some("req_1"), 1.5);
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        let error = json!({"message": message, "type": "invalid_request_error", "param": "top_p", "code": "invalid_value"});
        assert_eq!(
            value,
            json!({"error": error, "request_id": "req_1", "timestamp": 1.5})
        );
    }

    #[test]
    fn frame_is_one_line_of_data() {
        let frame = ErrorKind::EngineError.frame("two\nlines", None);
        let text = String::from_utf8(frame).expect("UTF-8");
        let data = text
            .strip_prefix("data: ")
            .and_then(|rest| rest.strip_suffix("\n\n"))
            .expect("one frame");
        assert!(!data.contains('\n'));
        let value: Value = serde_json::from_str(data).expect("JSON");
        let error = json!({"message": "two\nlines", "type": "server_error", "param": null, "code": "engine_error"});
        assert_eq!(value, json!({"error": error}));
    }
}
