//! Words in texts: a key's value between other letters is no trace of it, and one between signs is.

/// What stands where a text had the key.
const FORGOTTEN: &str = "forgotten";

/// Whether a text has that word in it.
pub(super) fn names(text: &str, word: &str) -> bool {
    next(text, word, 0).is_some()
}

/// A text without those words.
pub(super) fn without<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> String {
    let mut cleaned = text.to_owned();
    for word in words {
        let mut from = 0;
        while let Some(at) = next(&cleaned, word, from) {
            cleaned.replace_range(at..at + word.len(), FORGOTTEN);
            from = at + FORGOTTEN.len();
        }
    }
    cleaned
}

/// JSON, or the beginning or the end of it, without those words in its texts.
pub(super) fn without_in_texts<'a>(json: &str, words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.filter(|word| names(json, word)).collect();
    if words.is_empty() {
        return json.to_owned();
    }
    let mut cleaned = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(open) = rest.find('"') {
        let end = open + 1 + text_length(&rest[open + 1..]);
        cleaned.push_str(&rest[..open]);
        cleaned.push_str(&without(&rest[open..end], words.iter().copied()));
        rest = &rest[end..];
    }
    cleaned.push_str(rest);
    cleaned
}

/// How long a text is behind its first quotation mark, the last one included.
fn text_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Where the word stands next, from a byte on.
fn next(text: &str, word: &str, from: usize) -> Option<usize> {
    if word.is_empty() {
        return None;
    }
    let letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let alone = |at: &usize| {
        !letter(text[..*at].chars().next_back()) && !letter(text[at + word.len()..].chars().next())
    };
    text[from..]
        .match_indices(word)
        .map(|(at, _)| from + at)
        .find(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_between_signs() {
        assert!(names("/orders/4711?x", "4711"));
        assert!(names("4711", "4711"));
        assert!(!names("/orders/14711", "4711"));
        assert!(!names("/orders/4711a", "4711"));
        assert!(!names("anything", ""));
        assert_eq!(
            without("/a/7/b?id=7&n=77&id=7", ["7"].into_iter()),
            "/a/forgotten/b?id=forgotten&n=77&id=forgotten"
        );
    }

    #[test]
    fn only_texts_of_json_lose_words() {
        let json = r#"{"total":7,"next":"/a?after=7","say":"\"7\"","n":["#;
        let cleaned = without_in_texts(json, ["7"].into_iter());
        assert_eq!(
            cleaned,
            r#"{"total":7,"next":"/a?after=forgotten","say":"\"forgotten\"","n":["#
        );
    }
}
