//! How each format's models write calls when nothing forces them: the text around and between the calls.

use super::super::literals::{Literals, PYTHON};
use super::super::parameters::Parameters;
use super::super::syntax::{Body, Call, ToolFormat};

/// How calls are written: `lead before head ARGUMENTS tail (between head ARGUMENTS tail)* after`. Where two of these
/// may stand, none begins another: llguidance's lexer takes the longest and does not turn back.
#[derive(Debug)]
pub(super) struct Written {
    /// Before the block in an answer that must call.
    pub(super) lead: &'static str,
    pub(super) before: &'static str,
    /// Of one call, with `NAME` for its tool's.
    pub(super) head: &'static str,
    pub(super) arguments: Arguments,
    pub(super) tail: &'static str,
    pub(super) between: &'static str,
    pub(super) after: &'static str,
    /// Whether there may be more than one call.
    pub(super) may_repeat: bool,
    /// The start of `before` that begins a call for certain. Empty: only a whole head does.
    pub(super) trigger: &'static str,
}

#[derive(Debug)]
pub(super) enum Arguments {
    Json,
    Parameters(&'static Parameters),
    Literals(&'static Literals),
}

const OBJECT: Written = Written {
    lead: "",
    before: "",
    head: "{\"name\": \"NAME\", \"arguments\": ",
    arguments: Arguments::Json,
    tail: "}",
    between: "",
    after: "",
    may_repeat: true,
    trigger: "",
};

const LIST: Written = Written {
    between: ", ",
    after: "]",
    ..OBJECT
};

const LLAMA: Written = Written {
    head: "{\"name\": \"NAME\", \"parameters\": ",
    between: "; ",
    ..OBJECT
};

/// How `format` is written by a model with these special tokens.
pub(super) fn written(format: &ToolFormat, special: &dyn Fn(&str) -> Option<u32>) -> Written {
    match format.name {
        "hermes" | "ernie45" => Written {
            before: "<tool_call>\n",
            between: "\n</tool_call>\n<tool_call>\n",
            after: "\n</tool_call>",
            trigger: "<tool_call>",
            ..OBJECT
        },
        "longcat" => Written {
            before: "<longcat_tool_call>\n",
            between: "\n</longcat_tool_call>\n<longcat_tool_call>\n",
            after: "\n</longcat_tool_call>",
            trigger: "<longcat_tool_call>",
            ..OBJECT
        },
        // Newer tokenizers have a token between name and arguments.
        "mistral" if special("[ARGS]").is_some() => Written {
            before: "[TOOL_CALLS]",
            head: "NAME[ARGS]",
            tail: "",
            between: "[TOOL_CALLS]",
            trigger: "[TOOL_CALLS]",
            ..OBJECT
        },
        "mistral" => Written {
            before: "[TOOL_CALLS] [",
            trigger: "[TOOL_CALLS]",
            ..LIST
        },
        "llama3_json" | "llama4_json" => LLAMA,
        "granite" if special("<|tool_call|>").is_some() => Written {
            before: "<|tool_call|>[",
            trigger: "<|tool_call|>",
            ..LIST
        },
        "granite" => Written {
            before: "<tool_call>[",
            trigger: "<tool_call>",
            ..LIST
        },
        "granite-20b-fc" => Written {
            before: "<function_call> ",
            between: "\n<function_call> ",
            trigger: "<function_call>",
            ..OBJECT
        },
        "hunyuan_a13b" | "jamba" => Written {
            before: "<tool_calls>[",
            after: "]</tool_calls>",
            trigger: "<tool_calls>",
            ..LIST
        },
        "minimax" => Written {
            before: "<tool_calls>\n",
            between: "\n",
            after: "\n</tool_calls>",
            trigger: "<tool_calls>",
            ..OBJECT
        },
        "internlm" => Written {
            before: "<|action_start|><|plugin|>\n",
            head: "{\"name\": \"NAME\", \"parameters\": ",
            after: "<|action_end|>",
            may_repeat: false,
            trigger: "<|action_start|><|plugin|>",
            ..OBJECT
        },
        "gigachat3" => Written {
            lead: "<|message_sep|>\n\n",
            before: "function call<|role_sep|>\n",
            may_repeat: false,
            trigger: "function call<|role_sep|>",
            ..OBJECT
        },
        "phi4_mini_json" if special("<|tool_call|>").is_some() => Written {
            before: "<|tool_call|>",
            between: "<|/tool_call|><|tool_call|>",
            after: "<|/tool_call|>",
            trigger: "<|tool_call|>",
            ..OBJECT
        },
        "phi4_mini_json" => Written {
            before: "functools[",
            trigger: "functools[",
            ..LIST
        },
        "openai" | "xlam" => Written {
            before: "[",
            ..LIST
        },
        _ => named(format),
    }
}

/// Formats with a name in a frame of its own.
fn named(format: &ToolFormat) -> Written {
    match format.name {
        "deepseek_v3" => Written {
            before: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            head: "NAME\n```json\n",
            tail: "\n```<｜tool▁call▁end｜>",
            between: "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            after: "<｜tool▁calls▁end｜>",
            trigger: "<｜tool▁calls▁begin｜>",
            ..OBJECT
        },
        "deepseek_v31" => Written {
            before: "<｜tool▁calls▁begin｜>",
            head: "<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>",
            tail: "<｜tool▁call▁end｜>",
            after: "<｜tool▁calls▁end｜>",
            trigger: "<｜tool▁calls▁begin｜>",
            ..OBJECT
        },
        "kimi_k2" => Written {
            before: "<|tool_calls_section_begin|>",
            head: "<|tool_call_begin|>functions.NAME:INDEX<|tool_call_argument_begin|>",
            tail: "<|tool_call_end|>",
            after: "<|tool_calls_section_end|>",
            trigger: "<|tool_calls_section_begin|>",
            ..OBJECT
        },
        "harmony" => Written {
            head: "<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>",
            tail: "",
            may_repeat: false,
            ..OBJECT
        },
        _ => of_arguments(format),
    }
}

/// Formats whose arguments are texts or literals.
fn of_arguments(format: &ToolFormat) -> Written {
    let written = Written { tail: "", ..OBJECT };
    let written = match format.name {
        "qwen3_coder" | "qwen3_xml" | "step3p5" => Written {
            before: "<tool_call>\n",
            head: "<function=NAME>\n",
            between: "\n</tool_call>\n<tool_call>\n",
            after: "\n</tool_call>",
            trigger: "<tool_call>",
            ..written
        },
        "seed_oss" => Written {
            before: "<seed:tool_call>\n",
            head: "<function=NAME>\n",
            between: "\n</seed:tool_call>\n<seed:tool_call>\n",
            after: "\n</seed:tool_call>",
            trigger: "<seed:tool_call>",
            ..written
        },
        "minimax_m2" => Written {
            before: "<minimax:tool_call>\n",
            head: "<invoke name=\"NAME\">\n",
            tail: "\n",
            between: "",
            after: "</minimax:tool_call>",
            trigger: "<minimax:tool_call>",
            ..written
        },
        "deepseek_v32" => Written {
            before: "<｜DSML｜function_calls>\n",
            head: "<｜DSML｜invoke name=\"NAME\">\n",
            tail: "\n",
            between: "",
            after: "</｜DSML｜function_calls>",
            trigger: "<｜DSML｜function_calls>",
            ..written
        },
        "step3" => Written {
            before: "<｜tool_calls_begin｜>",
            head: "<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"NAME\">",
            tail: "<｜tool_call_end｜>",
            after: "<｜tool_calls_end｜>",
            trigger: "<｜tool_calls_begin｜>",
            ..written
        },
        "glm45" => Written {
            before: "<tool_call>",
            head: "NAME\n",
            between: "\n<tool_call>",
            trigger: "<tool_call>",
            ..written
        },
        "glm47" => Written {
            before: "<tool_call>",
            head: "NAME",
            between: "<tool_call>",
            trigger: "<tool_call>",
            ..written
        },
        "functiongemma" => Written {
            before: "<start_function_call>",
            head: "call:NAME{",
            between: "<end_function_call><start_function_call>",
            after: "<end_function_call>",
            trigger: "<start_function_call>",
            ..written
        },
        "gemma4" => Written {
            before: "<|tool_call>",
            head: "call:NAME{",
            between: "<tool_call|><|tool_call>",
            after: "<tool_call|>",
            trigger: "<|tool_call>",
            ..written
        },
        "olmo3" => Written {
            before: "<function_calls>",
            head: "NAME(",
            between: "\n",
            after: "</function_calls>",
            trigger: "<function_calls>",
            ..written
        },
        _ => Written {
            before: "[",
            head: "NAME(",
            between: ", ",
            after: "]",
            ..written
        },
    };
    Written {
        arguments: arguments(format),
        ..written
    }
}

fn arguments(format: &ToolFormat) -> Arguments {
    match format.calls.first() {
        Some(Call::Named {
            body: Body::Parameters(syntax),
            ..
        }) => Arguments::Parameters(syntax),
        Some(Call::Named {
            body: Body::Literals(syntax),
            ..
        }) => Arguments::Literals(syntax),
        _ => Arguments::Literals(&PYTHON),
    }
}
