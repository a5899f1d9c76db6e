//! Which tokens end a text: the file's own, and those that are known by their text, as files seldom name them all.

/// As chat models of the families end a turn.
pub(super) const ENDS: [&str; 16] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|END_OF_TURN_TOKEN|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
];

pub(super) fn is_end(text: &str) -> bool {
    ENDS.contains(&text)
}
