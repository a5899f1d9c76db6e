//! Ids of requests and responses: random, in time's order, and a client's own if it is sane.

use std::time::{SystemTime, UNIX_EPOCH};

const MAX_CLIENT_ID_BYTES: usize = 128;

/// `prefix` and 32 hex digits: 48 bits of Unix milliseconds, then 80 random bits.
///
/// # Panics
/// When the operating system has no randomness to give.
#[must_use]
pub fn mint(prefix: &str) -> String {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    from_parts(
        prefix,
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        random,
    )
}

/// [`mint`] with its time and randomness handed in. Of `unix_ms`, the low 48 bits count.
///
/// ```
/// let id = _core::request_id::from_parts("req_", 0x0190_0000_0000, [0xff; 10]);
/// assert_eq!(id, "req_019000000000ffffffffffffffffffff");
/// ```
#[must_use]
pub fn from_parts(prefix: &str, unix_ms: u64, random: [u8; 10]) -> String {
    let mut id = String::with_capacity(prefix.len() + 32);
    id.push_str(prefix);
    push_hex(&unix_ms.to_be_bytes()[2..], &mut id);
    push_hex(&random, &mut id);
    id
}

/// Two digits per byte. By hand, for a formatter takes twenty times as long, and each tool call has an id.
pub(crate) fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]),
    );
}

/// A client's id, if it is 1 to 128 of `[A-Za-z0-9._:-]`: safe in headers, logs and JSON.
#[must_use]
pub fn accept(given: &[u8]) -> Option<&str> {
    let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
    let fits = (1..=MAX_CLIENT_ID_BYTES).contains(&given.len());
    if fits && given.iter().all(is_sane) {
        std::str::from_utf8(given).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn minted_ids_differ_and_are_accepted() {
        let ids: HashSet<String> = (0..10_000).map(|_| mint("req_")).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(
            ids.iter()
                .all(|id| accept(id.as_bytes()).is_some() && id.len() == 36)
        );
    }

    #[test]
    fn a_clients_id_is_taken_or_left() {
        for (given, taken) in [
            ("a", true),
            ("trace:01.A-b_c", true),
            ("", false),
            ("two words", false),
            ("line\r\nfeed", false),
            ("ünsane", false),
            ("semi;colon", false),
        ] {
            assert_eq!(accept(given.as_bytes()).is_some(), taken, "{given:?}");
        }
        assert!(accept(&[b'x'; 128]).is_some() && accept(&[b'x'; 129]).is_none());
    }

    proptest! {
        #[test]
        fn ids_sort_by_time(a in 0..1_u64 << 48, b in 0..1_u64 << 48, x: [u8; 10], y: [u8; 10]) {
            let (first, second) = (from_parts("p-", a, x), from_parts("p-", b, y));
            prop_assert_eq!(first.cmp(&second), (a, x).cmp(&(b, y)));
            prop_assert_eq!(first.len(), 34);
        }
    }
}
