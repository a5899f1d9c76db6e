//! Calls with a name in a fixed frame and JSON arguments.

use super::blocks::{between, ended};
use crate::tool_call::syntax::Part::{Id, Maybe, MaybeCallId, Name, Space, Text};
use crate::tool_call::syntax::{Block, Body, Call};

pub(super) const DEEPSEEK_BLOCKS: &[Block] = &[
    between("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    ended("<｜tool▁calls▁end｜>"),
];
pub(super) const DEEPSEEK_MARKERS: &[&str] = &[
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
];
pub(super) const DEEPSEEK_V3: &[Call] = &[Call::Named {
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
pub(super) const DEEPSEEK_V31: &[Call] = &[Call::Named {
    head: &[
        Text("<｜tool▁call▁begin｜>"),
        Name,
        Text("<｜tool▁sep｜>"),
        Space,
    ],
    body: Body::Json,
    ends: &["<｜tool▁call▁end｜>"],
}];
pub(super) const KIMI_K2: &[Call] = &[Call::Named {
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
pub(super) const MISTRAL: &[Call] = &[
    Call::Object,
    Call::Named {
        head: &[Name, MaybeCallId, Maybe("[ARGS]"), Space],
        body: Body::Json,
        ends: &[],
    },
];
