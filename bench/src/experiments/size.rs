//! Size of the store's file against what is in it, after random and after sorted inserts.

use std::fs;
use std::path::{Path, PathBuf};

use super::bench::Bench;
use crate::failure::Failure;
use crate::load::keys::KEY_BYTES;
use crate::report::results::{Finding, Goal, Spread, number};
use crate::sides::child;
use crate::sides::fill::{Filling, Order};

const KEYS: u32 = 1_000_000;
const VALUE_BYTES: usize = 100;
const THREADS: usize = 64;

/// Fills a store in either order and looks at its file.
pub fn file(bench: &mut Bench) -> Result<(), Failure> {
    let payload = f64::from(KEYS) * (KEY_BYTES + VALUE_BYTES) as f64;
    println!("\nfile with {} keys of 100 B, set one by one", number(KEYS.into()));
    for (order, name, goal) in [
        (Order::Shuffled, "random order", Some(Goal::AtMost(2.0))),
        (Order::Sorted, "key order", None),
    ] {
        let data = fill(bench, order)?;
        let bytes = fs::metadata(data.join("data.mdb"))?.len() as f64;
        println!("  {name:<22} {:>9} MiB", number(bytes / f64::from(1 << 20)));
        let ratio = Spread::of([bytes / payload].into_iter());
        bench.find(Finding::ratio(format!("file : payload, {name}"), ratio, goal));
        if order == Order::Sorted {
            fs::remove_dir_all(data)?;
        }
    }
    Ok(())
}

/// A store of a million keys in random order, made unless it is there.
pub fn million(bench: &Bench) -> Result<PathBuf, Failure> {
    let data = data(&bench.stores(), Order::Shuffled);
    if data.exists() { Ok(data) } else { fill(bench, Order::Shuffled) }
}

fn data(stores: &Path, order: Order) -> PathBuf {
    stores.join(if order == Order::Shuffled { "shuffled" } else { "sorted" })
}

fn fill(bench: &Bench, order: Order) -> Result<PathBuf, Failure> {
    let stores = bench.stores();
    fs::create_dir_all(&stores)?;
    let data = data(&stores, order);
    let filling = Filling {
        keys: KEYS,
        value_bytes: VALUE_BYTES,
        order,
        list: 1,
        threads: THREADS,
        ..Filling::none()
    };
    child::fill(&filling, &bench.plan.dir, &data)?;
    Ok(data)
}
