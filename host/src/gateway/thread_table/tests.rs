//! Tables that are swapped under requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::{Method, StatusCode};

use super::*;
use crate::auth::access::Grants;
use crate::clock::Clock;
use crate::gateway::origins::Origins;
use crate::gateway::routes::{Auth, RouteConfig};
use crate::runtime::{Compiler, EngineOptions, Guest, GuestConfig, Limits, Priority, Runtime};
use crate::server::BUILTIN_API;
use crate::storage::{Options, Storage};

/// Guests of these names; the program's own have one that begins with `own`.
fn guests(dir: &tempfile::TempDir, names: &[&str]) -> Vec<Arc<Guest>> {
    let clock = Clock::system();
    let storage =
        Storage::open(&dir.path().join("data"), Options::default(), clock.clone()).unwrap();
    let options = EngineOptions {
        calls_max: 4,
        workers: 1,
        memory_bytes_max: 64 << 20,
        guests_bytes_max: 64 << 20,
    };
    let config = |name: &&str| GuestConfig {
        name: (*name).to_owned(),
        prefix: "/".to_owned(),
        component: BUILTIN_API.into(),
        trusted: name.starts_with("own"),
        compiler: Compiler::Here,
        grants: Grants::default(),
        limits: Limits::default(),
        priority: Priority::Usual,
    };
    let configs = names.iter().map(config).collect();
    let cache = dir.path().join("cache");
    let runtime = Runtime::load(&options, &cache, configs, storage, clock).unwrap();
    runtime.guests().to_vec()
}

fn route(
    guest: &Arc<Guest>,
    prefix: &str,
    operations: &[&str],
    metrics: &HttpMetrics,
) -> Arc<Route> {
    let config = RouteConfig {
        prefix: prefix.to_owned(),
        auth: Auth::None,
        health: Vec::new(),
        operations: operations.iter().map(|path| (*path).to_owned()).collect(),
        calls_max: None,
        cors_origins: Origins::default(),
        guest: Arc::clone(guest),
    };
    Arc::new(Route::new(config, metrics))
}

/// Requests that were counted for each mount and operation.
fn counted(metrics: &HttpMetrics) -> Vec<(String, String, u64)> {
    let mounts = metrics.mounts();
    let all = mounts.iter().flat_map(|mount| {
        let operations = mount.operations().into_iter();
        operations.map(|operation| {
            let threads = operation.threads.all();
            let answers = threads.iter().flat_map(|counts| counts.answers.iter().flatten());
            let count = answers.map(crate::metrics::Counter::get).sum();
            (mount.guest.clone(), operation.name.clone(), count)
        })
    });
    all.collect()
}

fn is(counted: &[(String, String, u64)], expected: &[(&str, &str, u64)]) {
    let counted: Vec<_> = counted.iter().map(|(guest, name, n)| (&**guest, &**name, *n)).collect();
    assert_eq!(counted, expected);
}

#[test]
fn routes_come_and_go_and_each_request_ends_on_the_table_it_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, replaced] =
        <[_; 3]>::try_from(guests(&dir, &["a", "b", "a"])).ok().unwrap();
    let (routes, metrics, clock) = (Routes::default(), HttpMetrics::new(&[]), Clock::system());
    let cached = CachedTable::new(&routes, &metrics);
    let take = || cached.take(&routes, &metrics);
    let empty = take();
    assert!(empty.find("/a").is_none());
    // One is added, and another.
    routes.replace(|_| vec![route(&first, "/a", &["/a/x"], &metrics)]);
    let single = take();
    assert!(single.find("/a/x").is_some_and(|found| found.party.is_none()));
    assert!(empty.find("/a/x").is_none() && single.find("/ab").is_none());
    assert!(Rc::ptr_eq(&single, &take()));
    let old = single.find("/a/x").unwrap();
    let begun = old.counters.begin(&clock, &Method::GET, "/a/x");
    routes.replace(|known| [known, &[route(&second, "/a/b", &[], &metrics)]].concat());
    let both = take();
    let found = |path| both.find(path).map(|found| found.route.guest.name().to_owned());
    assert_eq!((found("/a/x").as_deref(), found("/a/b/x").as_deref()), (Some("a"), Some("b")));
    assert_eq!((found("/livez"), found("*")), (None, None));
    assert!(Arc::ptr_eq(&both.find("/a").unwrap().route, &old.route));
    assert_eq!(both.find("/a").unwrap().party, Some(Party::Mount(old.route.metrics.id)));
    // The first is replaced, with another operation; the second is removed.
    routes.replace(|_| vec![route(&replaced, "/a", &["/a/y"], &metrics)]);
    let last = take();
    let new = last.find("/a/b/x").unwrap();
    assert!(Arc::ptr_eq(&new.route.guest, &replaced) && Arc::ptr_eq(&old.route.guest, &first));
    assert_eq!(new.route.metrics.id, old.route.metrics.id);
    for path in ["/a/x", "/a/y"] {
        new.counters.begin(&clock, &Method::GET, path).end(StatusCode::OK);
    }
    both.find("/a/b").unwrap().counters.begin(&clock, &Method::GET, "/a/b").end(StatusCode::OK);
    begun.end(StatusCode::OK);
    is(
        &counted(&metrics),
        &[("a", "/a/x", 1), ("a", "/a/y", 1), ("a", "other", 1), ("b", "other", 1)],
    );
    // Once its last request has ended nothing refers to what was replaced, but to its counters.
    drop((single, both));
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
    assert_eq!(metrics.mounts().len(), 2);
}

#[test]
fn mounts_that_are_all_the_program_s_own_are_no_parties_to_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let guests = guests(&dir, &["own-a", "own-b", "c"]);
    let (routes, metrics) = (Routes::default(), HttpMetrics::new(&[]));
    let cached = CachedTable::new(&routes, &metrics);
    let parties = |count: usize| {
        let mounts = guests.iter().zip(["/a", "/b", "/c"]).take(count);
        let mounts = mounts.map(|(guest, prefix)| route(guest, prefix, &[], &metrics)).collect();
        routes.replace(|_| mounts);
        let table = cached.take(&routes, &metrics);
        ["/a", "/b", "/c"].map(|path| table.find(path).and_then(|found| found.party.clone()))
    };
    assert_eq!(parties(2), [None, None, None]);
    assert_eq!(parties(3), [1, 2, 3].map(|id| Some(Party::Mount(id))));
}

#[test]
fn no_request_is_lost_or_counted_twice_while_tables_are_swapped() {
    const REQUESTS: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let guests = guests(&dir, &["a", "b"]);
    let (routes, metrics, clock) = (Routes::default(), HttpMetrics::new(&[]), Clock::system());
    let make = |operations: &[&str]| route(&guests[0], "/a", operations, &metrics);
    routes.replace(|_| vec![make(&[])]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = || {
            let cached = CachedTable::new(&routes, &metrics);
            for _ in 0..REQUESTS {
                let table = cached.take(&routes, &metrics);
                let counting =
                    table.find("/a/x").unwrap().counters.begin(&clock, &Method::GET, "/a/x");
                thread::yield_now();
                counting.end(StatusCode::OK);
            }
        };
        scope.spawn(|| {
            for turn in 0.. {
                let operations: &[&str] = if turn % 2 == 0 { &["/a/x"] } else { &["/a/z"] };
                let second = (turn % 3 == 0).then(|| route(&guests[1], "/b", &[], &metrics));
                routes.replace(|_| [make(operations)].into_iter().chain(second).collect());
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                thread::yield_now();
            }
        });
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
    let all = counted(&metrics).iter().map(|(.., count)| count).sum::<u64>();
    assert_eq!(all, 2 * REQUESTS);
    // As many counters as threads and names, however often tables were swapped.
    let of_a = &metrics.mounts()[0];
    assert!(of_a.operations().iter().all(|operation| operation.threads.all().len() <= 2));
}
