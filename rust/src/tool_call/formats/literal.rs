//! Calls in the literals of a language.

use crate::tool_call::literals::{Literals, PYTHON};
use crate::tool_call::syntax::Part::{Name, Text};
use crate::tool_call::syntax::{Body, Call};

pub(super) const PYTHON_CALL: &[Call] = &[Call::Named {
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

pub(super) const FUNCTION_GEMMA_CALL: &[Call] = &[Call::Named {
    head: &[Text("call:"), Name, Text("{")],
    body: Body::Literals(&FUNCTION_GEMMA),
    ends: &[],
}];
pub(super) const GEMMA4_CALL: &[Call] = &[Call::Named {
    head: &[Text("call:"), Name, Text("{")],
    body: Body::Literals(&GEMMA4),
    ends: &[],
}];
