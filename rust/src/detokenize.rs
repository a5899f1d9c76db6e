//! detokenize
