//! The table of reasoning formats.

use crate::tool_call::HARMONY_MARKERS;

/// How one family of models writes its thoughts.
#[derive(Debug)]
pub struct ReasoningFormat {
    /// As settings and answers spell it.
    pub name: &'static str,
    /// What begins a thought.
    pub begins: &'static [&'static str],
    /// What ends it.
    pub ends: &'static [&'static str],
    /// What ends it, too, and belongs to what follows: a call without an end of the thought before it.
    pub interrupts: &'static [&'static str],
    /// Tags around the answer, which are dropped.
    pub dropped: &'static [&'static str],
    /// Whether an answer begins inside of a thought, unless the prompt says otherwise.
    pub is_implicit: bool,
    /// Whether thoughts may begin anywhere, not only where the answer does.
    pub may_repeat: bool,
    /// Whether thoughts stay in the text, with their tags.
    pub stays_text: bool,
    /// Texts of special tokens that must be shown for thoughts to be seen.
    pub markers: &'static [&'static str],
}

const THINK: ReasoningFormat = ReasoningFormat {
    name: "",
    begins: &["<think>"],
    ends: &["</think>"],
    interrupts: &[],
    dropped: &[],
    is_implicit: false,
    may_repeat: false,
    stays_text: false,
    markers: &["<think>", "</think>"],
};

/// `<think>…</think>`, where the start may be missing only if the prompt has opened the thought.
const fn think(name: &'static str) -> ReasoningFormat {
    ReasoningFormat { name, ..THINK }
}

/// All text before `</think>`: the prompts of these models open the thought, or the models leave the start out.
const fn implicit_think(name: &'static str) -> ReasoningFormat {
    ReasoningFormat {
        name,
        is_implicit: true,
        ..THINK
    }
}

static FORMATS: &[ReasoningFormat] = &[
    implicit_think("deepseek_r1"),
    think("deepseek_v3"),
    think("qwen3"),
    think("glm45"),
    think("holo2"),
    ReasoningFormat {
        interrupts: &["<|tool_calls_section_begin|>"],
        markers: &["<think>", "</think>", "<|tool_calls_section_begin|>"],
        ..think("kimi_k2")
    },
    ReasoningFormat {
        dropped: &["<response>", "</response>"],
        ..implicit_think("ernie45")
    },
    ReasoningFormat {
        dropped: &["<answer>", "</answer>"],
        ..think("hunyuan_a13b")
    },
    implicit_think("olmo3"),
    implicit_think("minimax_m2"),
    ReasoningFormat {
        stays_text: true,
        ..implicit_think("minimax_m2_append_think")
    },
    implicit_think("step3"),
    implicit_think("step3p5"),
    ReasoningFormat {
        // A budget of 0 opens the thought with a reflection on it.
        begins: &["<seed:think>", "<seed:cot_budget_reflect>"],
        ends: &["</seed:think>"],
        markers: &["<seed:think>", "</seed:think>"],
        ..think("seed_oss")
    },
    ReasoningFormat {
        begins: &["[THINK]"],
        ends: &["[/THINK]"],
        may_repeat: true,
        markers: &["[THINK]", "[/THINK]"],
        ..think("mistral")
    },
    ReasoningFormat {
        begins: &["Here's my thought process:", "Here is my thought process:"],
        ends: &["Here's my response:", "Here is my response:"],
        markers: &[],
        ..think("granite")
    },
    ReasoningFormat {
        begins: &["<|channel>thought"],
        ends: &["<channel|>"],
        may_repeat: true,
        markers: &["<|channel>", "<channel|>"],
        ..think("gemma4")
    },
    ReasoningFormat {
        begins: &["<|channel|>analysis<|message|>"],
        ends: &["<|end|>"],
        markers: HARMONY_MARKERS,
        ..think("harmony")
    },
];

/// Other names that settings may use.
const ALIASES: &[(&str, &str)] = &[
    ("glm47", "glm45"),
    ("glm-4.5", "glm45"),
    ("glm-4.7", "glm45"),
    ("step3.5", "step3p5"),
    ("gptoss", "harmony"),
    ("gpt_oss", "harmony"),
    ("gpt-oss", "harmony"),
    ("openai_gptoss", "harmony"),
    ("minimax", "qwen3"),
];

impl ReasoningFormat {
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

    /// Texts of special tokens that must be shown for thoughts to be seen.
    #[must_use]
    pub const fn markers(&self) -> &'static [&'static str] {
        self.markers
    }

    /// Whether this is gpt-oss's, where reasoning, text and calls are messages of one kind.
    #[must_use]
    pub fn is_harmony(&self) -> bool {
        self.name == "harmony"
    }

    /// Whether an answer to `prompt` begins inside of a thought: the prompt ends by opening one, or does not end by
    /// closing one and the format takes a thought for granted.
    #[must_use]
    pub fn begins_inside(&self, prompt: &str) -> bool {
        let prompt = prompt.trim_end();
        let ends_with = |markers: &[&str]| markers.iter().any(|marker| prompt.ends_with(marker));
        if self.is_harmony() || ends_with(self.ends) {
            return false;
        }
        self.is_implicit || ends_with(self.begins)
    }
}
