//! Values of metadata: GGUF's thirteen types as four, and arrays of each.

use std::io::Read;

use super::bounded::Bounded;
use super::error::Error;

/// A text that is one value: a chat template is the longest.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any of the eight integer types; the greatest u64 are no value of any key.
    Int(i64),
    /// float32 or float64.
    Float(f64),
    /// One byte, 0 or 1.
    Bool(bool),
    /// UTF-8.
    Text(String),
    /// Values of one type.
    Array(Array),
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Bools.
    Bools(Vec<bool>),
    /// Texts.
    Texts(Vec<String>),
}

impl Array {
    /// How many values it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(items) => items.len(),
            Self::Floats(items) => items.len(),
            Self::Bools(items) => items.len(),
            Self::Texts(items) => items.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// GGUF's number of the type of arrays.
const ARRAY: u32 = 9;
const TEXT: u32 = 8;
const BOOL: u32 = 7;

pub(super) fn read_value<R: Read>(input: &mut Bounded<R>) -> Result<Value, Error> {
    let kind = input.u32()?;
    match kind {
        ARRAY => read_array(input).map(Value::Array),
        TEXT => input.text(MAX_TEXT_BYTES).map(Value::Text),
        BOOL => read_bool(input).map(Value::Bool),
        6 | 12 => read_float(input, kind).map(Value::Float),
        _ => read_int(input, kind).map(Value::Int),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "arrays hold float32, what a float64 loses there is nobody's"
)]
fn read_array<R: Read>(input: &mut Bounded<R>) -> Result<Array, Error> {
    let kind = input.u32()?;
    let least = match kind {
        0 | 1 | BOOL => 1,
        2 | 3 => 2,
        4..=6 => 4,
        TEXT | 10..=12 => 8,
        ARRAY => {
            return Err(Error::Unsupported(format!(
                "{} is an array of arrays",
                input.what()
            )));
        }
        _ => return Err(unknown(input, kind)),
    };
    let count = input.u64()?;
    let count = input.check_count(count, least)?;
    Ok(match kind {
        TEXT => Array::Texts(input.items(count, |input| input.text(MAX_TEXT_BYTES))?),
        BOOL => Array::Bools(input.items(count, read_bool)?),
        6 | 12 => Array::Floats(input.items(count, |input| match kind {
            6 => input.array().map(f32::from_le_bytes),
            _ => input.array().map(|bytes| f64::from_le_bytes(bytes) as f32),
        })?),
        _ => Array::Ints(input.items(count, |input| read_int(input, kind))?),
    })
}

fn read_bool<R: Read>(input: &mut Bounded<R>) -> Result<bool, Error> {
    match input.array::<1>()?[0] {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(input.damaged(&format!("has a bool of {other}, expected 0 or 1"))),
    }
}

/// A float32 becomes the shortest decimal that stands for it: 1e-6 was written, not 9.999999974752427e-7.
fn read_float<R: Read>(input: &mut Bounded<R>, kind: u32) -> Result<f64, Error> {
    if kind == 6 {
        let value = f32::from_le_bytes(input.array()?);
        return Ok(value
            .to_string()
            .parse()
            .unwrap_or_else(|_| f64::from(value)));
    }
    input.array().map(f64::from_le_bytes)
}

fn read_int<R: Read>(input: &mut Bounded<R>, kind: u32) -> Result<i64, Error> {
    Ok(match kind {
        0 => i64::from(input.array::<1>()?[0]),
        1 => i64::from(i8::from_le_bytes(input.array()?)),
        2 => i64::from(u16::from_le_bytes(input.array()?)),
        3 => i64::from(i16::from_le_bytes(input.array()?)),
        4 => i64::from(u32::from_le_bytes(input.array()?)),
        5 => i64::from(i32::from_le_bytes(input.array()?)),
        10 => {
            let value = input.u64()?;
            i64::try_from(value)
                .map_err(|_| input.damaged(&format!("has {value}, too great for any use")))?
        }
        11 => i64::from_le_bytes(input.array()?),
        _ => return Err(unknown(input, kind)),
    })
}

fn unknown<R: Read>(input: &Bounded<R>, kind: u32) -> Error {
    input.damaged(&format!("has the unknown type {kind}"))
}
