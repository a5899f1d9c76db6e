//! Words, numbers and escapes of a language as JSON.

use crate::tool_call::json_text::{is_number, push_escaped};

/// A number, a constant, or else the word itself as a string.
pub(super) fn word_as_json(word: &str) -> String {
    match word {
        "True" | "true" => return "true".to_owned(),
        "False" | "false" => return "false".to_owned(),
        "None" | "null" => return "null".to_owned(),
        _ => {}
    }
    let digits = word.strip_prefix('+').unwrap_or(word).replace('_', "");
    if is_number(&digits) {
        return digits;
    }
    // What JSON writes differently: `.5`, `1.`, `007`.
    let looks_numeric = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = digits
        .parse::<f64>()
        .ok()
        .filter(|value| looks_numeric && value.is_finite());
    match number.and_then(serde_json::Number::from_f64) {
        Some(number) => number.to_string(),
        None => serde_json::Value::from(word).to_string(),
    }
}

/// The escape with which `text` begins: its length and its JSON. None: it is not whole yet.
pub(super) fn escape(text: &str) -> Option<(usize, String)> {
    let kind = text.chars().nth(1)?;
    let num_hex = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            let len = 1 + kind.len_utf8();
            return Some((len, simple_escape(kind)));
        }
    };
    let digits: String = text[2..]
        .chars()
        .take(num_hex)
        .take_while(char::is_ascii_hexdigit)
        .collect();
    if digits.len() < num_hex && text.len() < 2 + num_hex {
        return None;
    }
    if digits.len() < num_hex {
        return Some((2, format!("\\\\{kind}")));
    }
    if kind == 'u' {
        // JSON has the same escape, pairs of surrogates included.
        return Some((6, format!("\\u{digits}")));
    }
    let decoded = u32::from_str_radix(&digits, 16)
        .ok()
        .and_then(char::from_u32);
    let mut json = String::new();
    push_escaped(
        decoded.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]),
        &mut json,
    );
    Some((2 + num_hex, json))
}

fn simple_escape(kind: char) -> String {
    let json = match kind {
        'n' => "\\n",
        't' => "\\t",
        'r' => "\\r",
        'b' => "\\b",
        'f' => "\\f",
        '0' => "\\u0000",
        'a' => "\\u0007",
        'v' => "\\u000b",
        '\\' => "\\\\",
        '"' => "\\\"",
        '\'' => "'",
        '/' => "/",
        '\n' => "",
        // Python keeps the backslash of an escape that it does not know.
        other => return format!("\\\\{other}"),
    };
    json.to_owned()
}
