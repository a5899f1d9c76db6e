//! Any bytes as a GGUF file: its header and its tokenizer are read, or refused in one sentence, and all that is read lies
//! within the file.
#![no_main]

use _core::gguf::Gguf;
use _core::gguf::tokenizer::{Tokenizer, end_ids};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() as u64;
    match Gguf::read(bytes, size) {
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
        Ok(gguf) => {
            assert!(gguf.tensors.iter().all(|tensor| tensor.start + tensor.num_bytes <= size));
            let _ = Tokenizer::read(&gguf.metadata);
            let _ = end_ids(&gguf.metadata);
        }
    }
});
