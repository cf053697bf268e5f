//! Small files that hide things from a careless reader.

use super::*;

fn found(text: &str) -> Vec<(usize, String)> {
    let findings = check(Path::new("a.rs"), text).into_iter();
    findings.map(|finding| (finding.line, finding.text)).collect()
}

fn lengths(text: &str) -> Vec<(String, usize, usize)> {
    let found = functions(&Source::read(text).code).into_iter();
    found.map(|function| (function.name, function.line, function.lines)).collect()
}

#[test]
fn a_function_is_as_long_as_from_its_first_line_to_its_last() {
    let text = "\nfn short() {}\n\npub fn long(\n    a: [u8; 4],\n) -> u8 {\n    a[0]\n}\n";
    assert_eq!(lengths(text), [("short".to_owned(), 2, 1), ("long".to_owned(), 4, 5)]);
}

#[test]
fn what_looks_like_a_brace_is_not_counted() {
    let text = r##"
fn tricky<'a>(x: &'a str) -> char {
    // }
    /* } /* } */ } */
    let quoted = "} \" }";
    let raw = r#"} " }"#;
    let bytes = br"}\";
    let braces = ['}', '\'', '}', '\u{7d}', b'}'];
    let r#fn = 1;
    '}'
}
fn next() {}
"##;
    assert_eq!(lengths(text), [("tricky".to_owned(), 2, 10), ("next".to_owned(), 12, 1)]);
}

#[test]
fn only_functions_with_a_body_are_counted() {
    let text =
        "trait A {\n    fn a(x: [u8; 2]) -> u8;\n    fn b() {\n    }\n}\ntype F = fn (u8);\n";
    assert_eq!(lengths(text), [("b".to_owned(), 3, 2)]);
}

#[test]
fn a_function_in_a_function_counts_for_both() {
    let text = "fn outer() {\n    fn inner() {\n    }\n}\n";
    assert_eq!(lengths(text), [("outer".to_owned(), 1, 4), ("inner".to_owned(), 2, 2)]);
}

#[test]
fn a_function_of_seventy_lines_is_fine_and_of_seventy_one_is_told() {
    let of = |lines: usize| format!("//! A.\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    assert_eq!(found(&of(70)), []);
    assert_eq!(found(&of(71)), [(2, "function `f` has 71 lines".to_owned())]);
    assert!(check(Path::new("a.rs"), &of(71)).iter().all(|finding| !finding.fails));
}

#[test]
fn a_file_is_measured_without_its_tests() {
    let code = format!("//! A.\n{}", "const A: u8 = 1;\n".repeat(599));
    let tests = "#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(found(&format!("{code}{tests}")), []);
    let longer = format!("{code}const B: u8 = 1;\n{tests}");
    assert_eq!(found(&longer), [(1, "file has 601 lines".to_owned())]);
}

#[test]
fn work_left_undone_fails_where_it_is_code() {
    for line in ["todo!()", "unimplemented! { }", "let x = dbg!(x);"] {
        let text = format!("//! A.\nfn f() {{\n    {line}\n}}\n");
        let findings = check(Path::new("a.rs"), &text);
        assert_eq!(findings.len(), 1, "{line}");
        assert!(findings[0].fails && findings[0].line == 3, "{findings:?}");
    }
    assert_eq!(found("//! No `todo!()` here.\nconst A: &str = \"dbg!(\";\nmy_dbg!(1);\n"), []);
}

#[test]
fn a_todo_names_an_issue() {
    assert_eq!(found("//! A.\n// TODO(#12): more.\n// The method `TODOS`.\n"), []);
    assert_eq!(found("//! A.\nconst A: &str = \"TODO\";\n"), []);
    for line in ["// TODO: more.", "/// TODO (soon) more, see # 12", "/* TODO */"] {
        let findings = check(Path::new("a.rs"), &format!("//! A.\n{line}\n"));
        assert_eq!(findings.len(), 1, "{line}");
        assert!(findings[0].fails && findings[0].line == 2, "{findings:?}");
    }
}

#[test]
fn a_file_says_what_it_is() {
    let missing = "does not begin with a `//!` paragraph".to_owned();
    assert_eq!(found("// A.\n"), [(1, missing.clone())]);
    assert_eq!(found("\n//! A.\n"), [(1, missing)]);
    assert_eq!(check(Path::new("a.toml"), "# A.\n"), []);
}

#[test]
fn trailing_whitespace_fails_in_every_kind_of_file() {
    for (name, text) in [("a.rs", "//! A.\n//! B. \n"), ("a.toml", "a = 1\nb = 2\t\n")] {
        let expected = Finding { line: 2, text: "trailing whitespace".to_owned(), fails: true };
        assert_eq!(check(Path::new(name), text), [expected]);
    }
}
