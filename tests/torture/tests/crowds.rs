//! The short forms of the trials about clients: too many of them, and rude ones beside good ones; with
//! controls that plant what they look for. Times are judged loosely here, since the machine has other
//! things to do; the long forms judge them as they are promised.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use larder_bench::system::Process;
use larder_tests::{Larder, Options, TOKEN};
use larder_torture::Tally;
use larder_torture::client::Connection;
use larder_torture::clients::{Limits, Server, Siege, besiege};
use larder_torture::guests::memory;
use larder_torture::lies::{Liar, Lie};
use larder_torture::overload::{Load, Promise, Seen, overload};

const NAP: &str = "/test/nap?10";
const LOAD: Load = Load {
    peak_time: Duration::from_secs(2),
    time: Duration::from_secs(4),
    path: NAP,
    overload_path: NAP,
};
/// Far from what is promised, and far from what a server without limits does.
const LOOSELY: Promise = Promise {
    goodput: 0.5,
    refusal_p999: Duration::from_millis(500),
    health: Duration::from_secs(2),
};

/// Tests load the machine, so they run one after the other. Those that must find something wrong mostly wait,
/// whatever else happens: they run once, side by side.
static ALONE: Mutex<()> = Mutex::new(());

type Run<T> = Box<dyn FnOnce() -> T + Send>;

fn side_by_side<T: Send, const N: usize>(runs: [Run<T>; N]) -> [T; N] {
    thread::scope(|scope| runs.map(|run| scope.spawn(run)).map(|thread| thread.join().unwrap()))
}

#[test]
fn ten_times_too_much_is_refused_quickly_and_costs_no_goodput_and_no_write() {
    let _alone = ALONE.lock();
    let mut tally = Tally::default();
    let seen = overload(1, &LOAD, &mut tally, &|http| http).unwrap();
    println!("{}", seen.told());
    assert_eq!(seen.judge(&LOOSELY), Ok(()));
    assert!(tally.get("acknowledgements") > 20, "{tally}");
    assert!(tally.get("refusals of calls") > 1000, "{tally}");
}

/// Overloads with something wrong in each.
static WRONG_OVERLOADS: LazyLock<[Result<Seen, String>; 3]> = LazyLock::new(|| {
    let overload_path = |overload_path| {
        overload(1, &Load { overload_path, ..LOAD }, &mut Tally::default(), &|http| http)
    };
    side_by_side([
        // Whoever waits for calls of a minute is refused after `call_wait_ms_max`, a second.
        Box::new(move || overload_path("/test/nap?60000")),
        Box::new(move || overload_path("/test/status")),
        Box::new(|| {
            let memory = Arc::new(Mutex::default());
            let seeds = Mutex::new(Rng::with_seed(1));
            let lie = |http| Liar::new(http, Lie::SetLost, &memory, seeds.lock().unwrap().fork());
            overload(1, &LOAD, &mut Tally::default(), &lie)
        }),
    ])
});

fn wrong_overload(number: usize) -> Result<Seen, String> {
    let _alone = ALONE.lock();
    WRONG_OVERLOADS[number].clone()
}

#[test]
fn refusals_that_come_late_are_noticed() {
    let told = wrong_overload(0).unwrap().judge(&LOOSELY).unwrap_err();
    assert!(told.contains("refusals took 1."), "{told}");
}

#[test]
fn calls_that_fail_are_no_goodput() {
    let told = wrong_overload(1).unwrap().judge(&LOOSELY).unwrap_err();
    assert!(told.contains("the goodput is 0.") && told.contains("answered 500"), "{told}");
}

#[test]
fn writes_that_are_acknowledged_under_overload_and_not_done_are_noticed() {
    assert!(wrong_overload(2).is_err());
}

const SLOW: usize = 300;
const SIEGE: Duration = Duration::from_secs(8);
const LIMITS: Limits = Limits {
    header: Duration::from_secs(1),
    body: Duration::from_secs(1),
    answer: Duration::from_secs(2),
    idle: Duration::from_secs(3),
    grace: Duration::from_secs(3),
    answers_kib: 16 << 10,
    bodies_kib: 20 << 10,
};

/// A server with limits of its own, under siege, in the midst of which something happens.
fn siege(limits: [u64; 5], midst: impl FnOnce(&Larder)) -> Siege {
    let names = ["--header-ms-max", "--body-ms-max", "--answer-ms-max", "--idle-ms-max"];
    let mut flags: Vec<_> =
        names.iter().zip(limits).map(|(name, ms)| format!("{name}={ms}")).collect();
    flags.push(format!("--answers-bytes-max={}", limits[4]));
    flags.push(format!("--bodies-bytes-max={}", 16 << 20));
    // So that an answer of any body fits.
    flags.push("--body-bytes-max=2097152".to_owned());
    let larder = Larder::start_with(Options { flags, ..Options::default() });
    let drip = Duration::from_millis(150);
    let server = Server { address: larder.address(), token: TOKEN.to_owned(), drip };
    besiege(&larder, &server, SLOW, LIMITS, SIEGE, || midst(&larder)).unwrap()
}

const AS_PROMISED: [u64; 5] = [1000, 1000, 2000, 3000, 16 << 20];

#[test]
fn good_clients_are_served_beside_300_rude_ones_that_are_closed_by_their_limits() {
    let _alone = ALONE.lock();
    let siege = siege(AS_PROMISED, |_| {});
    println!("{siege:?}");
    assert_eq!(siege.judge(SLOW, &LIMITS), Ok(()));
    assert_eq!(siege.closings.kinds(), 25, "{siege:?}");
}

/// Sieges with something wrong in each.
static WRONG_SIEGES: LazyLock<[Siege; 4]> = LazyLock::new(|| {
    side_by_side([
        Box::new(|| siege([60_000, 60_000, 60_000, 60_000, 16 << 20], |_| {})),
        Box::new(|| siege([1000, 1000, 2000, 3000, 1 << 40], |_| {})),
        Box::new(|| {
            siege(AS_PROMISED, |larder| {
                let mut other = Connection::new(larder.address());
                for _ in 0..2000 {
                    other.post("/api/v1.kv.set", br#"{"key":"good-1","value":"bad"}"#).unwrap();
                }
            })
        }),
        Box::new(|| siege(AS_PROMISED, |larder| larder.signal(rustix::process::Signal::KILL))),
    ])
});

fn wrong_siege(number: usize) -> String {
    let _alone = ALONE.lock();
    WRONG_SIEGES[number].judge(SLOW, &LIMITS).unwrap_err()
}

#[test]
fn a_server_that_bears_slow_clients_too_long_is_noticed() {
    let told = wrong_siege(0);
    for kind in ["Silent", "Head", "Preface", "Body", "Reader", "Deaf", "Idle", "Http2Deaf"] {
        assert!(told.contains(&format!("(\"{kind}\"")), "{kind} in {told}");
    }
}

#[test]
fn a_server_whose_memory_grows_with_slow_readers_is_noticed() {
    let told = wrong_siege(1);
    assert!(told.contains("the memory grew beyond"), "{told}");
}

#[test]
fn a_good_client_that_is_answered_wrongly_is_noticed() {
    assert!(wrong_siege(2).contains("a good client read"));
}

#[test]
fn a_good_client_that_is_not_answered_is_noticed() {
    assert!(wrong_siege(3).contains("was not answered"));
}

#[test]
fn memory_of_answers_that_were_not_read_comes_back_to_a_server_with_nothing_to_do() {
    let _alone = ALONE.lock();
    let larder = Larder::start();
    let server = Process(larder.id());
    let mut connection = Connection::new(larder.address());
    let set = format!(r#"{{"key":"k","value":"{}"}}"#, "v".repeat(4 << 20));
    assert_eq!(connection.post("/api/v1.kv.set", set.as_bytes()).unwrap().status, 200);
    drop(connection);
    let was = memory::at_rest(server).unwrap();
    let get = format!(
        "POST /api/v1.kv.get HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {TOKEN}\r\n\
         accept: application/msgpack\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{{\"key\":\"k\"}}"
    );
    let clients = (0..50).map(|_| {
        let mut client = TcpStream::connect(larder.address()).unwrap();
        client.write_all(get.as_bytes()).unwrap();
        // The answer has come as far as it can.
        client.read_exact(&mut [0; 16 << 10]).unwrap();
        client
    });
    let clients: Vec<_> = clients.collect();
    let more = server.rss_kib().unwrap() - was;
    assert!(more > 100 << 10, "{more} KiB more than {was}");
    drop(clients);
    // Nothing is asked of the server meanwhile.
    memory::comes_back(server, was + more / 5, memory::LOOKS_MAX).unwrap();
}
