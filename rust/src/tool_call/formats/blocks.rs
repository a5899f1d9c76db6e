//! Where calls may stand, as most rows need it.

use crate::tool_call::syntax::Block;

/// `open … close` around one call, or several.
pub(super) const fn between(open: &'static str, close: &'static str) -> Block {
    Block {
        open,
        close,
        may_be_list: false,
        separator: '\0',
    }
}

/// As `between`, and the calls may be a JSON array.
pub(super) const fn list_between(open: &'static str, close: &'static str) -> Block {
    Block {
        open,
        close,
        may_be_list: true,
        separator: ',',
    }
}

/// No start, which models forget: a call's own mark begins it.
pub(super) const fn ended(close: &'static str) -> Block {
    between("", close)
}

/// No frame: calls one after the other, with `separator` between them.
pub(super) const fn bare(separator: char) -> Block {
    Block {
        open: "",
        close: "",
        may_be_list: false,
        separator,
    }
}

/// A bare array of calls.
pub(super) const ARRAY: Block = Block {
    open: "[",
    close: "]",
    may_be_list: false,
    separator: ',',
};
