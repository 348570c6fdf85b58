//! Values as YAML that every reader reads alike.

/// A text as it stands in YAML, within braces as well: plain where nothing can be taken for anything else.
pub fn text(text: &str) -> String {
    const WORDS: [&str; 12] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "e",
    ];
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A text in quotes.
pub fn quoted(text: &str) -> String {
    // What JSON writes is YAML, too.
    serde_json::Value::from(text).to_string()
}

/// A text as a comment: one line, and nothing that is not to be seen.
pub fn comment(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(160)
        .collect();
    line.trim().to_owned()
}
