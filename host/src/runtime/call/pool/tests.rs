//! Calls in a pool of instances, without HTTP around them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Barrier;
use std::thread;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::*;
use crate::auth::access::{Caller, Grants};
use crate::runtime::call::request::{Body, Head};
use crate::runtime::guest::GuestConfig;
use crate::runtime::guest_memory::Charge;
use crate::runtime::limits::Limits;
use crate::runtime::load::compiler::Compiler;
use crate::runtime::schedule::threads::Priority;
use crate::runtime::{EngineOptions, Runtime};
use crate::server::BUILTIN_API;
use crate::storage::Options;

/// Enough for many ticks, wherever the threads run.
const CALLS: u32 = 3000;

/// The built-in API, and what a worker of it has.
struct Fixture {
    runtime: Runtime,
    pool: Pool,
    threads: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let data = dir.path().join("data");
        let storage = Storage::open(&data, Options::default(), clock.clone()).unwrap();
        let options = EngineOptions {
            calls_max: 4,
            workers: 1,
            memory_bytes_max: 64 << 20,
            guests_bytes_max: 64 << 20,
        };
        let guest = GuestConfig {
            name: "api".to_owned(),
            prefix: "/".to_owned(),
            component: BUILTIN_API.into(),
            trusted: true,
            compiler: Compiler::Here,
            grants: Grants::default(),
            limits: Limits { instance_calls_max: u32::MAX, ..Limits::default() },
            priority: Priority::Usual,
        };
        let cache = dir.path().join("cache");
        let runtime =
            Runtime::load(&options, &cache, vec![guest], storage.clone(), clock.clone()).unwrap();
        let pool = Pool::new(runtime.idle_max, storage, clock);
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, pool, threads, _dir: dir }
    }

    fn guest(&self) -> &Arc<Guest> {
        &self.runtime.guests()[0]
    }

    /// The status that a path which is not there is answered with, on the lane that the encoding has.
    fn call(&self, content_type: &'static str) -> Result<u16, CallError> {
        let content_type = (CONTENT_TYPE, HeaderValue::from_static(content_type));
        let head = Head {
            method: http::Method::POST,
            uri: "/nowhere".parse().unwrap(),
            headers: HeaderMap::from_iter([content_type]),
        };
        let body = Body::Complete(Bytes::new());
        let request = Request { head: Arc::new(head), caller: Caller::Anonymous, body };
        let answered = self.threads.block_on(self.pool.call(self.guest(), request));
        answered.map(|answer| answer.status.as_u16())
    }

    fn idle_calls(&self) -> Vec<u32> {
        let own = self.pool.of_guest(self.guest());
        own.idle.borrow().iter().map(|instance| instance.calls).collect()
    }
}

const DIRECT: &str = "application/msgpack";
const FIBER: &str = "application/json";

#[test]
fn idle_instances_go_when_there_is_no_room_for_one_that_is_wanted() {
    let fixture = Fixture::new();
    let (pool, memory) = (&fixture.pool, fixture.runtime.memory());
    assert_eq!(fixture.call(DIRECT).unwrap(), 404);
    let of_idle = memory.used_bytes();
    assert_eq!(pool.idle_bytes.get(), of_idle);
    // The idle one serves on, whatever others take.
    let room = memory.bytes_max() - of_idle;
    let others = Charge::new(memory, room).unwrap();
    assert_eq!(fixture.call(DIRECT).unwrap(), 404);
    // A fiber's stack is more than there is: the idle one is taken for it, and is lost.
    assert!(matches!(fixture.call(FIBER), Err(CallError::NoRoom { has_written: false })));
    assert_eq!((pool.idle_bytes.get(), memory.used_bytes()), (0, room));
    drop(others);
    assert_eq!(fixture.call(DIRECT).unwrap(), 404);
    // Two instances are idle, and one wants more than is left beside them.
    let second = pool.instantiate(&pool.of_guest(fixture.guest()), fixture.guest()).unwrap();
    pool.keep(&pool.of_guest(fixture.guest()), fixture.guest(), second);
    assert_eq!(fixture.idle_calls(), [1, 1]);
    let others = Charge::new(memory, room - of_idle).unwrap();
    assert_eq!(fixture.call(FIBER).unwrap(), 404);
    assert_eq!(fixture.idle_calls(), [2]);
    assert_eq!(memory.used_bytes(), room + WASM_STACK_BYTES_MAX);
    let Fixture { runtime, pool, .. } = fixture;
    drop((others, pool));
    assert_eq!(runtime.memory().used_bytes(), 0);
}

#[test]
fn one_instance_serves_both_lanes() {
    let fixture = Fixture::new();
    for (content_type, calls) in [(DIRECT, 1), (FIBER, 2), (DIRECT, 3), (DIRECT, 4), (FIBER, 5)] {
        assert_eq!(fixture.call(content_type).unwrap(), 404);
        assert_eq!(fixture.idle_calls(), [calls]);
    }
    assert_eq!(fixture.guest().instances_made(), 1);
}

#[test]
fn ticks_that_pass_while_a_call_computes_little_do_not_end_it() {
    let fixture = Fixture::new();
    let engine = fixture.guest().linked.engine();
    let (ticks, begun) = (fixture.guest().direct_ticks, Barrier::new(2));
    let answers: Vec<_> = thread::scope(|scope| {
        // As many as pass while a thread has lost its core for its call's time, but for one.
        scope.spawn(|| {
            begun.wait();
            (1..ticks).for_each(|_| engine.increment_epoch());
        });
        begun.wait();
        (0..CALLS).map(|_| fixture.call(DIRECT)).collect()
    });
    assert!(answers.into_iter().all(|answer| answer.unwrap() == 404));
    assert_eq!(fixture.idle_calls(), [CALLS]);
}
