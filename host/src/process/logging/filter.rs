//! What is logged: a filter as it is typed, checked so that no slip of the pen turns the log off.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// What else is logged when only parts of the program are named.
const BASE: &str = "error";

/// A filter that was checked: its directives, as `tracing_subscriber` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter for what makes lines of events.
    pub(super) fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// Takes a filter: levels, each for all or, with a name before it, for a part of the program. Where
    /// none is for all, errors are logged of everything.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: String| {
            format!(
                "log = {text:?}: {why}; it takes error, warn, info, debug, trace or off, for parts of the \
                 program as in `info,larder::gateway=debug`"
            )
        };
        if text.trim().is_empty() {
            return Err(refused("it is empty".to_owned()));
        }
        let mut directives: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut names_all = false;
        for directive in &directives {
            let level = match directive.rsplit_once('=') {
                Some((_, level)) => level,
                None => {
                    names_all = true;
                    directive
                }
            };
            if level.is_empty() || level.parse::<LevelFilter>().is_err() {
                return Err(refused(format!("{level:?} is no level")));
            }
        }
        if !names_all {
            directives.insert(0, BASE);
        }
        let directives = directives.join(",");
        EnvFilter::try_new(&directives).map_err(|error| refused(error.to_string()))?;
        Ok(Self(directives))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filter that a text stands for, its directives in order.
    fn parsed(text: &str) -> Vec<String> {
        let filter = text.parse::<LogFilter>().unwrap().to_env_filter().to_string();
        let mut directives: Vec<String> = filter.split(',').map(str::to_owned).collect();
        directives.sort();
        directives
    }

    #[test]
    fn levels_are_for_all_or_for_a_part() {
        assert_eq!(parsed("warn"), ["warn"]);
        assert_eq!(parsed("INFO"), ["info"]);
        assert_eq!(parsed("off"), ["off"]);
        assert_eq!(parsed("info, larder::http=debug"), ["info", "larder::http=debug"]);
    }

    #[test]
    fn errors_are_logged_of_what_is_not_named() {
        assert_eq!(parsed("larder::http=debug"), ["error", "larder::http=debug"]);
        assert_eq!(parsed("larder=off"), ["error", "larder=off"]);
    }

    #[test]
    fn what_is_no_level_is_refused_by_name() {
        for (text, named) in [
            ("", "it is empty"),
            (" ", "it is empty"),
            ("warning", "\"warning\" is no level"),
            ("verbose", "\"verbose\" is no level"),
            ("larder::http", "\"larder::http\" is no level"),
            ("info,", "\"\" is no level"),
            ("larder=loud", "\"loud\" is no level"),
            ("larder=", "\"\" is no level"),
            ("info,!=debug", "invalid filter directive"),
        ] {
            let error = text.parse::<LogFilter>().unwrap_err();
            assert!(error.starts_with(&format!("log = {text:?}: {named}")), "{error}");
            assert!(error.contains("error, warn, info, debug, trace or off"), "{error}");
        }
    }
}
