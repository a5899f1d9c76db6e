//! Key-value pairs, read by key with the type that is expected.

use std::collections::BTreeMap;

use super::error::Error;
use super::value::{Array, Value};

/// All pairs of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    pairs: BTreeMap<String, Value>,
}

/// A getter of one type: none where the key is not there.
macro_rules! getter {
    ($name:ident, $pattern:pat => $found:expr, $type:ty, $expected:literal) => {
        /// None where the key is not there; an error where its value is of another type.
        ///
        /// # Errors
        /// The key's name and what was expected.
        pub fn $name(&self, key: &str) -> Result<Option<$type>, Error> {
            match self.pairs.get(key) {
                None => Ok(None),
                Some($pattern) => Ok(Some($found)),
                Some(_) => Err(Error::Damaged(format!(
                    concat!("key {} must be ", $expected),
                    key
                ))),
            }
        }
    };
}

impl Metadata {
    getter!(int, Value::Int(value) => *value, i64, "an integer");
    getter!(flag, Value::Bool(value) => *value, bool, "a bool");
    getter!(text, Value::Text(value) => value, &str, "a text");
    getter!(ints, Value::Array(Array::Ints(items)) => items, &[i64], "an array of integers");
    getter!(floats, Value::Array(Array::Floats(items)) => items, &[f32], "an array of floats");
    getter!(texts, Value::Array(Array::Texts(items)) => items, &[String], "an array of texts");

    /// Adds a pair. False where the key was there.
    pub(super) fn add(&mut self, key: String, value: Value) -> bool {
        self.pairs.insert(key, value).is_none()
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }
}
