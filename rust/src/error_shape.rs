//! Whose body an error has: `OpenAI`'s, or Anthropic's where an endpoint speaks its API.
//!
//! Source: Anthropic's API reference, "Errors". The rows themselves are in [`crate::error`].

use serde::Serialize;

use crate::error::ErrorKind;

/// The body of an error, and the frame that ends a stream with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error": {message, type, param, code}}`.
    #[default]
    OpenAi,
    /// `{"type": "error", "error": {type, message}, "request_id"}`.
    Anthropic,
}

/// Anthropic's status for "try again, there is no room".
const OVERLOADED: u16 = 529;

#[derive(Serialize)]
struct Detail<'a> {
    r#type: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    error: Detail<'a>,
    request_id: Option<&'a str>,
}

impl ErrorShape {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::OpenAi, Self::Anthropic];

    /// As an endpoint names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// The shape of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|shape| shape.name() == name)
    }

    /// The HTTP status of an error: the row's, but for a full queue, which Anthropic tells by 529.
    #[must_use]
    pub const fn status(self, kind: ErrorKind) -> u16 {
        match (self, kind) {
            (Self::Anthropic, ErrorKind::ServerOverloaded) => OVERLOADED,
            _ => kind.status(),
        }
    }

    /// The body of an error answer, as JSON. Anthropic's knows no `param` and no `timestamp` (Unix seconds).
    #[must_use]
    pub fn body(
        self,
        kind: ErrorKind,
        message: &str,
        param: Option<&str>,
        request_id: Option<&str>,
        timestamp: f64,
    ) -> Vec<u8> {
        match self {
            Self::OpenAi => kind.body(message, param, request_id, timestamp),
            Self::Anthropic => anthropic_body(kind, message, request_id),
        }
    }

    /// `error.type` of an HTTP status, in Anthropic's words.
    #[must_use]
    pub const fn anthropic_type(status: u16) -> &'static str {
        match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | OVERLOADED => "overloaded_error",
            504 => "timeout_error",
            ..500 => "invalid_request_error",
            _ => "api_error",
        }
    }
}

fn anthropic_body(kind: ErrorKind, message: &str, request_id: Option<&str>) -> Vec<u8> {
    let body = Body {
        r#type: "error",
        error: Detail {
            r#type: ErrorShape::anthropic_type(kind.status()),
            message,
        },
        request_id,
    };
    serde_json::to_vec(&body).expect("strings always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn names_are_found() {
        for &shape in ErrorShape::ALL {
            assert_eq!(ErrorShape::from_name(shape.name()), Some(shape));
        }
        assert_eq!(ErrorShape::from_name("xml"), None);
    }

    #[test]
    fn a_full_queue_is_529_to_anthropic_alone() {
        let full = ErrorKind::ServerOverloaded;
        assert_eq!(ErrorShape::OpenAi.status(full), 503);
        assert_eq!(ErrorShape::Anthropic.status(full), 529);
        assert_eq!(ErrorShape::Anthropic.status(ErrorKind::ModelLoading), 503);
    }

    #[test]
    fn anthropics_body_has_its_type_by_status() {
        let (message, id) = ("No \"key\".", Some("req_1"));
        let body =
            ErrorShape::Anthropic.body(ErrorKind::InvalidApiKey, message, Some("x"), id, 1.0);
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        let error = json!({"type": "authentication_error", "message": message});
        assert_eq!(
            value,
            json!({"type": "error", "error": error, "request_id": "req_1"})
        );
    }

    #[test]
    fn every_row_has_one_of_anthropics_types() {
        for &kind in ErrorKind::ALL {
            let told = ErrorShape::anthropic_type(ErrorShape::Anthropic.status(kind));
            let expected = match kind.status() {
                400 | 405 | 408 | 415 | 431 | 499 => "invalid_request_error",
                401 => "authentication_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                500 | 501 => "api_error",
                503 => "overloaded_error",
                504 => "timeout_error",
                other => panic!("{other} has no row"),
            };
            assert_eq!(told, expected, "{}", kind.name());
        }
    }
}
