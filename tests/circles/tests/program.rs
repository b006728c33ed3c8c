//! The program before small crates that are made up: what it must find, and what it must not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::process::Command;

/// What the program says of a crate of these files: its exit code, and its output without the folder.
fn judged(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_larder-circles")).arg(dir.path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let folder = format!("{}/", dir.path().display());
    (output.status.code(), String::from_utf8(said).unwrap().replace(&folder, ""))
}

/// Asserts that the arrows of the only circle are these.
#[track_caller]
fn finds(files: &[(&str, &str)], arrows: &[&str]) {
    let (code, said) = judged(files);
    let found: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(found, arrows, "{said}");
    assert!(code == Some(1) && said.ends_with(" files, 1 circle\n"), "{code:?}: {said}");
}

#[track_caller]
fn finds_nothing(files: &[(&str, &str)]) {
    let (code, said) = judged(files);
    assert_eq!((code, said), (Some(0), format!("{} files, no circle\n", files.len())));
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::{B, C as D}; pub struct A;"),
        ("b.rs", "use super::a; pub struct B(a::A); pub struct C;"),
        ("c.rs", "use crate::a::A; use crate::b::B;"),
    ];
    let (code, said) = judged(&files);
    let circle = "a circle of 2 files:\n  a.rs -> b.rs: B, C\n  b.rs -> a.rs: A, self\n";
    assert_eq!((code, said), (Some(1), format!("{circle}4 files, 1 circle\n")));
}

#[test]
fn a_circle_goes_over_many_files_and_each_one_is_reported() {
    let files = [
        ("main.rs", "mod a; mod b; mod c; mod d; mod e; use a::A;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::C; use crate::d::D;"),
        ("c.rs", "use crate::a::A;"),
        ("d.rs", "use crate::e::E;"),
        ("e.rs", "use crate::d::D;"),
    ];
    let (code, said) = judged(&files);
    assert_eq!(code, Some(1));
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "a circle of 3 files:",
            "  a.rs -> b.rs: B",
            "  b.rs -> c.rs: C",
            "  c.rs -> a.rs: A",
            "a circle of 2 files:",
            "  d.rs -> e.rs: E",
            "  e.rs -> d.rs: D",
            "6 files, 2 circles",
        ]
    );
}

#[test]
fn to_declare_a_module_is_no_import() {
    finds_nothing(&[
        ("lib.rs", "pub mod a; pub struct Root;"),
        ("a/mod.rs", "pub(crate) mod b; use crate::Root; pub struct A;"),
        ("a/b.rs", "use super::A; pub(in crate::a) struct B; pub(in crate::a) fn f() {}"),
    ]);
}

#[test]
fn to_export_again_is_an_import() {
    let parts = [("a/b.rs", "use super::A; pub struct B;")];
    for export in ["pub use self::b::B;", "pub use b::*;", "pub type C = b::B;"] {
        let facade = format!("mod b; {export} pub struct A;");
        let (code, said) = judged(&[("lib.rs", "mod a;"), ("a/mod.rs", &facade), parts[0]]);
        assert!(code == Some(1) && said.contains("  a/b.rs -> a/mod.rs: A\n"), "{said}");
    }
}

#[test]
fn what_a_facade_exports_is_imported_from_the_facade() {
    let files = [
        ("lib.rs", "mod store; mod user;"),
        ("store/mod.rs", "mod types; pub use types::Version; use crate::user::User;"),
        ("store/types.rs", "pub struct Version;"),
        ("user.rs", "use crate::store::Version; pub struct User(Version);"),
    ];
    finds(&files, &["store/mod.rs -> user.rs: User", "user.rs -> store/mod.rs: Version"]);
}

#[test]
fn paths_lead_wherever_they_stand() {
    for text in [
        "fn f() { crate::b::c::g(); }",
        "fn f() { super::b::c::g(); }",
        "use super::b::c; fn f() { c::g(); }",
        "use super::b as d; fn f() { d::c::g(); }",
        "use super::*; fn f() { b::c::g(); }",
        "fn f() { use crate::b::{c::{self}}; c::g(); }",
        "fn f() { vec![assert!(x, \"{}\", crate::b::c::g())]; }",
        "struct S { #[serde(with = \"crate::b::c::g\")] f: u8 }",
        "impl crate::b::c::G for S {}",
        "fn f(x: Option<crate::b::c::G>) {}",
        "mod inner { fn f() { super::super::b::c::g(); } }",
        "macro_rules! m { () => { $crate::b::c::g() } }",
        "#[cfg(not(test))] use crate::b::c::g;",
        "#[path = \"far/away.rs\"] mod child;",
    ] {
        let (code, said) = judged(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", &format!("{text} pub struct A;")),
            ("far/away.rs", "use crate::b::c::g; pub use super::A;"),
            ("b.rs", "pub mod c;"),
            ("b/c.rs", "use crate::a::A; pub fn g() {} pub use crate::a::child;"),
        ]);
        let from = if text.contains("child") { "far/away.rs" } else { "a.rs" };
        let arrow = format!("  {from} -> b/c.rs: ");
        assert!(code == Some(1) && said.contains(&arrow), "{text}: {said}");
    }
}

#[test]
fn names_of_other_crates_and_of_the_file_itself_lead_nowhere() {
    finds_nothing(&[
        ("lib.rs", "mod http; mod b; pub mod inner { pub struct I; } use inner::I;"),
        ("http.rs", "use crate::b::B; pub struct Kind; pub enum E { A } use E::A;"),
        (
            "b.rs",
            "use ::http::Request; fn f(x: ::http::X) { json!(::http::y()); http::Y::new() } use http::Z;",
        ),
    ]);
}

#[test]
fn what_is_compiled_for_tests_alone_is_left_out() {
    finds_nothing(&[
        (
            "lib.rs",
            "mod a; mod b; #[cfg(test)] mod harness; #[cfg(test)] mod gone { use crate::a::A; }",
        ),
        ("a.rs", "use crate::b::B; pub struct A;"),
        (
            "b.rs",
            "#[cfg(test)] use crate::a::A; #[cfg(all(test, unix))] fn f() { crate::a::g(); }
             struct B; impl B { #[cfg(test)] fn g(a: crate::a::A) {} }
             #[cfg(test)] mod tests { use crate::a::A; use super::*; }",
        ),
    ]);
}

#[test]
fn what_cannot_be_read_is_an_error_that_says_where() {
    let (code, said) = judged(&[("lib.rs", "mod a;"), ("a.rs", "\nfn f( {}")]);
    assert!(code == Some(2) && said.starts_with("larder-circles: a.rs:2:"), "{code:?}: {said}");
    let (code, said) = judged(&[("lib.rs", "mod a;")]);
    assert!(code == Some(2) && said.contains("a/mod.rs: cannot be read: "), "{code:?}: {said}");
    let (code, said) = judged(&[("other.rs", "")]);
    assert!(code == Some(2) && said.contains("holds neither lib.rs nor main.rs"), "{said}");
}
