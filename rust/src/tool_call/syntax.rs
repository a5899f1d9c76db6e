//! What a tool-call format is made of. The formats themselves are rows of the table in `formats`.

use super::literals::Literals;
use super::parameters::Parameters;

/// How one family of models writes its calls.
#[derive(Debug)]
pub struct ToolFormat {
    /// As settings and answers spell it.
    pub name: &'static str,
    /// Where calls may stand. The first block that fits a place is taken.
    pub blocks: &'static [Block],
    /// How one call may be written. The first that fits is taken.
    pub calls: &'static [Call],
    /// Texts of special tokens that must be shown for the calls to be seen.
    pub markers: &'static [&'static str],
    /// What the ids of calls look like, where the format writes none.
    pub ids: Ids,
}

/// A stretch of text that holds calls.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Begins it. Empty: a call's own beginning does.
    pub open: &'static str,
    /// Ends it; a model that leaves it out is forgiven. Empty: the last call ends it.
    pub close: &'static str,
    /// Whether the calls may stand in brackets, as a JSON array.
    pub may_be_list: bool,
    /// What may stand between two calls, beside white space. `\0`: nothing.
    pub separator: char,
}

/// How a call is written.
#[derive(Debug)]
pub enum Call {
    /// A JSON object with `name` and `arguments` (or `parameters`) in any order, perhaps inside of `function`.
    Object,
    /// A name in a fixed frame, then its arguments.
    Named {
        /// All up to the arguments.
        head: &'static [Part],
        /// The arguments.
        body: Body,
        /// What may stand behind them, each at most once and in this order.
        ends: &'static [&'static str],
    },
}

/// A part of a call's head.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// This text.
    Text(&'static str),
    /// This text or nothing.
    Maybe(&'static str),
    /// White space or none.
    Space,
    /// The name of a tool.
    Name,
    /// Kimi's `functions.NAME:NUMBER`, which is the call's id too.
    Id,
    /// Mistral's `[CALL_ID]` and what it marks, or nothing.
    MaybeCallId,
}

/// How arguments are written.
#[derive(Debug)]
pub enum Body {
    /// As a JSON object.
    Json,
    /// As tagged texts.
    Parameters(&'static Parameters),
    /// As the literals of a language.
    Literals(&'static Literals),
}

/// What the ids of calls look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `call_` and 24 hex digits.
    Call,
    /// Nine letters and digits: the templates of Mistral refuse all others.
    Nine,
}

impl ToolFormat {
    /// Texts of special tokens that must be shown for the calls to be seen.
    #[must_use]
    pub const fn markers(&self) -> &'static [&'static str] {
        self.markers
    }

    /// Whether this is gpt-oss's, where reasoning, text and calls are messages of one kind.
    #[must_use]
    pub fn is_harmony(&self) -> bool {
        self.name == "harmony"
    }

    /// The bytes with which a block can begin.
    pub(super) fn first_bytes(&self) -> [bool; 256] {
        let mut table = [false; 256];
        for block in self.blocks {
            if let Some(byte) = block.open.bytes().next() {
                table[usize::from(byte)] = true;
                continue;
            }
            for byte in self.calls.iter().filter_map(Call::first_byte) {
                table[usize::from(byte)] = true;
            }
        }
        table
    }
}

impl Call {
    fn first_byte(&self) -> Option<u8> {
        match self {
            Self::Object => Some(b'{'),
            Self::Named { head, .. } => match head.first()? {
                Part::Text(text) => text.bytes().next(),
                _ => None,
            },
        }
    }
}
