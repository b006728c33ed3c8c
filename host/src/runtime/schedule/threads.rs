//! Threads for strangers' guests, beside each worker's. What holds a thread, in one instruction that
//! fills memory or while the host copies an answer, cannot be interrupted by us, but it can by the
//! system: these threads have a lower priority, so that workers serve on meanwhile. Knows neither calls
//! nor guests.

use std::cell::OnceCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::clock::timeout::within;
use crate::process::allocator;

/// How much threads of low priority give way: where both want all of a core, workers get three
/// quarters of it.
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

/// What runs calls on such a thread. It is made there, and never leaves it.
pub trait Runner: 'static {
    /// A call, on its way to the thread.
    type Call: Send + 'static;

    /// Runs a call until it ends.
    fn run(self: Rc<Self>, call: Self::Call) -> impl Future<Output = ()> + 'static;
}

/// The threads beside one worker, each of which begins with the first call for it.
pub struct Threads<R: Runner> {
    make: Arc<dyn Fn() -> R + Send + Sync>,
    low: OnceCell<Option<Thread<R::Call>>>,
    idle: OnceCell<Option<Thread<R::Call>>>,
}

impl<R: Runner> Threads<R> {
    /// None yet; `make` makes what runs on each.
    pub fn new(make: impl Fn() -> R + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), low: OnceCell::new(), idle: OnceCell::new() }
    }

    /// Sends a call to the thread of this priority; false when there is none, which the log has said.
    pub fn send(&self, priority: Priority, call: R::Call) -> bool {
        let (priority, thread) = match priority {
            Priority::Idle => (Priority::Idle, &self.idle),
            Priority::Low | Priority::Usual => (Priority::Low, &self.low),
        };
        let thread = thread.get_or_init(|| {
            let thread = Thread::start::<R>(priority, Arc::clone(&self.make));
            thread.inspect_err(|error| tracing::error!(%error, "no thread for guests")).ok()
        });
        let calls = thread.as_ref().and_then(|thread| thread.calls.as_ref());
        calls.is_some_and(|calls| calls.send(call).is_ok())
    }
}

/// One thread, which ends with this.
struct Thread<C> {
    /// As many wait as there are permits for calls. None when it is to end.
    calls: Option<mpsc::UnboundedSender<C>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send + 'static> Thread<C> {
    fn start<R: Runner<Call = C>>(
        priority: Priority,
        make: Arc<dyn Fn() -> R + Send + Sync>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (calls, mut arriving) = mpsc::unbounded_channel();
        let work = move || {
            if let Err(error) = give_way(priority) {
                tracing::warn!(%error, ?priority, "guests run at the priority of workers");
            }
            LocalSet::new().block_on(&runtime, async {
                let runner = Rc::new(make());
                while let Some(call) = next(&mut arriving).await {
                    tokio::task::spawn_local(Rc::clone(&runner).run(call));
                }
            });
        };
        let thread = thread::Builder::new().name("larder-guests".to_owned()).spawn(work)?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }
}

impl<C> Drop for Thread<C> {
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
async fn next<C>(arriving: &mut mpsc::UnboundedReceiver<C>) -> Option<C> {
    if let Some(next) = within(REST, arriving.recv()).await {
        return next;
    }
    allocator::give_back();
    arriving.recv().await
}

/// Gives this thread, and no other, the place in the system's scheduler that guests of a priority have.
///
/// # Errors
/// What the system answers.
pub fn give_way(priority: Priority) -> io::Result<()> {
    match priority {
        Priority::Usual => Ok(()),
        Priority::Low => Ok(rustix::process::nice(LOW_NICE).map(drop)?),
        Priority::Idle => idle(),
    }
}

#[expect(unsafe_code, reason = "a call of the system that no safe function stands for")]
fn idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters live until the call returns.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
