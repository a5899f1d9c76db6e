//! Names for the pages of a sequence: each a hash of all tokens up to the page's end, so that equal names mean equal
//! keys and values.
//!
//! 128 bits of SHA-256 under a random key of this process: nobody outside can find two prompts of the same name, or
//! learn of a prompt by its name.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// Bytes of a name.
pub const HASH_BYTES: usize = 16;

const ROOT: [u8; 1] = [0];
const PAGE: [u8; 1] = [1];

/// SHA-256 that has taken a block of random bytes.
static KEYED: LazyLock<Sha256> = LazyLock::new(|| {
    let mut key = [0; 64];
    getrandom::fill(&mut key).expect("the operating system gives random bytes");
    Sha256::new().chain_update(key)
});

/// What stands before the first page: sequences of different salts share no name.
#[must_use]
pub fn root(salt: &str) -> [u8; HASH_BYTES] {
    shortened(KEYED.clone().chain_update(ROOT).chain_update(salt))
}

/// The names of the whole pages of `ids`, one after the other; `parent` is the name of the page before them, or
/// [`root`].
///
/// # Panics
/// Where `page_size` is 0.
#[must_use]
pub fn page_hashes(ids: &[i32], page_size: usize, parent: [u8; HASH_BYTES]) -> Vec<u8> {
    let mut parent = parent;
    let mut names = Vec::with_capacity(ids.len() / page_size * HASH_BYTES);
    for page in ids.chunks_exact(page_size) {
        let mut hash = KEYED.clone().chain_update(PAGE).chain_update(parent);
        for id in page {
            hash.update(id.to_le_bytes());
        }
        parent = shortened(hash);
        names.extend_from_slice(&parent);
    }
    names
}

fn shortened(hash: Sha256) -> [u8; HASH_BYTES] {
    let mut name = [0; HASH_BYTES];
    name.copy_from_slice(&hash.finalize()[..HASH_BYTES]);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_tells_salt_and_every_token_before_it() {
        let names = |ids: &[i32], salt| page_hashes(ids, 2, root(salt));
        let base = names(&[1, 2, 3, 4], "");
        assert_eq!(base.len(), 2 * HASH_BYTES);
        assert_eq!(base, names(&[1, 2, 3, 4, 5], ""));
        assert_eq!(base[..HASH_BYTES], names(&[1, 2], ""));
        for other in [
            names(&[1, 2, 3, 4], "salt"),
            names(&[9, 2, 3, 4], ""),
            names(&[2, 1, 3, 4], ""),
        ] {
            assert_ne!(base[..HASH_BYTES], other[..HASH_BYTES]);
            assert_ne!(
                base[HASH_BYTES..],
                other[HASH_BYTES..],
                "though the page is the same"
            );
        }
    }

    proptest! {
        #[test]
        fn a_chain_in_two_parts_is_the_chain(ids in prop::collection::vec(any::<i32>(), 0..40), size in 1_usize..6, cut in 0_usize..9) {
            let whole = page_hashes(&ids, size, root("s"));
            let cut = (cut * size).min(ids.len() / size * size);
            let first = page_hashes(&ids[..cut], size, root("s"));
            let parent = first.last_chunk().copied().unwrap_or(root("s"));
            let rest = page_hashes(&ids[cut..], size, parent);
            prop_assert_eq!(whole, [first, rest].concat());
        }
    }
}
