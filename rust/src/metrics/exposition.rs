//! Prometheus text format 0.0.4: lines from names, labels and values.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats>.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::atomic_histogram::Reading;

/// `# HELP` and `# TYPE` of a family.
pub(super) fn head(out: &mut String, family: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}");
}

/// One sample. `name` may carry labels of its own; `labels` is `a="b",c="d"`.
pub(super) fn sample(out: &mut String, name: &str, labels: &str, value: f64) {
    let (family, own) = split(name);
    let comma = if own.is_empty() { "" } else { "," };
    let _ = writeln!(out, "{family}{{{labels}{comma}{own}}} {}", number(value));
}

/// The samples of one histogram.
pub(super) fn histogram(out: &mut String, family: &str, labels: &str, reading: &Reading) {
    for (end, count) in &reading.cumulative {
        let _ = writeln!(
            out,
            "{family}_bucket{{{labels},le=\"{}\"}} {count}",
            number(*end)
        );
    }
    let _ = writeln!(out, "{family}_sum{{{labels}}} {}", number(reading.sum));
    let _ = writeln!(out, "{family}_count{{{labels}}} {}", reading.count);
}

/// A name's family and the labels it carries: `a{b="c"}` gives `a` and `b="c"`.
pub(super) fn split(name: &str) -> (&str, &str) {
    let (family, rest) = name.split_once('{').unwrap_or((name, ""));
    (family, rest.strip_suffix('}').unwrap_or(rest))
}

/// A label's value with backslash, quote and line feed escaped.
pub(super) fn escape(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(
        value
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('\n', r"\n"),
    )
}

/// As vLLM and the Python client write them: `1.0`, `0.005`, `+Inf`.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_name_join_the_common_ones() {
        let mut out = String::new();
        sample(&mut out, "a_total{reason=\"b\"}", "model_name=\"m\"", 2.0);
        sample(&mut out, "c", "model_name=\"m\"", 0.25);
        assert_eq!(
            out,
            "a_total{model_name=\"m\",reason=\"b\"} 2.0\nc{model_name=\"m\"} 0.25\n"
        );
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
        assert_eq!(escape("org/plain"), "org/plain");
    }
}
