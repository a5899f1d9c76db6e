//! A call that no client can run is counted, in every family of formats, however its text was split.

use super::super::{harmony_stage, stage};
use super::{ToolFormat, tools};
use crate::stage::{Chain, testing::fold_of};

/// How many calls of `text`, given in pieces of so many characters, are malformed.
fn num_malformed(format: &str, text: &str, num_chars: usize, is_cut: bool) -> u32 {
    let format = ToolFormat::from_name(format).unwrap();
    let stage = if format.is_harmony() {
        harmony_stage(tools())
    } else {
        stage(format, tools())
    };
    let mut chain = Chain::new(vec![stage]);
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars.chunks(num_chars).map(String::from_iter).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    fold_of(&mut chain, &pieces);
    chain.num_malformed_calls(is_cut)
}

fn check(format: &str, text: &str, expected: u32) {
    for num_chars in [1, 2, 3, 7, text.len()] {
        let found = num_malformed(format, text, num_chars, false);
        assert_eq!(found, expected, "{format}, by {num_chars}: {text}");
    }
}

#[test]
fn a_malformed_call_is_counted_in_every_family() {
    for (format, text) in [
        // Objects between marks.
        ("hermes", "<tool_call>\nnot json\n</tool_call>"),
        (
            "hermes",
            "<tool_call>{\"name\": \"unknown_tool\", \"arguments\": {}}</tool_call>",
        ),
        (
            "hermes",
            "Let me see. <tool_call>{\"name\": \"get_time\", \"arguments\": {\"a\": }}</tool_call>",
        ),
        (
            "hermes",
            "<tool_call>{\"name\": \"get_time\", \"arguments\": {\"a\": 1",
        ),
        ("hermes", "<tool_call>{\"name\": \"get_ti"),
        (
            "hermes",
            "<tool_call>{\"name\": \"get_time\", \"arguments\": [1]}</tool_call>",
        ),
        ("mistral", "[TOOL_CALLS] [1, 2]"),
        (
            "granite",
            "<|tool_call|>[{\"name\": \"unknown_tool\", \"arguments\": {}}]",
        ),
        (
            "jamba",
            "<tool_calls>[{\"name\": \"get_time\", \"arguments\": \"{broken\"}]</tool_calls>",
        ),
        // Bare objects.
        ("openai", "{\"name\": \"unknown_tool\", \"arguments\": {}}"),
        (
            "openai",
            "[{\"name\": \"unknown_tool\", \"parameters\": {}}]",
        ),
        (
            "llama3_json",
            "{\"name\": \"get_time\", \"parameters\": {\"a\" 1}}",
        ),
        // A name in a frame, then JSON.
        ("mistral", "[TOOL_CALLS]get_weather[ARGS]oops"),
        (
            "deepseek_v3",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>unknown\n```json\n{}\n```",
        ),
        (
            "kimi_k2",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_time:0<|tool_call_argument_begin|>{'a': 1}<|tool_call_end|>",
        ),
        // Tagged parameters.
        (
            "qwen3_coder",
            "<tool_call>\n<function=unknown_tool>\n</function>\n</tool_call>",
        ),
        ("qwen3_coder", "<function=unknown_tool>\n</function>"),
        ("qwen3_coder", "<function=get_weather>\nParis</function>"),
        (
            "qwen3_coder",
            "<function=get_weather>\n<parameter=city>\nPar",
        ),
        ("glm45", "<tool_call>get_weather and more</tool_call>"),
        (
            "minimax_m2",
            "<minimax:tool_call><invoke name=\"unknown\"></invoke></minimax:tool_call>",
        ),
        // Literals.
        ("pythonic", "[unknown_tool(a=1)]"),
        ("pythonic", "[get_weather(city=\"Paris\" oops)]"),
        ("pythonic", "[get_weather(city=\"Par"),
        ("gemma4", "<|tool_call>call:unknown{}<tool_call|>"),
        // Messages.
        (
            "harmony",
            "<|channel|>commentary to=functions.unknown <|message|>{}<|call|>",
        ),
        (
            "harmony",
            "<|channel|>commentary to=functions.get_time <|message|>{\"a\": }<|call|>",
        ),
        (
            "harmony",
            "<|channel|>commentary to=functions.get_time <|message|>{\"a\":",
        ),
    ] {
        check(format, text, 1);
    }
}

#[test]
fn what_is_a_call_or_plain_text_is_not_counted() {
    for (format, text) in [
        (
            "hermes",
            "<tool_call>{\"name\": \"get_time\", \"arguments\": {}}</tool_call>",
        ),
        ("hermes", "<tool_call>{\"name\": \"get_time\"}"),
        ("hermes", "a < b and <tool"),
        ("hermes", "{\"name\": \"Ada\", \"arguments\": {}}"),
        ("openai", "{\"name\": \"Ada\", \"age\": 36}"),
        ("openai", "An example: {\"name\": \"f\", \"arguments\": {}}"),
        ("pythonic", "[1, 2]"),
        ("pythonic", "See [main()](docs)."),
        (
            "llama3_json",
            "<|python_tag|>{\"name\": \"get_time\", \"parameters\": {}}",
        ),
        ("harmony", "<|channel|>final<|message|>Hello.<|return|>"),
        (
            "harmony",
            "<|channel|>commentary to=functions.get_time <|message|>{\"a\": 1}",
        ),
        (
            "harmony",
            "<|channel|>commentary to=functions.get_time <|message|>",
        ),
    ] {
        check(format, text, 0);
    }
}

#[test]
fn each_of_several_is_counted() {
    let broken = "<tool_call>\n{\"name\": \"unknown\"}</tool_call>";
    let whole = "<tool_call>{\"name\": \"get_time\", \"arguments\": {}}</tool_call>";
    check("hermes", &format!("{broken}{whole}{broken}"), 2);
    check(
        "xlam",
        &format!("[TOOL_CALLS] [{{\"name\": \"unknown\"}}] {broken}"),
        2,
    );
}

#[test]
fn a_call_that_the_limit_has_cut_is_not_malformed() {
    for (format, text) in [
        (
            "hermes",
            "<tool_call>{\"name\": \"get_time\", \"arguments\": {\"a\": 1",
        ),
        ("hermes", "<tool_call>{\"name\": \"get_ti"),
        (
            "qwen3_coder",
            "<function=get_weather>\n<parameter=city>\nPar",
        ),
        (
            "harmony",
            "<|channel|>commentary to=functions.get_time <|message|>{\"a\":",
        ),
    ] {
        assert_eq!(num_malformed(format, text, 1, true), 0, "{format}");
    }
}
