//! The table of formats. What each looks like comes from its models' chat templates; a new one is a row.

use super::literals::{Literals, PYTHON};
use super::parameters::Parameters;
use super::syntax::Part::{Id, Maybe, MaybeCallId, Name, Space, Text};
use super::syntax::{Block, Body, Call, Ids, ToolFormat};

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

pub(super) fn find(name: &str) -> Option<&'static ToolFormat> {
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, name)| name);
    FORMATS.iter().find(|format| format.name == name)
}

/// `open … close` around one call, or several.
const fn between(open: &'static str, close: &'static str) -> Block {
    Block {
        open,
        close,
        may_be_list: false,
        separator: '\0',
    }
}

/// As `between`, and the calls may be a JSON array.
const fn list_between(open: &'static str, close: &'static str) -> Block {
    Block {
        open,
        close,
        may_be_list: true,
        separator: ',',
    }
}

/// No frame: calls one after the other, with `separator` between them.
const fn bare(separator: char) -> Block {
    Block {
        open: "",
        close: "",
        may_be_list: false,
        separator,
    }
}

/// A bare array of calls.
const ARRAY: Block = Block {
    open: "[",
    close: "]",
    may_be_list: false,
    separator: ',',
};

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

// ---- calls with a name in a fixed frame and JSON arguments

const DEEPSEEK_BLOCK: &[Block] = &[between("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")];
const DEEPSEEK_MARKERS: &[&str] = &[
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
];
const DEEPSEEK_V3: &[Call] = &[Call::Named {
    head: &[
        Text("<｜tool▁call▁begin｜>"),
        Text("function"),
        Text("<｜tool▁sep｜>"),
        Name,
        Space,
        Text("```json"),
        Space,
    ],
    body: Body::Json,
    ends: &["```", "<｜tool▁call▁end｜>"],
}];
const DEEPSEEK_V31: &[Call] = &[Call::Named {
    head: &[
        Text("<｜tool▁call▁begin｜>"),
        Name,
        Text("<｜tool▁sep｜>"),
        Space,
    ],
    body: Body::Json,
    ends: &["<｜tool▁call▁end｜>"],
}];
const KIMI_K2: &[Call] = &[Call::Named {
    head: &[
        Text("<|tool_call_begin|>"),
        Space,
        Id,
        Space,
        Text("<|tool_call_argument_begin|>"),
        Space,
    ],
    body: Body::Json,
    ends: &["<|tool_call_end|>"],
}];
const MISTRAL: &[Call] = &[
    Call::Object,
    Call::Named {
        head: &[Name, MaybeCallId, Maybe("[ARGS]"), Space],
        body: Body::Json,
        ends: &[],
    },
];

// ---- calls with tagged parameters

static QWEN_PARAMETERS: Parameters = Parameters {
    opens: &["<parameter=", "<parameter name=\""],
    name_close: ">",
    value_open: "",
    value_close: "</parameter>",
    close: "</function>",
    is_padded: true,
    has_attributes: false,
    writes_padding: true,
    line: "\n",
};
static SEED_PARAMETERS: Parameters = Parameters {
    writes_padding: false,
    ..QWEN_PARAMETERS
};
const QWEN_CALLS: &[Call] = &[
    Call::Named {
        head: &[Text("<function="), Name, Text(">")],
        body: Body::Parameters(&QWEN_PARAMETERS),
        ends: &[],
    },
    Call::Named {
        head: &[Text("<function name=\""), Name, Text("\">")],
        body: Body::Parameters(&QWEN_PARAMETERS),
        ends: &[],
    },
];
const SEED_CALLS: &[Call] = &[Call::Named {
    head: &[Text("<function="), Name, Text(">")],
    body: Body::Parameters(&SEED_PARAMETERS),
    ends: &[],
}];
const QWEN_BLOCKS: &[Block] = &[between("<tool_call>", "</tool_call>"), bare('\0')];

static MINIMAX_PARAMETERS: Parameters = Parameters {
    opens: &["<parameter name=\""],
    name_close: ">",
    value_open: "",
    value_close: "</parameter>",
    close: "</invoke>",
    is_padded: true,
    has_attributes: false,
    writes_padding: false,
    line: "\n",
};
const MINIMAX_M2: &[Call] = &[Call::Named {
    head: &[Text("<invoke name=\""), Name, Text("\">")],
    body: Body::Parameters(&MINIMAX_PARAMETERS),
    ends: &[],
}];

static DSML_PARAMETERS: Parameters = Parameters {
    opens: &["<｜DSML｜parameter name=\""],
    name_close: ">",
    value_open: "",
    value_close: "</｜DSML｜parameter>",
    close: "</｜DSML｜invoke>",
    is_padded: false,
    has_attributes: true,
    writes_padding: false,
    line: "\n",
};
const DEEPSEEK_V32: &[Call] = &[Call::Named {
    head: &[Text("<｜DSML｜invoke name=\""), Name, Text("\">")],
    body: Body::Parameters(&DSML_PARAMETERS),
    ends: &[],
}];

static STEP_PARAMETERS: Parameters = Parameters {
    opens: &["<steptml:parameter name=\""],
    name_close: ">",
    value_open: "",
    value_close: "</steptml:parameter>",
    close: "</steptml:invoke>",
    is_padded: true,
    has_attributes: false,
    writes_padding: false,
    line: "",
};
const STEP3: &[Call] = &[Call::Named {
    head: &[
        Text("<｜tool_call_begin｜>"),
        Text("function"),
        Text("<｜tool_sep｜>"),
        Text("<steptml:invoke name=\""),
        Name,
        Text("\">"),
    ],
    body: Body::Parameters(&STEP_PARAMETERS),
    ends: &["<｜tool_call_end｜>"],
}];

static GLM_PARAMETERS: Parameters = Parameters {
    opens: &["<arg_key>"],
    name_close: "</arg_key>",
    value_open: "<arg_value>",
    value_close: "</arg_value>",
    close: "</tool_call>",
    is_padded: false,
    has_attributes: false,
    writes_padding: false,
    line: "\n",
};
static GLM47_PARAMETERS: Parameters = Parameters {
    line: "",
    ..GLM_PARAMETERS
};
const GLM: &[Call] = &[Call::Named {
    head: &[Text("<tool_call>"), Space, Name],
    body: Body::Parameters(&GLM_PARAMETERS),
    ends: &[],
}];
const GLM47: &[Call] = &[Call::Named {
    head: &[Text("<tool_call>"), Space, Name],
    body: Body::Parameters(&GLM47_PARAMETERS),
    ends: &[],
}];
const GLM_MARKERS: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
];

// ---- calls in the literals of a language

const PYTHON_CALL: &[Call] = &[Call::Named {
    head: &[Name, Text("(")],
    body: Body::Literals(&PYTHON),
    ends: &[],
}];

static FUNCTION_GEMMA: Literals = Literals {
    quotes: &["<escape>"],
    has_escapes: false,
    assign: ':',
    close: '}',
    are_strings_typed: true,
};
static GEMMA4: Literals = Literals {
    quotes: &["<|\"|>"],
    ..FUNCTION_GEMMA
};

/// All formats.
pub(super) static FORMATS: &[ToolFormat] = &[
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
        &[between("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>")],
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
        &[between("<seed:tool_call>", "</seed:tool_call>"), bare('\0')],
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
        &[between("<minimax:tool_call>", "</minimax:tool_call>")],
        MINIMAX_M2,
        &["<minimax:tool_call>", "</minimax:tool_call>"],
    ),
    row("deepseek_v3", DEEPSEEK_BLOCK, DEEPSEEK_V3, DEEPSEEK_MARKERS),
    row(
        "deepseek_v31",
        DEEPSEEK_BLOCK,
        DEEPSEEK_V31,
        DEEPSEEK_MARKERS,
    ),
    row(
        "deepseek_v32",
        &[between(
            "<｜DSML｜function_calls>",
            "</｜DSML｜function_calls>",
        )],
        DEEPSEEK_V32,
        &["｜DSML｜"],
    ),
    row(
        "kimi_k2",
        &[between(
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
        )],
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
        &[Call::Named {
            head: &[Text("call:"), Name, Text("{")],
            body: Body::Literals(&FUNCTION_GEMMA),
            ends: &[],
        }],
        &["<start_function_call>", "<end_function_call>", "<escape>"],
    ),
    row(
        "gemma4",
        &[between("<|tool_call>", "<tool_call|>")],
        &[Call::Named {
            head: &[Text("call:"), Name, Text("{")],
            body: Body::Literals(&GEMMA4),
            ends: &[],
        }],
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
