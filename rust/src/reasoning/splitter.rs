//! The splitter: text in, reasoning and text out.
//!
//! White space at both ends of a thought, and line breaks between it and the answer, are layout and dropped. A thought
//! without an end goes on to the end of the text.

use crate::delta::{Delta, Kind, Untold};
use crate::held::read_held;
use crate::stage::{Flow, Next, Stage};
use crate::tool_call::output::Output;
use crate::tool_call::scan::{find_first, longest_partial};

use super::ReasoningFormat;

const LINE_BREAKS: [char; 2] = ['\r', '\n'];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Before anything but white space. `is_inside`: a thought is open.
    Start {
        is_inside: bool,
    },
    /// In a thought. `is_blank`: nothing of it was shown.
    Thought {
        is_blank: bool,
    },
    /// Behind a thought or a dropped tag, where line breaks are dropped.
    Behind,
    Answer,
}

/// The splitter of one choice.
#[derive(Debug)]
pub(super) struct Splitter {
    format: &'static ReasoningFormat,
    /// What is looked for in the answer.
    answer_marks: Vec<&'static str>,
    place: Place,
    held: String,
    /// What a delta lets out; between calls empty.
    out: Output,
    untold: Untold,
}

impl Splitter {
    pub(super) fn new(format: &'static ReasoningFormat, begins_inside: bool) -> Self {
        let mut out = Output::default();
        let mut place = Place::Start {
            is_inside: begins_inside,
        };
        let mut answer_marks = format.dropped.to_vec();
        if format.stays_text {
            place = Place::Answer;
            out.text(if begins_inside { format.begins[0] } else { "" });
        } else if format.may_repeat {
            answer_marks.extend(format.begins);
        }
        Self {
            format,
            answer_marks,
            place,
            held: String::new(),
            out,
            untold: Untold::default(),
        }
    }

    fn run(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        read_held(&mut held, |rest| match self.place {
            Place::Start { is_inside } => self.read_start(rest, is_inside),
            Place::Thought { is_blank } => self.read_thought(rest, is_blank),
            Place::Behind => self.read_behind(rest),
            Place::Answer => self.read_answer(rest),
        });
        self.held = held;
    }

    fn read_start(&mut self, text: &str, is_inside: bool) -> Result<usize, usize> {
        let rest = text.trim_start();
        let space = text.len() - rest.len();
        for begin in self.format.begins {
            if rest.starts_with(begin) {
                self.place = Place::Thought { is_blank: true };
                return Ok(space + begin.len());
            }
            if begin.starts_with(rest) {
                return Err(0);
            }
        }
        self.place = if is_inside {
            Place::Thought { is_blank: true }
        } else {
            Place::Answer
        };
        Ok(0)
    }

    fn read_thought(&mut self, text: &str, is_blank: bool) -> Result<usize, usize> {
        let rest = if is_blank { text.trim_start() } else { text };
        let lead = text.len() - rest.len();
        let end = find_first(rest, self.format.ends);
        let interrupt = find_first(rest, self.format.interrupts);
        let is_interrupt = interrupt.is_some_and(|(at, _)| end.is_none_or(|(end, _)| at < end));
        let found = if is_interrupt { interrupt } else { end };
        let Some((len, mark)) = found else {
            let num_partial = longest_partial(rest, self.format.ends)
                .max(longest_partial(rest, self.format.interrupts));
            let shown = rest[..rest.len() - num_partial].trim_end();
            self.out.reasoning(shown);
            self.place = Place::Thought {
                is_blank: is_blank && shown.is_empty(),
            };
            return Err(if shown.is_empty() {
                0
            } else {
                lead + shown.len()
            });
        };
        self.out.reasoning(rest[..len].trim_end());
        self.place = Place::Behind;
        Ok(lead + len + if is_interrupt { 0 } else { mark.len() })
    }

    fn read_behind(&mut self, text: &str) -> Result<usize, usize> {
        let rest = text.trim_start_matches(LINE_BREAKS);
        if rest.is_empty() {
            return Err(0);
        }
        self.place = Place::Answer;
        Ok(text.len() - rest.len())
    }

    fn read_answer(&mut self, text: &str) -> Result<usize, usize> {
        if self.answer_marks.is_empty() {
            self.out.text(text);
            return Ok(text.len());
        }
        let Some((len, mark)) = find_first(text, &self.answer_marks) else {
            let num_partial = longest_partial(text, &self.answer_marks);
            let mut shown = &text[..text.len() - num_partial];
            if !self.format.dropped.is_empty() {
                shown = shown.trim_end_matches(LINE_BREAKS);
            }
            self.out.text(shown);
            return Err(shown.len());
        };
        let is_dropped = self.format.dropped.contains(&mark);
        let before = &text[..len];
        self.out.text(if is_dropped {
            before.trim_end_matches(LINE_BREAKS)
        } else {
            before
        });
        self.place = if is_dropped {
            Place::Behind
        } else {
            Place::Thought { is_blank: true }
        };
        Ok(len + mark.len())
    }
}

impl Stage for Splitter {
    fn push(&mut self, delta: &Delta<'_>, next: &mut Next<'_>) -> Flow {
        debug_assert_eq!(delta.kind, Kind::Text, "thoughts are split off first");
        self.untold.take(delta);
        if self.place == Place::Answer && self.answer_marks.is_empty() && self.held.is_empty() {
            self.out.text(delta.text);
            return self.out.give(&mut self.untold, next);
        }
        self.held.push_str(delta.text);
        self.run();
        self.out.give(&mut self.untold, next)
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Flow {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Thought { .. } | Place::Start { is_inside: true } => {
                self.out.reasoning(held.trim());
            }
            Place::Start { is_inside: false } | Place::Answer => self.out.text(&held),
            Place::Behind => {}
        }
        self.out.give(&mut self.untold, next)
    }
}
