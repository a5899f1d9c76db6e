//! Little-endian numbers and texts from a stream that is known to end: nothing is allocated that its rest cannot fill.

use std::io::Read;

use super::error::{Error, shown};

/// What is allocated before any of it has been read.
const MAX_FIRST_ITEMS: usize = 4096;
/// What one header may take, far above the largest vocabularies.
const MAX_BYTES: usize = 512 << 20;

/// A reader that knows how many bytes are left.
pub(super) struct Bounded<R> {
    input: R,
    position: u64,
    end: u64,
    /// Bytes of memory that may still be taken.
    budget: usize,
    /// What is being read, for a refusal.
    what: String,
}

impl<R: Read> Bounded<R> {
    /// `end`: bytes of the input.
    pub(super) fn new(input: R, end: u64) -> Self {
        Self {
            input,
            position: 0,
            end,
            budget: MAX_BYTES,
            what: "the header".to_owned(),
        }
    }

    /// Says what comes now.
    pub(super) fn enter(&mut self, kind: &str, name: &str) {
        self.what = format!("{kind} {}", shown(name));
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// A refusal that says where.
    pub(super) fn damaged(&self, why: &str) -> Error {
        Error::Damaged(format!("{} {why}", self.what))
    }

    /// Refuses a count of things that the rest of the file cannot hold, each of `least_bytes` or more.
    pub(super) fn check_count(&self, count: u64, least_bytes: u64) -> Result<usize, Error> {
        let left = self.end - self.position;
        let fits = count
            .checked_mul(least_bytes)
            .is_some_and(|bytes| bytes <= left);
        match usize::try_from(count) {
            Ok(count) if fits => Ok(count),
            _ => Err(Error::Truncated(format!(
                "{} asks for {count} items of {least_bytes} bytes or more, {left} bytes are left",
                self.what
            ))),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.check_count(N as u64, 1)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length and that many bytes of UTF-8.
    pub(super) fn text(&mut self, max_bytes: usize) -> Result<String, Error> {
        let length = self.u64()?;
        let length = self.check_count(length, 1)?;
        if length > max_bytes {
            return Err(self.damaged(&format!(
                "has a text of {length} bytes, expected at most {max_bytes}"
            )));
        }
        self.spend(length)?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.damaged("has a text that is not UTF-8"))
    }

    /// That many items, each by `read`. `count` has been checked.
    pub(super) fn items<T>(
        &mut self,
        count: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.spend(count.saturating_mul(size_of::<T>()))?;
        let mut items = Vec::with_capacity(count.min(MAX_FIRST_ITEMS));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            Error::Unsupported(format!(
                "its metadata take more than {} MB at {}",
                MAX_BYTES >> 20,
                self.what
            ))
        })?;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.input
            .read_exact(bytes)
            .map_err(|cause| Error::Truncated(format!("{} cannot be read: {cause}", self.what)))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
