//! Circles in a graph of files. Knows nothing of what an arrow stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From file to file, and the names that the first takes from the second.
pub type Arrows = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// The strongly connected components of more than one file, in the order of their first files.
pub fn circles(arrows: &Arrows) -> Vec<BTreeSet<&Path>> {
    let mut next: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        next.entry(from).or_default().push(to);
    }
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        next.keys().map(|file| (*file, reached_from(file, &next))).collect();
    let mut found: Vec<BTreeSet<&Path>> = Vec::new();
    for (file, others) in &reached {
        let leads_back = |other: &&Path| reached.get(other).is_some_and(|set| set.contains(file));
        let circle: BTreeSet<&Path> = others.iter().copied().filter(leads_back).collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// All files that arrows lead to from `file`, over one or more of them.
fn reached_from<'a>(
    file: &'a Path,
    next: &BTreeMap<&'a Path, Vec<&'a Path>>,
) -> BTreeSet<&'a Path> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![file]);
    while let Some(file) = waiting.pop() {
        for to in next.get(file).into_iter().flatten() {
            if reached.insert(*to) {
                waiting.push(to);
            }
        }
    }
    reached
}
