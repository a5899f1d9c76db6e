//! How much a JSON body asks of a parser, told from its bytes before any parser sees it.
//!
//! Objects and arrays made of it are paid for under Python's lock, some microseconds a member: ten
//! megabytes of them would hold everybody up. Here brackets, colons and commas are counted outside
//! of strings. Whether the bytes are JSON is the parser's to say.

use std::fmt;

use crate::error::ErrorKind;

/// Nesting that is passed on. Parsers and what walks their values recurse.
pub const MAX_DEPTH: u32 = 64;

/// What one body may hold.
#[derive(Clone, Copy, Debug)]
pub struct ShapeLimits {
    /// Members of all objects, and the objects and arrays themselves.
    pub max_members: usize,
    /// Items of all arrays.
    pub max_items: usize,
}

/// What a body has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// More than so many members, objects and arrays.
    Members(usize),
    /// More than so many array items.
    Items(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
}

/// Reads the body once, up to where it exceeds a limit.
///
/// # Errors
/// The first excess.
pub fn check(body: &[u8], limits: ShapeLimits) -> Result<(), Excess> {
    let ShapeLimits {
        max_members,
        max_items,
    } = limits;
    let (mut num_members, mut num_items) = (0_usize, 0_usize);
    // Open brackets; the lowest bit is the innermost one's, 1 for an array.
    let (mut depth, mut are_arrays) = (0_u32, 0_u64);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => {
                let is_array = *byte == b'[';
                num_members += 1;
                depth += 1;
                are_arrays = are_arrays << 1 | u64::from(is_array);
                num_items += usize::from(is_array);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                are_arrays >>= 1;
                continue;
            }
            b':' => num_members += 1,
            b',' if are_arrays & 1 == 1 => num_items += 1,
            _ => continue,
        }
        if depth > MAX_DEPTH {
            return Err(Excess::Depth);
        }
        if num_members > max_members {
            return Err(Excess::Members(max_members));
        }
        if num_items > max_items {
            return Err(Excess::Items(max_items));
        }
    }
    Ok(())
}

/// Goes on behind the quote that ends a string whose beginning has been read.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

impl Excess {
    /// Too deep a nesting is what parsers do not take for JSON either.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Depth => ErrorKind::InvalidJson,
            Self::Members(_) | Self::Items(_) => ErrorKind::InvalidValue,
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members(most) => write!(
                f,
                "The request body has too many parts: at most {most} object members, objects and arrays are read."
            ),
            Self::Items(most) => write!(
                f,
                "The request body has too many array items: at most {most} are read."
            ),
            Self::Depth => write!(
                f,
                "The request body is not valid JSON: it is nested deeper than {MAX_DEPTH} levels."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ANY: usize = usize::MAX;

    fn shape(body: &[u8], max_members: usize, max_items: usize) -> Result<(), Excess> {
        check(
            body,
            ShapeLimits {
                max_members,
                max_items,
            },
        )
    }

    /// Members with objects and arrays, items (an empty array counts as one), and depth.
    fn count(value: &Value) -> (usize, usize, u32) {
        let (own, children): (_, Vec<&Value>) = match value {
            Value::Object(members) => ((1 + members.len(), 0, 1), members.values().collect()),
            Value::Array(items) => ((1, items.len().max(1), 1), items.iter().collect()),
            _ => return (0, 0, 0),
        };
        let inner = children.into_iter().map(count);
        let (members, items, depth) = inner.fold((0, 0, 0), |sum, one| {
            (sum.0 + one.0, sum.1 + one.1, sum.2.max(one.2))
        });
        (own.0 + members, own.1 + items, own.2 + depth)
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            r#"[a{}\[\]:,"\\é]{0,8}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(r#"[a-c{\[:,"\\]{0,4}"#, inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn limits_are_exact() {
        let body = json!({"a": [1, 2, 3], "b": {"c:,[{": "}]"}}).to_string();
        assert_eq!(shape(body.as_bytes(), 6, 3), Ok(()));
        assert_eq!(shape(body.as_bytes(), 5, 3), Err(Excess::Members(5)));
        assert_eq!(shape(body.as_bytes(), 6, 2), Err(Excess::Items(2)));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert_eq!(shape(&nested(64), ANY, ANY), Ok(()));
        assert_eq!(shape(&nested(65), ANY, ANY), Err(Excess::Depth));
        assert_eq!(shape(&b"{".repeat(100_000), ANY, ANY), Err(Excess::Depth));
    }

    #[test]
    fn what_is_no_json_is_left_to_the_parser() {
        for body in [&b""[..], b"]]]]", b"\"", b"\"\\", b"{\"a\":", b"\xff\xfe"] {
            assert_eq!(shape(body, ANY, ANY), Ok(()), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_parser(value in values()) {
            let (members, items, depth) = count(&value);
            let text = value.to_string();
            prop_assert!(depth <= MAX_DEPTH);
            prop_assert_eq!(shape(text.as_bytes(), members, items), Ok(()));
            if members > 0 {
                prop_assert_eq!(shape(text.as_bytes(), members - 1, ANY), Err(Excess::Members(members - 1)));
            }
            if items > 0 {
                prop_assert_eq!(shape(text.as_bytes(), ANY, items - 1), Err(Excess::Items(items - 1)));
            }
        }

        #[test]
        fn no_bytes_panic(body: Vec<u8>) {
            let _ = shape(&body, 5, 5);
        }
    }
}
