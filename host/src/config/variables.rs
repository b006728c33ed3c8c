//! Settings from environment variables, which have the flags' names in capitals. Owns which variables
//! are the program's, and who else sets some that begin alike.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, Args, Command};

use super::checks::{ConfigError, fail};
use super::settings::Settings;

/// The variable of the admin token, which is no flag.
pub const TOKEN_VARIABLE: &str = "LARDER_ADMIN_TOKEN";
const PREFIX: &str = "LARDER_";
/// A name is meant for another when so few of that one's letters are wrong: one in as many, and at
/// least one.
const LETTERS_A_SLIP: usize = 4;
const SLIPS_MAX: usize = 3;

/// The environment, without variables that are empty: those say nothing.
pub struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// Takes all variables of the process.
    pub fn new(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(all.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// The home of the user who runs the program.
    pub fn home(&self) -> Option<&Path> {
        self.get("HOME").map(Path::new)
    }

    /// The admin token.
    pub fn admin_token(&self) -> Result<Option<String>, ConfigError> {
        let text = |value: &OsStr| match value.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => fail(format!("{TOKEN_VARIABLE}: a token is visible ASCII characters")),
        };
        self.get(TOKEN_VARIABLE).map(text).transpose()
    }

    /// What the variables give of these arguments; an error names the variable.
    pub fn read<A: Args>(&self) -> Result<A, ConfigError> {
        let command = command::<A>();
        let mut flags = Vec::new();
        for argument in command.get_arguments() {
            let name = variable(argument);
            let Some(value) = self.get(&name) else { continue };
            let mut flag = OsString::from(format!("--{}=", argument.get_id().as_str()));
            flag.push(value);
            if let Err(error) = command.clone().try_get_matches_from([&flag]) {
                return fail(format!("{name} = {value:?}: {}", why(argument, &error)));
            }
            flags.push(flag);
        }
        let matches = command.try_get_matches_from(flags);
        let read = matches.and_then(|matches| A::from_arg_matches(&matches));
        read.map_err(|error| ConfigError::new(error.to_string()))
    }

    /// A warning for each variable that is no setting and has nearly the name of one.
    pub fn near_misses(&self) -> Vec<String> {
        let known = names();
        let names = self.0.iter().filter_map(|(name, _)| name.to_str());
        let unknown = names.filter(|name| !known.iter().any(|known| known == name));
        let meant = |name: &str| {
            let meant = known.iter().min_by_key(|known| slips(name, known))?;
            let letters = meant.len() - PREFIX.len();
            let near = slips(name, meant) <= (letters / LETTERS_A_SLIP).clamp(1, SLIPS_MAX);
            near.then(|| {
                format!("{name}: there is no such setting, so it is passed over; {meant} is one")
            })
        };
        unknown.filter(|name| !is_of_a_service(name)).filter_map(meant).collect()
    }
}

/// All variables that are settings.
pub fn names() -> Vec<String> {
    let command = command::<Settings>();
    command.get_arguments().map(variable).chain([TOKEN_VARIABLE.to_owned()]).collect()
}

/// The arguments as a command line of their own, in which each goes by its setting's name.
fn command<A: Args>() -> Command {
    let command = Command::new("variables").no_binary_name(true).disable_help_flag(true);
    A::augment_args(command).mut_args(|argument| {
        let name = argument.get_id().clone();
        argument.long(name)
    })
}

fn variable(argument: &Arg) -> String {
    format!("{PREFIX}{}", argument.get_id().as_str().to_ascii_uppercase())
}

/// Why a value was not taken, in words that name no flag.
fn why(argument: &Arg, error: &clap::Error) -> String {
    use std::error::Error;
    let values = argument.get_possible_values();
    let values: Vec<_> = values.iter().map(|value| value.get_name().to_owned()).collect();
    match error.source() {
        _ if !values.is_empty() => format!("it must be one of {}", values.join(", ")),
        Some(source) => source.to_string(),
        None => "it cannot be read".to_owned(),
    }
}

/// Whether Kubernetes or Docker sets such a variable, in each container beside a service that is named
/// `larder`, or begins so.
fn is_of_a_service(name: &str) -> bool {
    name.starts_with(PREFIX)
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name.ends_with("_PORT")
            || name.contains("_PORT_"))
}

/// How many letters of one name must be changed, left out or put in to make the other. Capitals do not
/// matter.
fn slips(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_ascii_uppercase(), other.to_ascii_uppercase());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (at, wanted) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != wanted);
            before = row[at + 1];
            row[at + 1] = changed.min(before + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> Variables {
        Variables::new(all.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn slips_are_letters_changed_left_out_and_put_in() {
        for (one, other, count) in
            [("", "", 0), ("DATA", "data", 0), ("LISTN", "LISTEN", 1), ("KITTEN", "SITTING", 3)]
        {
            assert_eq!((slips(one, other), slips(other, one)), (count, count), "{one} {other}");
        }
    }

    #[test]
    fn only_what_looks_like_a_setting_is_a_near_miss() {
        for (name, meant) in [
            ("LARDER_BODY_BYTE_MAX", "LARDER_BODY_BYTES_MAX"),
            ("LARDER_LISTN", "LARDER_LISTEN"),
            ("LARDER_ADMIN_TOKN", "LARDER_ADMIN_TOKEN"),
            ("LADER_DATA", "LARDER_DATA"),
            ("larder_workers", "LARDER_WORKERS"),
        ] {
            let told = variables(&[(name, "x")]).near_misses();
            assert_eq!(told.len(), 1, "{name}");
            assert!(told[0].starts_with(name) && told[0].contains(meant), "{told:?}");
        }
        for name in [
            "LARDER_SERVICE_HOST",
            "LARDER_SERVICE_PORT",
            "LARDER_SERVICE_PORT_HTTP",
            "LARDER_PORT",
            "LARDER_PORT_8624_TCP",
            "LARDER_PORT_8624_TCP_ADDR",
            "LARDER_API_PORT",
            "LARDER_NAME",
            "LARDER_CHECKER",
            "LARDER_SOMETHING_ELSE",
            "PATH",
            "LARDER_DATA",
        ] {
            let told = variables(&[(name, "x")]).near_misses();
            assert!(told.is_empty(), "{name}: {told:?}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_told_with_its_variable_and_an_empty_one_is_none() {
        for (name, value, said) in [
            ("LARDER_WORKERS", "many", "LARDER_WORKERS = \"many\": invalid digit"),
            (
                "LARDER_METRICS",
                "maybe",
                "LARDER_METRICS = \"maybe\": it must be one of true, false",
            ),
            ("LARDER_LISTEN", ":1", "LARDER_LISTEN = \":1\": the address is missing"),
            ("LARDER_LOG_FORMAT", "xml", "it must be one of auto, text, json"),
        ] {
            let error = variables(&[(name, value)]).read::<Settings>().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("--"), "{said} in {error}");
            assert!(variables(&[(name, "")]).read::<Settings>().is_ok());
        }
        let read: Settings = variables(&[("LARDER_BODY_MS_MAX", "-7")]).read().unwrap_or_default();
        assert_eq!(read.body_ms_max, None);
        let read: Settings = variables(&[("LARDER_BODY_MS_MAX", "7")]).read().unwrap();
        assert_eq!(read.body_ms_max, Some(7));
    }
}
