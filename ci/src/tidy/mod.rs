//! `cargo ci tidy`: what neither rustfmt nor clippy says.
//!
//! Long functions and files are told and let pass, so that growth is a choice. Work left undone,
//! a file that does not say what it is, and trailing whitespace fail.

mod functions;
mod source;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::steps::Workspace;
use functions::functions;
use source::Source;

/// Lines of a function, from `fn` to its last brace, up to which nothing is said.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a file without its `mod tests`, up to which nothing is said.
const FILE_LINES_MAX: usize = 600;

/// Folders in the root that hold no source.
const NOT_OURS: [&str; 3] = [".git", "data", "target"];

/// Macros that stand for work left undone. The parenthesis is looked for separately.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Something found in a file.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// From 1.
    line: usize,
    text: String,
    fails: bool,
}

/// Prints what was found; fails if some of it must not stay.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut files = Vec::new();
    collect(workspace.root(), workspace.root(), &mut files)?;
    files.sort();
    let (mut warnings, mut errors) = (0_usize, 0_usize);
    for file in &files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let shown = file.strip_prefix(workspace.root()).unwrap_or(file).display();
        for finding in check(file, &text) {
            let level = if finding.fails { "error" } else { "warning" };
            println!("{level}: {shown}:{}: {}", finding.line, finding.text);
            *(if finding.fails { &mut errors } else { &mut warnings }) += 1;
        }
    }
    println!("{} files, {errors} errors, {warnings} warnings", files.len());
    anyhow::ensure!(!files.is_empty(), "found no file to look at");
    anyhow::ensure!(errors == 0, "{errors} things to tidy up");
    Ok(())
}

/// Adds all files of ours in `folder` to `files`.
fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        // A link is somebody else's folder, or this one once more.
        if entry.file_type()?.is_dir() {
            let ours = folder != root || NOT_OURS.iter().all(|name| entry.file_name() != *name);
            if ours {
                collect(root, &path, files)?;
            }
        } else if entry.file_type()?.is_file() && is_text_of_ours(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_text_of_ours(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "toml" | "md" | "sh")) || path.ends_with(".ci/run")
}

/// Everything there is to say about the file at `path`.
fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = trailing_whitespace(text);
    if path.extension().is_some_and(|extension| extension == "rs") {
        let source = Source::read(text);
        if !text.starts_with("//!") {
            findings.push(fails(1, "does not begin with a `//!` paragraph".to_owned()));
        }
        findings.extend(unfinished(&source));
        findings.extend(long(text, &source));
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

fn trailing_whitespace(text: &str) -> Vec<Finding> {
    let ends_in_space = |(_, line): &(usize, &str)| line.ends_with(char::is_whitespace);
    (1..)
        .zip(text.split('\n'))
        .filter(ends_in_space)
        .map(|(line, _)| fails(line, "trailing whitespace".to_owned()))
        .collect()
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(source.comments.lines()) {
        if has_word(line, "TODO") && !names_an_issue(line) {
            findings.push(fails(number, "a TODO names an issue, as in TODO(#12)".to_owned()));
        }
    }
    for (number, line) in (1..).zip(source.code.lines()) {
        for name in UNFINISHED.into_iter().filter(|name| calls(line, name)) {
            findings.push(fails(number, format!("`{name}` is left")));
        }
    }
    findings
}

fn long(text: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in functions(&source.code) {
        if function.lines > FUNCTION_LINES_MAX {
            let text = format!("function `{}` has {} lines", function.name, function.lines);
            findings.push(warns(function.line, text));
        }
    }
    let lines = lines_without_tests(text);
    if lines > FILE_LINES_MAX {
        findings.push(warns(1, format!("file has {lines} lines")));
    }
    findings
}

/// Lines up to an inline test module, which comes last in a file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens_tests =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).position(opens_tests).unwrap_or(lines.len())
}

/// Whether `line` has `word` with nothing of a longer name around it.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_name) && !line[at + word.len()..].starts_with(part_of_name)
    })
}

/// Whether `line` has something like `#12`.
fn names_an_issue(line: &str) -> bool {
    line.split('#').skip(1).any(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
}

/// Whether `line` calls the macro `name`, whose last character is the exclamation mark.
fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let part_of_name = |char: char| char.is_alphanumeric() || char == '_';
        !line[..at].ends_with(part_of_name)
            && line[at + name.len()..].trim_start().starts_with(['(', '[', '{'])
    })
}

fn fails(line: usize, text: String) -> Finding {
    Finding { line, text, fails: true }
}

fn warns(line: usize, text: String) -> Finding {
    Finding { line, text, fails: false }
}

#[cfg(test)]
mod tests;
