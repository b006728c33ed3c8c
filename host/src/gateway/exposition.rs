//! The exposition of metrics: which families there are and what each means, in the words that stand beside
//! it. `docs/metrics.md` lists them; a test compares. Counts nothing itself.

use std::sync::Arc;
use std::time::Duration;

use super::errors::Reason;
use super::labels::{self, CALL_OUTCOMES, METHODS, OUTCOMES};
use super::shared::Gateway;
use crate::metrics::{Distribution, Exposition, Histogram, Kind, Own, TIMES};
use crate::net::closed::Closed;
use crate::process::allocator;
use crate::process::logging;
use crate::storage::{self, Contents};

/// Everything that there is to say, with what is in the file if that is known.
pub fn write(gateway: &Gateway, contents: Option<&Contents>) -> String {
    let mut out = Exposition::default();
    server(&mut out, gateway);
    requests(&mut out, gateway);
    waiting(&mut out, gateway);
    calls(&mut out, gateway);
    let activity = gateway.probe.storage.activity();
    writes(&mut out, &activity);
    readers(&mut out, &activity);
    if let Some(contents) = contents {
        file(&mut out, contents);
    }
    out.into_text()
}

fn server(out: &mut Exposition, gateway: &Gateway) {
    let probe = &gateway.probe;
    out.family(Kind::Gauge, "larder_build_info", "The version that runs; always 1.")
        .value(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.gauge(
        "process_start_time_seconds",
        "When the server was opened, in seconds since the epoch.",
        Duration::from_millis(probe.started.0).as_secs_f64(),
    );
    if let Some(faults) = allocator::major_faults() {
        let help = "Times that a thread had to wait for the disk to bring a page into memory.";
        out.counter("larder_process_major_page_faults_total", help, faults);
    }
    let help = "1 when writes can be served and no shutdown has begun, as /readyz tells, else 0.";
    out.gauge("larder_ready", help, u8::from(probe.ready().is_ok()));
    let help =
        "How far the server's time is ahead of this machine's clock, as after that was wrong.";
    out.gauge("larder_clock_ahead_seconds", help, probe.clock.ahead().as_secs_f64());
    let serving = &probe.serving;
    out.gauge("larder_connections_open", "Connections that are open.", serving.open());
    let help = "Connections that may be open at once; idle ones make room for more.";
    out.gauge("larder_connections_max", help, probe.connections_max);
    let help = "Connections that were accepted.";
    out.counter("larder_connections_accepted_total", help, serving.accepted());
    let help = "Idle connections that were closed to make room for others.";
    let closed = serving.closed();
    out.counter("larder_connections_evicted_total", help, closed.get(Closed::Evicted));
    let help = "Connections that broke, or that the server closed for what they did or did not do.";
    let mut family = out.family(Kind::Counter, "larder_connections_closed_total", help);
    for (reason, name) in Closed::ALL {
        family.value(&[("reason", name)], closed.get(reason));
    }
    let help = "Lines of the log that were lost: nobody read it, or it could not be written.";
    let mut family = out.family(Kind::Counter, "larder_log_lines_dropped_total", help);
    for (reason, lines) in logging::dropped().by_reason() {
        family.value(&[("reason", reason)], lines);
    }
}

/// The sum of a number over all threads.
fn sum<T>(threads: &[Arc<Own<T>>], of: impl Fn(&T) -> u64) -> u64 {
    threads.iter().map(|own| of(own)).sum()
}

/// The sum of a histogram over all threads.
fn times<T>(threads: &[Arc<Own<T>>], of: impl Fn(&T) -> &Histogram) -> Distribution {
    let mut times = Distribution::empty(&TIMES);
    threads.iter().for_each(|own| times.add(of(own)));
    times
}

/// Only series that anything was counted in are written: most guests answer few methods and statuses.
fn requests(out: &mut Exposition, gateway: &Gateway) {
    let mounts = gateway.metrics.mounts();
    let all = mounts.iter().chain([&gateway.metrics.host]);
    let operations: Vec<_> = all
        .flat_map(|mount| {
            let operations = mount.operations().into_iter();
            operations.map(move |operation| (&*mount.guest, operation))
        })
        .map(|(guest, operation)| (guest, operation.threads.all(), operation))
        .collect();
    let mut family = out.family(
        Kind::Counter,
        "larder_http_requests_total",
        "Requests that were answered, or whose caller went away before.",
    );
    let statuses: Vec<String> = labels::status_names().collect();
    for (guest, threads, operation) in &operations {
        for (method_index, method) in METHODS.into_iter().enumerate() {
            for (status_index, status) in statuses.iter().enumerate() {
                let count = sum(threads, |counts| counts.answers[method_index][status_index].get());
                let name = operation.name.as_str();
                let labels = [
                    ("guest", *guest),
                    ("method", method),
                    ("operation", name),
                    ("status", status),
                ];
                if count > 0 {
                    family.value(&labels, count);
                }
            }
        }
    }
    let mut family = out.family(
        Kind::Histogram,
        "larder_http_request_duration_seconds",
        "Time from a request's last byte to its answer's first.",
    );
    for (guest, threads, operation) in &operations {
        for (index, outcome) in OUTCOMES.into_iter().enumerate() {
            let times = times(threads, |counts| &counts.times[index]);
            let labels = [("guest", *guest), ("operation", &*operation.name), ("outcome", outcome)];
            if times.count() > 0 {
                family.distribution(&labels, &times);
            }
        }
    }
}

fn waiting(out: &mut Exposition, gateway: &Gateway) {
    let mut family = out.family(
        Kind::Counter,
        "larder_http_refused_total",
        "Requests that the host refused before a guest was called.",
    );
    let refused = gateway.metrics.refused.all();
    for (reason, name) in Reason::ALL {
        let count = sum(&refused, |refused| refused.0[reason as usize].get());
        family.value(&[("reason", name)], count);
    }
    let (waiting, waiting_max) = gateway.permits.waiting();
    out.gauge("larder_http_requests_waiting", "Requests that wait for their call.", waiting);
    let help = "Requests that may wait for their call.";
    out.gauge("larder_http_requests_waiting_max", help, waiting_max);
    let (running, calls_max) = gateway.permits.running();
    out.gauge("larder_calls_running", "Calls of guests that run, health aside.", running);
    let help = "Calls that may run at once, health aside.";
    out.gauge("larder_calls_max", help, calls_max);
    let rooms = [("bodies", &gateway.memory.bodies), ("answers", &gateway.memory.answers)];
    let help =
        "Bytes that requests, heads and bodies, and large answers take while they are under way.";
    let mut family = out.family(Kind::Gauge, "larder_http_room_bytes", help);
    for (name, room) in rooms {
        family.value(&[("room", name)], room.used());
    }
    let help = "Bytes that they may take; small requests have a quarter more.";
    let mut family = out.family(Kind::Gauge, "larder_http_room_bytes_max", help);
    for (name, room) in rooms {
        family.value(&[("room", name)], room.bytes_max());
    }
}

fn calls(out: &mut Exposition, gateway: &Gateway) {
    let mounts = gateway.metrics.mounts();
    let mut family = out.family(
        Kind::Counter,
        "larder_guest_calls_total",
        "Calls of a guest by how they ended: answered, trapped, or ended by a limit.",
    );
    for mount in &mounts {
        let threads = mount.calls.all();
        for (index, outcome) in CALL_OUTCOMES.into_iter().enumerate() {
            let count = sum(&threads, |calls| calls.ended[index].get());
            family.value(&[("guest", &mount.guest), ("outcome", outcome)], count);
        }
    }
    let mut family = out.family(
        Kind::Histogram,
        "larder_guest_call_duration_seconds",
        "Time that a call of a guest took, its waiting for commits included.",
    );
    for mount in &mounts {
        let times = times(&mount.calls.all(), |calls| &calls.times);
        family.distribution(&[("guest", &mount.guest)], &times);
    }
    let mut family = out.family(
        Kind::Counter,
        "larder_guest_instances_total",
        "Instances of a guest that were made.",
    );
    for mount in &mounts {
        family.value(&[("guest", &mount.guest)], mount.instances_made());
    }
    let memory = &gateway.probe.guests;
    let help = "Bytes that calls and idle instances of all guests take, or have reserved.";
    out.gauge("larder_guests_bytes", help, memory.used_bytes());
    let help = "Bytes that they may take.";
    out.gauge("larder_guests_bytes_max", help, memory.bytes_max());
}

fn writes(out: &mut Exposition, activity: &storage::Activity) {
    let mut family = out.family(
        Kind::Counter,
        "larder_storage_writes_total",
        "Writes that were brought to the store, by how they ended.",
    );
    for (outcome, count) in activity.writes {
        family.value(&[("outcome", outcome)], count);
    }
    let help = "Time that a commit took to reach the disk.";
    out.family(Kind::Histogram, "larder_storage_commit_duration_seconds", help)
        .distribution(&[], &activity.commits);
    let help = "Writes that shared a commit.";
    out.family(Kind::Histogram, "larder_storage_commit_writes", help)
        .distribution(&[], &activity.batches);
    let help = "How long the write transaction at hand has taken so far; 0 when there is none.";
    out.gauge("larder_storage_writing_seconds", help, activity.writing_for.as_secs_f64());
    let ((writes, writes_max), (bytes, bytes_max)) = (activity.queue_writes, activity.queue_bytes);
    out.gauge("larder_storage_queue_writes", "Writes that wait for the writer.", writes);
    let help = "Writes that may wait for the writer.";
    out.gauge("larder_storage_queue_writes_max", help, writes_max);
    out.gauge("larder_storage_queue_bytes", "Bytes of writes that wait.", bytes);
    out.gauge("larder_storage_queue_bytes_max", "Bytes of writes that may wait.", bytes_max);
    let (sweeps, rows, entries) = activity.sweeps;
    let help = "Transactions that looked for expired entries to remove.";
    out.counter("larder_storage_sweeps_total", help, sweeps);
    let help = "Rows of the expiry index that sweeps removed.";
    out.counter("larder_storage_swept_rows_total", help, rows);
    let help = "Expired entries that sweeps removed.";
    out.counter("larder_storage_expired_entries_total", help, entries);
    let help = "Entries of deleted namespaces that sweeps removed.";
    out.counter("larder_storage_emptied_entries_total", help, activity.emptied_entries);
}

fn readers(out: &mut Exposition, activity: &storage::Activity) {
    let help = "Reads that run at this moment, those of other processes included.";
    out.gauge("larder_storage_readers", help, activity.readers);
    let help = "Readers in other processes that died and whose slots were cleared.";
    out.counter("larder_storage_dead_readers_total", help, activity.dead_readers);
    let help = "Transactions that were committed since the one that the oldest reader sees.";
    out.gauge("larder_storage_oldest_reader_lag", help, activity.oldest_reader_lag);
    let (slots, slots_max) = activity.reader_slots;
    let help = "Reader slots that threads hold, reading or not.";
    out.gauge("larder_storage_reader_slots", help, slots);
    out.gauge("larder_storage_reader_slots_max", "Reader slots that there are.", slots_max);
    out.gauge("larder_storage_namespaces", "Namespaces.", activity.namespaces);
}

fn file(out: &mut Exposition, contents: &Contents) {
    let help = "Bytes of pages that hold data: what the limit is compared with.";
    out.gauge("larder_storage_used_bytes", help, contents.used_bytes);
    let help = "Bytes of pages in the file that hold no data and are used before it grows.";
    out.gauge("larder_storage_free_bytes", help, contents.free_bytes);
    out.gauge("larder_storage_file_bytes", "Length of the data file.", contents.file_bytes);
    let help = "Room for data: storage_bytes_max, or what can be addressed without it.";
    out.gauge("larder_storage_limit_bytes", help, contents.limit_bytes);
    let help = "Bytes that the file system has left for this user.";
    out.gauge("larder_storage_disk_free_bytes", help, contents.disk_free_bytes);
    let help = "Entries, expired ones that were not swept yet included.";
    out.gauge("larder_storage_entries", help, contents.entries);
    out.gauge(
        "larder_storage_expiring_entries",
        "Entries with an expiry.",
        contents.expiring_entries,
    );
    let help = "How long the oldest expired entry has been waiting to be swept; 0 when none is.";
    out.gauge("larder_storage_sweep_lag_seconds", help, contents.sweep_lag.as_secs_f64());
}
