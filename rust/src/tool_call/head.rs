//! The head of a call: all up to its arguments, with what opens its block.
//!
//! Pure functions of the text: nothing is taken and nothing shown until a head is whole.

use super::object;
use super::scan::{Cursor, Scanned, Stop, head_of, is_name_char};
use super::schemas::ToolSchemas;
use super::syntax::{Block, Body, Call, Part, ToolFormat};

/// Bytes that are looked at for a head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What is open around a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) block: &'static Block,
    pub(super) is_list: bool,
    /// What may stand behind the call's arguments.
    pub(super) ends: &'static [&'static str],
}

/// A whole head.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) len: usize,
    pub(super) open: Open,
    /// The tool's place among the tools.
    pub(super) tool: usize,
    /// The id that the model has written.
    pub(super) id: Option<&'a str>,
    pub(super) arguments: Arguments<'a>,
}

/// How the arguments go on.
#[derive(Debug)]
pub(super) enum Arguments<'a> {
    Object(object::Head<'a>),
    Body(&'static Body),
}

/// What stands behind a call.
#[derive(Debug)]
pub(super) enum Following<'a> {
    Call(Head<'a>),
    /// Text, or another block.
    Text,
}

/// The formats and tools that a text is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadReader<'t> {
    pub(super) format: &'static ToolFormat,
    pub(super) tools: &'t ToolSchemas,
}

impl HeadReader<'_> {
    /// A block's start and its first call's head, at the start of `text`.
    pub(super) fn first<'a>(&self, text: &'a str) -> Scanned<Head<'a>> {
        bounded(text, |text| {
            first_of(self.format.blocks, |block| self.in_block(block, text))
        })
    }

    fn in_block<'a>(&self, block: &'static Block, text: &'a str) -> Scanned<Head<'a>> {
        let mut cursor = Cursor::new(text);
        if !block.open.is_empty() {
            cursor.literal(block.open)?;
            cursor.space();
        }
        let is_list = block.may_be_list && cursor.maybe("[")?;
        cursor.space();
        let ends = &[];
        self.call(
            cursor,
            Open {
                block,
                is_list,
                ends,
            },
        )
    }

    /// What stands behind a call, at the start of `text`. `num_used`: bytes of it that belong to the call for certain,
    /// also where more text is needed.
    pub(super) fn following<'a>(
        &self,
        text: &'a str,
        open: Open,
        num_used: &mut usize,
    ) -> Scanned<Following<'a>> {
        let mut cursor = Cursor::new(text);
        for end in open.ends {
            cursor.space();
            if cursor.maybe(end)? {
                *num_used = cursor.at;
            }
        }
        cursor.space();
        let mut is_list = open.is_list;
        if is_list && cursor.maybe("]")? {
            (is_list, *num_used) = (false, cursor.at);
            if open.block.close.is_empty() {
                return Ok(Following::Text);
            }
            cursor.space();
        }
        if !open.block.close.is_empty() && cursor.maybe(open.block.close)? {
            *num_used = cursor.at;
            return Ok(Following::Text);
        }
        if open.block.separator != '\0' {
            cursor.maybe(open.block.separator.encode_utf8(&mut [0; 4]))?;
            cursor.space();
        }
        let open = Open { is_list, ..open };
        let next = bounded(cursor.rest(), |rest| self.call(Cursor::new(rest), open));
        match next {
            Ok(head) => Ok(Following::Call(Head {
                len: cursor.at + head.len,
                ..head
            })),
            Err(Stop::Fail) => Ok(Following::Text),
            Err(Stop::Wait) => Err(Stop::Wait),
        }
    }

    fn call<'a>(&self, cursor: Cursor<'a>, open: Open) -> Scanned<Head<'a>> {
        first_of(self.format.calls, |call| match call {
            Call::Object => self.object(cursor, open),
            Call::Named { head, body, ends } => {
                self.named(cursor, head, body, Open { ends, ..open })
            }
        })
    }

    fn object<'a>(&self, mut cursor: Cursor<'a>, open: Open) -> Scanned<Head<'a>> {
        let head = object::read_head(&mut cursor, self.tools)?;
        Ok(Head {
            len: cursor.at,
            open,
            tool: head.tool,
            id: None,
            arguments: Arguments::Object(head),
        })
    }

    fn named<'a>(
        &self,
        mut cursor: Cursor<'a>,
        parts: &'static [Part],
        body: &'static Body,
        open: Open,
    ) -> Scanned<Head<'a>> {
        let (mut tool, mut id) = (None, None);
        for part in parts {
            match part {
                Part::Text(text) => cursor.literal(text)?,
                Part::Maybe(text) => {
                    cursor.maybe(text)?;
                }
                Part::Space => cursor.space(),
                Part::Name => tool = Some(self.tools.read_name(&mut cursor)?),
                Part::Id => {
                    let written = cursor.run(is_name_char)?;
                    tool = Some(self.tool_of_id(written)?);
                    id = Some(written);
                }
                Part::MaybeCallId => {
                    if cursor.maybe("[CALL_ID]")? {
                        id = Some(cursor.run(|c| c.is_ascii_alphanumeric())?);
                    }
                }
            }
        }
        check_start(cursor, parts, body)?;
        Ok(Head {
            len: cursor.at,
            open,
            tool: tool.ok_or(Stop::Fail)?,
            id: id.filter(|id| !id.is_empty()),
            arguments: Arguments::Body(body),
        })
    }

    /// The tool of `functions.NAME:NUMBER`. Models leave the name out, where there is only one.
    fn tool_of_id(&self, id: &str) -> Scanned<usize> {
        let name = id.strip_prefix("functions.").unwrap_or(id);
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        if self.tools.tools().len() == 1 && name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(0);
        }
        self.tools.position(name).ok_or(Stop::Fail)
    }
}

/// Whether arguments of that kind begin here: what else a frame holds is no call.
fn check_start(mut cursor: Cursor<'_>, parts: &[Part], body: &Body) -> Scanned<()> {
    match body {
        Body::Json => match cursor.peek()? {
            b'{' => Ok(()),
            _ => Err(Stop::Fail),
        },
        // Nothing in the frame ends the name.
        Body::Parameters(parameters) if matches!(parts.last(), Some(Part::Name)) => {
            cursor.space();
            for start in parameters.opens.iter().chain([&parameters.close]) {
                if cursor.maybe(start)? {
                    return Ok(());
                }
            }
            Err(Stop::Fail)
        }
        Body::Literals(literals) if literals.assign == '=' => {
            cursor.space();
            if cursor.maybe(literals.close.encode_utf8(&mut [0; 4]))? {
                return Ok(());
            }
            let name = cursor.run(|c| c.is_alphanumeric() || c == '_')?;
            cursor.space();
            cursor.literal("=")?;
            if name.is_empty() {
                return Err(Stop::Fail);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The first of `rows` that fits. One that could still fit is waited for: what a later one says would depend on how
/// much has come.
fn first_of<R, T>(rows: &'static [R], read: impl Fn(&'static R) -> Scanned<T>) -> Scanned<T> {
    for row in rows {
        match read(row) {
            Err(Stop::Fail) => {}
            found_or_wait => return found_or_wait,
        }
    }
    Err(Stop::Fail)
}

/// `read`, of so much text only; what waits for more has failed.
fn bounded<'a, T>(text: &'a str, read: impl Fn(&'a str) -> Scanned<T>) -> Scanned<T> {
    let head = head_of(text, MAX_HEAD_BYTES);
    match read(head) {
        Err(Stop::Wait) if head.len() < text.len() => Err(Stop::Fail),
        answer => answer,
    }
}
