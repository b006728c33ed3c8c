//! Ten times more than a server can do: what it can do goes on nearly undiminished, everything else
//! is refused quickly and says when to come back, no acknowledged write is lost, and health answers.
//! The capacity is fixed by permits for calls and a guest that takes 10 ms, not by the processor.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use larder_tests::{Larder, Options, guest_file};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::exchange::{Answer, Exchange, at_quantile, now, request};
use crate::op::{Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};
use crate::writers::Crew;

/// Calls at once; each takes 10 ms.
const CALLS: usize = 8;
const PERIODS_PER_S: f64 = 100.0;
/// How much more is asked than can be done.
const TIMES: f64 = 10.0;
/// More than run, wait and are being refused at any time.
const CONNECTIONS: usize = 256;
const TICK: Duration = Duration::from_millis(1);
const WRITERS: usize = 8;
const KEYS: usize = 4;
/// What a writer waits after each answer, so that writes are a small part of the load.
const WRITER_PAUSE: Duration = Duration::from_millis(50);
const PROBE_PAUSE: Duration = Duration::from_millis(50);
const PROBES: [&str; 3] = ["/livez", "/readyz", "/api/v1.health.ping"];

/// What is promised.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The least share of the peak that is done under overload.
    pub goodput: f64,
    /// How long 999 of 1000 refusals may take.
    pub refusal_p999: Duration,
    /// How long an answer about health may take.
    pub health: Duration,
}

/// What docs/security.md says, for machines that do nothing else.
pub const PROMISE: Promise = Promise {
    goodput: 0.9,
    refusal_p999: Duration::from_millis(50),
    health: Duration::from_millis(250),
};

/// The load: how long, and what is called.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The peak is measured for so long.
    pub peak_time: Duration,
    /// And the overload lasts so long.
    pub time: Duration,
    /// What is called at the peak.
    pub path: &'static str,
    /// What is called under overload: the same, unless something is planted.
    pub overload_path: &'static str,
}

/// The trial.
pub struct Overload;

impl Trial for Overload {
    fn name(&self) -> &'static str {
        "overload"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("seconds of overload", 1200)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let (path, time) = ("/test/nap?10", Duration::from_secs(120));
        let load = Load { peak_time: time / 4, time, path, overload_path: path };
        let seen = overload(seed, &load, tally, &|http| http)?;
        tally.add("seconds of overload", time.as_secs());
        println!("{}", seen.told());
        seen.judge(&PROMISE)
    }
}

/// What was seen of a server under overload.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Calls a second, with as many callers as there are permits, beside writers.
    pub peak_per_s: f64,
    /// Calls a second under overload, beside the same writers.
    pub goodput_per_s: f64,
    /// What was offered a second.
    pub offered_per_s: f64,
    refusals: Vec<Duration>,
    health: Vec<Duration>,
    wrong: Vec<String>,
}

impl Seen {
    /// Whether what was promised held.
    ///
    /// # Errors
    /// All that did not.
    pub fn judge(mut self, promise: &Promise) -> Result<(), String> {
        let share = self.goodput_per_s / self.peak_per_s;
        if share < promise.goodput {
            self.wrong.push(format!("the goodput is {share:.2} of the peak"));
        }
        if self.offered_per_s < 0.8 * TIMES * CALLS as f64 * PERIODS_PER_S {
            self.wrong.push(format!("only {:.0} calls a second were asked", self.offered_per_s));
        }
        let p999 = at_quantile(&mut self.refusals, 0.999);
        if self.refusals.is_empty() || p999 > promise.refusal_p999 {
            let count = self.refusals.len();
            self.wrong.push(format!("one in a thousand of {count} refusals took {p999:?} or more"));
        }
        let slowest = self.health.iter().max().copied().unwrap_or(Duration::MAX);
        if slowest > promise.health {
            self.wrong.push(format!("health took {slowest:?}"));
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(self.wrong.join("; ")) }
    }

    /// The figures, for people.
    pub fn told(&self) -> String {
        let (mut refusals, mut health) = (self.refusals.clone(), self.health.clone());
        let of = |times: &mut [Duration]| {
            let at = |quantile| at_quantile(&mut times.to_vec(), quantile);
            format!(
                "{:?} p50, {:?} p99, {:?} p99.9, {:?} at most",
                at(0.5),
                at(0.99),
                at(0.999),
                at(1.0)
            )
        };
        format!(
            "peak {:.0}/s, offered {:.0}/s, goodput {:.0}/s ({:.2}); {} refusals in {}; {} answers about health in {}",
            self.peak_per_s,
            self.offered_per_s,
            self.goodput_per_s,
            self.goodput_per_s / self.peak_per_s,
            refusals.len(),
            of(&mut refusals),
            health.len(),
            of(&mut health)
        )
    }

    fn wrong(&mut self, what: String) {
        // The first ones tell why.
        if self.wrong.len() < 5 {
            self.wrong.push(what);
        }
    }
}

/// Measures a server's peak, overloads it, and verifies what it acknowledged, through `lie`.
///
/// # Errors
/// A lost write, or a load that could not be made.
pub fn overload<S: Store + Send>(
    seed: u64,
    load: &Load,
    tally: &mut Tally,
    lie: &(dyn Fn(Http) -> S + Sync),
) -> Result<Seen, String> {
    let component = guest_file("larder_test_guest");
    let larder = Larder::start_with(Options::config(format!(
        "calls_max = {CALLS}\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\n"
    )));
    let address = larder.address();
    let mut crew = Crew::new("o", WRITERS, KEYS, &mut Rng::with_seed(seed));
    let store = || Patient(lie(Http::new(address)));
    let mut under = |path, pace, time| {
        let mut written = Tally::default();
        let seen = crew.write(store, &mut written, || loaded(address, path, pace, time))?;
        tally.merge(&written);
        seen
    };
    let peak_per_s = under(load.path, Pace::Closed, load.peak_time)?.goodput_per_s;
    let over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let health = scope.spawn(|| probe(address, &over));
        let rate = Pace::Rate(TIMES * CALLS as f64 * PERIODS_PER_S);
        let seen = under(load.overload_path, rate, load.time);
        over.store(true, Ordering::Release);
        let (health, failed) = health.join().map_err(|_| "a thread panicked".to_owned())?;
        let mut seen = Seen { peak_per_s, health, ..seen? };
        failed.into_iter().for_each(|what| seen.wrong(what));
        Ok::<_, String>(seen)
    })?;
    tally.add("refusals of calls", seen.refusals.len() as u64);
    tally.add("answers about health", seen.health.len() as u64);
    crew.verify(&mut Http::new(address))?;
    Ok(seen)
}

/// A writer that waits a little.
struct Patient<S>(S);

impl<S: Store> Store for Patient<S> {
    fn call(&mut self, key: &str, op: &Op) -> Outcome {
        let outcome = self.0.call(key, op);
        thread::sleep(WRITER_PAUSE);
        outcome
    }
}

#[derive(Clone, Copy)]
enum Pace {
    /// As many at a time as there are permits.
    Closed,
    /// So many a second.
    Rate(f64),
}

/// What callers are to do next, and what they have seen.
#[derive(Default)]
struct Shared {
    due: Mutex<VecDeque<()>>,
    arrived: Notify,
    over: AtomicBool,
    seen: Mutex<Seen>,
    good: std::sync::atomic::AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls a path at a pace, for a time.
fn loaded(address: SocketAddr, path: &str, pace: Pace, time: Duration) -> Result<Seen, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let shared = Arc::new(Shared::default());
        let call: Arc<[u8]> = request("GET", path, "").into();
        let connections = if matches!(pace, Pace::Closed) { CALLS } else { CONNECTIONS };
        let mut callers = JoinSet::new();
        for _ in 0..connections {
            let exchange = Exchange::open(address).await.map_err(|error| error.to_string())?;
            let (shared, call) = (Arc::clone(&shared), Arc::clone(&call));
            callers.spawn(caller(exchange, call, matches!(pace, Pace::Closed), shared));
        }
        let begun = now();
        let asked = match pace {
            Pace::Closed => {
                tokio::time::sleep(time).await;
                0
            }
            Pace::Rate(per_s) => arrive(per_s, time, &shared).await,
        };
        shared.over.store(true, Ordering::Release);
        shared.arrived.notify_waiters();
        let took = begun.elapsed().as_secs_f64();
        let good = shared.good.load(Ordering::Acquire);
        // What was never sent was not offered.
        let unsent = locked(&shared.due).len();
        while callers.join_next().await.is_some() {}
        let mut seen = std::mem::take(&mut *locked(&shared.seen));
        seen.goodput_per_s = good as f64 / took;
        seen.offered_per_s = (asked - unsent.min(asked)) as f64 / took;
        Ok(seen)
    })
}

/// Has calls become due, tick by tick; says how many.
async fn arrive(per_s: f64, time: Duration, shared: &Shared) -> usize {
    let begun = now();
    let mut ticks = tokio::time::interval(TICK);
    let mut asked = 0;
    while begun.elapsed() < time {
        ticks.tick().await;
        while (asked as f64) < begun.elapsed().as_secs_f64() * per_s {
            asked += 1;
            locked(&shared.due).push_back(());
            shared.arrived.notify_one();
        }
    }
    asked
}

async fn caller(mut exchange: Exchange, call: Arc<[u8]>, closed: bool, shared: Arc<Shared>) {
    while !shared.over.load(Ordering::Acquire) {
        if !closed && locked(&shared.due).pop_front().is_none() {
            shared.arrived.notified().await;
            continue;
        }
        match exchange.send(&call).await {
            Ok(answer) => count(&answer, &shared),
            Err(error) => return locked(&shared.seen).wrong(format!("no answer: {error}")),
        }
    }
}

fn count(answer: &Answer, shared: &Shared) {
    match answer.status {
        200 => {
            shared.good.fetch_add(1, Ordering::AcqRel);
        }
        503 if answer.retry_after => locked(&shared.seen).refusals.push(answer.took),
        status => {
            let body = String::from_utf8_lossy(&answer.body);
            locked(&shared.seen).wrong(format!("a call was answered {status}: {body}"));
        }
    }
}

/// Asks about health until it is over: how long each answer took, and what was wrong with them.
fn probe(address: SocketAddr, over: &AtomicBool) -> (Vec<Duration>, Vec<String>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let (mut times, mut wrong) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut exchange = None;
        while !over.load(Ordering::Acquire) {
            for path in PROBES {
                let sent = async {
                    let mut kept = match exchange.take() {
                        Some(exchange) => exchange,
                        None => Exchange::open(address).await?,
                    };
                    let answer = kept.send(&request("GET", path, "")).await?;
                    exchange = Some(kept);
                    std::io::Result::Ok(answer)
                };
                match sent.await {
                    Ok(answer) if answer.status == 200 => times.push(answer.took),
                    Ok(answer) => wrong.push(format!("{path} was answered {}", answer.status)),
                    Err(error) => wrong.push(format!("{path} was not answered: {error}")),
                }
            }
            tokio::time::sleep(PROBE_PAUSE).await;
        }
    });
    (times, wrong)
}
