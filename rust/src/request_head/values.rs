//! What the values of header fields mean, each by its standard.

/// Whether a `content-type` is JSON's, whatever its parameters.
pub(super) fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}

pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// The scheme is case-insensitive (RFC 9110 section 11.1).
pub(super) fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = authorization.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| key.trim_ascii())
}

pub(super) fn seconds(value: &[u8]) -> Option<f64> {
    let seconds: f64 = text(value)?.parse().ok()?;
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

/// The weight of a media type in an `accept`: of its most exact range, 0 when none has it.
pub(super) fn quality(accept: &str, main: &str, sub: &str) -> f64 {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let exactness = match media.split_once('/') {
            Some((a, b)) if a.eq_ignore_ascii_case(main) && b.eq_ignore_ascii_case(sub) => 3,
            Some((a, "*")) if a.eq_ignore_ascii_case(main) => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if exactness > best.0 {
            best = (exactness, weight);
        }
    }
    best.1
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero (W3C Trace Context section 3.2).
pub(super) fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.splitn(5, '-').collect();
    let [version, trace, parent, flags, rest @ ..] = parts.as_slice() else {
        return false;
    };
    let is_hex = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let ends_well = if *version == "00" {
        rest.is_empty()
    } else {
        value.len() <= 128
    };
    is_hex(version, 2)
        && *version != "ff"
        && is_id(trace, 32)
        && is_id(parent, 16)
        && is_hex(flags, 2)
        && ends_well
}
