//! How much memory the process may take: what the machine has, or the least that a control group it
//! is in allows. Reads what Linux tells; knows nothing of what the memory is for.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The least limit that was found, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes.
    pub bytes: u64,
    /// What limits it.
    pub of: LimitOf,
}

/// What limits the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// The machine has no more.
    Machine,
    /// A control group, as the file says that names the limit.
    ControlGroup(PathBuf),
}

impl fmt::Display for LimitOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the machine"),
            Self::ControlGroup(file) => file.display().fmt(f),
        }
    }
}

impl MemoryLimit {
    /// What this process may take; None where the system does not tell.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let machine = machine_bytes(&read("/proc/meminfo"));
        let machine = machine.map(|bytes| Self { bytes, of: LimitOf::Machine });
        let groups = group_limits(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        groups.into_iter().chain(machine).min_by_key(|limit| limit.bytes)
    }
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// The limits of all control groups that the process is in, and of those around them. `groups` and
/// `mounts` are what the system says of the process in `cgroup` and `mountinfo`.
fn group_limits(groups: &str, mounts: &str) -> Vec<MemoryLimit> {
    let mut found = Vec::new();
    for hierarchy in mounts.lines().filter_map(Hierarchy::of_mount) {
        let Some(group) = groups.lines().find_map(|line| hierarchy.group(line)) else { continue };
        // A container may see no more than its own group, or only the path that it has outside.
        let below = group.strip_prefix(hierarchy.root).unwrap_or(Path::new(""));
        let innermost = hierarchy.at.join(below);
        for dir in innermost.ancestors().take_while(|dir| dir.starts_with(hierarchy.at)) {
            let file = dir.join(hierarchy.file);
            // What is not there, or is no number, is no limit.
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Ok(bytes) = text.trim().parse() {
                found.push(MemoryLimit { bytes, of: LimitOf::ControlGroup(file) });
            }
        }
    }
    found
}

/// A mounted tree of control groups that may limit memory.
struct Hierarchy<'a> {
    /// Where it is mounted.
    at: &'a Path,
    /// Which group stands there.
    root: &'a Path,
    /// The file of each group that tells its limit.
    file: &'static str,
    /// What the tree is called among the groups of a process; nothing in version 2.
    controller: &'static str,
}

impl<'a> Hierarchy<'a> {
    /// What a line of `mountinfo` says: `id parent device root point options .. - type source options`.
    fn of_mount(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, at) = (Path::new(mount.next()?), Path::new(mount.next()?));
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        match kind {
            "cgroup2" => Some(Self { at, root, file: "memory.max", controller: "" }),
            "cgroup" if options.split(',').any(|option| option == "memory") => {
                Some(Self { at, root, file: "memory.limit_in_bytes", controller: "memory" })
            }
            _ => None,
        }
    }

    /// The process's group here, when this line of `cgroup` tells it: `number:controllers:path`.
    fn group<'b>(&self, line: &'b str) -> Option<&'b Path> {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_here = controllers.split(',').any(|controller| controller == self.controller);
        is_here.then_some(Path::new(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_machine_s_memory_is_told_in_kibibytes() {
        let told = "MemTotal:        8038352 kB\nMemFree:          123 kB\n";
        assert_eq!(machine_bytes(told), Some(8_038_352 << 10));
        assert_eq!(machine_bytes(""), None);
    }

    /// Limits found in a tree with these files, of a process in this group.
    fn limits(files: &[(&str, &str)], groups: &str, root: &str, system: &str) -> Vec<u64> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mount = format!("36 35 0:30 {root} {} rw,nosuid - {system}\n", dir.path().display());
        let other = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        group_limits(groups, &format!("{other}{mount}")).iter().map(|limit| limit.bytes).collect()
    }

    #[test]
    fn a_group_s_limit_and_those_around_it_are_found_in_version_2() {
        let files = [
            ("memory.max", "max\n"),
            ("pod/memory.max", "536870912\n"),
            ("pod/own/memory.max", "268435456\n"),
            ("pod/other/memory.max", "1\n"),
        ];
        let found = limits(&files, "0::/pod/own\n", "/", "cgroup2 cgroup2 rw");
        assert_eq!(found, [256 * MIB, 512 * MIB]);
        // As a container sees it: in a namespace of its own, or by the path that it has outside.
        let files = [("memory.max", "268435456\n")];
        for (group, root) in [("0::/\n", "/"), ("0::/pod/own\n", "/pod/own"), ("0::/a/b\n", "/c")] {
            assert_eq!(limits(&files, group, root, "cgroup2 cgroup rw"), [256 * MIB], "{group}");
        }
    }

    #[test]
    fn a_group_s_limit_is_found_in_version_1_in_the_tree_of_memory_alone() {
        let files = [
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("docker/x/memory.limit_in_bytes", "134217728\n"),
        ];
        let groups = "5:cpu,cpuacct:/cpu\n4:memory:/docker/x\n0::/\n";
        let found = limits(&files, groups, "/", "cgroup cgroup rw,memory");
        assert_eq!(found, [128 * MIB, 9_223_372_036_854_771_712]);
        assert!(limits(&files, groups, "/", "cgroup cgroup rw,cpu").is_empty());
    }

    #[test]
    fn what_limits_nothing_is_no_limit() {
        assert!(group_limits("", "").is_empty());
        assert!(limits(&[], "0::/\n", "/", "cgroup2 cgroup2 rw").is_empty());
        assert!(limits(&[("memory.max", "max")], "0::/\n", "/", "cgroup2 x rw").is_empty());
        assert!(group_limits("nonsense", "nonsense\n - \n1 2 3").is_empty());
    }
}
