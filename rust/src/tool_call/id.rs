//! Ids of calls.

use super::syntax::Ids;
use crate::request_id::push_hex;

const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A new random id.
pub(super) fn mint(ids: Ids) -> String {
    match ids {
        Ids::Call => {
            let mut id = String::with_capacity(29);
            id.push_str("call_");
            push_hex(&random::<12>(), &mut id);
            id
        }
        Ids::Nine => random::<9>()
            .iter()
            .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
            .collect(),
    }
}

fn random<const LEN: usize>() -> [u8; LEN] {
    let mut random = [0; LEN];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    random
}
