//! Numbers as text.

use proptest::prelude::*;
use serde_json::Value;

use super::parse;
use crate::tool_call::json_text::is_number;

/// One argument, as a call in Python's literals and in tagged text gives it.
fn argument(format: &str, name: &str, text: &str) -> String {
    let output = match format {
        "pythonic" => format!("[get_weather({name}={text})]"),
        _ => format!("<function=get_weather><parameter={name}>{text}</parameter></function>"),
    };
    parse(format, &[&output]).tool_calls.remove(0).arguments
}

#[test]
fn a_number_beyond_all_floats_stays_a_number() {
    for format in ["pythonic", "qwen3_coder"] {
        assert_eq!(
            argument(format, "limit", "563e7463978"),
            "{\"limit\": 563e7463978}"
        );
    }
}

#[test]
fn what_json_writes_differently_is_written_as_json() {
    for (text, json) in [
        (".5", "0.5"),
        ("1.", "1.0"),
        ("007", "7.0"),
        ("1_000", "1000"),
        ("+3", "3"),
        ("nan", "\"nan\""),
    ] {
        assert_eq!(
            argument("pythonic", "limit", text),
            format!("{{\"limit\": {json}}}")
        );
    }
    for (text, json) in [
        ("3.0", "3"),
        ("3.5", "\"3.5\""),
        ("12a", "\"12a\""),
        (" 7\n", "7"),
    ] {
        assert_eq!(
            argument("qwen3_coder", "days", text),
            format!("{{\"days\": {json}}}")
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn numbers_are_what_serde_json_takes_for_numbers(text in "-?[0-9.eE+-]{0,5}") {
        let judged = serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_number());
        // It also refuses those that no float can hold.
        let is_huge = text.parse::<f64>().is_ok_and(f64::is_infinite);
        prop_assert_eq!(is_number(&text), judged || is_huge && is_number(&text), "{}", text);
    }
}
