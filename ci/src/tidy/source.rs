//! A Rust file taken apart into code and comments.
//!
//! This is not a parser: it knows comments, strings, characters and lifetimes, which is what it
//! takes to count braces and to tell a word in a comment from the same word in a string.

/// A file twice, each time with spaces for what does not belong: lines and columns stay the same.
#[derive(Debug)]
pub(super) struct Source {
    /// Without comments and without what is in quotes.
    pub(super) code: String,
    /// Only comments.
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Quoted,
}

impl Source {
    /// Takes `text` apart.
    pub(super) fn read(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let (mut code, mut comments) = (String::new(), String::new());
        let mut at = 0;
        while at < chars.len() {
            let (kind, length) = next(&chars, at);
            let end = (at + length).min(chars.len());
            for char in &chars[at..end] {
                let keep = |wanted| if kind == wanted || *char == '\n' { *char } else { ' ' };
                code.push(keep(Kind::Code));
                comments.push(keep(Kind::Comment));
            }
            at = end;
        }
        Self { code, comments }
    }
}

/// What begins at `at`, and how many characters it has; at least one.
fn next(chars: &[char], at: usize) -> (Kind, usize) {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => (Kind::Comment, line_length(rest)),
        ['/', '*', ..] => (Kind::Comment, block_comment_length(rest)),
        ['"', ..] => (Kind::Quoted, string_length(rest)),
        ['r', '"' | '#', ..] if begins_literal(chars, at) => match raw_string_length(rest) {
            Some(length) => (Kind::Quoted, length),
            None => (Kind::Code, 1),
        },
        // An escape has its own character after the backslash; `'\''` is the reason to skip it.
        ['\'', '\\', _, more @ ..] => {
            let quote = more.iter().position(|char| *char == '\'').unwrap_or(more.len());
            (Kind::Quoted, 3 + quote + 1)
        }
        ['\'', _, '\'', ..] => (Kind::Quoted, 3),
        _ => (Kind::Code, 1),
    }
}

/// Whether the `r` at `at` is not the end of a longer name; `br` and `cr` begin literals too.
fn begins_literal(chars: &[char], at: usize) -> bool {
    let in_name =
        |at: Option<usize>| at.is_some_and(|at| chars[at].is_alphanumeric() || chars[at] == '_');
    let before = at.checked_sub(1);
    let prefix = before.is_some_and(|before| matches!(chars[before], 'b' | 'c'));
    !in_name(before) || (prefix && !in_name(at.checked_sub(2)))
}

fn line_length(rest: &[char]) -> usize {
    rest.iter().position(|char| *char == '\n').unwrap_or(rest.len())
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// `None` if this is a raw identifier such as `r#type`.
fn raw_string_length(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|char| **char == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let ends = |at: &usize| {
        rest[*at] == '"'
            && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let end = (2 + hashes..rest.len()).find(ends);
    Some(end.map_or(rest.len(), |end| end + 1 + hashes))
}
