//! Between hyper and the guests: from a request on the wire to a call, and from an answer or its failure back to
//! the wire. Owns the order of checks before a guest is called; knows no route of any API.

mod admin;
mod calls;
mod cors;
mod counting;
mod dispatch;
mod errors;
mod exposition;
mod failures;
mod heads;
mod http_metrics;
mod labels;
mod limits;
mod memory;
mod origins;
mod paths;
mod permits;
mod probe;
mod responses;
mod routes;
mod shared;
mod thread_table;

pub use self::admin::access::Exposure;
pub use self::calls::Calls;
pub use self::dispatch::Worker;
pub use self::limits::{HEALTH_CALLS_MAX, HttpLimits};
pub use self::origins::Origins;
pub use self::paths::{HOST_PATHS, is_under};
pub use self::probe::Probe;
pub use self::routes::{Auth, RouteConfig};
pub use self::shared::Gateway;
