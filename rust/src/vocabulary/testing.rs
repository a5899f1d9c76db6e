//! Small vocabularies for tests: one token per byte, then words.

use super::Vocabulary;

/// Byte level: ids 0 to 255 are the bytes, then `words`, then the special token `<eos>`.
pub(crate) fn byte_level(words: &[&str]) -> Vocabulary {
    let tokens = (0..=255)
        .map(|byte| spell(&[byte]))
        .chain(words.iter().map(|word| spell(word.as_bytes())));
    from_tokens(tokens, r#"{"type": "ByteLevel"}"#)
}

/// Llama 2's way: ids 0 to 255 are byte tokens, then `words` with "▁" for a space, then the special token `<eos>`.
pub(crate) fn byte_fallback(words: &[&str]) -> Vocabulary {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let decoder = r#"{"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#;
    from_tokens(bytes.chain(words.iter().map(ToString::to_string)), decoder)
}

pub(crate) fn from_tokens(tokens: impl Iterator<Item = String>, decoder: &str) -> Vocabulary {
    let rows: Vec<String> = tokens
        .enumerate()
        .map(|(id, token)| format!("{}: {id}", serde_json::to_string(&token).unwrap()))
        .collect();
    let json = format!(
        r#"{{"added_tokens": [{{"id": {}, "content": "<eos>", "special": true}}], "decoder": {decoder},
            "model": {{"type": "BPE", "vocab": {{{}}}, "merges": []}}}}"#,
        rows.len(),
        rows.join(", "),
    );
    Vocabulary::from_json(json.as_bytes()).unwrap()
}

/// In the byte-level alphabet, written another way than the code under test does it.
fn spell(bytes: &[u8]) -> String {
    let is_itself =
        |byte: u8| (33..127).contains(&byte) || (161..173).contains(&byte) || byte >= 174;
    let others: Vec<u8> = (0..=255).filter(|byte| !is_itself(*byte)).collect();
    let spell_one = |byte: &u8| match others.iter().position(|other| other == byte) {
        None => char::from(*byte),
        Some(place) => char::from_u32(256 + u32::try_from(place).unwrap()).unwrap(),
    };
    bytes.iter().map(spell_one).collect()
}
