//! Formats of dates and times.

use serde_json::json;

use super::super::Kind;
use super::check;

#[test]
fn dates_and_times_are_what_every_parser_takes() {
    let check_format = |format: &str, good: &[&str], bad: &[&str]| {
        let schema = json!({"type": "string", "format": format}).to_string();
        let quoted = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|each| format!("\"{each}\"")).collect()
        };
        let (good, bad) = (quoted(good), quoted(bad));
        let good: Vec<&str> = good.iter().map(String::as_str).collect();
        let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
        check(Kind::JsonSchema, &schema, &good, &bad);
    };
    check_format(
        "date",
        &["2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01"],
        &["2023-02-29", "1900-02-29", "0000-01-01", "2024-04-31"],
    );
    check_format(
        "time",
        &["23:59:59Z", "00:00:00.5+01:30"],
        &["24:00:00Z", "23:59:60Z", "12:00:00"],
    );
    check_format(
        "date-time",
        &["2024-02-29T12:00:00Z"],
        &["2023-02-29T12:00:00Z", "2024-02-29 12:00:00Z"],
    );
}

#[test]
fn a_shorthand_allows_what_all_readers_of_it_allow() {
    check(Kind::Regex, r"\d\w", &["1a", "2_"], &["\u{0663}a", "1é"]);
    check(
        Kind::Regex,
        r"\D\W",
        &["a-", "é!"],
        &["1-", "\u{0663}-", "aé"],
    );
    check(Kind::Regex, r"[^\W\d]", &["a", "_"], &["é", "1", "-"]);
}
