//! What a file takes from other files of its crate: its `use` declarations, and paths in its code, in macros
//! and in attributes. A path leads to the file of the longest module that it names; what that file has from
//! others (`pub use`) is its own affair. Knows nothing of circles.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{
    Attribute, ImplItem, Item, ItemConst, ItemEnum, ItemFn, ItemImpl, ItemMacro, ItemMod,
    ItemStatic, ItemStruct, ItemTrait, ItemType, ItemUse, UseTree,
};

use crate::circles::Arrows;
use crate::tree::{Crate, Names, is_for_tests};

/// Names that stand for each other are followed so far; `use a::a` would go on for ever.
const ALIASES_MAX: usize = 8;

/// Adds the arrows between the crate's files.
pub fn collect(tree: &Crate, arrows: &mut Arrows) {
    for file in &tree.files {
        let mut reader = Reader { module: file.module.clone(), ..Reader::default() };
        reader.visit_file(&file.syntax);
        for (module, path) in &reader.paths {
            let Some(target) = reader.absolute(tree, module, path, ALIASES_MAX) else { continue };
            // The root has no names, so that some module is found.
            let longest =
                (0..=target.len()).rev().find(|end| tree.modules.contains_key(&target[..*end]));
            let end = longest.unwrap_or(0);
            let to = &tree.modules[&target[..end]];
            if *to != file.path {
                let name = target.get(end).map_or("self", String::as_str);
                let names = arrows.entry((file.path.clone(), to.clone())).or_default();
                names.insert(name.to_owned());
            }
        }
    }
}

/// Names that a module has from `use`.
#[derive(Default)]
struct Scope {
    aliases: BTreeMap<String, Names>,
    globs: Vec<Names>,
}

/// Walks through one file.
#[derive(Default)]
struct Reader {
    /// The module that is being read.
    module: Names,
    /// By module: a file has more than one when modules are written into it.
    scopes: BTreeMap<Names, Scope>,
    /// Paths as they stand, and the module that they stand in.
    paths: Vec<(Names, Names)>,
}

impl Reader {
    fn note(&mut self, path: Names) {
        // One name alone is a local one, or has come by a `use` that is noted itself.
        if path.len() > 1 {
            self.paths.push((self.module.clone(), path));
        }
    }

    fn read_use(&mut self, tree: &UseTree, mut prefix: Names) {
        let (name, alias) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.unraw().to_string());
                return self.read_use(&path.tree, prefix);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.read_use(tree, prefix.clone()));
            }
            UseTree::Glob(_) => {
                self.scopes.entry(self.module.clone()).or_default().globs.push(prefix.clone());
                prefix.push("*".to_owned());
                return self.note(prefix);
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(rename) => (&rename.ident, &rename.rename),
        };
        if name != "self" {
            prefix.push(name.unraw().to_string());
        }
        let alias =
            if alias == "self" { prefix.last().cloned() } else { Some(alias.unraw().to_string()) };
        let scope = self.scopes.entry(self.module.clone()).or_default();
        scope.aliases.extend(alias.map(|alias| (alias, prefix.clone())));
        self.note(prefix);
    }

    /// Paths among tokens that nobody has parsed. Strings are paths in attributes, as serde has them.
    fn read_tokens(&mut self, tokens: TokenStream, strings: bool) {
        let (mut path, mut colons) = (Names::new(), 0);
        for token in tokens {
            if let TokenTree::Ident(name) = &token {
                if colons != 2 {
                    self.note(std::mem::take(&mut path));
                }
                path.push(name.unraw().to_string());
            }
            colons = match token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons + 1,
                TokenTree::Ident(_) => 0,
                other => {
                    self.note(std::mem::take(&mut path));
                    match other {
                        TokenTree::Group(group) => self.read_tokens(group.stream(), strings),
                        TokenTree::Literal(text) if strings => {
                            let text = syn::parse_str::<syn::LitStr>(&text.to_string());
                            let inner = text.and_then(|text| text.parse::<syn::Path>());
                            inner.iter().for_each(|path| self.visit_path(path));
                        }
                        _ => {}
                    }
                    0
                }
            };
        }
        self.note(path);
    }

    /// A path from the crate's root on; None for what is of other crates, or of the file itself.
    fn absolute(
        &self,
        tree: &Crate,
        module: &[String],
        path: &[String],
        left: usize,
    ) -> Option<Names> {
        let (first, mut rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            name => self.named(tree, module, name, left)?,
        };
        while rest.first().is_some_and(|name| name == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// What a name means in a module: a module in it, or what a `use` says.
    fn named(&self, tree: &Crate, module: &[String], name: &str, left: usize) -> Option<Names> {
        let child = [module, &[name.to_owned()]].concat();
        if tree.modules.contains_key(&child) {
            return Some(child);
        }
        let (scope, left) = (self.scopes.get(module)?, left.checked_sub(1)?);
        if let Some(path) = scope.aliases.get(name) {
            return self.absolute(tree, module, path, left);
        }
        scope.globs.iter().find_map(|glob| {
            let mut path = self.absolute(tree, module, glob, left)?;
            path.push(name.to_owned());
            tree.modules.contains_key(&path).then_some(path)
        })
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if is_for_tests(&function.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.unraw().to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.read_use(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.note(path.segments.iter().map(|part| part.ident.unraw().to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// Who may see an item is no import.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.read_tokens(call.tokens.clone(), false);
        visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.read_tokens(list.tokens.clone(), true);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(ItemConst { attrs, .. })
        | Item::Enum(ItemEnum { attrs, .. })
        | Item::Fn(ItemFn { attrs, .. })
        | Item::Impl(ItemImpl { attrs, .. })
        | Item::Macro(ItemMacro { attrs, .. })
        | Item::Mod(ItemMod { attrs, .. })
        | Item::Static(ItemStatic { attrs, .. })
        | Item::Struct(ItemStruct { attrs, .. })
        | Item::Trait(ItemTrait { attrs, .. })
        | Item::Type(ItemType { attrs, .. })
        | Item::Use(ItemUse { attrs, .. }) => attrs,
        _ => &[],
    }
}
