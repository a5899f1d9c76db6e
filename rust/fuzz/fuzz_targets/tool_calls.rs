//! Any text in any format of calls or thoughts: nothing panics, and what is told does not depend on how it was cut.
#![no_main]

use std::sync::{Arc, LazyLock};

use _core::delta::{Delta, Fold, Kind};
use _core::reasoning::{ReasoningFormat, stages};
use _core::stage::Chain;
use _core::tool_call::{ToolFormat, ToolSchemas};
use libfuzzer_sys::fuzz_target;

static TOOLS: LazyLock<Arc<ToolSchemas>> = LazyLock::new(|| {
    let tools = br#"[{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
        "s": {"type": "string"}, "n": {"type": "integer"}, "l": {"type": "array"}, "o": {"type": "object"}}}}},
        {"type": "function", "function": {"name": "go"}}]"#;
    Arc::new(ToolSchemas::parse(tools).expect("the target's own tools"))
});

fn fold(
    tools: &'static ToolFormat,
    thoughts: Option<&'static ReasoningFormat>,
    pieces: &[&str],
) -> Fold {
    let stages = stages(
        thoughts.map(|format| (format, false)),
        Some((tools, TOOLS.clone())),
    );
    let (mut chain, mut fold) = (Chain::new(stages), Fold::default());
    let mut add = |delta: &Delta<'_>| fold.add(delta);
    for (token, text) in (0..).zip(pieces.iter().filter(|piece| !piece.is_empty())) {
        let (kind, tokens) = (Kind::Text, token..token + 1);
        let _ = chain.push(&Delta { kind, text, tokens }, &mut add);
    }
    let _ = chain.finish(&mut add);
    for call in &mut fold.tool_calls {
        call.id.clear(); // random
    }
    fold
}

fuzz_target!(|input: (u8, u8, &str, Vec<u8>)| {
    let (format, thoughts, text, cuts) = input;
    let formats: Vec<&str> = ToolFormat::names().collect();
    let tools = ToolFormat::from_name(formats[usize::from(format) % formats.len()])
        .expect("a name of the table");
    let names: Vec<&str> = ReasoningFormat::names().collect();
    let thoughts = names
        .get(usize::from(thoughts))
        .and_then(|name| ReasoningFormat::from_name(name));
    let mut bounds: Vec<usize> = cuts
        .iter()
        .map(|cut| usize::from(*cut))
        .filter(|at| text.is_char_boundary(*at))
        .collect();
    bounds.extend([0, text.len()]);
    bounds.sort_unstable();
    let pieces: Vec<&str> = bounds
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect();
    assert_eq!(
        fold(tools, thoughts, &pieces),
        fold(tools, thoughts, &[text])
    );
});
