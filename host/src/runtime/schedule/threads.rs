//! Threads for strangers' guests, beside each worker's. What holds a thread, in one instruction that
//! fills memory or while the host copies an answer, cannot be interrupted by us, but it can by the
//! system: these threads have a lower priority, so that workers serve on meanwhile. Knows neither
//! what a call holds nor who waits for it.

use std::any::Any;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::clock::timeout::within;
use crate::process::allocator;
use crate::runtime::Guest;
use crate::runtime::call::pool::Pool;
use crate::runtime::call::response::{Answer, CallError};
use crate::runtime::imports::requests::Request;

/// How much threads of low priority give way: where both want all of a core, workers get three
/// quarters of it.
#[cfg(target_os = "linux")]
const LOW_NICE: i32 = 5;

/// How long a thread has nothing new to do before it gives memory back.
const REST: Duration = Duration::from_secs(1);

/// Whose processor time a guest's calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// They run on the worker's own thread, between its other work.
    Usual,
    /// They run beside it, and get the smaller part where both want more than there is.
    Low,
    /// They run beside it, on time that nothing else on the machine asks for.
    Idle,
}

/// The pools of instances of a worker: its own, and one for each thread beside it.
pub fn pools_a_worker(guests: &[Arc<Guest>]) -> usize {
    let beside = |priority| guests.iter().any(|guest| guest.priority == priority);
    1 + usize::from(beside(Priority::Low)) + usize::from(beside(Priority::Idle))
}

/// What a call holds of the server for as long as it runs.
pub type Held = Box<dyn Any + Send>;

/// The threads beside one worker.
#[derive(Default)]
pub struct Aside {
    low: Option<Thread>,
    idle: Option<Thread>,
}

impl Aside {
    /// Starts the threads that `guests` need, each with a pool that `pool` makes on it. Without a
    /// thread that could not be started its guests' calls fail.
    pub fn start(guests: &[Arc<Guest>], pool: impl Fn() -> Pool + Clone + Send + 'static) -> Self {
        let start = |priority| {
            guests.iter().any(|guest| guest.priority == priority).then_some(())?;
            let thread = Thread::start(priority, pool.clone());
            thread.inspect_err(|error| tracing::error!(%error, "no thread for guests")).ok()
        };
        Self { low: start(Priority::Low), idle: start(Priority::Idle) }
    }

    /// Has `guest` answer one request over there. What is `held` is let go when the call has ended,
    /// which may be a little after its caller has gone away.
    pub async fn call(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        held: Held,
    ) -> Result<Answer, CallError> {
        let thread = match guest.priority {
            Priority::Idle => &self.idle,
            Priority::Low | Priority::Usual => &self.low,
        };
        let lost = || CallError::Trap("there is no thread to run it".to_owned());
        let calls = thread.as_ref().and_then(|thread| thread.calls.as_ref()).ok_or_else(lost)?;
        let (answer, answered) = oneshot::channel();
        let call = Call { guest: Arc::clone(guest), request, held, answer };
        calls.send(call).map_err(|_| lost())?;
        answered.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// One thread, which ends with this.
struct Thread {
    /// As many wait as there are permits for calls. None when it is to end.
    calls: Option<mpsc::UnboundedSender<Call>>,
    thread: Option<JoinHandle<()>>,
}

struct Call {
    guest: Arc<Guest>,
    request: Request,
    held: Held,
    answer: oneshot::Sender<Result<Answer, CallError>>,
}

impl Thread {
    fn start(priority: Priority, pool: impl FnOnce() -> Pool + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (calls, mut arriving) = mpsc::unbounded_channel();
        let work = move || {
            if let Err(error) = give_way(priority) {
                tracing::warn!(%error, ?priority, "guests run at the priority of workers");
            }
            LocalSet::new().block_on(&runtime, async {
                let pool = Rc::new(pool());
                while let Some(call) = next(&mut arriving).await {
                    let pool = Rc::clone(&pool);
                    tokio::task::spawn_local(async move { run(&pool, call).await });
                }
            });
        };
        let thread = thread::Builder::new().name("larder-guests".to_owned()).spawn(work)?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of guests had panicked");
        }
    }
}

/// The next call, or None when there will be none. Memory is given back when it is long in coming.
async fn next(arriving: &mut mpsc::UnboundedReceiver<Call>) -> Option<Call> {
    if let Some(next) = within(REST, arriving.recv()).await {
        return next;
    }
    allocator::give_back();
    arriving.recv().await
}

/// Runs a call until it ends, or its caller has gone away.
async fn run(pool: &Pool, call: Call) {
    let Call { guest, request, held, mut answer } = call;
    let answered = tokio::select! {
        biased;
        () = answer.closed() => None,
        answered = pool.call(&guest, request) => Some(answered),
    };
    // Before anybody can know that the call has ended.
    drop(held);
    if let Some(answered) = answered {
        // Whoever has gone away just now wants none.
        let _ = answer.send(answered);
    }
}

/// Gives this thread, and no other, the place in the system's scheduler that guests of a priority have.
///
/// # Errors
/// What the system answers.
#[cfg(target_os = "linux")]
pub fn give_way(priority: Priority) -> io::Result<()> {
    match priority {
        Priority::Usual => Ok(()),
        Priority::Low => Ok(rustix::process::nice(LOW_NICE).map(drop)?),
        Priority::Idle => idle(),
    }
}

/// Elsewhere there is no such thing for a thread.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn give_way(_: Priority) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a call of the system that no safe function stands for")]
fn idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters live until the call returns.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
