//! The form of the table of settings: what a row says, and what the program makes of all rows. Knows no
//! setting.

use super::checks::ConfigError;
use super::paths::Base;

/// A value of a setting, as a source gives it.
pub trait Value: Sized {
    /// The same as its source means it: a path counts from where the source says.
    fn based(self, _key: &str, _base: Base<'_>) -> Result<Self, ConfigError> {
        Ok(self)
    }
}

/// What documentation says of a setting.
#[cfg(test)]
pub struct Setting {
    pub name: &'static str,
    pub words: String,
    /// What its values are, as help names them; None when it is no flag.
    pub value_name: Option<&'static str>,
    pub default: Option<String>,
    pub range: Option<std::ops::RangeInclusive<u64>>,
}

/// Makes a struct with a field for each setting, which is `None` where a source does not give it.
///
/// A row has the setting's words, name and type. `#[setting(...)]` holds the name of its values in help;
/// then `default` with a value, or `described` with words for a default that depends on something; then
/// `range`. All but the first may be missing. Settings in `apart` are no flags.
///
/// The struct has the flags with their help and the keys of the file; `variables` takes its names from the
/// flags. `over` and `based` treat all fields alike, `check_ranges` refuses numbers out of their ranges,
/// and a method with the name of a setting returns what was given or its `default`.
macro_rules! settings {
    (
        $(#[$of_struct:meta])*
        pub struct $Settings:ident {
            $(
                $(#[doc = $words:literal])+
                #[setting(
                    $value_name:literal
                    $(, default = $default:expr)?
                    $(, described = $described:expr)?
                    $(, range = $range:expr)?
                )]
                $(#[$attribute:meta])*
                $name:ident: $kind:ty,
            )*
        }
        apart {
            $(
                $(#[doc = $apart_words:literal])+
                $apart:ident: $apart_kind:ty,
            )*
        }
    ) => {
        $(#[$of_struct])*
        #[derive(clap::Args, Clone, Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Settings {
            $(
                $(#[doc = $words])+
                #[arg(long, value_name = $value_name, help = $crate::config::table::help(
                    concat!($($words),+),
                    &[$($default.to_string(),)? $($described.to_string(),)?],
                ))]
                $(#[$attribute])*
                pub $name: Option<$kind>,
            )*
            $(
                $(#[doc = $apart_words])+
                #[arg(skip)]
                pub $apart: Option<$apart_kind>,
            )*
        }

        impl $Settings {
            /// These, and those of a source that they overrule where they say nothing.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self {
                    $($name: self.$name.or(below.$name),)*
                    $($apart: self.$apart.or(below.$apart),)*
                }
            }

            /// The same with all values as their source means them.
            pub fn based(
                self,
                base: $crate::config::paths::Base<'_>,
            ) -> Result<Self, $crate::config::checks::ConfigError> {
                Ok(Self {
                    $($name: $crate::config::table::based(self.$name, stringify!($name), base)?,)*
                    $($apart: $crate::config::table::based(self.$apart, stringify!($apart), base)?,)*
                })
            }

            /// Refuses numbers out of their ranges.
            pub fn check_ranges(&self) -> Result<(), $crate::config::checks::ConfigError> {
                $($(
                    if let Some(given) = self.$name {
                        $crate::config::checks::in_range(stringify!($name), given as u64, $range)?;
                    }
                )?)*
                Ok(())
            }

            $($(
                #[doc = concat!("What `", stringify!($name), "` was set to, or its default.")]
                pub fn $name(&self) -> $kind {
                    self.$name.to_owned().unwrap_or($default)
                }
            )?)*

            /// What documentation says of each.
            #[cfg(test)]
            pub fn table() -> Vec<$crate::config::table::Setting> {
                vec![
                    $($crate::config::table::Setting {
                        name: stringify!($name),
                        words: concat!($($words),+).trim().to_owned(),
                        value_name: Some($value_name),
                        default: None
                            $(.or(Some($default.to_string())))?
                            $(.or(Some($described.to_string())))?,
                        range: None$(.or(Some($range)))?,
                    },)*
                    $($crate::config::table::Setting {
                        name: stringify!($apart),
                        words: concat!($($apart_words),+).trim().to_owned(),
                        value_name: None,
                        default: None,
                        range: None,
                    },)*
                ]
            }
        }
    };
}
pub(super) use settings;

/// What help says of a flag.
pub fn help(words: &str, default: &[String]) -> String {
    let default = default.iter().map(|default| format!(" [default: {default}]"));
    words.trim().to_owned() + &default.collect::<String>()
}

/// A value that was given, as its source means it.
pub fn based<V: Value>(
    given: Option<V>,
    key: &str,
    base: Base<'_>,
) -> Result<Option<V>, ConfigError> {
    given.map(|given| given.based(key, base)).transpose()
}
