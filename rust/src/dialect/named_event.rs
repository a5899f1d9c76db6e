//! Events with a name, which stands in the frame and in the body: the form of Responses and Messages.

use crate::sse;

/// An event up to its own members, of which each is to begin with a comma.
pub(super) fn begin(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(sse::EVENT);
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(sse::DATA);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

/// Its end.
pub(super) fn end(out: &mut Vec<u8>) {
    out.push(b'}');
    out.extend_from_slice(sse::END);
}
