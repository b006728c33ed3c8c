//! The form of the table of settings: what is said of each setting once, and what is made of it. Knows no
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

/// Makes a struct of optional fields of a table of settings, for what one source gives of them.
///
/// A row is a field with its words, and with `#[setting(...)]` for what it is as a flag: the name of its
/// values, then `default` (a value, or `described`, for one that depends on something) and `range`, each
/// where there is one. What stands under `apart` is no flag. Of this are made the flags and their help, the
/// variables, the keys of the file, `over` and `based` for all fields, `check_ranges`, and for each row
/// with a default a method of its name that gives what was set, or the default.
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
            pub fn based(self, base: Base<'_>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($name: based(self.$name, stringify!($name), base)?,)*
                    $($apart: based(self.$apart, stringify!($apart), base)?,)*
                })
            }

            /// Refuses numbers out of their ranges.
            pub fn check_ranges(&self) -> Result<(), ConfigError> {
                $($(
                    if let Some(given) = self.$name {
                        in_range(stringify!($name), given as u64, $range)?;
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
            pub fn table() -> Vec<Setting> {
                vec![
                    $(Setting {
                        name: stringify!($name),
                        words: concat!($($words),+).trim().to_owned(),
                        value_name: Some($value_name),
                        default: None$(.or(Some($default.to_string())))?$(.or(Some($described.to_string())))?,
                        range: None$(.or(Some($range)))?,
                    },)*
                    $(Setting {
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
