//! The table of formats. What each looks like comes from its models' chat templates; a new one is a row.

mod blocks;
mod framed;
mod literal;
mod tagged;

use super::syntax::{Block, Call, Ids, ToolFormat};
use blocks::{ARRAY, bare, between, ended, list_between};
use framed::{DEEPSEEK_BLOCKS, DEEPSEEK_MARKERS, DEEPSEEK_V3, DEEPSEEK_V31, KIMI_K2, MISTRAL};
use literal::{FUNCTION_GEMMA_CALL, GEMMA4_CALL, PYTHON_CALL};
use tagged::{
    DEEPSEEK_V32, GLM, GLM_MARKERS, GLM47, MINIMAX_M2, QWEN_BLOCKS, QWEN_CALLS, SEED_CALLS, STEP3,
};

/// The special tokens that must be shown for harmony's messages to be seen.
pub const HARMONY_MARKERS: &[&str] = &[
    "<|start|>",
    "<|channel|>",
    "<|constrain|>",
    "<|message|>",
    "<|call|>",
    "<|end|>",
    "<|return|>",
];

/// Other names that settings may use.
const ALIASES: &[(&str, &str)] = &[
    ("glm-4.5", "glm45"),
    ("glm-4.7", "glm47"),
    ("step3.5", "step3p5"),
    ("gpt_oss", "harmony"),
    ("gpt-oss", "harmony"),
    ("gptoss", "harmony"),
];

impl ToolFormat {
    /// The format of that name, or of that other name for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<&'static Self> {
        let name = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name, |(_, name)| name);
        FORMATS.iter().find(|format| format.name == name)
    }

    /// The names of all formats, in the table's order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|format| format.name)
    }
}
const OBJECT: &[Call] = &[Call::Object];

/// A row whose calls are JSON objects between markers.
const fn objects(
    name: &'static str,
    blocks: &'static [Block],
    markers: &'static [&'static str],
) -> ToolFormat {
    ToolFormat {
        name,
        blocks,
        calls: OBJECT,
        markers,
        ids: Ids::Call,
    }
}

/// Any other row.
const fn row(
    name: &'static str,
    blocks: &'static [Block],
    calls: &'static [Call],
    markers: &'static [&'static str],
) -> ToolFormat {
    ToolFormat {
        name,
        blocks,
        calls,
        markers,
        ids: Ids::Call,
    }
}

const TOOL_CALL: &[&str] = &["<tool_call>", "</tool_call>"];
/// All formats.
static FORMATS: &[ToolFormat] = &[
    objects(
        "openai",
        &[
            list_between("{\"tool_calls\":", "}"),
            list_between("{\n  \"tool_calls\":", "}"),
            list_between("```json", "```"),
            list_between("```", "```"),
            ARRAY,
            bare('\0'),
        ],
        &[],
    ),
    objects(
        "hermes",
        &[between("<tool_call>", "</tool_call>")],
        TOOL_CALL,
    ),
    objects(
        "longcat",
        &[between("<longcat_tool_call>", "</longcat_tool_call>")],
        &["<longcat_tool_call>", "</longcat_tool_call>"],
    ),
    ToolFormat {
        name: "mistral",
        blocks: &[list_between("[TOOL_CALLS]", "")],
        calls: MISTRAL,
        markers: &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
        ids: Ids::Nine,
    },
    objects(
        "llama3_json",
        &[
            Block {
                separator: ';',
                ..between("<|python_tag|>", "")
            },
            bare(';'),
        ],
        &["<|python_tag|>"],
    ),
    objects(
        "llama4_json",
        &[
            Block {
                separator: ';',
                ..between("<|python_start|>", "<|python_end|>")
            },
            Block {
                separator: ';',
                ..between("<|python_tag|>", "")
            },
            bare(';'),
        ],
        &["<|python_start|>", "<|python_end|>", "<|python_tag|>"],
    ),
    row(
        "llama4_pythonic",
        &[list_between("<|python_start|>", "<|python_end|>"), ARRAY],
        PYTHON_CALL,
        &["<|python_start|>", "<|python_end|>"],
    ),
    row("pythonic", &[ARRAY], PYTHON_CALL, &[]),
    row(
        "olmo3",
        &[list_between("<function_calls>", "</function_calls>"), ARRAY],
        PYTHON_CALL,
        &["<function_calls>", "</function_calls>"],
    ),
    row("qwen3_coder", QWEN_BLOCKS, QWEN_CALLS, TOOL_CALL),
    row("qwen3_xml", QWEN_BLOCKS, QWEN_CALLS, TOOL_CALL),
    row(
        "step3",
        &[
            between("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>"),
            ended("<｜tool_calls_end｜>"),
        ],
        STEP3,
        &[
            "<｜tool_calls_begin｜>",
            "<｜tool_calls_end｜>",
            "<｜tool_call_begin｜>",
            "<｜tool_call_end｜>",
            "<｜tool_sep｜>",
        ],
    ),
    row("step3p5", QWEN_BLOCKS, QWEN_CALLS, TOOL_CALL),
    row(
        "seed_oss",
        &[
            between("<seed:tool_call>", "</seed:tool_call>"),
            ended("</seed:tool_call>"),
        ],
        SEED_CALLS,
        &["<seed:tool_call>", "</seed:tool_call>"],
    ),
    objects(
        "minimax",
        &[list_between("<tool_calls>", "</tool_calls>")],
        &["<tool_calls>", "</tool_calls>"],
    ),
    row(
        "minimax_m2",
        &[
            between("<minimax:tool_call>", "</minimax:tool_call>"),
            ended("</minimax:tool_call>"),
        ],
        MINIMAX_M2,
        &["<minimax:tool_call>", "</minimax:tool_call>"],
    ),
    row(
        "deepseek_v3",
        DEEPSEEK_BLOCKS,
        DEEPSEEK_V3,
        DEEPSEEK_MARKERS,
    ),
    row(
        "deepseek_v31",
        DEEPSEEK_BLOCKS,
        DEEPSEEK_V31,
        DEEPSEEK_MARKERS,
    ),
    row(
        "deepseek_v32",
        &[
            between("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
            between("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
            ended("</｜DSML｜function_calls>"),
        ],
        DEEPSEEK_V32,
        &["｜DSML｜"],
    ),
    row(
        "kimi_k2",
        &[
            between("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
            between("<|tool_call_section_begin|>", "<|tool_call_section_end|>"),
            ended("<|tool_calls_section_end|>"),
        ],
        KIMI_K2,
        &[
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
            "<|tool_call_begin|>",
            "<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
        ],
    ),
    row("glm45", &[bare('\0')], GLM, GLM_MARKERS),
    row("glm47", &[bare('\0')], GLM47, GLM_MARKERS),
    objects(
        "granite",
        &[
            list_between("<|tool_call|>", ""),
            list_between("<tool_call>", "</tool_call>"),
        ],
        &["<|tool_call|>", "<tool_call>", "</tool_call>"],
    ),
    objects(
        "granite-20b-fc",
        &[between("<function_call>", "")],
        &["<function_call>"],
    ),
    objects(
        "hunyuan_a13b",
        &[list_between("<tool_calls>", "</tool_calls>")],
        &["<tool_calls>", "</tool_calls>"],
    ),
    objects(
        "jamba",
        &[list_between("<tool_calls>", "</tool_calls>")],
        &["<tool_calls>", "</tool_calls>"],
    ),
    objects(
        "internlm",
        &[
            between("<|action_start|><|plugin|>", "<|action_end|>"),
            between("<|action_start|> <|plugin|>", "<|action_end|>"),
        ],
        &["<|action_start|>", "<|plugin|>", "<|action_end|>"],
    ),
    objects(
        "ernie45",
        &[between("<tool_call>", "</tool_call>")],
        TOOL_CALL,
    ),
    objects(
        "gigachat3",
        &[
            between(
                "<|message_sep|>\n\nfunction call<|role_sep|>",
                "<|message_sep|>",
            ),
            between(
                "<|message_sep|>function call<|role_sep|>",
                "<|message_sep|>",
            ),
            between("function call<|role_sep|>", "<|message_sep|>"),
            between("<|message_sep|>\n\n<|function_call|>", "<|message_sep|>"),
            between("<|function_call|>", "<|message_sep|>"),
        ],
        &["<|message_sep|>", "<|role_sep|>", "<|function_call|>"],
    ),
    row(
        "functiongemma",
        &[between("<start_function_call>", "<end_function_call>")],
        FUNCTION_GEMMA_CALL,
        &["<start_function_call>", "<end_function_call>", "<escape>"],
    ),
    row(
        "gemma4",
        &[between("<|tool_call>", "<tool_call|>")],
        GEMMA4_CALL,
        &["<|tool_call>", "<tool_call|>", "<|\"|>"],
    ),
    objects(
        "phi4_mini_json",
        &[
            list_between("functools", ""),
            list_between("<|tool_call|>", "<|/tool_call|>"),
        ],
        &["<|tool_call|>", "<|/tool_call|>"],
    ),
    objects(
        "xlam",
        &[
            list_between("```json", "```"),
            list_between("```", "```"),
            list_between("[TOOL_CALLS]", ""),
            list_between("<tool_call>", "</tool_call>"),
            ARRAY,
            bare('\0'),
        ],
        &["[TOOL_CALLS]", "<tool_call>", "</tool_call>"],
    ),
    row("harmony", &[], &[], HARMONY_MARKERS),
];
