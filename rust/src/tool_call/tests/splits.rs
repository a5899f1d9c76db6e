//! A text means the same however it is cut.

use proptest::prelude::*;

use super::parse;
use super::vectors::vectors;
use crate::tool_call::ToolFormat;

/// `text` cut at these places.
fn cut<'a>(text: &'a str, cuts: &[prop::sample::Index]) -> Vec<&'a str> {
    let bounds: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|cut| bounds[cut.index(bounds.len())])
        .collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

#[test]
fn every_output_is_the_same_character_by_character_and_cut_in_two_anywhere() {
    for (format, output, ..) in vectors() {
        let whole = parse(format, &[output]);
        let characters: Vec<&str> = output.split_inclusive(|_| true).collect();
        assert_eq!(parse(format, &characters), whole, "{format}: {output}");
        for (at, _) in output.char_indices() {
            let (left, right) = output.split_at(at);
            assert_eq!(
                parse(format, &[left, right]),
                whole,
                "{format}: {left}|{right}"
            );
        }
    }
}

/// Pieces of which texts near to calls are made.
fn fragments() -> Vec<String> {
    let mut fragments: Vec<String> = [
        "get_weather",
        "get_time",
        "f",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "(",
        ")",
        "=",
        "\n",
        " ",
        ";",
        "\\",
        "\\u00e9",
        "\"name\": \"get_weather\"",
        "\"arguments\": {",
        "{\"name\": \"get_time\"",
        "call:",
        "\"",
        "'",
        "é",
        "2",
        "True",
        "city",
        "days",
        "<",
        "</",
        "```",
        "```json",
        "functions.get_time:0",
        "[ARGS]",
        "function",
        "string=\"false\">",
    ]
    .map(str::to_owned)
    .to_vec();
    for (_, output, ..) in vectors() {
        let parts = output.split_inclusive(['>', '{', '\n', ']', '(']);
        fragments.extend(parts.map(str::to_owned));
    }
    fragments.sort_unstable();
    fragments.dedup();
    fragments
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(700) })]

    #[test]
    fn a_recorded_output_is_the_same_under_every_split(
        vector in prop::sample::select(vectors()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (format, output, ..) = vector;
        prop_assert_eq!(parse(format, &cut(output, &cuts)), parse(format, &[output]));
    }

    #[test]
    fn any_text_near_to_calls_is_the_same_under_every_split(
        format in prop::sample::select(ToolFormat::names().collect::<Vec<_>>()),
        text in prop::collection::vec(prop::sample::select(fragments()), 0..16).prop_map(|parts| parts.concat()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        prop_assert_eq!(parse(format, &cut(&text, &cuts)), parse(format, &[&text]));
    }

    #[test]
    fn a_damaged_output_is_the_same_under_every_split(
        vector in prop::sample::select(vectors()),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        with in prop::sample::select(fragments()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (format, output, ..) = vector;
        let bounds: Vec<usize> = output.char_indices().map(|(at, _)| at).chain([output.len()]).collect();
        let (from, to) = (bounds[from.index(bounds.len())], bounds[to.index(bounds.len())]);
        let text = format!("{}{with}{}", &output[..from.min(to)], &output[from.max(to)..]);
        prop_assert_eq!(parse(format, &cut(&text, &cuts)), parse(format, &[&text]));
    }
}
