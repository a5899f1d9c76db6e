//! Outputs of models with thoughts, under every split.

use std::sync::Arc;

use proptest::prelude::*;

use super::{ReasoningFormat, stages};
use crate::delta::Fold;
use crate::stage::{Chain, testing::fold_of};
use crate::tool_call::{ToolFormat, ToolSchemas};

const TOOLS: &[u8] =
    br#"[{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]"#;

/// What a choice of these pieces shows, all added up.
fn split(format: &str, begins_inside: bool, tool_format: Option<&str>, pieces: &[&str]) -> Fold {
    let reasoning = (ReasoningFormat::from_name(format).unwrap(), begins_inside);
    let tools = tool_format.map(|name| {
        let schemas = Arc::new(ToolSchemas::parse(TOOLS).unwrap());
        (ToolFormat::from_name(name).unwrap(), schemas)
    });
    let mut chain = Chain::new(stages(Some(reasoning), tools));
    fold_of(&mut chain, pieces)
}

/// Format, whether it begins inside, output, reasoning, text.
type Vector = (&'static str, bool, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const VECTORS: &[Vector] = &[
    ("deepseek_r1", true, "\nHm,\n so.\n</think>\n\nParis.", "Hm,\n so.", "Paris."),
    ("deepseek_r1", true, "<think>\nHm.\n</think>\n\nParis.", "Hm.", "Paris."),
    ("deepseek_r1", true, "a thought without an end", "a thought without an end", ""),
    ("deepseek_r1", false, "Paris </think> x", "", "Paris </think> x"),
    ("qwen3", false, "<think>\nHm.\n</think>\n\nParis.\n", "Hm.", "Paris.\n"),
    ("qwen3", false, "<think>\n\n</think>\n\nParis.", "", "Paris."),
    ("qwen3", false, "No <think> here </think>.", "", "No <think> here </think>."),
    ("qwen3", true, "Hm </thin </think>\n    x", "Hm </thin", "    x"),
    ("qwen3", false, " \n ", "", " \n "),
    ("glm45", false, "\n<think>Hm.</think>\nParis.", "Hm.", "Paris."),
    ("kimi_k2", true, "Hm.<|tool_calls_section_begin|>", "Hm.", "<|tool_calls_section_begin|>"),
    ("ernie45", true, "Hm.\n</think>\n\n<response>\nParis.\n\nBye.\n</response>\n", "Hm.", "Paris.\n\nBye."),
    ("hunyuan_a13b", false, "<think>\nHm.\n</think>\n<answer>\nParis.\n</answer>", "Hm.", "Paris."),
    ("olmo3", true, "Hm.</think>Paris.", "Hm.", "Paris."),
    ("minimax_m2", true, "Hm.\n</think>\n\nParis.", "Hm.", "Paris."),
    ("minimax_m2_append_think", true, "Hm.\n</think>\n\nParis.", "", "<think>Hm.\n</think>\n\nParis."),
    ("step3", true, "Hm.</think>Paris.", "Hm.", "Paris."),
    ("seed_oss", false, "<seed:think>Hm.<seed:cot_budget_reflect>x</seed:cot_budget_reflect></seed:think>Paris.", "Hm.<seed:cot_budget_reflect>x</seed:cot_budget_reflect>", "Paris."),
    ("mistral", false, "[THINK]Hm.[/THINK]Paris. [THINK]Hm![/THINK]Rome.", "Hm.Hm!", "Paris. Rome."),
    ("granite", false, "Here is my thought process:\nHm.\n\nHere is my response:\n\nParis.", "Hm.", "Paris."),
    ("granite", false, "Here is my house.", "", "Here is my house."),
    ("gemma4", false, "<|channel>thought\nHm.\n<channel|>Paris.", "Hm.", "Paris."),
    ("harmony", false, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Paris.<|return|>", "Hm.", "Paris."),
    ("harmony", false, "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>analysis<|message|>B<|end|><|start|>assistant<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>final<|message|>Then.", "A\nB", "First.\nThen."),
    ("harmony", false, "Just <|text|> and <b>", "", "Just <|text|> and <b>"),
    ("harmony", false, "<|channel|>commentary to=browser.search<|message|>{}", "", "<|channel|>commentary to=browser.search<|message|>{}"),
];

fn characters(text: &str) -> Vec<&str> {
    text.split_inclusive(|_| true).collect()
}

#[test]
fn every_output_is_split_as_its_template_means_it() {
    for (format, begins_inside, output, reasoning, text) in VECTORS {
        for pieces in [vec![*output], characters(output)] {
            let fold = split(format, *begins_inside, None, &pieces);
            let found = (fold.reasoning.as_str(), fold.text.as_str());
            assert_eq!(found, (*reasoning, *text), "{format}: {output}");
        }
    }
}

#[test]
fn every_format_is_named_in_the_table_once() {
    let names: Vec<_> = ReasoningFormat::names().collect();
    for name in &names {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
        assert_eq!(ReasoningFormat::from_name(name).unwrap().name, *name);
    }
}

#[test]
fn a_prompt_opens_or_closes_a_thought() {
    let begins = |name: &str, prompt: &str| {
        ReasoningFormat::from_name(name)
            .unwrap()
            .begins_inside(prompt)
    };
    assert!(begins("qwen3", "<|im_start|>assistant\n<think>\n"));
    assert!(!begins("qwen3", "<|im_start|>assistant\n"));
    assert!(!begins(
        "qwen3",
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ));
    assert!(begins("deepseek_r1", "<｜Assistant｜>"));
    assert!(!begins("deepseek_r1", "<｜Assistant｜></think>"));
    assert!(!begins("harmony", "<|start|>assistant"));
}

#[test]
fn harmony_calls_are_found_beside_reasoning_and_text() {
    let output = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather \
                  <|constrain|>json<|message|>{\"city\": \"<b> Paris\"}<|call|><|start|>assistant to=functions.get_weather<|channel|>commentary \
                  json<|message|><|call|>";
    for pieces in [vec![output], characters(output)] {
        let fold = split("harmony", false, Some("harmony"), &pieces);
        assert_eq!((fold.reasoning.as_str(), fold.text.as_str()), ("Hm.", ""));
        let calls: Vec<_> = fold
            .tool_calls
            .iter()
            .map(|call| (&*call.name, &*call.arguments))
            .collect();
        assert_eq!(
            calls,
            [
                ("get_weather", "{\"city\": \"<b> Paris\"}"),
                ("get_weather", "{}")
            ]
        );
    }
}

#[test]
fn a_call_behind_a_thought_is_found_and_one_inside_is_not() {
    let output = "<think>\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {}}\n</tool_call>\n</think>\n\n\
                  <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"<think>\"}}\n</tool_call>";
    let fold = split("qwen3", false, Some("hermes"), &[output]);
    assert!(fold.reasoning.starts_with("<tool_call>"));
    assert_eq!((fold.text.as_str(), fold.tool_calls.len()), ("", 1));
    assert_eq!(fold.tool_calls[0].arguments, "{\"city\": \"<think>\"}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn any_text_near_to_thoughts_is_the_same_under_every_split(
        format in prop::sample::select(ReasoningFormat::names().collect::<Vec<_>>()),
        begins_inside in any::<bool>(),
        parts in prop::collection::vec(prop::sample::select(vec![
            "<think>", "</think>", "<thi", "\n", " ", "a", "é", "<", "Here is my thought process:", "Here's my response:",
            "[THINK]", "[/THINK]", "<|channel>thought", "<channel|>", "<seed:think>", "</seed:think>", "<answer>",
            "</answer>", "</response>", "<|channel|>", "analysis", "final", "commentary to=functions.get_weather", "<|message|>",
            "<|end|>", "<|start|>assistant", "<|call|>", "{}", "<|tool_calls_section_begin|>",
        ]), 0..14),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let text = parts.concat();
        let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        at.dedup();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let tool_format = (format == "harmony").then_some("harmony");
        let whole: &[&str] = if text.is_empty() { &[] } else { &[&text] };
        prop_assert_eq!(split(format, begins_inside, tool_format, &pieces), split(format, begins_inside, tool_format, whole));
    }
}
