//! Files made here, whole and spoiled: what is read, and how each fault is named.

use penstock_kernels::gguf_blocks::TensorType;

use super::testing::{Builder, int, texts};
use super::{Error, Gguf};

fn read(bytes: &[u8]) -> Result<Gguf, Error> {
    Gguf::read(bytes, bytes.len() as u64)
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

#[test]
fn all_types_of_values_are_read() {
    let mut file = Builder::default();
    file.key("u8", 0, &[7]).key("i8", 1, &[0xff]);
    file.key("u16", 2, &7u16.to_le_bytes())
        .key("i16", 3, &(-2i16).to_le_bytes());
    file.key("i32", 5, &(-3i32).to_le_bytes())
        .key("f32", 6, &0.5f32.to_le_bytes());
    file.key("bool", 7, &[1])
        .key("i64", 11, &(-4i64).to_le_bytes());
    file.key("u64", 10, &5u64.to_le_bytes())
        .key("f64", 12, &0.25f64.to_le_bytes());
    let gguf = read(&file.build()).unwrap();
    let int = |key: &str| gguf.metadata.int(key).unwrap().unwrap();
    assert_eq!(
        ["u8", "i8", "u16", "i16", "i32", "i64", "u64"].map(int),
        [7, -1, 7, -2, -3, -4, 5]
    );
    assert_eq!(gguf.metadata.flag("bool").unwrap(), Some(true));
    assert!(
        gguf.metadata
            .int("bool")
            .unwrap_err()
            .to_string()
            .contains("key bool must be an integer")
    );
}

#[test]
fn tensors_lie_where_the_file_says() {
    let mut file = Builder::default();
    file.tensor("a", &[4, 2], 0, 0, 32)
        .tensor("b", &[32, 3], 8, 32, 3 * 34);
    let bytes = file.build();
    let gguf = read(&bytes).unwrap();
    let [a, b] = &gguf.tensors[..] else { panic!() };
    assert_eq!(
        (a.kind, a.shape.as_slice(), a.num_bytes),
        (TensorType::F32, &[2, 4][..], 32)
    );
    assert_eq!(
        (b.kind, b.shape.as_slice(), b.num_bytes),
        (TensorType::Q8_0, &[3, 32][..], 102)
    );
    assert_eq!(
        (b.start - a.start, b.start + b.num_bytes),
        (32, bytes.len() as u64)
    );
}

#[test]
fn every_cut_is_refused() {
    let mut file = Builder::default();
    file.key("general.name", 8, &texts(&["x"]))
        .tensor("a", &[4, 2], 0, 0, 32);
    let bytes = file.build();
    assert!(read(&bytes).is_ok());
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_lying_count_is_refused_before_anything_is_allocated() {
    let mut file = Builder::default();
    file.key(
        "list",
        9,
        &[&4u32.to_le_bytes()[..], &(1u64 << 40).to_le_bytes()].concat(),
    );
    assert!(refusal(&file.build()).contains("key list asks for 1099511627776 items"));
    let mut file = Builder::default();
    file.key("text", 8, &u64::MAX.to_le_bytes());
    assert!(refusal(&file.build()).contains("key text asks for"));
    let header = |counts: [u64; 2]| {
        [
            &b"GGUF\x03\0\0\0"[..],
            &counts[0].to_le_bytes(),
            &counts[1].to_le_bytes(),
        ]
        .concat()
    };
    assert!(refusal(&header([0, 1 << 50])).contains("the list of keys asks for"));
    assert!(refusal(&header([1 << 50, 0])).contains("the list of tensors asks for"));
}

#[test]
fn faults_of_tensors_are_named() {
    let with = |shape: &[u64], kind, start, size| {
        let mut file = Builder::default();
        file.tensor("blk.0.x", shape, kind, start, size);
        refusal(&file.build())
    };
    assert!(with(&[4], 0, 1 << 40, 16).contains("tensor blk.0.x has 16 bytes"));
    assert!(with(&[4], 0, u64::MAX - 31, 16).contains("tensor blk.0.x"));
    assert!(with(&[4], 0, 8, 16).contains("begins at 8"));
    assert!(with(&[31], 8, 0, 64).contains("cannot be of [31]"));
    assert!(with(&[u64::MAX / 2, 8], 0, 0, 64).contains("cannot be of"));
    assert!(with(&[4, 0], 0, 0, 64).contains("cannot be of"));
    assert!(with(&[1, 1, 1, 1, 1], 0, 0, 64).contains("5 dimensions"));
    assert!(with(&[256], 16, 0, 64).contains("is of the type IQ2_XXS, expected one of F32"));
    assert!(with(&[256], 99, 0, 64).contains("is of the type 99"));
    let mut file = Builder::default();
    file.tensor("a", &[16], 0, 0, 64)
        .tensor("b", &[16], 0, 32, 64);
    assert!(refusal(&file.build()).contains("tensor b lies on tensor a"));
    let mut file = Builder::default();
    file.tensor("a", &[16], 0, 0, 64)
        .tensor("a", &[16], 0, 64, 64);
    assert!(refusal(&file.build()).contains("tensor a is there twice"));
}

#[test]
fn other_files_are_told_apart() {
    assert!(
        refusal(b"PK\x03\x04 a zip")
            .contains("is not a GGUF file: it begins with \"PK\\x03\\x04\"")
    );
    assert!(refusal(b"GGUF\x01\0\0\0").contains("version 1 of GGUF, expected 2 or 3"));
    assert!(refusal(b"GGUF\0\0\0\x03").contains("big-endian"));
    let mut file = Builder::default();
    file.key("split.count", 4, &3u32.to_le_bytes());
    assert!(refusal(&file.build()).contains("one of 3 files of a split model"));
    let mut file = Builder::default();
    file.key("general.alignment", 4, &int(24));
    assert!(refusal(&file.build()).contains("general.alignment must be a power of two"));
    let mut file = Builder::default();
    file.key("twice", 4, &int(1)).key("twice", 4, &int(1));
    assert!(refusal(&file.build()).contains("key twice is there twice"));
    let mut file = Builder::default();
    file.key(
        "nested",
        9,
        &[&9u32.to_le_bytes()[..], &1u64.to_le_bytes(), &[0; 16]].concat(),
    );
    assert!(refusal(&file.build()).contains("key nested is an array of arrays"));
}

mod spoiled {
    use proptest::prelude::*;

    use super::super::testing::{Builder, int, texts};
    use super::super::tokenizer::{Tokenizer, end_ids};
    use super::read;

    fn whole() -> Vec<u8> {
        let tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", "▁", "▁a", "<0x0A>"];
        let types: Vec<u8> = [2u32, 3, 3, 1, 1, 1, 1, 4, 6]
            .iter()
            .flat_map(|kind| kind.to_le_bytes())
            .collect();
        let scores: Vec<u8> = (0..9u8)
            .flat_map(|score| (-f32::from(score)).to_le_bytes())
            .collect();
        let list = |kind: u32, bytes: &[u8]| {
            [&kind.to_le_bytes()[..], &9u64.to_le_bytes(), bytes].concat()
        };
        let mut file = Builder::default();
        file.key("tokenizer.ggml.model", 8, &texts(&["llama"]))
            .key("tokenizer.ggml.tokens", 9, &list(8, &texts(&tokens)))
            .key("tokenizer.ggml.token_type", 9, &list(5, &types))
            .key("tokenizer.ggml.scores", 9, &list(6, &scores))
            .key("tokenizer.ggml.bos_token_id", 4, &int(1))
            .tensor("a", &[4, 2], 0, 0, 32)
            .tensor("b", &[256], 12, 32, 144);
        file.build()
    }

    proptest! {
        /// Any bytes changed anywhere: it is read, or refused in a sentence; what is read lies within the file.
        #[test]
        fn a_spoiled_file_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut bytes = whole();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            match read(&bytes) {
                Err(error) => prop_assert!(error.to_string().len() < 1000),
                Ok(gguf) => {
                    for tensor in &gguf.tensors {
                        prop_assert!(tensor.start + tensor.num_bytes <= bytes.len() as u64);
                    }
                    let _ = Tokenizer::read(&gguf.metadata);
                    let _ = end_ids(&gguf.metadata);
                }
            }
        }
    }

    #[test]
    fn the_whole_one_is_read() {
        let gguf = read(&whole()).unwrap();
        let tokenizer = Tokenizer::read(&gguf.metadata).unwrap();
        assert!(
            tokenizer.json.contains(r#""merges":[["a","b"]]"#),
            "{}",
            tokenizer.json
        );
        assert_eq!(end_ids(&gguf.metadata).unwrap(), [2]);
    }
}
