//! Ids of calls.

use super::syntax::Ids;

const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A new random id.
pub(super) fn mint(ids: Ids) -> String {
    match ids {
        Ids::Call => {
            let id = crate::request_id::mint("");
            // The last digits are the random ones.
            format!("call_{}", &id[id.len() - 24..])
        }
        Ids::Nine => {
            let mut random = [0; 9];
            getrandom::fill(&mut random).expect("the operating system gives random bytes");
            random
                .iter()
                .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
                .collect()
        }
    }
}
