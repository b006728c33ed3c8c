//! Paths as settings give them: from where they count, and what `~` stands for. Looks at no file.

use std::path::{Component, Path, PathBuf};

use super::checks::{ConfigError, fail};

/// From where the paths of one source count.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// What relative ones are below: nothing for those that count from where the program runs.
    pub dir: &'a Path,
    /// What `~` stands for.
    pub home: Option<&'a Path>,
}

impl Base<'_> {
    /// The path that `given` means. Shells replace `~` only where nothing stands before it, so that
    /// it may come here in any source; a folder of that name is never what was meant.
    pub fn path(&self, key: &str, given: PathBuf) -> Result<PathBuf, ConfigError> {
        let first = match given.components().next() {
            None => return fail(format!("{key}: the path is empty; name one, or leave it out")),
            Some(Component::Normal(first)) => first.as_encoded_bytes(),
            Some(_) => b"",
        };
        match (first.strip_prefix(b"~"), self.home) {
            (None, _) => Ok(self.dir.join(given)),
            (Some(b""), Some(home)) => {
                Ok(home.components().chain(given.components().skip(1)).collect())
            }
            (Some(b""), None) => fail(format!(
                "{key} = {given:?}: `~` stands for HOME, which is not set; write the whole path"
            )),
            (Some(_), _) => fail(format!(
                "{key} = {given:?}: only `~/` is understood, for HOME; write the whole path, or ./{} \
                 for one that is named so",
                given.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(given: &str, home: Option<&str>) -> Result<String, String> {
        let base = Base { dir: Path::new("conf"), home: home.map(Path::new) };
        let path = base.path("data", given.into()).map_err(|error| error.to_string())?;
        Ok(path.display().to_string())
    }

    #[test]
    fn a_tilde_is_the_user_s_home_and_never_a_folder() {
        let home = Some("/home/me");
        assert_eq!(path("~/larder", home).as_deref(), Ok("/home/me/larder"));
        assert_eq!(path("~", home).as_deref(), Ok("/home/me"));
        assert_eq!(path("data", home).as_deref(), Ok("conf/data"));
        assert_eq!(path("/srv/~", home).as_deref(), Ok("/srv/~"));
        assert_eq!(path("./~me", home).as_deref(), Ok("conf/./~me"));
        let error = path("~/larder", None).unwrap_err();
        assert!(error.contains("data = \"~/larder\"") && error.contains("HOME"), "{error}");
        let error = path("~you/larder", home).unwrap_err();
        assert!(error.contains("./~you/larder"), "{error}");
        assert!(path("", home).unwrap_err().contains("data: the path is empty"));
    }
}
