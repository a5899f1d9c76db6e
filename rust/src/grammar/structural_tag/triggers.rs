//! Free text in which, after a trigger, only certain parts may follow.

use std::collections::BTreeMap;

use crate::grammar::lark_text::{escape_text, quote};

/// A part: how it begins, and, as Lark, what stands behind that.
pub(super) struct Part {
    pub(super) begin: String,
    pub(super) rest: String,
}

/// The rules, from `start` on. Each part begins with one of the triggers.
pub(super) fn triggered(triggers: &[&str], parts: &[Part]) -> Result<String, String> {
    if parts.is_empty() || triggers.iter().any(|trigger| trigger.is_empty()) {
        return Err(
            "a structural tag needs a structure, and triggers that are not empty".to_owned(),
        );
    }
    let parts = parts_by_trigger(triggers, parts)?;
    let escaped: Vec<String> = triggers.iter().map(|each| escape_text(each)).collect();
    let any_trigger = escaped.join("|");
    // What is free holds no trigger, and what leads to a part ends at the first one: no text can be read two ways.
    let mut lines = vec![format!(
        "start: part* FREE\nFREE: /(?s:.*)/ & ~/(?s:.*)({any_trigger})(?s:.*)/\npart: {}\n",
        numbered("part", parts.len()).join(" | ")
    )];
    for (number, (trigger, rests)) in parts.iter().enumerate() {
        let (lead, rests) = (escape_text(trigger), rests.join(" | "));
        lines.push(format!("part{number}: lead{number} ({rests})\n"));
        lines.push(format!("lead{number}[lazy]: /(?s:.*){lead}/\n"));
    }
    Ok(lines.concat())
}

/// What may follow each trigger that is used.
fn parts_by_trigger<'a>(
    triggers: &[&'a str],
    parts: &[Part],
) -> Result<BTreeMap<&'a str, Vec<String>>, String> {
    let mut by_trigger: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for part in parts {
        let begins = |trigger: &&&str| part.begin.starts_with(**trigger);
        let Some(trigger) = triggers.iter().find(begins) else {
            return Err(format!("no trigger begins {:?}", part.begin));
        };
        let rest = quote(&part.begin[trigger.len()..]);
        let rests = by_trigger.entry(trigger).or_default();
        rests.push(format!("{rest} {}", part.rest));
    }
    Ok(by_trigger)
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number}")).collect()
}
