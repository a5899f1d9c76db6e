//! Cross-origin answers: which origins may read, and what a preflight is told.
//!
//! Off without origins. A named origin is echoed and may send credentials; `*` is `*`, and then
//! never credentials (the Fetch standard forbids the pair, and echoing any origin instead would
//! let every site act with a visitor's cookies).

use super::Header;
use super::fields::Fields;

const EXPOSED: &[u8] = b"x-request-id, x-penstock-warnings, retry-after, retry-after-ms";
const MAX_AGE_S: &[u8] = b"600";
const MAX_REQUESTED_HEADERS_BYTES: usize = 1024;

/// Who may read answers from another origin.
#[derive(Debug)]
pub(super) enum Cors {
    Off,
    Any,
    /// Compared byte for byte with what a browser sends: lower case, no slash at the end.
    Named(Vec<Vec<u8>>),
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        if origins.is_empty() {
            return Self::Off;
        }
        if origins.iter().any(|origin| origin.trim() == "*") {
            return Self::Any;
        }
        let as_browsers_do = |origin: &String| {
            origin
                .trim()
                .trim_end_matches('/')
                .to_ascii_lowercase()
                .into_bytes()
        };
        Self::Named(origins.iter().map(as_browsers_do).collect())
    }

    /// Whether this head is a preflight that we answer.
    pub(super) fn is_preflight(&self, method: &str, fields: &Fields<'_>) -> bool {
        let asks = fields.origin.is_some() && fields.preflight_method.is_some();
        method == "OPTIONS" && asks && !matches!(self, Self::Off)
    }

    /// The headers that every answer carries.
    pub(super) fn extend(&self, headers: &mut Vec<Header>, origin: Option<&[u8]>) {
        if let Self::Named(_) = self {
            headers.push(Header::new(b"vary", b"origin"));
        }
        let Some(origin) = origin else { return };
        match self {
            Self::Any => headers.push(Header::new(b"access-control-allow-origin", b"*")),
            Self::Named(origins) if origins.iter().any(|known| known == origin) => {
                headers.push(Header::new(b"access-control-allow-origin", origin));
                headers.push(Header::new(b"access-control-allow-credentials", b"true"));
            }
            _ => return,
        }
        headers.push(Header::new(b"access-control-expose-headers", EXPOSED));
    }
}

/// What a preflight's answer carries beside them, if the origin is allowed.
pub(super) fn extend_preflight(headers: &mut Vec<Header>, methods: &[&str], fields: &Fields<'_>) {
    if !headers
        .iter()
        .any(|header| header.name == b"access-control-allow-origin")
    {
        return;
    }
    headers.push(Header::new(
        b"access-control-allow-methods",
        methods.join(", ").as_bytes(),
    ));
    if let Some(requested) = fields
        .preflight_headers
        .filter(|requested| is_name_list(requested))
    {
        headers.push(Header::new(b"access-control-allow-headers", requested));
    }
    headers.push(Header::new(b"access-control-max-age", MAX_AGE_S));
}

/// Header names and commas, of a sane length.
fn is_name_list(requested: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
    (1..=MAX_REQUESTED_HEADERS_BYTES).contains(&requested.len()) && requested.iter().all(is_allowed)
}
