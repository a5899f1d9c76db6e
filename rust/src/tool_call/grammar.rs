//! Calls that must be valid: a grammar, in llguidance's Lark, of just what a model writes when it calls these tools.
//!
//! Arguments fit their tool's schema. What of a schema cannot be enforced in a format is refused by its name. Where a
//! format writes JSON, `%json` does the enforcing; where it writes text or literals, `values` spells the schema out.

mod literals;
mod rules;
mod texts;
mod written;

use std::fmt;

use serde_json::{Value, json};

use super::schemas::{Tool, ToolSchemas};
use super::syntax::ToolFormat;
use crate::grammar::lark_text::escape_text;
use rules::Rules;
use written::{Arguments, Written, written};

/// Which tools must be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// None need be. If one is, its call is valid.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(&'a str),
}

/// Why there is no grammar, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrammarRefusal(pub String);

impl fmt::Display for GrammarRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GrammarRefusal {}

/// The grammar of an answer that calls `tools` in `format`, as Lark. `parallel`: more than one call may be made.
/// `special`: the id of the special token that is spelt so, where the model has one.
///
/// Under [`ToolChoice::Auto`] text is free up to a call, and tools that are not strict take any arguments.
///
/// # Errors
/// When there is no such tool, or a schema asks for what cannot be enforced in this format.
pub fn grammar(
    format: &ToolFormat,
    tools: &ToolSchemas,
    choice: ToolChoice<'_>,
    parallel: bool,
    special: &dyn Fn(&str) -> Option<u32>,
) -> Result<String, GrammarRefusal> {
    let callable = callable(tools, choice)?;
    let written = written(format, special);
    let mut rules = Rules::new(format.markers(), special);
    let mut calls = Vec::new();
    for tool in &callable {
        let is_free = choice == ToolChoice::Auto && !tool.is_strict;
        calls.push(Spelt {
            text: written.head.replace("NAME", &tool.name),
            head: head(&rules, &written, &tool.name),
            rest: rest(&mut rules, &written, tool, is_free).map_err(|why| refusal(tool, &why))?,
        });
    }
    if format.is_harmony() {
        harmony_start(&mut rules, &written, &calls, choice);
    } else if choice == ToolChoice::Auto {
        free_start(&mut rules, &written, &calls, parallel);
    } else {
        let blocks = blocks(&mut rules, &written, &calls, parallel);
        rules.add("start", &format!("{} {blocks}", rules.text(written.lead)));
    }
    Ok(rules.lark())
}

/// One tool's call: the text up to its arguments, then the rule for all from there to its end.
struct Spelt {
    text: String,
    /// The same as parts of a rule.
    head: String,
    rest: String,
}

fn callable<'t>(
    tools: &'t ToolSchemas,
    choice: ToolChoice<'_>,
) -> Result<Vec<&'t Tool>, GrammarRefusal> {
    if let ToolChoice::Named(name) = choice {
        let tool = tools.get(name);
        let tool = tool.ok_or_else(|| GrammarRefusal(format!("there is no tool {name:?}")))?;
        return Ok(vec![tool]);
    }
    if tools.tools().is_empty() {
        return Err(GrammarRefusal("there are no tools to call".to_owned()));
    }
    Ok(tools.tools().iter().collect())
}

fn refusal(tool: &Tool, why: &str) -> GrammarRefusal {
    GrammarRefusal(format!("the parameters of tool {:?}: {why}", tool.name))
}

/// The rule of a tool's arguments and of what ends its call.
fn rest(
    rules: &mut Rules<'_>,
    written: &Written,
    tool: &Tool,
    is_free: bool,
) -> Result<String, String> {
    rules.check_size()?;
    let schema = if is_free {
        json!({})
    } else {
        tool.schema.clone()
    };
    let arguments = match &written.arguments {
        Arguments::Json => format!("%json {}", object_schema(&schema)),
        Arguments::Parameters(syntax) if is_free => texts::any(rules, syntax),
        Arguments::Parameters(syntax) => texts::parameters(rules, syntax, &schema)?,
        Arguments::Literals(syntax) if is_free => literals::any(rules, syntax),
        Arguments::Literals(syntax) => literals::arguments(rules, syntax, &schema)?,
    };
    let tail = rules.text(written.tail);
    Ok(rules.rule("rest", &format!("{arguments} {tail}")))
}

/// A head's parts, `INDEX` being any number.
fn head(rules: &Rules<'_>, written: &Written, name: &str) -> String {
    let parts: Vec<String> = written
        .head
        .split("INDEX")
        .map(|part| rules.text(&part.replace("NAME", name)))
        .collect();
    parts.join(" /[0-9]+/ ")
}

/// In harmony a thought may come first; where no call is needed, a preamble and a final message, too.
fn harmony_start(
    rules: &mut Rules<'_>,
    written: &Written,
    calls: &[Spelt],
    choice: ToolChoice<'_>,
) {
    let message = |rules: &mut Rules<'_>, channel: &str| {
        let lead = rules.text(&format!("<|channel|>{channel}<|message|>"));
        let text = rules.text_until("<|end|>", "*");
        let next = rules.text("<|start|>assistant");
        rules.rule("message", &format!("{lead} {text} {next}"))
    };
    let thought = message(rules, "analysis");
    let blocks = blocks(rules, written, calls, false);
    if choice == ToolChoice::Auto {
        let preamble = message(rules, "commentary");
        let last = rules.text("<|channel|>final<|message|>");
        rules.add(
            "start",
            &format!("({thought} | {preamble})* ({blocks} | {last} FREE)"),
        );
        rules.add("FREE", "/(?s:.*)/");
    } else {
        rules.add("start", &format!("{thought}? {blocks}"));
    }
}

/// A schema that allows objects only.
fn object_schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.entry("type").or_insert_with(|| json!("object"));
    }
    schema
}

/// One block of calls, or as many calls as may be.
fn blocks(rules: &mut Rules<'_>, written: &Written, calls: &[Spelt], parallel: bool) -> String {
    let spelt: Vec<String> = calls
        .iter()
        .map(|call| format!("{} {}", call.head, call.rest))
        .collect();
    let call = rules.rule("call", &spelt.join(" | "));
    format!(
        "{} {}",
        rules.text(written.before),
        more_calls(rules, written, &call, parallel)
    )
}

/// A call, those that follow it, and the block's end.
fn more_calls(rules: &Rules<'_>, written: &Written, call: &str, parallel: bool) -> String {
    let between = rules.text(written.between);
    let after = rules.text(written.after);
    if parallel && written.may_repeat {
        format!("{call} ({between} {call})* {after}")
    } else {
        format!("{call} {after}")
    }
}

/// Free text, and perhaps calls behind it.
fn free_start(rules: &mut Rules<'_>, written: &Written, calls: &[Spelt], parallel: bool) {
    let all = blocks(rules, written, calls, parallel);
    if let Some(token) = rules.leading_token(written.before) {
        // Free text holds no special token, so the marker alone tells.
        debug_assert!(!token.is_empty(), "a token is spelt");
        rules.add("start", &format!("FREE ({all})?"));
        rules.add("FREE", "/(?s:.*)/");
        return;
    }
    let (triggers, followed) = triggers(rules, written, calls, parallel);
    let any: Vec<String> = triggers
        .iter()
        .map(|trigger| escape_text(trigger))
        .collect();
    let any = any.join("|");
    rules.add("FREE", &format!("/(?s:.*)/ & ~/(?s:.*)({any})(?s:.*)/"));
    let mut options = vec!["FREE".to_owned()];
    for (trigger, follow) in triggers.iter().zip(followed) {
        let lead = rules.rule("lead[lazy]", &format!("/(?s:.*){}/", escape_text(trigger)));
        options.push(format!("{lead} {follow}"));
    }
    rules.add("start", &options.join(" | "));
}

/// Texts that begin a call for certain, and what must follow each.
fn triggers(
    rules: &mut Rules<'_>,
    written: &Written,
    calls: &[Spelt],
    parallel: bool,
) -> (Vec<String>, Vec<String>) {
    let call: Vec<String> = calls
        .iter()
        .map(|call| format!("{} {}", call.head, call.rest))
        .collect();
    let any_call = rules.rule("next", &call.join(" | "));
    if !written.trigger.is_empty() {
        let behind = written
            .before
            .strip_prefix(written.trigger)
            .unwrap_or_default();
        let follow = format!(
            "{} {}",
            rules.text(behind),
            more_calls(rules, written, &any_call, parallel)
        );
        return (vec![written.trigger.to_owned()], vec![follow]);
    }
    let (mut triggers, mut followed) = (Vec::new(), Vec::new());
    for call in calls {
        triggers.push(format!("{}{}", written.before, call.text));
        let after = rules.text(written.after);
        let between = rules.text(written.between);
        let more = if parallel && written.may_repeat {
            format!("({between} {any_call})*")
        } else {
            String::new()
        };
        followed.push(format!("{} {more} {after}", call.rest));
    }
    (triggers, followed)
}

#[cfg(test)]
mod tests;
