//! The files of a crate and the modules in them, as `mod` declares them. Leaves out what is compiled for
//! tests alone. Knows nothing of imports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, Token};

/// Names from the crate's root down to a module or an item; the root itself has none.
pub type Names = Vec<String>;

/// One file, read.
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The module that the file as a whole is.
    pub module: Names,
    /// What it says.
    pub syntax: syn::File,
}

/// A crate from its root file on.
#[derive(Default)]
pub struct Crate {
    /// All files.
    pub files: Vec<File>,
    /// All modules, and the file that each one is in.
    pub modules: BTreeMap<Names, PathBuf>,
}

impl Crate {
    /// Reads the root file and all files that it leads to.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.load(root.to_owned(), Vec::new(), &folder_of(root))?;
        Ok(tree)
    }

    /// Reads the file of `module`, whose children have their files in `folder`.
    fn load(&mut self, path: PathBuf, module: Names, folder: &Path) -> Result<(), String> {
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        let syntax = syn::parse_file(&text).map_err(|error| {
            let at = error.span().start();
            format!("{}:{}:{}: {error}", path.display(), at.line, at.column + 1)
        })?;
        self.modules.insert(module.clone(), path.clone());
        self.declare(&syntax.items, &module, folder, &path)?;
        self.files.push(File { path, module, syntax });
        Ok(())
    }

    /// Takes in the modules that `items` of `module`, which stand in `file`, declare.
    fn declare(
        &mut self,
        items: &[Item],
        module: &[String],
        folder: &Path,
        file: &Path,
    ) -> Result<(), String> {
        for item in items {
            let Item::Mod(item) = item else { continue };
            if is_for_tests(&item.attrs) {
                continue;
            }
            let name = item.ident.unraw().to_string();
            let child = [module, std::slice::from_ref(&name)].concat();
            let (flat, below) = (folder.join(format!("{name}.rs")), folder.join(&name));
            if let Some((_, items)) = &item.content {
                self.modules.insert(child.clone(), file.to_owned());
                self.declare(items, &child, &below, file)?;
            } else if let Some(path) = path_attribute(&item.attrs) {
                let path = folder_of(file).join(path);
                let beside = folder_of(&path);
                self.load(path, child, &beside)?;
            } else if flat.is_file() {
                self.load(flat, child, &below)?;
            } else {
                self.load(below.join("mod.rs"), child, &below)?;
            }
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

/// True under `#[cfg(test)]` and under `#[cfg(all(test, …))]`.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    let wants_test = |meta: &Meta| match meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|condition| demands_test(&condition))
        }
        _ => false,
    };
    attributes.iter().any(|attribute| wants_test(&attribute.meta))
}

fn demands_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(demands_test)),
        _ => false,
    }
}
