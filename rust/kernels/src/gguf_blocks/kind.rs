//! How a tensor's numbers lie: ggml's types, each a number of bytes for a block of numbers.

/// The types that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "ggml's own names")]
#[expect(missing_docs, reason = "ggml's own names")]
pub enum TensorType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    BF16,
    MXFP4,
}

/// ggml's number, the name, numbers of a block and its bytes.
const TABLE: [(u32, TensorType, &str, u64, u64); 16] = [
    (0, TensorType::F32, "F32", 1, 4),
    (1, TensorType::F16, "F16", 1, 2),
    (2, TensorType::Q4_0, "Q4_0", 32, 18),
    (3, TensorType::Q4_1, "Q4_1", 32, 20),
    (6, TensorType::Q5_0, "Q5_0", 32, 22),
    (7, TensorType::Q5_1, "Q5_1", 32, 24),
    (8, TensorType::Q8_0, "Q8_0", 32, 34),
    (10, TensorType::Q2_K, "Q2_K", 256, 84),
    (11, TensorType::Q3_K, "Q3_K", 256, 110),
    (12, TensorType::Q4_K, "Q4_K", 256, 144),
    (13, TensorType::Q5_K, "Q5_K", 256, 176),
    (14, TensorType::Q6_K, "Q6_K", 256, 210),
    (20, TensorType::IQ4_NL, "IQ4_NL", 32, 18),
    (23, TensorType::IQ4_XS, "IQ4_XS", 256, 136),
    (30, TensorType::BF16, "BF16", 1, 2),
    (39, TensorType::MXFP4, "MXFP4", 32, 17),
];

impl TensorType {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.1)
    }

    /// The type of ggml's number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == number).map(|row| row.1)
    }

    /// ggml's number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.row().0
    }

    /// The type of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2 == name).map(|row| row.1)
    }

    /// ggml's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Numbers of a block.
    #[must_use]
    pub fn block(self) -> u64 {
        self.row().3
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> u64 {
        self.row().4
    }

    fn row(self) -> &'static (u32, Self, &'static str, u64, u64) {
        TABLE
            .iter()
            .find(|row| row.1 == self)
            .expect("every type has a row")
    }
}
