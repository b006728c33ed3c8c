//! The long form: what good clients' latency is beside 10,000 rude ones, in alternating turns, and then
//! a siege that lasts longer than every limit, both with the server's defaults.

use std::thread;
use std::time::Duration;

use larder_bench::load::template::TOKEN;
use larder_bench::load::{Pace, Stream, Work, fill, run};
use larder_bench::system::Process;
use larder_tests::{Larder, Options};

use super::server::{GRACE, Limits, Server, put_large};
use super::siege::{Rabble, besiege};
use super::slow::Slow;
use crate::rounds::{Tally, Trial};

const SLOW: usize = 10_000;
/// The server's defaults.
const LIMITS: Limits = Limits {
    header: Duration::from_secs(10),
    body: Duration::from_secs(30),
    answer: Duration::from_secs(60),
    idle: Duration::from_secs(75),
    grace: GRACE,
    answers_kib: 512 << 10,
    bodies_kib: 640 << 10,
};
/// Longer than the longest of them.
const SIEGE: Duration = Duration::from_secs(90);
const DRIP: Duration = Duration::from_millis(2500);
const TURNS: usize = 5;
const TURN_TIME: Duration = Duration::from_secs(8);
/// For 10,000 clients to come, or to be gone.
const SETTLING: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 32;
const KEYS: u32 = 10_000;
/// How much slower good clients may be.
const RATIO_MAX: f64 = 2.0;

/// The trial.
pub struct Clients;

impl Trial for Clients {
    fn name(&self) -> &'static str {
        "clients"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("closed connections", 100_000)
    }

    fn round(&self, _: u64, tally: &mut Tally) -> Result<(), String> {
        let variables = vec![("LARDER_ADMIN_TOKEN".to_owned(), TOKEN.to_owned())];
        let larder = Larder::start_with(Options { variables, ..Options::default() });
        let address = larder.address();
        let server = Server { address, token: TOKEN.to_owned(), drip: DRIP };
        let ratio = ratio(&larder, &server)?;
        let siege = besiege(&larder, &server, SLOW, LIMITS, SIEGE, || {})?;
        println!("{siege:?}");
        tally.add("closed connections", siege.closings.closed);
        tally.add("answers to good clients", siege.served.answers);
        siege.judge(SLOW, &LIMITS)?;
        if ratio > RATIO_MAX {
            return Err(format!("good clients' p99 was {ratio:.2} times the usual"));
        }
        Ok(())
    }
}

/// The p99 of gets at a third of their peak, beside slow clients and without, as a ratio.
fn ratio(larder: &Larder, server: &Server) -> Result<f64, String> {
    let told = |error: std::io::Error| error.to_string();
    let process = Process(larder.process_id());
    let closed = Stream { keys: KEYS, ..Stream::new(Work::Get, CONNECTIONS) };
    fill(server.address, &Stream { work: Work::Set, ..closed.clone() }).map_err(told)?;
    put_large(server)?;
    let measured = |stream: &Stream| {
        let figures = run(server.address, std::slice::from_ref(stream), TURN_TIME, process);
        figures.map_err(told).map(|figures| figures[0])
    };
    let peak = measured(&closed)?.requests_per_s;
    let open = Stream { pace: Pace::Rate(peak / 3.0), ..closed };
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let quiet = measured(&open)?;
        let rabble = Rabble::start(server, SLOW, Slow::MEEK, LIMITS).map_err(told)?;
        thread::sleep(SETTLING);
        let there = rabble.open();
        let loud = measured(&open)?;
        let _ = rabble.stop();
        thread::sleep(SETTLING);
        println!(
            "peak {peak:.0}/s; p99 alone {:.0} µs, beside {there} rude connections {:.0} µs; \
             {:.1} and {:.1} µs of processor a request{}",
            quiet.p99_us,
            loud.p99_us,
            quiet.cpu_us_per_request,
            loud.cpu_us_per_request,
            if loud.behind { ", behind" } else { "" }
        );
        ratios.push(loud.p99_us / quiet.p99_us);
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratios of p99: {ratios:.2?}");
    Ok(ratios[TURNS / 2])
}
