//! Matrix kernels for the CPU, which XLA calls through its foreign function interface (FFI).
//!
//! The only room with `unsafe`: the C ABI (`ffi`), work shared over XLA's own threads (`share`), instruction sets
//! (`isa`), the layout of a packed matrix (`matrix`) and what is computed with it. A call's operands are checked where
//! it comes in; a panic becomes the error of that call.

pub mod activation;
pub mod attention;
pub mod c_api;
pub mod error;
pub mod ffi;
pub mod gather;
pub mod gguf_blocks;
pub mod handlers;
pub mod int;
pub mod isa;
pub mod matrix;
pub mod number;
pub mod pack;
pub mod product;
pub mod share;
pub mod simd;
pub mod stored;
