//! The types of tensors by ggml's numbers, those that cannot be read by their names.

use penstock_kernels::gguf_blocks::TensorType;

use super::error::Error;

/// ggml's names of those that cannot be read.
const OTHERS: [(u32, &str); 19] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (42, "Q2_0"),
];

/// The type of ggml's number. `what`: who has it.
pub(super) fn tensor_type(number: u32, what: &str) -> Result<TensorType, Error> {
    TensorType::of(number).ok_or_else(|| {
        let name = OTHERS.iter().find(|row| row.0 == number);
        let known: Vec<&str> = TensorType::all().map(TensorType::name).collect();
        Error::Unsupported(format!(
            "{what} is of the type {}, expected one of {}",
            name.map_or_else(|| number.to_string(), |row| row.1.to_owned()),
            known.join(", ")
        ))
    })
}
