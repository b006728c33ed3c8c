//! Other servers at the same work, for orientation: they promise other things, and what differs
//! is printed with the figures. Those that are not installed are left out.

mod redis_benchmark;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::server::{Kind, Peer};
use crate::cli::PeersArgs;
use crate::failure::Failure;
use crate::load::latency::Figure;
use crate::load::{self, Protocol, Stream, Work};
use crate::report::results::{self, Measurement};
use crate::report::table;
use crate::sides::Side;
use crate::sides::child::Running;
use crate::sides::fill::{Filling, Order};
use crate::system::Machine;

const VALUE_BYTES: usize = 1 << 10;

/// What a comparison came to.
#[derive(Debug, Deserialize, Serialize)]
pub struct PeersResults {
    /// Where and when.
    pub machine: Machine,
    /// Everything that was measured.
    pub measurements: Vec<Measurement>,
    /// What differs, a sentence for each server.
    pub differences: Vec<String>,
}

/// Who is measured.
enum Server {
    Larder(Running),
    Other(Peer),
}

impl Server {
    fn name(&self) -> &'static str {
        match self {
            Self::Larder(_) => "larder",
            Self::Other(peer) => peer.kind.name(),
        }
    }

    fn stream(&self, work: Work, connections: usize, keys: u32) -> Stream {
        let protocol = match self {
            Self::Larder(_) => Protocol::Http1,
            Self::Other(peer) => peer.kind.protocol(),
        };
        Stream { protocol, keys, value_bytes: VALUE_BYTES, ..Stream::new(work, connections) }
    }

    fn run(&mut self, stream: &Stream, time: Duration) -> Result<Figure, Failure> {
        let streams = std::slice::from_ref(stream);
        let figures = match self {
            Self::Larder(running) => running.run(streams, time)?,
            Self::Other(peer) => load::run(peer.address, streams, time, peer.process())
                .map_err(|error| format!("{}: {error}", peer.kind.name()))?,
        };
        Ok(figures.into_iter().next().ok_or("a stream without a figure")?)
    }
}

/// Measures all that are there, and writes and prints what came of it.
pub fn compare(args: &PeersArgs) -> Result<(), Failure> {
    let mut servers = start(args)?;
    let mut results = PeersResults {
        machine: Machine::here(),
        measurements: Vec::new(),
        differences: servers.iter().map(|server| difference(server).to_owned()).collect(),
    };
    for work in [Work::Get, Work::Set] {
        for connections in &args.connections {
            let measured = measure(&mut servers, work, *connections, args)?;
            let name = if work == Work::Get { "get" } else { "set" };
            table::heading(&format!("{name} of 1 KiB, connections: {connections}"));
            measured.iter().for_each(table::measurement);
            results.measurements.extend(measured);
            if let Some(own) = own_client(&servers, work, *connections, args) {
                table::measurement(&own);
                results.measurements.push(own);
            }
        }
    }
    println!();
    for difference in &results.differences {
        println!("{difference}");
    }
    results::save(&results, &args.out)?;
    println!("\nwritten to {}", args.out.display());
    Ok(())
}

/// Starts all that are there and fills them alike.
fn start(args: &PeersArgs) -> Result<Vec<Server>, Failure> {
    let (keys, value_bytes) = (args.keys, VALUE_BYTES);
    let filling =
        Filling { keys, value_bytes, order: Order::Sorted, list: 0, threads: 2, ..Filling::none() };
    let mut servers = vec![Server::Larder(Running::start(Side::Reused, &filling, &args.dir)?)];
    for kind in server::KINDS {
        let Some(peer) = Peer::start(kind, &args.dir)? else {
            println!("{} is not installed: left out", kind.name());
            continue;
        };
        let address = peer.address;
        let server = Server::Other(peer);
        load::fill(address, &server.stream(Work::Set, 1, keys))?;
        if kind == Kind::Redis {
            redis_benchmark::fill(address, keys);
        }
        servers.push(server);
    }
    Ok(servers)
}

/// All servers in every round, each time beginning with the next.
fn measure(
    servers: &mut [Server],
    work: Work,
    connections: usize,
    args: &PeersArgs,
) -> Result<Vec<Measurement>, Failure> {
    let of = |server: &Server| server.stream(work, connections, args.keys);
    let new = |server: &Server| Measurement::new("peers", server.name(), &of(server), "");
    let mut measured: Vec<Measurement> = servers.iter().map(new).collect();
    for round in 0..args.rounds {
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            let stream = of(&servers[at]);
            let figure = servers[at].run(&stream, Duration::from_millis(args.ms))?;
            measured[at].rounds.push(figure);
        }
    }
    Ok(measured)
}

/// What Redis' own client makes of Redis, beside what ours does.
fn own_client(
    servers: &[Server],
    work: Work,
    connections: usize,
    args: &PeersArgs,
) -> Option<Measurement> {
    let redis = servers.iter().find_map(|server| match server {
        Server::Other(peer) if peer.kind == Kind::Redis => Some(peer),
        _ => None,
    });
    let stream = Stream {
        protocol: Protocol::Redis,
        keys: args.keys,
        value_bytes: VALUE_BYTES,
        ..Stream::new(work, connections)
    };
    let figure = redis_benchmark::measure(redis?.address, &stream)?;
    let mut measurement = Measurement::new("peers", "redis-benchmark", &stream, "");
    measurement.rounds.push(figure);
    Some(measurement)
}

fn difference(server: &Server) -> &'static str {
    match server {
        Server::Larder(_) => {
            "larder: HTTP/1.1 and MessagePack, a sandboxed guest for every request, all cores; every write is synced before its answer; data larger than memory; a checksum, a version and an expiry for each key."
        }
        Server::Other(peer) => peer.kind.difference(),
    }
}
