//! The program `larder-circles`: reads crates and names the files that import each other in a circle, with
//! the names that they import. Knows the command line and the report; nothing of how Rust is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::circles::{Arrows, circles};
use crate::tree::Crate;

mod circles;
mod imports;
mod tree;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("larder-circles: {error}");
            ExitCode::from(2)
        }
    }
}

/// Reads all crates and prints the report. True if there is no circle.
fn run(arguments: &[PathBuf]) -> Result<bool, String> {
    if arguments.is_empty() {
        return Err("name the folders that hold lib.rs or main.rs".to_owned());
    }
    let (mut files, mut arrows) = (BTreeSet::new(), Arrows::new());
    for argument in arguments {
        for root in roots(argument)? {
            let tree = Crate::read(&root)?;
            files.extend(tree.files.iter().map(|file| file.path.clone()));
            imports::collect(&tree, &mut arrows);
        }
    }
    let found = circles(&arrows);
    for circle in &found {
        println!("a circle of {} files:", circle.len());
        for ((from, to), names) in &arrows {
            if circle.contains(from.as_path()) && circle.contains(to.as_path()) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                println!("  {} -> {}: {}", from.display(), to.display(), names.join(", "));
            }
        }
    }
    match found.len() {
        0 => println!("{} files, no circle", files.len()),
        1 => println!("{} files, 1 circle", files.len()),
        count => println!("{} files, {count} circles", files.len()),
    }
    Ok(found.is_empty())
}

/// The files that a folder's crates begin with.
fn roots(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let names = ["lib.rs", "main.rs"].map(|name| folder.join(name));
    let roots: Vec<PathBuf> = names.into_iter().filter(|path| path.is_file()).collect();
    if roots.is_empty() {
        return Err(format!("{}: holds neither lib.rs nor main.rs", folder.display()));
    }
    Ok(roots)
}
