//! The header fields that the door reads, in one pass.
//!
//! Of a repeated field the first counts.

use super::values::{bearer, is_traceparent, quality, seconds, text};

/// The raw values of the fields that mean something here.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// All fields, the unknown ones included.
    pub(super) count: usize,
    pub(super) request_id: Option<&'a [u8]>,
    pub(super) origin: Option<&'a [u8]>,
    /// `access-control-request-method`: what makes an OPTIONS a preflight.
    pub(super) preflight_method: Option<&'a [u8]>,
    pub(super) preflight_headers: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
    pub(super) content_encoding: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    x_api_key: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
    request_timeout: Option<&'a [u8]>,
    read_timeout: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
}

/// A `content-length` that is not a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLength;

impl<'a> Fields<'a> {
    pub(super) fn read(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            fields.count += 1;
            if let Some(field) = fields.named(name) {
                field.get_or_insert(value.trim_ascii());
            }
        }
        fields
    }

    /// ASGI gives names in lower case.
    fn named(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match name {
            b"x-request-id" => &mut self.request_id,
            b"origin" => &mut self.origin,
            b"access-control-request-method" => &mut self.preflight_method,
            b"access-control-request-headers" => &mut self.preflight_headers,
            b"content-type" => &mut self.content_type,
            b"content-encoding" => &mut self.content_encoding,
            b"content-length" => &mut self.content_length,
            b"transfer-encoding" => &mut self.transfer_encoding,
            b"authorization" => &mut self.authorization,
            b"x-api-key" => &mut self.x_api_key,
            b"accept" => &mut self.accept,
            b"x-request-timeout" => &mut self.request_timeout,
            b"x-stainless-read-timeout" => &mut self.read_timeout,
            b"traceparent" => &mut self.traceparent,
            _ => return None,
        })
    }

    /// Digits only (RFC 9110 section 8.6).
    pub(super) fn content_length(&self) -> Result<Option<u64>, BadLength> {
        let Some(value) = self.content_length else {
            return Ok(None);
        };
        let digits = value.iter().all(u8::is_ascii_digit);
        let length = text(value)
            .filter(|_| digits)
            .and_then(|digits| digits.parse().ok());
        length.map(Some).ok_or(BadLength)
    }

    /// Whether a body comes, as far as the head tells (in HTTP/2 it need not).
    pub(super) fn announces_body(&self) -> bool {
        self.transfer_encoding.is_some() || self.content_length.is_some_and(|length| length != b"0")
    }

    /// The key of `Authorization: Bearer`, else of `X-API-Key`.
    pub(super) fn api_key(&self) -> Option<&'a [u8]> {
        self.authorization
            .and_then(bearer)
            .or(self.x_api_key)
            .filter(|key| !key.is_empty())
    }

    /// Whether `accept` ranks application/json over text/plain (RFC 9110 section 12.5.1).
    pub(super) fn accepts_json(&self) -> bool {
        let accept = self.accept.and_then(text).unwrap_or_default();
        quality(accept, "application", "json") > quality(accept, "text", "plain")
    }

    /// `x-request-timeout`: how long the whole request may take, in seconds.
    pub(super) fn timeout_s(&self) -> Option<f64> {
        self.request_timeout.and_then(seconds)
    }

    /// `x-stainless-read-timeout`, in seconds. `OpenAI`'s SDKs send their `timeout` here, which
    /// bounds the silence between two reads and never the whole answer.
    pub(super) fn read_timeout_s(&self) -> Option<f64> {
        self.read_timeout.and_then(seconds)
    }

    /// A W3C trace context of any version that begins as version 00 does.
    pub(super) fn traceparent(&self) -> Option<&'a str> {
        self.traceparent
            .and_then(text)
            .filter(|value| is_traceparent(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields<'a>(headers: &[(&'a str, &'a str)]) -> Fields<'a> {
        Fields::read(
            headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        )
    }

    #[test]
    fn keys_come_from_two_headers() {
        for (headers, key) in [
            (&[("authorization", "Bearer sk-1")][..], Some("sk-1")),
            (&[("authorization", "bEARER   sk-1  ")], Some("sk-1")),
            (&[("x-api-key", "sk-2")], Some("sk-2")),
            (
                &[("authorization", "Bearer sk-1"), ("x-api-key", "sk-2")],
                Some("sk-1"),
            ),
            (
                &[("authorization", "Basic YTpi"), ("x-api-key", "sk-2")],
                Some("sk-2"),
            ),
            (&[("authorization", "Basic YTpi")], None),
            (&[("authorization", "Bearer")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("authorization", "Bearersk-1")], None),
            (&[("x-api-key", "")], None),
            (&[], None),
        ] {
            assert_eq!(
                fields(headers).api_key(),
                key.map(str::as_bytes),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn accept_is_ranked() {
        for (accept, json) in [
            ("application/json", true),
            ("APPLICATION/JSON", true),
            ("application/*", true),
            ("application/json;q=0.5, text/plain;q=0.4", true),
            ("text/plain, application/json", false),
            ("text/plain;q=0.5, application/json", true),
            ("application/json;q=0, */*", false),
            ("*/*", false),
            ("", false),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                false,
            ),
        ] {
            assert_eq!(
                fields(&[("accept", accept)]).accepts_json(),
                json,
                "{accept}"
            );
        }
        assert!(!fields(&[]).accepts_json());
    }

    #[test]
    fn lengths_are_digits() {
        for (value, expected) in [
            ("0", Ok(Some(0))),
            (" 42 ", Ok(Some(42))),
            ("+42", Err(BadLength)),
            ("-1", Err(BadLength)),
            ("", Err(BadLength)),
            ("4 2", Err(BadLength)),
            ("99999999999999999999", Err(BadLength)),
        ] {
            assert_eq!(
                fields(&[("content-length", value)]).content_length(),
                expected,
                "{value:?}"
            );
        }
        assert_eq!(fields(&[]).content_length(), Ok(None));
    }

    #[test]
    fn timeouts_are_positive_and_finite() {
        for (value, expected) in [
            ("600", Some(600.0)),
            ("0.5", Some(0.5)),
            ("0", None),
            ("-1", None),
            ("inf", None),
            ("nan", None),
            ("x", None),
        ] {
            assert_eq!(
                fields(&[("x-request-timeout", value)]).timeout_s(),
                expected,
                "{value}"
            );
        }
        let both = [
            ("x-stainless-read-timeout", "600"),
            ("x-request-timeout", "5"),
        ];
        let both = fields(&both);
        assert_eq!(
            (both.timeout_s(), both.read_timeout_s()),
            (Some(5.0), Some(600.0))
        );
    }

    #[test]
    fn a_read_timeout_is_no_deadline() {
        let fields = fields(&[("x-stainless-read-timeout", "3")]);
        assert_eq!(
            (fields.timeout_s(), fields.read_timeout_s()),
            (None, Some(3.0))
        );
    }

    #[test]
    fn traceparents_are_well_formed() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (value, expected) in [
            (good, true),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-new",
                true,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-new",
                false,
            ),
            (
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                false,
            ),
            (
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                false,
            ),
            (
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                false,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                false,
            ),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736", false),
        ] {
            assert_eq!(
                fields(&[("traceparent", value)]).traceparent().is_some(),
                expected,
                "{value}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value: Vec<u8>, name in 0..8_usize) {
            let names = ["accept", "authorization", "content-length", "content-type", "traceparent",
                         "x-api-key", "x-request-timeout", "x-request-id"];
            let fields = Fields::read([(names[name].as_bytes(), value.as_slice())]);
            let _ = (fields.accepts_json(), fields.api_key(), fields.content_length(), fields.timeout_s());
            let _ = (fields.traceparent(), fields.announces_body());
        }
    }
}
