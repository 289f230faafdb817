//! JSON for people: one field a line, what belongs together indented. What a node adds later is shown too.

use serde_json::Value;
use std::fmt::Write;

/// Indentation of what is inside.
const STEP: usize = 2;

/// A document, without a last newline.
pub fn readable(document: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, document, 0);
    text.truncate(text.trim_end().len());
    text
}

/// A list item in one line.
pub fn line(item: &Value) -> String {
    match item {
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, value)| !value.is_null());
            shown.map(|(name, value)| format!("{name} {}", line(value))).collect::<Vec<_>>().join("  ")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(line).collect::<Vec<_>>().join(", ")),
        other => scalar(other),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        // Only what a terminal shows as itself.
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

fn write_value(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| write_field(text, name, value, indent)),
        Value::Array(items) => items.iter().for_each(|item| {
            let _ = writeln!(text, "{:indent$}{}", "", line(item));
        }),
        other => {
            let _ = writeln!(text, "{:indent$}{}", "", scalar(other));
        }
    }
}

fn write_field(text: &mut String, name: &str, value: &Value, indent: usize) {
    let is_inside =
        matches!(value, Value::Object(fields) if !fields.is_empty()) || matches!(value, Value::Array(items) if !items.is_empty());
    if is_inside {
        let _ = writeln!(text, "{:indent$}{name}:", "");
        write_value(text, value, indent + STEP);
    } else {
        let _ = writeln!(text, "{:indent$}{name}: {}", "", line(value));
    }
}
