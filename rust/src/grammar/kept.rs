//! Compiled grammars that are kept for the next request with the same text.

use std::collections::VecDeque;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::compiled::Compiled;
use super::source::Kind;

/// SHA-256 of a grammar's kind and text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(kind: Kind, text: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(kind.name().as_bytes());
        digest.update([0]);
        digest.update(text.as_bytes());
        Self(digest.finalize().into())
    }
}

/// The grammars used last, the latest at the back.
#[derive(Default)]
pub(super) struct Kept {
    grammars: VecDeque<(Key, Arc<Compiled>)>,
}

impl Kept {
    pub(super) fn find(&mut self, key: &Key) -> Option<Arc<Compiled>> {
        let index = self.grammars.iter().position(|(each, _)| each == key)?;
        let found = self.grammars.remove(index)?;
        let compiled = found.1.clone();
        self.grammars.push_back(found);
        Some(compiled)
    }

    pub(super) fn add(&mut self, key: Key, compiled: Arc<Compiled>, max_kept: usize) {
        self.grammars.retain(|(each, _)| *each != key);
        self.grammars.push_back((key, compiled));
        while self.grammars.len() > max_kept {
            self.grammars.pop_front();
        }
    }
}
