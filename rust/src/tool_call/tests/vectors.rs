//! One output or more of every format, as its models' templates write them, and what they mean.

use serde_json::{Value, json};

use super::{calls, parse};

/// Format, output, its text, its calls.
type Vector = (&'static str, &'static str, &'static str, Value);

fn paris() -> Value {
    json!([["get_weather", {"city": "Paris", "days": 2}]])
}

fn paris_and_time() -> Value {
    json!([["get_weather", {"city": "Paris", "days": 2}], ["get_time", {}]])
}

fn every_type() -> Value {
    json!([["get_weather", {
        "city": "São \"Paulo\"\n<b>", "days": -3, "metric": true, "limit": null,
        "tags": ["a", "b c"], "where": {"lat": 1.5}, "unit": "C",
    }]])
}

pub(super) fn vectors() -> Vec<Vector> {
    [objects(), framed(), tagged(), literal(), unlike_templates()].concat()
}

/// What models have written, though no template writes it so.
#[rustfmt::skip]
fn unlike_templates() -> Vec<Vector> {
    vec![
        // No start of the section.
        ("kimi_k2", "Help. <|tool_call_begin|>get_weather:0 <|tool_call_argument_begin|>{\n  \"city\": \"Paris\",\n  \"days\": 2\n} <|tool_call_end|><|tool_calls_section_end|>", "Help. ", paris()),
        ("deepseek_v31", "<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Paris\", \"days\": 2}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "", paris()),
        ("minimax_m2", "<invoke name=\"get_weather\">\n<parameter name=\"city\">Paris</parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>\n</minimax:tool_call>", "", paris()),
        // No commas, and values that are left out.
        ("functiongemma", "<start_function_call>call:get_weather{city:<escape>Paris<escape>days:<escape>2<escape>}<end_function_call>", "", paris()),
        ("gemma4", "<|tool_call>call:get_weather{city:,unit:}<tool_call|>", "", json!([["get_weather", {"city": "", "unit": ""}]])),
        ("gemma4", "<|tool_call>call:get_weather{where:{<|\"|>lat<|\"|>:1.,<|\"|>a b<|\"|>:[]}}<tool_call|>", "", json!([["get_weather", {"where": {"lat": 1.0, "a b": []}}]])),
        // An end where there was no start.
        ("qwen3_coder", "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>", "", paris()),
        ("seed_oss", "<function=get_weather>\n<parameter=city>Paris</parameter>\n<parameter=days>2</parameter>\n</function>\n</seed:tool_call>", "", paris()),
        // Frames of another name.
        ("kimi_k2", "<|tool_call_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Paris\", \"days\": 2}<|tool_call_end|><|tool_call_section_end|>", "", paris()),
        ("deepseek_v32", "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>", "", paris()),
        // No end of a parameter before the next one.
        ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>", "", paris()),
        ("qwen3_coder", "<function=get_weather>\n<parameter=days>\n2\n<parameter=city>\nParis\n</parameter>\n</function>", "", json!([["get_weather", {"days": 2, "city": "Paris"}]])),
        // Indented, or on one line, or on many.
        ("glm45", "<tool_call>get_weather\n    <arg_key>city</arg_key>\n    <arg_value>Paris</arg_value>\n    <arg_key>days</arg_key>\n    <arg_value>2</arg_value>\n    </tool_call>", "", paris()),
        ("minimax", "Ok. <tool_calls>\n{\n  \"name\": \"get_weather\",\n  \"arguments\": {\n    \"city\": \"Paris\",\n    \"days\": 2\n  }\n}\n</tool_calls>", "Ok. ", paris()),
        ("minimax", "<tool_calls>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}", "", paris()),
        // Text between calls, and arguments in a string.
        ("granite", "First: \n<tool_call> {\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": \\\"Paris\\\", \\\"days\\\": 2}\"} </tool_call> Then: \n <tool_call> {\"name\": \"get_time\", \"arguments\": {}} </tool_call> Done.", "First: \n Then: \n  Done.", paris_and_time()),
        ("llama3_json", "See: {\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}} ;\n{\"name\": \"get_time\", \"arguments\": {}} I used {get_time}.", "See:  I used {get_time}.", paris_and_time()),
        ("mistral", "[TOOL_CALLS] [{\"arguments\": {\"city\": \"Paris\", \"days\": 2}, \"name\": \"get_weather\"}]\nMore.", "\nMore.", paris()),
        ("xlam", "<think>Hm.</think>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]", "<think>Hm.</think>", paris()),
        ("gigachat3", "Ja.<|function_call|>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}", "Ja.", paris()),
    ]
}

#[rustfmt::skip]
fn objects() -> Vec<Vector> {
    vec![
        ("hermes", "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>", "", paris()),
        ("hermes", "I'll look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n", "I'll look.\n", paris_and_time()),
        ("hermes", "\n\n<tool_call>{\"arguments\":{\"city\":\"Paris\",\"days\":2},\"name\":\"get_weather\"}</tool_call>\n\nDone <b>.", "\n\nDone <b>.", paris()),
        ("hermes", "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"São \\\"Paulo\\\"\\n<b>\", \"days\": -3, \"metric\": true, \"limit\": null, \"tags\": [\"a\", \"b c\"], \"where\": {\"lat\": 1.5}, \"unit\": \"C\"}}</tool_call>", "", every_type()),
        ("hermes", "<tool_call>\n{\"name\": \"get_time\"}\n</tool_call>", "", json!([["get_time", {}]])),
        ("hermes", "<tool_call>\n{\"name\": \"get_time\", \"arguments\": null}\n</tool_call>", "", json!([["get_time", {}]])),
        ("hermes", "<tool_call>\n{\"name\": \"search\", \"arguments\": {\"query\": \"</tool_call> {\\\\\"}}", "", json!([["search", {"query": "</tool_call> {\\"}]])),
        ("longcat", "<longcat_tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</longcat_tool_call>\n<longcat_tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</longcat_tool_call>", "", paris_and_time()),
        ("mistral", "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]", "", paris_and_time()),
        ("mistral", "Sure[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Paris\", \"days\": 2}[TOOL_CALLS]get_time[CALL_ID]abcdefghi[ARGS]{}", "Sure", paris_and_time()),
        ("mistral", "[TOOL_CALLS]get_weather{\"city\": \"Paris\", \"days\": 2}", "", paris()),
        ("llama3_json", "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}", "", paris()),
        ("llama3_json", "<|python_tag|>{\"type\": \"function\", \"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}; {\"name\": \"get_time\", \"parameters\": {}}", "", paris_and_time()),
        ("llama3_json", "{\"city\": \"Paris\"} is {\"name\": \"an object\"}", "{\"city\": \"Paris\"} is {\"name\": \"an object\"}", json!([])),
        ("llama4_json", "Let me see: {\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}; {\"name\": \"get_time\", \"parameters\": {}}", "Let me see: ", paris_and_time()),
        ("openai", "{\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": \\\"Paris\\\", \\\"days\\\": 2}\"}", "", paris()),
        ("openai", "{\"tool_calls\": [{\"id\": \"x\", \"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": \\\"\\u0050aris\\\", \\\"days\\\": 2}\"}}, {\"type\": \"function\", \"function\": {\"name\": \"get_time\", \"arguments\": \"{}\"}}]}", "", paris_and_time()),
        ("openai", "```json\n[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}},\n {\"name\": \"get_time\", \"arguments\": \"\"}]\n```", "", paris_and_time()),
        ("openai", "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]", "", paris()),
        ("minimax", "<think>x</think><tool_calls>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_calls>", "<think>x</think>", paris_and_time()),
        ("granite", "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]", "", paris_and_time()),
        ("granite", "<tool_call>[{\"arguments\": {\"city\": \"Paris\", \"days\": 2}, \"name\": \"get_weather\"}]", "", paris()),
        ("granite-20b-fc", "<function_call> {\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n<function_call> {\"name\": \"get_time\", \"arguments\": {}}", "", paris_and_time()),
        ("hunyuan_a13b", "Let me.\n<tool_calls>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]</tool_calls>", "Let me.\n", paris_and_time()),
        ("jamba", " <tool_calls>[\n    {\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}},\n    {\"name\": \"get_time\", \"arguments\": {}}\n]</tool_calls>", "", paris_and_time()),
        ("internlm", "I need it.<|action_start|><|plugin|>\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}<|action_end|>\n", "I need it.", paris()),
        ("ernie45", "\n\n\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>\n\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n", "", paris_and_time()),
        ("gigachat3", "Смотрю.<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}", "Смотрю.", paris()),
        ("gigachat3", "function call<|role_sep|>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}", "", paris()),
        ("gigachat3", "<|function_call|>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}", "", paris()),
        ("phi4_mini_json", "functools[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]", "", paris_and_time()),
        ("phi4_mini_json", "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]<|/tool_call|>", "", paris()),
        ("xlam", "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}, {\"name\": \"get_time\", \"arguments\": {}}]", "", paris_and_time()),
        ("xlam", "```json\n[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]\n```", "", paris()),
        ("xlam", "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]", "", paris()),
        ("xlam", "<tool_call>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]</tool_call>", "", paris()),
    ]
}

#[rustfmt::skip]
fn framed() -> Vec<Vector> {
    vec![
        ("deepseek_v3", "Ok.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Paris\", \"days\": 2}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "Ok.", paris_and_time()),
        ("deepseek_v31", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Paris\", \"days\": 2}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_time<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "", paris_and_time()),
        ("kimi_k2", "Checking. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Paris\", \"days\": 2}<|tool_call_end|><|tool_call_begin|>functions.get_time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>", "Checking. ", paris_and_time()),
    ]
}

#[rustfmt::skip]
fn tagged() -> Vec<Vector> {
    vec![
        ("qwen3_coder", "Sure.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_time>\n</function>\n</tool_call>", "Sure.\n\n", paris_and_time()),
        ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nSão \"Paulo\"\n<b>\n</parameter>\n<parameter=days>\n-3\n</parameter>\n<parameter=metric>\nTrue\n</parameter>\n<parameter=limit>\nNone\n</parameter>\n<parameter=tags>\n['a', 'b c']\n</parameter>\n<parameter=where>\n{\"lat\": 1.5}\n</parameter>\n<parameter=unit>\nC\n</parameter>\n</function>\n</tool_call>", "", every_type()),
        ("qwen3_xml", "<function name=\"get_weather\">\n<parameter name=\"city\">Paris</parameter>\n<parameter name=\"days\">2</parameter>\n</function>", "", paris()),
        ("qwen3_xml", "<function=search>\n<parameter=query>\n\nfn f() {\n}\n\n</parameter>\n</function>", "", json!([["search", {"query": "\nfn f() {\n}\n"}]])),
        ("step3p5", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>", "", paris()),
        ("seed_oss", "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Paris</parameter>\n<parameter=days>2</parameter>\n</function>\n</seed:tool_call>", "", paris()),
        ("minimax_m2", "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Paris</parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>\n<invoke name=\"get_time\">\n</invoke>\n</minimax:tool_call>", "", paris_and_time()),
        ("deepseek_v32", "Hm\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"get_time\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", "Hm\n\n", paris_and_time()),
        ("deepseek_v32", "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">São \"Paulo\"\n<b></｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">-3</｜DSML｜parameter>\n<｜DSML｜parameter name=\"metric\" string=\"false\">true</｜DSML｜parameter>\n<｜DSML｜parameter name=\"limit\" string=\"false\">null</｜DSML｜parameter>\n<｜DSML｜parameter name=\"tags\" string=\"false\">[\"a\", \"b c\"]</｜DSML｜parameter>\n<｜DSML｜parameter name=\"where\" string=\"false\">{\"lat\": 1.5}</｜DSML｜parameter>\n<｜DSML｜parameter name=\"unit\" string=\"true\">C</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", "", every_type()),
        ("step3", "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"get_weather\"><steptml:parameter name=\"city\">Paris</steptml:parameter><steptml:parameter name=\"days\">2</steptml:parameter></steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>", "", paris()),
        ("glm45", "I will.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n<tool_call>get_time\n</tool_call>", "I will.\n", paris_and_time()),
        ("glm47", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>get_time</tool_call>", "", paris_and_time()),
        ("glm45", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>São \"Paulo\"\n<b></arg_value>\n<arg_key>days</arg_key>\n<arg_value>-3</arg_value>\n<arg_key>metric</arg_key>\n<arg_value>true</arg_value>\n<arg_key>limit</arg_key>\n<arg_value>null</arg_value>\n<arg_key>tags</arg_key>\n<arg_value>[\"a\", \"b c\"]</arg_value>\n<arg_key>where</arg_key>\n<arg_value>{\"lat\": 1.5}</arg_value>\n<arg_key>unit</arg_key>\n<arg_value>C</arg_value>\n</tool_call>", "", every_type()),
    ]
}

#[rustfmt::skip]
fn literal() -> Vec<Vector> {
    vec![
        ("pythonic", "[get_weather(city=\"Paris\", days=2), get_time()]", "", paris_and_time()),
        ("pythonic", "[get_weather(city='São \"Paulo\"\\n<b>', days=-3, metric=True, limit=None, tags=['a', \"b c\",], where={'lat': 1.5}, unit='C')]", "", every_type()),
        ("pythonic", "A list [1, 2] and f(x) are text", "A list [1, 2] and f(x) are text", json!([])),
        ("pythonic", "[search(query='''it's \"\"\\x41\\u00e9\\U0001F600 \\d''')]", "", json!([["search", {"query": "it's \"\"Aé😀 \\d"}]])),
        ("llama4_pythonic", "<|python_start|>[get_weather(city=\"Paris\", days=2), get_time()]<|python_end|>", "", paris_and_time()),
        ("llama4_pythonic", "[get_weather(city=\"Paris\", days=2)]", "", paris()),
        ("olmo3", "<function_calls>\nget_weather(city=\"Paris\", days=2)\nget_time()\n</function_calls>", "", paris_and_time()),
        ("functiongemma", "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:2}<end_function_call><start_function_call>call:get_time{}<end_function_call>", "", paris_and_time()),
        ("functiongemma", "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:<escape>2<escape>}<end_function_call>", "", paris()),
        ("gemma4", "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>,days:2}<tool_call|><|tool_call>call:get_time{}<tool_call|>", "", paris_and_time()),
        ("gemma4", "<|tool_call>call:get_weather{city:<|\"|>São \"Paulo\"\n<b><|\"|>,days:-3,limit:null,metric:true,tags:[<|\"|>a<|\"|>,<|\"|>b c<|\"|>],unit:<|\"|>C<|\"|>,where:{lat:1.5}}<tool_call|>", "", every_type()),
    ]
}

#[test]
fn every_output_is_read_as_its_template_means_it() {
    for (format, output, text, expected) in vectors() {
        let fold = parse(format, &[output]);
        assert_eq!(fold.text, text, "{format}: {output}");
        assert_eq!(calls(&fold), expected, "{format}: {output}");
    }
}

#[test]
fn every_format_has_an_output_here() {
    for name in crate::tool_call::ToolFormat::names().filter(|name| *name != "harmony") {
        assert!(
            vectors().iter().any(|(format, ..)| *format == name),
            "{name}"
        );
    }
}
