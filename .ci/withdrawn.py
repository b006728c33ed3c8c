#!/usr/bin/env python3
"""Tells which crates of Cargo.lock were withdrawn ("yanked") from crates.io.

Cargo brings its copy of the registry's index up to date; this reads the copy. A version that the
copy does not know fails the check too, so that nothing passes because nothing was looked at.
"""

import json
import os
import pathlib
import subprocess
import sys
import tomllib

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def index_path(name):
    """Where the index keeps a crate, as the Cargo book lays it down."""
    name = name.lower()
    match len(name):
        case 1 | 2:
            return f"{len(name)}/{name}"
        case 3:
            return f"3/{name[0]}/{name}"
    return f"{name[:2]}/{name[2:4]}/{name}"


def versions(cache, name):
    """The crate's versions and whether each was withdrawn: after a head, records that end with 0."""
    for copy in cache.glob(f"index.crates.io-*/.cache/{index_path(name)}"):
        for record in copy.read_bytes().split(b"\0"):
            if record.startswith(b"{"):
                entry = json.loads(record)
                yield entry["vers"], entry.get("yanked", False)


def main(lock):
    cargo = os.environ.get("CARGO", "cargo")
    subprocess.run([cargo, "update", "--dry-run", "--locked", "--quiet"], check=True)
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    packages = tomllib.loads(pathlib.Path(lock).read_text())["package"]
    packages = [package for package in packages if package.get("source") == REGISTRY]
    faults = []
    for package in packages:
        known = dict(versions(home / "registry/index", package["name"]))
        withdrawn = known.get(package["version"])
        if withdrawn is not False:
            what = "was withdrawn" if withdrawn else "is not in the index"
            faults.append(f"{package['name']} {package['version']} {what}")
    print(f"withdrawn: {len(packages)} crates looked at, {len(faults)} faults")
    return "\n".join(faults) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "Cargo.lock"))
