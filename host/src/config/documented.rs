//! Tests that docs/settings.md, docs/mounts.md and docs/openapi.json list what there is. A test that fails shows
//! the rows as they should be.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use clap::{Args, Command};
use serde::de::DeserializeOwned;

use super::file_mount::FileMount;
use super::mounts::{Mount, WORLD};
use super::settings::Settings;
use super::table::Setting;
use super::units::{bytes, milliseconds, thousands};
use super::{Config, variables};

/// The text of a page.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the table below this heading of a page, without its head.
fn rows(name: &str, heading: &str) -> Vec<String> {
    let text = page(name);
    let (_, text) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with('|'));
    table.take_while(|line| line.starts_with('|')).skip(2).map(str::to_owned).collect()
}

/// All keys that the file may have where it is read as `T`, as its refusal of others lists them.
fn file_keys<T: DeserializeOwned + Debug>() -> BTreeSet<String> {
    let error = toml::from_str::<T>("'another key' = 1").unwrap_err();
    let (_, expected) = error.message().split_once("expected one of ").unwrap();
    expected.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

/// All flags, each with the setting that it is.
fn flags() -> BTreeSet<(String, String)> {
    let command = Settings::augment_args(Command::new("serve"));
    let flag = |arg: &clap::Arg| (arg.get_id().to_string(), arg.get_long().unwrap().to_owned());
    command.get_arguments().map(flag).collect()
}

/// A number as a page has it, by what its setting counts.
fn number(value_name: Option<&str>, number: u64) -> String {
    match value_name {
        Some("BYTES") => bytes(number),
        Some("MS") => milliseconds(number),
        _ => thousands(number),
    }
}

#[test]
fn the_page_of_settings_lists_each_with_its_sources_its_default_and_its_bounds() {
    let (flags, variables, keys) = (flags(), variables::names(), file_keys::<Settings>());
    let (mut in_flags, mut in_variables, mut in_file) = (0, 0, 0);
    let row = |setting: Setting| {
        let Setting { name, words, value_name, default, range } = setting;
        let flag = flags.contains(&(name.to_owned(), name.replace('_', "-")));
        let variable = variables.contains(&format!("LARDER_{}", name.to_ascii_uppercase()));
        let key = keys.contains(name);
        assert_eq!(flag, value_name.is_some(), "{name}");
        in_flags += usize::from(flag);
        in_variables += usize::from(variable);
        in_file += usize::from(key);
        let sources = [(flag, "flag"), (variable, "variable"), (key, "file")];
        let sources: Vec<_> =
            sources.iter().filter(|source| source.0).map(|source| source.1).collect();
        let default = default.map_or("none".to_owned(), |default| match default.parse() {
            Ok(default) => number(value_name, default),
            Err(_) => default,
        });
        let range = range.map_or(String::new(), |range| {
            let bound = |bound: &u64| number(value_name, *bound);
            format!("{} to {} ", bound(range.start()), bound(range.end()))
        });
        format!("| `{name}` | {words} | {default} | {range}| {} |", sources.join(", "))
    };
    let wanted: Vec<String> = Settings::table().into_iter().map(row).collect();
    assert_eq!((in_flags, in_variables, in_file), (flags.len(), variables.len(), keys.len()));
    assert!(rows("settings.md", "All settings") == wanted, "{}", wanted.join("\n"));
}

#[test]
fn help_has_the_defaults_of_all_flags() {
    let mut command = Settings::augment_args(Command::new("serve"));
    let help = command.render_long_help().to_string().replace('\n', " ");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for Setting { words, value_name, default, .. } in Settings::table() {
        let default = default.map_or(String::new(), |default| format!(" [default: {default}]"));
        assert_eq!(help.contains(&(words.clone() + &default)), value_name.is_some(), "{words}");
    }
}

/// The default of a mount's key, as the page has it.
fn default_of(key: &str, mount: &Mount) -> String {
    let limits = &mount.limits;
    let none_of = |is_empty: bool| if is_empty { "none" } else { "some" }.to_owned();
    let size = |count: usize| bytes(count as u64);
    let code = |name: String| format!("`{}`", name.to_lowercase());
    match key {
        "prefix" | "component" => String::new(),
        "name" if mount.name == "visits" => "the file's".to_owned(),
        "world" => code(WORLD.to_owned()),
        "namespaces" => none_of(mount.namespaces.is_empty()),
        "auth" => code(format!("{:?}", mount.auth)),
        "cors_origins" => none_of(mount.cors_origins.is_empty()),
        "health" => none_of(mount.health.is_empty()),
        "operations" => none_of(mount.operations.is_empty()),
        "priority" => code(format!("{:?}", mount.priority)),
        "cpu_percent_max" => thousands(limits.cpu_percent_max.into()),
        "calls_max" if mount.calls_max.is_none() => "the server's".to_owned(),
        "instance_calls_max" => thousands(limits.instance_calls_max.into()),
        "call_ms_max" => milliseconds(limits.call_time_max.as_millis() as u64),
        "memory_bytes_max" => size(limits.memory_bytes_max),
        "host_calls_max" => thousands(limits.host_calls_max.into()),
        "host_bytes_max" => size(limits.host_bytes_max),
        "answer_bytes_max" => size(limits.answer_bytes_max),
        _ => panic!("{key} has another default than it had"),
    }
}

#[test]
fn the_page_of_mounts_lists_each_key_with_its_default() {
    let text = "[[mount]]\nprefix = '/visits'\ncomponent = 'visits.wasm'";
    let config = Config::of_text(text, Path::new("")).unwrap();
    let found = rows("mounts.md", "Keys of a mount");
    let cells = |row: &String| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        (cells[1].trim_matches('`').to_owned(), cells[3].clone())
    };
    let wanted = file_keys::<FileMount>().into_iter().map(|key| {
        let default = default_of(&key, &config.mounts[0]);
        (key, default)
    });
    assert_eq!(found.iter().map(cells).collect::<BTreeSet<_>>(), wanted.collect());
}

#[test]
fn the_description_for_programs_has_each_operation_of_the_api() {
    let config = Config::of_text("", Path::new("")).unwrap();
    let api = config.mounts.iter().find(|mount| mount.prefix == "/api").unwrap();
    let described: serde_json::Value = serde_json::from_str(&page("openapi.json")).unwrap();
    let paths = described["paths"].as_object().unwrap().keys();
    let of_api: BTreeSet<_> = paths.filter(|path| path.starts_with("/api/")).collect();
    assert_eq!(of_api, api.operations.iter().collect());
}
