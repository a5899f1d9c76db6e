//! The newer notation of structural tags, xgrammar's `{"type": "structural_tag", "format": …}`, as Lark.
//!
//! Taken: `const_string`, `json_schema`, `regex`, `any_text`, `sequence`, `or`, `tag`, `tags_with_separator`, and
//! `triggered_tags` where it is the whole. Free text ends with its tag, or stands last. Not taken: `grammar`,
//! `qwen_xml_parameter` and its kin, `excludes`, and triggered tags of which there must be one or may be only one.

use serde_json::{Map, Value};

use super::triggers::{Part, triggered};
use crate::grammar::json_options::with_options;
use crate::grammar::lark_text::{escape_text, quote};
use crate::grammar::regex_classes::spelt_out;
use crate::grammar::schema;

/// The Lark grammar. The reason, in one sentence, where the value is at fault.
pub(super) fn to_lark(format: &Value) -> Result<String, String> {
    let mut spelling = Spelling::default();
    let start = if kind_of(format)? == "triggered_tags" {
        spelling.triggered(members_of(format)?)?
    } else {
        format!("start: {}\n", spelling.spell(format, true)?)
    };
    Ok(start + &spelling.lines.concat())
}

/// Rules and terminals that the first rule refers to, each a line.
#[derive(Default)]
struct Spelling {
    lines: Vec<String>,
}

impl Spelling {
    /// One format as what stands in a rule. `is_last`: nothing follows it.
    fn spell(&mut self, format: &Value, is_last: bool) -> Result<String, String> {
        let members = members_of(format)?;
        match kind_of(format)? {
            "const_string" => non_empty(text(members, "value")?, "value").map(quote),
            "json_schema" => {
                let schema = schema::prepare(required(members, "json_schema")?)?;
                Ok(format!("%json {}", with_options(schema)))
            }
            "regex" => {
                let pattern = non_empty(text(members, "pattern")?, "pattern")?;
                Ok(self.terminal("RX", "", &spelt_out(pattern).replace('/', "\\/")))
            }
            "any_text" if is_last => {
                check_free(members)?;
                Ok(self.terminal("FREE", "", "(?s:.*)"))
            }
            "any_text" => Err("free text must be a tag's content, or stand last".to_owned()),
            "sequence" => self.sequence(list(members, "elements")?, is_last),
            "or" => {
                let elements = list(members, "elements")?.iter();
                let spelt: Result<Vec<_>, _> =
                    elements.map(|each| self.spell(each, is_last)).collect();
                Ok(format!("({})", spelt?.join(" | ")))
            }
            "tag" => {
                let (begin, rest) = self.tag(members)?;
                Ok(format!("({} {rest})", quote(begin)))
            }
            "tags_with_separator" => self.separated(members),
            "triggered_tags" => Err("'triggered_tags' must be the whole format".to_owned()),
            other => Err(format!("a format of type '{other:.40}' is not supported")),
        }
    }

    fn sequence(&mut self, elements: &[Value], is_last: bool) -> Result<String, String> {
        let place_of_last = elements.len() - 1;
        let each = |(place, element)| self.spell(element, is_last && place == place_of_last);
        let spelt: Result<Vec<_>, _> = elements.iter().enumerate().map(each).collect();
        Ok(format!("({})", spelt?.join(" ")))
    }

    /// A tag's beginning, and what stands behind it.
    fn tag<'a>(&mut self, members: &'a Map<String, Value>) -> Result<(&'a str, String), String> {
        let begin = text(members, "begin")?;
        let ends = match required(members, "end")? {
            Value::Array(_) => texts(list(members, "end")?)?,
            _ => vec![text(members, "end")?],
        };
        let content = required(members, "content")?;
        if kind_of(content)? == "any_text" {
            check_free(members_of(content)?)?;
            if ends.iter().any(|end| end.is_empty()) {
                return Err("a tag of free text needs an end".to_owned());
            }
            let ends: Vec<String> = ends.iter().map(|end| escape_text(end)).collect();
            let pattern = format!("(?s:.*)({})", ends.join("|"));
            return Ok((begin, self.terminal("text", "[lazy]", &pattern)));
        }
        let ends: Vec<String> = ends.iter().map(|end| quote(end)).collect();
        let content = self.spell(content, false)?;
        Ok((begin, format!("{content} ({})", ends.join(" | "))))
    }

    fn separated(&mut self, members: &Map<String, Value>) -> Result<String, String> {
        let mut tags = Vec::new();
        for tag in list(members, "tags")? {
            let (begin, rest) = self.tag(members_of(tag)?)?;
            tags.push(format!("{} {rest}", quote(begin)));
        }
        // A rule of its own, as it stands in two places: tags in tags would double with each.
        let tag = self.line("tag", "", &tags.join(" | "));
        let separator = quote(text(members, "separator")?);
        let more = if flag(members, "stop_after_first") {
            String::new()
        } else {
            format!(" ({separator} {tag})*")
        };
        let optional = if flag(members, "at_least_one") {
            ""
        } else {
            "?"
        };
        Ok(format!("({tag}{more}){optional}"))
    }

    fn triggered(&mut self, members: &Map<String, Value>) -> Result<String, String> {
        for name in ["at_least_one", "stop_after_first"] {
            if flag(members, name) {
                return Err(format!("'{name}' of triggered tags is not supported"));
            }
        }
        check_free(members)?;
        let mut parts = Vec::new();
        for tag in list(members, "tags")? {
            let (begin, rest) = self.tag(members_of(tag)?)?;
            let begin = begin.to_owned();
            parts.push(Part { begin, rest });
        }
        triggered(&texts(list(members, "triggers")?)?, &parts)
    }

    fn terminal(&mut self, kind: &str, options: &str, pattern: &str) -> String {
        self.line(kind, options, &format!("/{pattern}/"))
    }

    /// Adds a line under a new name, which it returns.
    fn line(&mut self, kind: &str, options: &str, body: &str) -> String {
        let name = format!("{kind}{}", self.lines.len());
        self.lines.push(format!("{name}{options}: {body}\n"));
        name
    }
}

fn members_of(format: &Value) -> Result<&Map<String, Value>, String> {
    let members = format.as_object();
    members.ok_or_else(|| "a format must be an object".to_owned())
}

fn kind_of(format: &Value) -> Result<&str, String> {
    text(members_of(format)?, "type")
}

fn required<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    let value = members.get(name);
    value.ok_or_else(|| format!("a format needs '{name}'"))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    let text = required(members, name)?.as_str();
    text.ok_or_else(|| format!("'{name}' of a format must be a string"))
}

fn texts(values: &[Value]) -> Result<Vec<&str>, String> {
    let text = |value: &'_ Value| value.as_str().map(str::len).is_some();
    if !values.iter().all(text) {
        return Err("a list of texts must hold strings".to_owned());
    }
    Ok(values.iter().filter_map(Value::as_str).collect())
}

fn list<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], String> {
    let list = required(members, name)?.as_array();
    let list = list.filter(|list| !list.is_empty());
    list.map(Vec::as_slice)
        .ok_or_else(|| format!("'{name}' of a format must be an array that is not empty"))
}

fn flag(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name) == Some(&Value::Bool(true))
}

fn non_empty<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    if text.is_empty() {
        return Err(format!("'{name}' of a format must not be empty"));
    }
    Ok(text)
}

/// Free text holds anything but its end.
fn check_free(members: &Map<String, Value>) -> Result<(), String> {
    match members.get("excludes") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(texts)) if texts.is_empty() => Ok(()),
        Some(_) => Err("'excludes' of a format is not supported".to_owned()),
    }
}
