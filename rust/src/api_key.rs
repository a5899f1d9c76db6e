//! API keys: what a server keeps of one, and how one is recognised.
//!
//! Where a key stands in a request is `request_head`'s to know; whose it is, the server's.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// SHA-256 of a key: all that is kept of it.
pub type Digest = [u8; 32];

/// The digest of a key.
#[must_use]
pub fn digest(key: &[u8]) -> Digest {
    Sha256::digest(key).into()
}

/// Whether the digest of `given` is one of `digests`. Looks at all of them, and at every byte of
/// each, whatever it finds: the time tells nothing about a near miss.
pub fn is_known<'a>(given: &[u8], digests: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let given = digest(given);
    let compare = |found: Choice, known: &[u8]| found | known.ct_eq(&given);
    digests.into_iter().fold(Choice::from(0), compare).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_is_known() {
        let digests = [digest(b"sk-one"), digest(b"sk-two")];
        let is_known = |key: &[u8]| is_known(key, digests.iter().map(Digest::as_slice));
        assert!(is_known(b"sk-one") && is_known(b"sk-two"));
        for other in [&b""[..], b"sk-on", b"sk-one ", b"SK-ONE", &digests[0]] {
            assert!(!is_known(other), "{other:?}");
        }
    }

    #[test]
    fn no_digest_and_broken_digests_know_nobody() {
        assert!(!is_known(b"", []));
        assert!(!is_known(b"sk-one", [&b"short"[..], b""]));
    }

    #[test]
    fn digest_is_the_published_vector() {
        let expected = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(digest(b"abc")[..8], expected, "FIPS 180-2, appendix B.1");
    }
}
