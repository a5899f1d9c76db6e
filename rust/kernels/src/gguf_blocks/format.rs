//! What blocks are packed as: a format that holds the numbers of all their types as they are.

use super::kind::TensorType;
use super::layout::Layout;
use crate::matrix::Format;

/// The smallest format that holds every value of these types: the finest groups, mins where one has them, and four bits
/// where their codes fit. None where one is a type of plain floats, or there is none.
#[must_use]
pub fn format_of(kinds: &[TensorType]) -> Option<Format> {
    let layouts: Vec<Layout> = kinds
        .iter()
        .map(|kind| Layout::of(*kind))
        .collect::<Option<_>>()?;
    let block = layouts.iter().map(|layout| layout.group).min()?;
    let has_min = layouts.iter().any(|layout| layout.has_min);
    let (lowest, highest) = if has_min { (0, 15) } else { (-8, 7) };
    let is_small = |layout: &Layout| layout.codes.0 >= lowest && layout.codes.1 <= highest;
    Some(Format::Int {
        bits: if layouts.iter().all(is_small) { 4 } else { 8 },
        block: u8::try_from(block).ok()?,
        has_min,
    })
}

/// Whether a format holds every value of a layout.
#[must_use]
pub(super) fn holds(format: Format, layout: &Layout) -> bool {
    let Format::Int {
        bits,
        block,
        has_min,
    } = format
    else {
        return false;
    };
    let (lowest, highest) = match (bits, has_min) {
        (4, true) => (0, 15),
        (4, false) => (-8, 7),
        _ => (i8::MIN, i8::MAX),
    };
    layout.group.is_multiple_of(usize::from(block))
        && (has_min || !layout.has_min)
        && layout.codes.0 >= lowest
        && layout.codes.1 <= highest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_alone_and_those_that_meet_in_one_matrix() {
        let named = |names: &[&str]| {
            let kinds: Vec<_> = names
                .iter()
                .map(|name| TensorType::named(name).unwrap())
                .collect();
            let format = format_of(&kinds)?;
            for kind in kinds {
                assert!(holds(format, &Layout::of(kind).unwrap()), "{format}");
            }
            Some(format.to_string())
        };
        for (names, format) in [
            (&["Q8_0"][..], "q8_32"),
            (&["Q4_0"], "q4_32"),
            (&["Q4_1"], "q4_32m"),
            (&["Q5_0"], "q8_32"),
            (&["Q5_1"], "q8_32m"),
            (&["Q2_K"], "q4_16m"),
            (&["Q3_K"], "q4_16"),
            (&["Q4_K"], "q4_32m"),
            (&["Q5_K"], "q8_32m"),
            (&["Q6_K"], "q8_16"),
            (&["IQ4_NL"], "q8_32"),
            (&["MXFP4"], "q8_32"),
            (&["Q5_0", "Q8_0"], "q8_32"),
            (&["Q4_K", "Q6_K"], "q8_16m"),
            (&["Q4_0", "Q4_1"], "q8_32m"),
        ] {
            assert_eq!(named(names).as_deref(), Some(format), "{names:?}");
        }
        assert_eq!(named(&["Q8_0", "F32"]), None);
        assert_eq!(named(&[]), None);
    }
}
