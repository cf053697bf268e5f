//! How long functions are.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Where its `fn` stands, from 1.
    pub(super) line: usize,
    /// From the line of its `fn` to that of its last brace, both counted.
    pub(super) lines: usize,
}

/// All functions with a body in `code`, which has neither comments nor strings. A function in a
/// function is found as well, and counts for both.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn") {
        let before = code[..at].chars().next_back();
        let after = &code[at + "fn".len()..];
        if before.is_some_and(in_name) || !after.starts_with(char::is_whitespace) {
            continue;
        }
        let name: String = after.trim_start().chars().take_while(|c| in_name(*c)).collect();
        // Without a name it is a type: `fn (u8)`.
        if name.is_empty() {
            continue;
        }
        if let Some(length) = length_with_body(after) {
            let line = 1 + newlines(&code[..at]);
            found.push(Function { name, line, lines: 1 + newlines(&after[..length]) });
        }
    }
    found
}

/// How many bytes of `after` belong to the function whose `fn` comes before it.
///
/// `None` if there is no body.
fn length_with_body(after: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let mut in_body = false;
    for (at, char) in after.char_indices() {
        match char {
            ';' if depth == 0 => return None,
            '{' => {
                in_body |= depth == 0;
                depth += 1;
            }
            '(' | '[' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                // What closes more than was opened is around us, not of us.
                if depth < 0 {
                    return None;
                }
                if depth == 0 && in_body {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Macros name functions `$name`.
fn in_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '$')
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}
