//! The examples of docs/api.md, run as pasted and in their order, are answered as the page says; and every route
//! has one.

use std::path::Path;
use std::process::{Command, Stdio};

use larder_tests::{Larder, TOKEN};
use serde_json::Value;

/// Stands before the output of each example.
const MARK: &str = "@@@ example";
/// Digits of an instant in milliseconds, from 2001 to 2286.
const INSTANT_DIGITS: usize = 13;
const TOKEN_ID_DIGITS: usize = 16;
/// A token's mark, id and secret.
const TOKEN_BYTES: usize = "larder_".len() + TOKEN_ID_DIGITS + 1 + 43;

fn text_of(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    std::fs::read_to_string(path).unwrap()
}

/// The code blocks of a page in one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = page.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.split_once('\n'));
    blocks.filter(|(named, _)| *named == language).map(|(_, block)| block).collect()
}

/// What is typed, and what is answered.
struct Example {
    command: String,
    answer: String,
}

/// The examples of a page: after `$` what is typed, after `>` how it goes on, and then the answer.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in blocks(page, "console").into_iter().flat_map(str::lines) {
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example { command: command.to_owned(), answer: String::new() });
            continue;
        }
        let Example { command, answer } = examples.last_mut().expect("a block begins with `$`");
        match line.strip_prefix("> ") {
            Some(more) => command.extend(["\n", more]),
            None => answer.extend([line, "\n"]),
        }
    }
    examples
}

/// An answer as answers are compared: without line breaks, and without what differs from run to run, which
/// are instants, dates, and ids and secrets of tokens.
fn comparable(answer: &str) -> String {
    let lines = answer.lines().map(str::trim).map(|line| match line.split_once(": ") {
        Some((name @ ("date" | "expires"), date)) if date.ends_with(" GMT") => {
            format!("{name}: DATE")
        }
        _ => line.to_owned(),
    });
    let text: String = lines.collect();
    let is_in_word = |byte: char| byte.is_ascii_alphanumeric() || byte == '_' || byte == '-';
    let (mut compared, mut rest) = (String::new(), text.as_str());
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|byte| !is_in_word(byte)).unwrap_or(rest.len());
        if end == 0 {
            compared.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let word = &rest[..end];
        compared.push_str(match word.len() {
            INSTANT_DIGITS if word.bytes().all(|byte| byte.is_ascii_digit()) => "INSTANT",
            TOKEN_ID_DIGITS if word.bytes().all(|byte| byte.is_ascii_hexdigit()) => "ID",
            TOKEN_BYTES if word.starts_with("larder_") => "TOKEN",
            _ => word,
        });
        rest = &rest[end..];
    }
    compared
}

#[test]
fn each_example_is_answered_as_the_page_says() {
    let page = text_of("api.md");
    let larder = Larder::start();
    std::fs::write(larder.data().join("admin-token"), TOKEN).unwrap();
    let examples = examples(&page);
    let mut script =
        blocks(&page, "sh")[0].replace("127.0.0.1:8624", &larder.address().to_string());
    for Example { command, .. } in &examples {
        script.push_str(&format!("printf '%s\\n' '{MARK}'\n{command}\n"));
    }
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(larder.dir()).stdin(Stdio::null());
    let output = bash.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{complaints}");
    let output = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = output.split(&format!("{MARK}\n")).skip(1).collect();
    assert_eq!(answers.len(), examples.len());
    let differ =
        |(example, answer): &(&Example, &str)| comparable(&example.answer) != comparable(answer);
    let differing = examples.iter().zip(answers).filter(differ);
    let differing: Vec<String> = differing
        .map(|(Example { command, answer }, found)| {
            format!("$ {command}\nthe page:\n{answer}the server:\n{found}")
        })
        .collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn each_route_of_the_description_has_an_example() {
    let page = text_of("api.md");
    let document: Value = serde_json::from_str(&text_of("openapi.json")).unwrap();
    let examples = examples(&page);
    let mut without = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
        for method in methods.map(|name| name.to_uppercase()) {
            let is_of =
                |example: &Example| asks(&example.command) == (method.clone(), path.clone());
            if !examples.iter().any(is_of) {
                without.push(format!("{method} {path}"));
            }
        }
    }
    assert!(without.is_empty(), "no example: {without:?}");
}

/// The method and the path, as the description has it, of what curl is asked to do.
fn asks(command: &str) -> (String, String) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let method = words.iter().position(|word| *word == "-X").map(|at| words[at + 1]);
    let method = method.unwrap_or(if words.contains(&"-d") { "POST" } else { "GET" });
    let url = words.iter().map(|word| word.trim_matches('"')).find(|word| word.starts_with('$'));
    let path = url.unwrap().trim_start_matches("$SERVER").split('?').next().unwrap();
    let path = match path.split('/').collect::<Vec<_>>()[..] {
        ["", "kv", _, ""] => "/kv/{namespace}/",
        ["", "kv", _, ..] => "/kv/{namespace}/{key}",
        ["", "larder", "v1", "tokens", _] => "/larder/v1/tokens/{id}",
        _ => path,
    };
    (method.to_owned(), path.to_owned())
}
