//! Quoting. Values are bound wherever PostgreSQL allows it; names, and what it takes as literals only, go through here.

/// A name, quoted: `"schema"`.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\"").replace('\0', ""))
}

/// A name in a schema, quoted: `"schema"."table"`.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A text literal, the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let text = text.replace('\'', "''").replace('\0', "");
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\"))
    } else {
        format!("'{text}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(qualified("s", "t\"; drop"), "\"s\".\"t\"\"; drop\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }
}
