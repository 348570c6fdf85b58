//! `:name` → `$1`. A small lexer of PostgreSQL's own rules, so that a colon in a text, a quoted name, a comment or a cast
//! stays what it is.

use super::QueryError;

/// The rewritten query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) sql: String,
    /// The names, that of `$1` first.
    pub(super) parameters: Vec<String>,
}

pub(super) fn bind(text: &str) -> Result<Bound, QueryError> {
    let mut sql = String::with_capacity(text.len());
    let mut parameters: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let before = sql.chars().next_back();
        let length = match letter {
            '\'' => quoted(rest, '\'', follows_e(&sql)).ok_or_else(|| open("a text", "'"))?,
            '"' => quoted(rest, '"', false).ok_or_else(|| open("a quoted name", "\""))?,
            '-' if rest.starts_with("--") => {
                // A comment becomes a blank: it parts two words, and must not swallow what is put behind the query.
                rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
                sql.push(' ');
                continue;
            }
            '/' if rest.starts_with("/*") => {
                let length = comment(rest).ok_or_else(|| open("a comment", "*/"))?;
                rest = &rest[length..];
                sql.push(' ');
                continue;
            }
            '$' if !before.is_some_and(is_word) => match dollar_tag(rest) {
                Some(tag) => {
                    let length = rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len());
                    length.ok_or_else(|| open("a text", tag))?
                }
                None => return Err(QueryError::new("a parameter is written `:name`, not `$1`")),
            },
            ':' if rest.starts_with("::") || rest.starts_with(":=") => 2,
            ':' => {
                let name: String = rest[1..]
                    .chars()
                    .take_while(|letter| is_word(*letter))
                    .collect();
                if name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
                    rest = &rest[1 + name.len()..];
                    let known = parameters.iter().position(|known| *known == name);
                    let number = known.unwrap_or_else(|| {
                        parameters.push(name);
                        parameters.len() - 1
                    });
                    sql.push('$');
                    sql.push_str(&(number + 1).to_string());
                    continue;
                }
                1
            }
            other => other.len_utf8(),
        };
        let (taken, behind) = rest.split_at(length);
        sql.push_str(taken);
        rest = behind;
    }
    let end = sql
        .trim_end_matches(|letter: char| letter.is_whitespace() || letter == ';')
        .len();
    sql.truncate(end);
    let start = sql.len() - sql.trim_start().len();
    sql.drain(..start);
    if sql.is_empty() {
        return Err(QueryError::new("the query is empty; write a SELECT"));
    }
    Ok(Bound { sql, parameters })
}

fn open(what: &str, end: &str) -> QueryError {
    QueryError::new(format!(
        "{what} in the query has no end; close it with `{end}`"
    ))
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Whether what comes next is the text of `E'…'`, in which a backslash escapes.
fn follows_e(sql: &str) -> bool {
    let mut letters = sql.chars().rev();
    matches!(letters.next(), Some('e' | 'E'))
        && !letters
            .next()
            .is_some_and(|letter| is_word(letter) || letter == '$')
}

/// How long the quoted text at the beginning is, its quotes included. A doubled quote is one of the text's own.
fn quoted(text: &str, quote: char, backslash: bool) -> Option<usize> {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if backslash && letter == '\\' {
            letters.next();
        } else if letter == quote {
            match letters.peek() {
                Some((_, next)) if *next == quote => {
                    letters.next();
                }
                _ => return Some(at + 1),
            }
        }
    }
    None
}

/// How long the comment at the beginning is. Comments stand in one another, as in PostgreSQL.
fn comment(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// The tag of the dollar-quoted text at the beginning: `$$`, `$body$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text[1..end];
    let sound =
        name.chars().all(is_word) && !name.starts_with(|first: char| first.is_ascii_digit());
    sound.then(|| &text[..=end])
}
