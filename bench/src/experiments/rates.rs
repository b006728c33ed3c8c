//! Requests a second in the closed loop: gets, sets, both, compare-and-set, and other encodings
//! and protocols.

use larder_wire::Encoding;

use super::bench::Bench;
use super::rounds::{Turn, alternate, alternate_on_one, filling, start};
use crate::failure::Failure;
use crate::load::{Protocol, Stream, Work};
use crate::report::results::{Finding, Goal};
use crate::sides::Side;

/// The connections that most is measured with.
const CONNECTIONS: usize = 64;
/// Keys that all callers of compare-and-set share.
const HOT_KEYS: u32 = 100;
/// Connections and streams of HTTP/2, as many callers as there are connections otherwise.
const HTTP2: (usize, usize) = (16, 4);

/// Gets at several counts of connections.
pub fn get(bench: &mut Bench) -> Result<(), Failure> {
    let all = [Side::Floor, Side::Native, Side::Reused, Side::Fresh];
    let filling = filling(&Stream::new(Work::Get, 1));
    let mut sides = start(&all, &filling, &bench.plan.dir)?;
    let counts: &[usize] = if bench.plan.full { &[1, 16, 64, 256] } else { &[1, 64] };
    for count in counts {
        let turns: Vec<Turn> =
            (0..all.len()).map(|side| Turn::new(side, Stream::new(Work::Get, *count))).collect();
        let measured = alternate(&bench.plan, "get", &mut sides, &turns)?;
        bench.keep_all(&format!("get of 1 KiB, {}", connections(*count)), &measured);
        let goal = |least| (*count == CONNECTIONS).then_some(Goal::AtLeast(least));
        for (name, over, under, goal) in [
            ("reused : native", 2, 1, goal(0.93)),
            ("reused : floor", 2, 0, goal(0.85)),
            ("fresh : reused", 3, 2, goal(0.70)),
        ] {
            let name = format!("get, {name}, {}", connections(*count));
            bench.find(Finding::ratio(name, measured.ratio(over, under), goal));
        }
    }
    Ok(())
}

/// The same get in JSON and over HTTP/2.
pub fn forms(bench: &mut Bench) -> Result<(), Failure> {
    let all = [Side::Native, Side::Reused, Side::Fresh];
    let all = if bench.plan.full { &all[..] } else { &all[..2] };
    let json = Stream { encoding: Encoding::Json, ..Stream::new(Work::Get, CONNECTIONS) };
    let (count, streams) = HTTP2;
    let protocol = Protocol::Http2 { streams };
    let http2 = Stream { protocol, ..Stream::new(Work::Get, count) };
    let mut sides = start(all, &filling(&json), &bench.plan.dir)?;
    for (name, stream) in [("JSON", json), ("HTTP/2", http2)] {
        let turns: Vec<Turn> = (0..all.len()).map(|side| Turn::new(side, stream.clone())).collect();
        let measured = alternate(&bench.plan, "forms", &mut sides, &turns)?;
        let how = if name == "HTTP/2" {
            format!("HTTP/2, {count} connections of {streams} streams")
        } else {
            format!("JSON, {}", connections(count_of(&stream)))
        };
        bench.keep_all(&format!("get of 1 KiB, {how}"), &measured);
        bench.find(Finding::ratio(
            format!("get, {name}, reused : native"),
            measured.ratio(1, 0),
            None,
        ));
    }
    Ok(())
}

fn count_of(stream: &Stream) -> usize {
    stream.connections
}

/// Durable sets at several counts of connections, and storage alone with as many threads.
pub fn set(bench: &mut Bench) -> Result<(), Failure> {
    let all = [Side::Native, Side::Reused, Side::Storage];
    let data = bench.fill_store("set", &filling(&Stream::new(Work::Set, 1)))?;
    let counts: &[usize] = if bench.plan.full { &[1, 16, 64, 256] } else { &[16, 64, 256] };
    for count in counts {
        let turns: Vec<Turn> =
            (0..all.len()).map(|side| Turn::new(side, Stream::new(Work::Set, *count))).collect();
        let measured = alternate_on_one(&bench.plan, "set", &all, &data, &turns)?;
        bench.keep_all(&format!("set of 1 KiB, {}", connections(*count)), &measured);
        let goal = |least| (*count > 1).then_some(Goal::AtLeast(least));
        for (name, over, under, goal) in
            [("reused : native", 1, 0, goal(0.95)), ("reused : storage", 1, 2, goal(0.90))]
        {
            let name = format!("set, {name}, {}", connections(*count));
            bench.find(Finding::ratio(name, measured.ratio(over, under), goal));
        }
    }
    Ok(())
}

/// Gets and sets, half and half.
pub fn half(bench: &mut Bench) -> Result<(), Failure> {
    two(bench, "half", "half gets, half sets of 1 KiB", &Stream::new(Work::Half, CONNECTIONS))
}

/// Compare-and-set on few keys.
pub fn cas(bench: &mut Bench) -> Result<(), Failure> {
    let stream = Stream { keys: HOT_KEYS, ..Stream::new(Work::Cas, CONNECTIONS) };
    two(bench, "cas", "get, then set if unchanged, on 100 keys of 1 KiB", &stream)
}

/// One work on the server and without its sandbox.
fn two(bench: &mut Bench, name: &str, title: &str, stream: &Stream) -> Result<(), Failure> {
    let data = bench.fill_store(name, &filling(stream))?;
    let kinds = [Side::Native, Side::Reused];
    let turns = [Turn::new(0, stream.clone()), Turn::new(1, stream.clone())];
    let measured = alternate_on_one(&bench.plan, name, &kinds, &data, &turns)?;
    bench.keep_all(&format!("{title}, {}", connections(stream.connections)), &measured);
    let name = format!("{name}, reused : native, {}", connections(stream.connections));
    bench.find(Finding::ratio(name, measured.ratio(1, 0), None));
    Ok(())
}

fn connections(count: usize) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}
