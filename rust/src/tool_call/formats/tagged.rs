//! Calls with tagged parameters.

use super::blocks::{between, ended};
use crate::tool_call::parameters::Parameters;
use crate::tool_call::syntax::Part::{Name, Space, Text};
use crate::tool_call::syntax::{Block, Body, Call};

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
pub(super) const QWEN_CALLS: &[Call] = &[
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
pub(super) const SEED_CALLS: &[Call] = &[Call::Named {
    head: &[Text("<function="), Name, Text(">")],
    body: Body::Parameters(&SEED_PARAMETERS),
    ends: &[],
}];
/// The first marker is often left out, and the last one written all the same.
pub(super) const QWEN_BLOCKS: &[Block] = &[
    between("<tool_call>", "</tool_call>"),
    ended("</tool_call>"),
];

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
pub(super) const MINIMAX_M2: &[Call] = &[Call::Named {
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
pub(super) const DEEPSEEK_V32: &[Call] = &[Call::Named {
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
pub(super) const STEP3: &[Call] = &[Call::Named {
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
pub(super) const GLM: &[Call] = &[Call::Named {
    head: &[Text("<tool_call>"), Space, Name],
    body: Body::Parameters(&GLM_PARAMETERS),
    ends: &[],
}];
pub(super) const GLM47: &[Call] = &[Call::Named {
    head: &[Text("<tool_call>"), Space, Name],
    body: Body::Parameters(&GLM47_PARAMETERS),
    ends: &[],
}];
pub(super) const GLM_MARKERS: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
];
