//! What is no call is text, and nothing of it is lost.

use serde_json::json;

use super::{calls, parse};

#[test]
fn what_does_not_become_a_call_stays_text() {
    let texts = [
        ("hermes", "<tool_call>\nnot json\n</tool_call>"),
        (
            "hermes",
            "<tool_call>\n{\"name\": \"unknown_tool\", \"arguments\": {}}\n</tool_call>",
        ),
        ("hermes", "<tool_call>\n{\"name\": \"get_ti"),
        ("hermes", "a < b and <tool"),
        ("mistral", "[TOOL_CALLS] [1, 2]"),
        ("mistral", "[TOOL_CALLS]get_weather[ARGS]oops"),
        ("llama3_json", "{\"answer\": 42, \"name\": \"get_time\"}"),
        ("llama3_json", "  \n "),
        ("pythonic", "[get_weather(\"Paris\")]"),
        ("pythonic", "[unknown_tool(a=1)]"),
        (
            "qwen3_coder",
            "<tool_call>\n<function=unknown_tool>\n</function>\n</tool_call>",
        ),
        ("glm45", "<tool_call>get_weather and more</tool_call>"),
        (
            "kimi_k2",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.unknown_tool:0<|tool_call_argument_begin|>{}",
        ),
        ("deepseek_v31", "<｜tool▁calls▁begin｜><｜tool▁calls▁end｜>"),
    ];
    for (format, text) in texts {
        let fold = parse(format, &[text]);
        assert_eq!(
            (fold.text.as_str(), fold.tool_calls.len()),
            (text, 0),
            "{format}"
        );
    }
}

#[test]
fn a_call_behind_a_broken_one_is_found() {
    let output =
        "<tool_call>oops<tool_call>{\"name\": \"get_time\", \"arguments\": {}}</tool_call>";
    let fold = parse("hermes", &[output]);
    assert_eq!(fold.text, "<tool_call>oops");
    assert_eq!(calls(&fold), json!([["get_time", {}]]));
}

#[test]
fn an_unknown_tool_behind_a_known_one_is_text() {
    let output = "[get_time(), unknown_tool(a=1)]";
    let fold = parse("pythonic", &[output]);
    assert_eq!(fold.text, ", unknown_tool(a=1)]");
    assert_eq!(calls(&fold), json!([["get_time", {}]]));
}

#[test]
fn arguments_that_are_cut_off_end_where_they_are_cut() {
    for (format, output, arguments) in [
        (
            "hermes",
            "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Par",
            "{\"city\": \"Par",
        ),
        (
            "qwen3_coder",
            "<function=get_weather><parameter=city>\nPar",
            "{\"city\": \"Par",
        ),
        (
            "qwen3_coder",
            "<function=get_weather><parameter=days>\n12",
            "{\"days\": 12",
        ),
        ("pythonic", "[get_weather(city=\"Par", "{\"city\": \"Par"),
        (
            "gemma4",
            "<|tool_call>call:get_weather{city:<|\"|>Par<|",
            "{\"city\": \"Par<|",
        ),
    ] {
        let fold = parse(format, &[output]);
        assert_eq!(fold.tool_calls[0].arguments, arguments, "{format}");
        assert_eq!(fold.text, "", "{format}");
    }
}

#[test]
fn a_frame_whose_end_is_cut_off_leaves_no_text() {
    for output in [
        "<tool_call>{\"name\": \"get_time\", \"arguments\": {}}\n</tool_",
        "<tool_call>{\"name\": \"get_time\", \"arguments\": {}}",
        "<tool_call>{\"name\": \"get_time\", \"arguments\": {}}</tool_call>\n",
    ] {
        let fold = parse("hermes", &[output]);
        assert_eq!(
            (fold.text.as_str(), calls(&fold)),
            ("", json!([["get_time", {}]]))
        );
    }
}

#[test]
fn arguments_that_break_off_are_followed_by_text() {
    let fold = parse("pythonic", &["[get_weather(city=\"Paris\" oops)]"]);
    assert_eq!(fold.tool_calls[0].arguments, "{\"city\": \"Paris\"");
    assert_eq!(fold.text, " oops)]");
}

#[test]
fn a_head_is_held_within_a_bound() {
    let long = format!(
        "<tool_call>{{\"arguments\": {{\"city\": \"{}\"}}, ",
        "x".repeat(20_000)
    );
    let fold = parse("hermes", &[&long, "\"name\": \"get_weather\"}</tool_call>"]);
    assert_eq!(fold.tool_calls.len(), 0);
    assert!(fold.text.starts_with("<tool_call>{\"arguments\""));
    assert_eq!(
        fold.text.len(),
        long.len() + "\"name\": \"get_weather\"}</tool_call>".len()
    );
}

#[test]
fn deep_nesting_ends_a_call() {
    let output = format!("[search(query={})]", "[".repeat(100_000));
    let fold = parse("pythonic", &[&output]);
    assert!(fold.tool_calls[0].arguments.len() < 200);
    let hermes = format!(
        "<tool_call>{{\"name\": \"search\", \"arguments\": {}",
        "{".repeat(100_000)
    );
    assert_eq!(
        parse("hermes", &[&hermes]).tool_calls[0].arguments.len(),
        100_000
    );
}

#[test]
fn more_calls_than_the_bound_are_text() {
    let output = "<function=get_time></function>".repeat(300);
    let fold = parse("qwen3_xml", &[&output]);
    assert_eq!(fold.tool_calls.len(), 256);
    assert_eq!(fold.text.matches("<function=get_time>").count(), 44);
}

#[test]
fn a_tag_inside_of_a_json_string_ends_no_value() {
    let output = "<function=get_weather><parameter=tags>\n[\"a</parameter>\", \"b\"]\n</parameter></function>";
    let fold = parse("qwen3_coder", &[output]);
    assert_eq!(
        calls(&fold),
        json!([["get_weather", {"tags": ["a</parameter>", "b"]}]])
    );
}

#[test]
fn a_call_behind_arguments_that_break_off_is_found() {
    let time = json!(["get_time", "{}"]);
    for (format, output, arguments) in [
        (
            "kimi_k2",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Paris\"<|tool_call_end|><|tool_call_begin|>functions.get_time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
            "{\"city\": \"Paris\"",
        ),
        (
            "hermes",
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>",
            "{\"city\": \"Paris\"\n",
        ),
        (
            "gemma4",
            "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>;}<tool_call|><|tool_call>call:get_time{}<tool_call|>",
            "{\"city\": \"Paris\"",
        ),
    ] {
        for pieces in [vec![output], output.split_inclusive(|_| true).collect()] {
            let fold = parse(format, &pieces);
            let found: Vec<_> = fold
                .tool_calls
                .iter()
                .map(|call| json!([call.name, call.arguments]))
                .collect();
            assert_eq!(
                found,
                [json!(["get_weather", arguments]), time.clone()],
                "{format}"
            );
        }
    }
}

#[test]
fn a_call_behind_one_of_an_unknown_tool_is_found() {
    for (format, output) in [
        (
            "minimax_m2",
            "<minimax:tool_call>\n<invoke name=\"unknown\">\n</invoke>\n<invoke name=\"get_time\">\n</invoke>\n</minimax:tool_call>",
        ),
        (
            "kimi_k2",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.unknown:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_call_begin|>functions.get_time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
        ),
        (
            "deepseek_v3",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>unknown\n```json\n{}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
    ] {
        let fold = parse(format, &[output]);
        assert_eq!(calls(&fold), json!([["get_time", {}]]), "{format}");
        assert!(fold.text.contains("unknown"), "{format}");
    }
}

#[test]
fn a_parameters_name_without_an_end_takes_nothing_with_it() {
    let output = "<tool_call>get_weather\n<arg_key>city\n<arg_value>Paris</arg_value>\n</tool_call>\n<tool_call>get_time\n</tool_call>";
    let fold = parse("glm45", &[output]);
    assert_eq!(fold.tool_calls.len(), 2);
    assert_eq!(fold.tool_calls[1].name, "get_time");
}

#[test]
fn a_lone_tool_may_be_called_by_its_number_alone() {
    let tools = br#"[{"type": "function", "function": {"name": "look"}}]"#;
    let tools = std::sync::Arc::new(super::ToolSchemas::parse(tools).unwrap());
    let format = super::ToolFormat::from_name("kimi_k2").unwrap();
    let mut chain = super::Chain::new(vec![super::stage(format, tools)]);
    let output = "<|tool_calls_section_begin|><|tool_call_begin|>0 <|tool_call_argument_begin|>{}<|tool_call_end|>";
    let fold = super::fold_of(&mut chain, &[output]);
    assert_eq!(calls(&fold), json!([["look", {}]]));
}

/// What is kept until it is whole is read anew with every token: without a bound that takes ever longer.
#[test]
fn a_member_without_end_breaks_its_call_off() {
    let long = "word ".repeat(4000);
    for (format, start, end) in [
        (
            "hermes",
            "<tool_call>{\"name\": \"get_time\", \"note\": \"",
            "\"}",
        ),
        ("hermes", "<tool_call>{\"name\": \"get_time\", \"", "\": 1}"),
        (
            "qwen3_coder",
            "<function=get_weather><parameter=",
            ">1</parameter></function>",
        ),
    ] {
        let output = format!("{start}{long}{end}");
        let whole = parse(format, &[&output]);
        let pieces: Vec<&str> = output.split_inclusive(' ').collect();
        let split = parse(format, &pieces);
        assert_eq!(whole.text, split.text, "{format}");
        assert!(whole.text.contains(&long), "{format}: nothing is lost");
        assert_eq!(whole.tool_calls.len(), 1, "{format}");
    }
}

/// Each was read again with every tag in it: 60,000 times half a megabyte.
#[test]
fn a_value_full_of_tags_is_read_once() {
    let string = "</parameter>".repeat(60_000);
    let output = format!(
        "<tool_call>\n<function=get_weather>\n<parameter=tags>\n[\"{string}\"]\n</parameter>\n</function>\n</tool_call>"
    );
    let pieces: Vec<&str> = output.split_inclusive('>').collect();
    let fold = parse("qwen3_coder", &pieces);
    assert_eq!(calls(&fold), json!([["get_weather", {"tags": [string]}]]));
}

#[test]
fn a_tag_that_no_string_holds_ends_a_value_that_is_not_whole() {
    let output = "<tool_call>\n<function=get_weather>\n<parameter=tags>\n[\"a\", 1\n</parameter>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>";
    let fold = parse("qwen3_coder", &[output]);
    let expected = json!([["get_weather", {"tags": "[\"a\", 1", "city": "Paris"}]]);
    assert_eq!(calls(&fold), expected);
}
