//! Calls in a pool of instances, without HTTP around them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;

use super::*;
use crate::auth::access::{Caller, Grants};
use crate::runtime::guest_memory::Charge;
use crate::runtime::{Body, Compiler, EngineOptions, GuestConfig, Head, Limits, Priority, Runtime};
use crate::server::BUILTIN_API;
use crate::storage::{Options, Storage};

/// Enough for many ticks, wherever the threads run.
const CALLS: u32 = 3000;

fn runtime(dir: &tempfile::TempDir) -> Runtime {
    let storage =
        Storage::open(&dir.path().join("data"), Options::default(), Clock::system()).unwrap();
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
        compiler: Compiler::Here,
        grants: Grants::default(),
        limits: Limits { instance_calls_max: u32::MAX, ..Limits::default() },
        priority: Priority::Usual,
    };
    Runtime::load(&options, &dir.path().join("cache"), vec![guest], storage).unwrap()
}

/// One for a path of its own: what was learnt of another does not count for it.
fn request(number: usize) -> Request {
    let head = Head {
        method: http::Method::GET,
        uri: format!("/{number}").parse().unwrap(),
        headers: http::HeaderMap::new(),
    };
    let body = Body::Complete(Bytes::new());
    Request { head: Arc::new(head), caller: Caller::Anonymous, body }
}

#[test]
fn idle_instances_go_when_there_is_no_room_for_one_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime(&dir);
    let (pool, guest) = (runtime.pool(), &runtime.guests()[0]);
    let memory = runtime.memory();
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let call = |number| threads.block_on(pool.call(guest, request(number)));
    assert_eq!(call(1).unwrap().status, 404);
    let of_idle = memory.used_bytes();
    assert_eq!(pool.idle_bytes.get(), of_idle);
    // The idle one serves on, whatever others take.
    let room = memory.bytes_max() - of_idle;
    let others = Charge::new(memory, room).unwrap();
    assert_eq!(call(1).unwrap().status, 404);
    // In the other lane there is none, and one takes more than this one leaves.
    let avoid = |number: usize| pool.idle[0].avoided[0].insert(&format!("/{number}"));
    avoid(2);
    assert!(matches!(call(2), Err(CallError::NoRoom { has_written: false })));
    assert_eq!((pool.idle_bytes.get(), memory.used_bytes()), (0, room));
    drop(others);
    assert_eq!(call(1).unwrap().status, 404);
    let others = Charge::new(memory, room - WASM_STACK_BYTES_MAX).unwrap();
    assert_eq!(call(2).unwrap().status, 404);
    let idle = &pool.idle[0];
    assert_eq!((idle.express.borrow().len(), idle.usual.borrow().len()), (0, 1));
    drop((others, pool));
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn ticks_that_pass_while_a_call_computes_little_do_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime(&dir);
    let (pool, guest) = (runtime.pool(), &runtime.guests()[0]);
    let engine = guest.usual.engine();
    let (begun, stopped) = (Barrier::new(2), AtomicBool::new(false));
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers: Vec<_> = thread::scope(|scope| {
        // As many in a call as if its thread had lost its core.
        scope.spawn(|| {
            begun.wait();
            while !stopped.load(Ordering::Relaxed) {
                engine.increment_epoch();
            }
        });
        begun.wait();
        let call = |number| threads.block_on(pool.call(guest, request(number)));
        let answers = (0..CALLS as usize).map(call).collect();
        stopped.store(true, Ordering::Relaxed);
        answers
    });
    assert!(answers.into_iter().all(|answer| answer.unwrap().status == 404));
    // The first may compute longer, as may one or the other where the processor is slow.
    let calls = pool.idle[0].express.borrow().last().map(|instance| instance.calls);
    assert!(calls > Some(CALLS / 2), "{calls:?} of {CALLS} calls ended where they began");
}
