//! Grammars, compiled as they are for a model, against what models write.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ToolChoice, grammar};
use crate::grammar::{CompileLimits, GrammarFactory, GrammarRows, Kind};
use crate::tool_call::{ToolFormat, ToolSchemas};
use crate::vocabulary::testing::byte_level;

const EOS: u32 = 256;

fn tools(is_strict: bool) -> ToolSchemas {
    let weather = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"enum": ["C", "F"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city", "days"],
        "additionalProperties": false,
    });
    let time = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let tools = json!([
        {"type": "function", "function": {"name": "get_weather", "parameters": weather, "strict": is_strict}},
        {"type": "function", "function": {"name": "get_time", "parameters": time, "strict": is_strict}},
    ]);
    ToolSchemas::parse(tools.to_string().as_bytes()).unwrap()
}

/// Bytes and `<eos>`.
fn factory() -> &'static GrammarFactory {
    static FACTORY: OnceLock<GrammarFactory> = OnceLock::new();
    let limits = CompileLimits::default();
    FACTORY.get_or_init(|| GrammarFactory::new(&byte_level(&[]), 257, &[EOS], limits).unwrap())
}

/// How much of `text` the grammar of this choice allows, byte by byte, and whether it may end there.
fn allowed(format: &str, choice: ToolChoice<'_>, parallel: bool, text: &str) -> (usize, bool) {
    let format = ToolFormat::from_name(format).unwrap();
    let lark = grammar(format, &tools(true), choice, parallel, &|_| None).unwrap();
    let compiled = factory()
        .compile(Kind::Lark, &lark)
        .unwrap_or_else(|e| panic!("{}: {e}\n{lark}", format.name));
    let rows = GrammarRows::new(1);
    rows.join(1, compiled);
    let has = |masks: &[u32], token: u32| masks[token as usize / 32] & (1 << (token % 32)) != 0;
    for (at, byte) in text.bytes().enumerate() {
        let taken = rows.take_ready(&[1], Duration::from_secs(20));
        if taken.masks.is_empty() || !has(&taken.masks, u32::from(byte)) {
            return (at, false);
        }
        rows.advance(&[1], &[i32::from(byte)], &[false]);
    }
    let taken = rows.take_ready(&[1], Duration::from_secs(20));
    let may_end = taken.complete == [1] || (!taken.masks.is_empty() && has(&taken.masks, EOS));
    (text.len(), may_end)
}

#[track_caller]
fn check(format: &str, choice: ToolChoice<'_>, text: &str) {
    assert_eq!(
        allowed(format, choice, true, text),
        (text.len(), true),
        "{format} {choice:?} {text}"
    );
}

#[rustfmt::skip]
const WRITTEN: &[(&str, &str)] = &[
    ("openai", "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]"),
    ("hermes", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>"),
    ("longcat", "<longcat_tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</longcat_tool_call>"),
    ("mistral", "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]"),
    ("llama3_json", "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}; {\"name\": \"get_time\", \"parameters\": {}}"),
    ("llama4_json", "{\"name\": \"get_time\", \"parameters\": {}}"),
    ("llama4_pythonic", "[get_weather(city=\"Paris\", days=2), get_time()]"),
    ("pythonic", "[get_weather(city=\"Paris\", days=2, unit=\"C\", tags=[\"a\", \"b\"]), get_time()]"),
    ("olmo3", "<function_calls>get_weather(city=\"Paris\", days=2)\nget_time()</function_calls>"),
    ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n<parameter=unit>\nC\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_time>\n</function>\n</tool_call>"),
    ("qwen3_xml", "<tool_call>\n<function=get_time>\n</function>\n</tool_call>"),
    ("step3", "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"get_weather\"><steptml:parameter name=\"city\">Paris</steptml:parameter><steptml:parameter name=\"days\">2</steptml:parameter></steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>"),
    ("step3p5", "<tool_call>\n<function=get_time>\n</function>\n</tool_call>"),
    ("seed_oss", "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Paris</parameter>\n<parameter=days>2</parameter>\n</function>\n</seed:tool_call>"),
    ("minimax", "<tool_calls>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_calls>"),
    ("minimax_m2", "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Paris</parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>\n<invoke name=\"get_time\">\n</invoke>\n</minimax:tool_call>"),
    ("deepseek_v3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Paris\", \"days\": 2}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
    ("deepseek_v31", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Paris\", \"days\": 2}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_time<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
    ("deepseek_v32", "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"),
    ("kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Paris\", \"days\": 2}<|tool_call_end|><|tool_call_begin|>functions.get_time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"),
    ("glm45", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n<tool_call>get_time\n</tool_call>"),
    ("glm47", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>get_time</tool_call>"),
    ("granite", "<tool_call>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]"),
    ("granite-20b-fc", "<function_call> {\"name\": \"get_time\", \"arguments\": {}}"),
    ("hunyuan_a13b", "<tool_calls>[{\"name\": \"get_time\", \"arguments\": {}}]</tool_calls>"),
    ("jamba", "<tool_calls>[{\"name\": \"get_time\", \"arguments\": {}}, {\"name\": \"get_time\", \"arguments\": {}}]</tool_calls>"),
    ("internlm", "<|action_start|><|plugin|>\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}<|action_end|>"),
    ("ernie45", "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>"),
    ("gigachat3", "<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"get_time\", \"arguments\": {}}"),
    ("functiongemma", "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:2}<end_function_call><start_function_call>call:get_time{}<end_function_call>"),
    ("gemma4", "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>,days:2,unit:<|\"|>C<|\"|>,tags:[<|\"|>a<|\"|>]}<tool_call|>"),
    ("phi4_mini_json", "functools[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]"),
    ("xlam", "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]"),
    ("harmony", "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Paris\", \"days\": 2}"),
];

#[test]
fn what_models_write_is_allowed_where_a_call_is_required_and_where_it_is_not() {
    for (format, text) in WRITTEN {
        check(format, ToolChoice::Required, text);
        if !matches!(*format, "gigachat3" | "harmony") {
            check(format, ToolChoice::Auto, &format!("Let me see.\n{text}"));
            check(
                format,
                ToolChoice::Auto,
                "Just [text] {and} <tags> f(x) \"name\": 1",
            );
        }
    }
    for name in ToolFormat::names() {
        assert!(WRITTEN.iter().any(|(format, _)| *format == name), "{name}");
    }
}

#[test]
fn text_and_bad_arguments_are_not_allowed_where_a_call_is_required() {
    for (format, text) in WRITTEN {
        assert_eq!(
            allowed(format, ToolChoice::Required, true, "Paris is fine"),
            (0, false),
            "{format}"
        );
        let (at, _) = allowed(
            format,
            ToolChoice::Required,
            true,
            &text.replace('2', "two"),
        );
        assert!(!text.contains('2') || at < text.len(), "{format}: {text}");
        let (at, _) = allowed(
            format,
            ToolChoice::Required,
            true,
            &text.replace("get_", "put_"),
        );
        assert!(at < text.len(), "{format}: {text}");
    }
}

#[test]
fn a_strict_call_in_free_text_is_held_to_its_schema() {
    let bad = "Hm. <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"town\": \"Paris\"}}\n</tool_call>";
    let (at, _) = allowed("hermes", ToolChoice::Auto, true, bad);
    assert!(bad[..=at].ends_with("{\"t"), "{}", &bad[..at]);
    let bad = "Hm. [get_weather(town=\"Paris\")]";
    let (at, _) = allowed("pythonic", ToolChoice::Auto, true, bad);
    assert!(bad[..=at].ends_with("(t"), "{}", &bad[..at]);
}

#[test]
fn one_call_is_all_where_no_more_are_wanted() {
    let two = "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>";
    let (at, _) = allowed("hermes", ToolChoice::Required, false, two);
    assert!(two[..at].ends_with("</tool_call>"), "{}", &two[..at]);
}

#[test]
fn a_named_tool_is_the_only_one() {
    let time = "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>";
    check("hermes", ToolChoice::Named("get_time"), time);
    let (at, _) = allowed("hermes", ToolChoice::Named("get_weather"), true, time);
    assert!(time[..at].ends_with("\"get_"), "{}", &time[..at]);
    let hermes = ToolFormat::from_name("hermes").unwrap();
    let refusal = grammar(hermes, &tools(true), ToolChoice::Named("f"), true, &|_| {
        None
    })
    .unwrap_err();
    assert_eq!(refusal.to_string(), "there is no tool \"f\"");
}

#[test]
fn what_cannot_be_enforced_is_refused_by_its_name() {
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "x+"}}});
    let tools = json!([{"name": "f", "parameters": schema}]).to_string();
    let tools = ToolSchemas::parse(tools.as_bytes()).unwrap();
    for format in ["qwen3_coder", "gemma4", "pythonic"] {
        let format = ToolFormat::from_name(format).unwrap();
        let refusal = grammar(format, &tools, ToolChoice::Required, true, &|_| None).unwrap_err();
        let refusal = refusal.to_string();
        assert!(
            refusal.contains("\"f\"") && refusal.contains("'pattern'"),
            "{refusal}"
        );
    }
}

#[test]
fn special_tokens_are_named_by_their_ids() {
    let special = |text: &str| (text == "<|tool_call|>").then_some(7);
    let granite = ToolFormat::from_name("granite").unwrap();
    let lark = grammar(granite, &tools(true), ToolChoice::Required, true, &special).unwrap();
    assert!(lark.contains("<[7]> \"[\""), "{lark}");
}

#[test]
fn schemas_that_stand_for_too_much_are_refused() {
    let properties: Value = (0..300)
        .map(|number| (format!("p{number}"), json!({"type": "integer"})))
        .collect();
    let definitions: Value = (0..300)
        .map(|number| (format!("d{number}"), json!({"type": "string"})))
        .collect();
    let of_many = json!({"properties": properties, "$defs": definitions});
    let alternatives: Value = (0..5)
        .map(|number| {
            let next = json!({"$ref": format!("#/$defs/a{}", number + 1)});
            (format!("a{number}"), json!({"anyOf": vec![next; 30]}))
        })
        .chain([("a5".to_owned(), json!({"type": "integer"}))])
        .collect();
    let of_few = json!({"properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": alternatives});
    for (format, schema) in [("qwen3_coder", of_many), ("pythonic", of_few)] {
        let tools = json!([{"name": "f", "parameters": schema}]);
        let tools = ToolSchemas::parse(tools.to_string().as_bytes()).unwrap();
        let format = ToolFormat::from_name(format).unwrap();
        let refused = grammar(format, &tools, ToolChoice::Required, true, &|_| None);
        let refused = refused.expect_err("too large").0;
        assert!(refused.contains("bytes"), "{refused}");
    }
}
