//! Where settings come from: flags, variables and the file, each read, checked by itself and laid over
//! the next. What they mean together is for the module above.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::checks::{self, ConfigError, fail};
use super::paths::Base;
use super::settings::{DATA_DIR, DataArgs, FILE, Settings};
use super::variables::{TOKEN_VARIABLE, Variables};

/// What flags, variables and the file give together, and what to say of variables that look like
/// mistyped settings.
pub fn read(
    flags: Settings,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Settings, Vec<String>), ConfigError> {
    let variables = Variables::new(variables);
    let mut of_variables: Settings = variables.read()?;
    of_variables.admin_token = variables.admin_token()?;
    // Each is checked, also one that is overruled.
    checks::token(of_variables.admin_token.as_deref(), TOKEN_VARIABLE)?;
    let home = variables.home();
    let here = Base { dir: Path::new(""), home };
    let given = flags.based(here)?.over(of_variables.based(here)?);
    let (file, file_dir) = read_file(given.config.as_deref())?;
    checks::token(file.admin_token.as_deref(), "admin_token")?;
    let given = given.over(file.based(Base { dir: &file_dir, home })?);
    Ok((given, variables.near_misses()))
}

/// What the text of a file gives, whose paths count from `dir`.
pub fn read_text(text: &str, dir: &Path) -> Result<Settings, ConfigError> {
    parse_file(text)?.based(Base { dir, home: None })
}

/// The data directory that a server with these settings would take.
pub fn data_dir(
    flags: DataArgs,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, ConfigError> {
    let variables = Variables::new(variables);
    let given: DataArgs = variables.read()?;
    let here = Base { dir: Path::new(""), home: variables.home() };
    if let Some(data) = flags.data.or(given.data) {
        return here.path("data", data);
    }
    let config = flags.config.or(given.config);
    let config = config.map(|config| here.path("config", config)).transpose()?;
    let (file, file_dir) = read_file(config.as_deref())?;
    let data = file.data.map(|data| Base { dir: &file_dir, ..here }.path("data", data));
    Ok(data.transpose()?.unwrap_or(DATA_DIR.into()))
}

/// Reads the file that was named, or the one of the usual name if it is there. Paths in it count from
/// where it stands.
fn read_file(named: Option<&Path>) -> Result<(Settings, PathBuf), ConfigError> {
    let path = named.unwrap_or(Path::new(FILE));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            return Ok((Settings::default(), PathBuf::new()));
        }
        Err(error) => return fail(format!("{}: {error}", path.display())),
    };
    let dir = path.parent().unwrap_or(Path::new("")).to_owned();
    match parse_file(&text) {
        Ok(file) => Ok((file, dir)),
        Err(error) => fail(format!("{}: {error}", path.display())),
    }
}

fn parse_file(text: &str) -> Result<Settings, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::new(error.to_string()))
}
