//! Small pieces of JSON, appended.

use super::escape::push_escaped;

/// `,"name":"text"`.
pub(super) fn push_text(name: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    push_escaped(text, out);
    out.push(b'"');
}

/// A JSON string.
pub(super) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    push_escaped(text, out);
    out.push(b'"');
}

/// A number, mostly of one digit.
pub(super) fn push_number(number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit),
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
}
