//! Fills a store: all keys, in an order, in lists, from some threads. Knows no server.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use larder::storage::{self, Behavior, DEFAULT_NAMESPACE, Key, Operation, Storage, Ttl};
use rustix::fs::{Advice, fadvise};

use crate::clock;
use crate::load::keys;

/// Bytes of values in a list, unless its length is given.
const LIST_BYTES: usize = 2 << 20;
const LIST_MAX: usize = 2000;
/// Read at a time, to have a file in the page cache.
const READ_BYTES: usize = 1 << 20;

/// In which order keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// By name.
    #[default]
    Sorted,
    /// One that looks random, the same in every run.
    Shuffled,
}

/// What a store is filled with.
#[derive(Args, Clone, Debug)]
pub struct Filling {
    /// Keys
    #[arg(long, default_value_t = 100_000)]
    pub keys: u32,
    /// Size of each value
    #[arg(long, default_value_t = 1024)]
    pub value_bytes: usize,
    /// Order of the keys
    #[arg(long, value_enum, default_value_t)]
    pub order: Order,
    /// Keys in one list; 0 takes what suits the size
    #[arg(long, default_value_t = 0)]
    pub list: usize,
    /// Threads that write
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Further keys, which nobody asks for and which all expire at once
    #[arg(long, default_value_t = 0)]
    pub expiring: u32,
    /// How long after the filling began they do
    #[arg(long, default_value_t = 0)]
    pub expire_after_ms: u64,
}

impl Filling {
    /// Nothing: what a filling of some keys is completed with.
    #[must_use]
    pub fn none() -> Self {
        let (order, list, threads) = (Order::Sorted, 0, 1);
        Self { keys: 0, value_bytes: 0, order, list, threads, expiring: 0, expire_after_ms: 0 }
    }

    fn list(&self) -> usize {
        let suits = (LIST_BYTES / self.value_bytes.max(1)).clamp(1, LIST_MAX);
        if self.list == 0 { suits } else { self.list }
    }

    fn numbers(&self) -> Vec<u32> {
        match self.order {
            Order::Sorted => (0..self.keys).collect(),
            Order::Shuffled => keys::shuffled(self.keys),
        }
    }

    /// Writes all keys; returns when they are on disk.
    pub fn fill(&self, storage: &Storage) -> Result<(), Box<dyn Error>> {
        let begun_ns = clock::now_ns();
        let value = Bytes::from(vec![b'v'; self.value_bytes]);
        let numbers = self.numbers();
        let lists: Vec<&[u32]> = numbers.chunks(self.list()).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), storage::Error> {
            while let Some(list) = lists.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sets = list.iter().map(|number| set(*number, &value));
                let sets = sets.collect::<Result<Vec<_>, _>>()?;
                storage.submit(DEFAULT_NAMESPACE, sets)?.wait()?;
            }
            Ok(())
        };
        let done: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for result in done {
            result.map_err(|_| "a thread that fills has panicked")??;
        }
        self.fill_expiring(storage, begun_ns)
    }

    fn fill_expiring(&self, storage: &Storage, begun_ns: u64) -> Result<(), Box<dyn Error>> {
        let value = Bytes::from(vec![b'e'; self.value_bytes]);
        let numbers: Vec<u32> = (self.keys..self.keys + self.expiring).collect();
        for list in numbers.chunks(self.list()) {
            let passed_ms = (clock::now_ns() - begun_ns) / 1_000_000;
            let left_ms = self.expire_after_ms.checked_sub(passed_ms).ok_or("it took too long")?;
            let ttl = Some(Ttl::new(left_ms)?);
            let sets = list.iter().map(|number| set_with(*number, &value, ttl));
            let sets = sets.collect::<Result<Vec<_>, _>>()?;
            storage.submit(DEFAULT_NAMESPACE, sets)?.wait()?;
        }
        Ok(())
    }
}

/// A set of one key without conditions.
pub fn set(number: u32, value: &Bytes) -> Result<Operation, storage::Error> {
    set_with(number, value, None)
}

fn set_with(number: u32, value: &Bytes, ttl: Option<Ttl>) -> Result<Operation, storage::Error> {
    let key = Key::new(&keys::name(number))?;
    let (value, behavior) = (value.clone(), Behavior::Upsert);
    Ok(Operation::Set { key, value, expected: None, behavior, ttl })
}

/// Reads a store's file once, so that it is in the page cache, in single pages as far as it was not:
/// the store's own reads have it so, while a program that reads ahead has it in larger pieces.
pub fn read_once(data: &Path) -> std::io::Result<()> {
    let mut file = File::open(data.join("data.mdb"))?;
    fadvise(&file, 0, None, Advice::Random)?;
    let mut buffer = vec![0; READ_BYTES];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}
