//! Formats of dates, times and hosts, and shorthands in expressions: what is allowed is what every reader takes.

use serde_json::{Value, json};

use super::super::Kind;
use super::check;

#[track_caller]
fn check_string(rule: &Value, good: &[&str], bad: &[&str]) {
    let quoted = |texts: &[&str]| -> Vec<String> {
        let texts = texts.iter().map(|each| Value::from(*each).to_string());
        texts.collect()
    };
    let (good, bad) = (quoted(good), quoted(bad));
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    check(Kind::JsonSchema, &rule.to_string(), &good, &bad);
}

#[track_caller]
fn check_format(format: &str, good: &[&str], bad: &[&str]) {
    check_string(&json!({"type": "string", "format": format}), good, bad);
}

#[test]
fn dates_and_times_are_what_every_parser_takes() {
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
fn a_host_s_name_is_no_coded_one_and_not_too_long() {
    let parts = |count: usize| vec!["a".repeat(63); count].join(".");
    check_format(
        "hostname",
        &[
            "a",
            "ab",
            "a-b",
            "a--b",
            "ab-c",
            "localhost",
            "a.b-c.example",
            "1.2",
            &parts(3),
        ],
        &[
            "",
            "-a",
            "a-",
            "a..b",
            "a.",
            "a_b",
            "xn--X",
            "ab--c.de",
            &"a".repeat(64),
            &parts(4),
        ],
    );
}

#[test]
fn an_address_is_what_every_reader_of_mail_takes() {
    check_format(
        "email",
        &["a@b.de", "te~st+x@sub.example.com", "a.b@c-d.org"],
        &[
            "a@b",
            "a@[1.2.3.4]",
            ".a@b.de",
            "a.@b.de",
            "a..b@c.de",
            "a b@c.de",
            "a@b.1",
            "a@-b.de",
        ],
    );
}

#[test]
fn a_dot_and_white_space_are_what_every_reader_takes_for_them() {
    let of = |pattern: &str| json!({"type": "string", "pattern": pattern});
    check_string(
        &of("^a.b$"),
        &["a b", "aéb"],
        &["a\rb", "a\nb", "a\u{2028}b"],
    );
    check_string(
        &of(r"^\s$"),
        &["\r", " ", "\u{a0}"],
        &["\u{85}", "\u{feff}", "\u{1c}", "a"],
    );
    check_string(&of(r"^\S$"), &["a"], &["\u{85}", "\u{feff}", "\u{1c}", " "]);
    check_string(&of(r"^[^\s]$"), &["a"], &["\u{85}", "\u{feff}", " "]);
    check_string(&of(r"^[^\S]$"), &[" "], &["\u{85}", "\u{feff}", "a"]);
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
