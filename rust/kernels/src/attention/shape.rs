//! The sizes of a layer's attention.

/// Tokens of a page: one for each number of a vector.
pub const PAGE: usize = 16;
/// Keys between two looks at the greatest score, from a multiple of it on.
pub(super) const BLOCK: usize = 4 * PAGE;
/// Keys that are summed up for themselves before they join what came before them, from a multiple of it on. That makes
/// the order of all sums the same whether one thread walks a sequence or several share it.
pub(super) const CHUNK: usize = 4 * BLOCK;

/// Heads of a layer: K key-value heads, each of which G query heads read, of H numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// K.
    pub num_kv_heads: usize,
    /// G.
    pub num_groups: usize,
    /// H.
    pub head_dim: usize,
}

impl Heads {
    /// Numbers of a token's queries, key and value of one key-value head.
    #[must_use]
    pub fn fused_size(self) -> usize {
        (self.num_groups + 2) * self.head_dim
    }

    /// Numbers of a token's queries.
    #[must_use]
    pub fn query_size(self) -> usize {
        self.num_kv_heads * self.num_groups * self.head_dim
    }
}
