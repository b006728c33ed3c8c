//! One thread's view of the routes: the table that it took last, and its own counters of each route. What is in
//! it is neither shared nor locked; a request takes it once, at its beginning. A thread that is asked for nothing
//! keeps an older table, and its guests, until its next request.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::cors::Cors;
use super::counting::ThreadCounters;
use super::http_metrics::HttpMetrics;
use super::paths::is_guests;
use super::routes::{Route, RouteTable, Routes};
use crate::net::rooms::Party;

/// A route, with this thread's counters of it.
pub struct ThreadRoute {
    /// What all threads share of it.
    pub route: Arc<Route>,
    /// What this thread counts.
    pub counters: ThreadCounters,
    /// The mount as a party to memory; it is none where all that is mounted is the program's own.
    pub party: Option<Party>,
    /// What pages of other origins may do with it; None is nothing, and costs nothing.
    pub cors: Option<Cors>,
}

/// The routes as of one table.
pub struct ThreadTable {
    version: u64,
    routes: Vec<ThreadRoute>,
    /// What this thread counts of the host's own endpoints.
    pub host: ThreadCounters,
}

impl ThreadTable {
    fn new(table: &RouteTable, metrics: &HttpMetrics) -> Self {
        let is_one_party =
            table.routes.len() == 1 || table.routes.iter().all(|one| one.guest.is_own());
        let of = |route: &Arc<Route>| ThreadRoute {
            route: Arc::clone(route),
            counters: ThreadCounters::new(&route.metrics, &route.operations),
            party: (!is_one_party).then_some(Party::Mount(route.metrics.id)),
            cors: Cors::new(&route.cors_origins),
        };
        Self {
            version: table.version,
            routes: table.routes.iter().map(of).collect(),
            host: ThreadCounters::new(&metrics.host, &metrics.host_operations),
        }
    }

    /// The route that a path belongs to; none for those that the host answers.
    pub fn find(&self, path: &str) -> Option<&ThreadRoute> {
        self.routes.iter().find(|known| known.route.holds(path)).filter(|_| is_guests(path))
    }
}

/// The table that a thread took last.
pub struct CachedTable(RefCell<Rc<ThreadTable>>);

impl CachedTable {
    /// The table at hand.
    pub fn new(routes: &Routes, metrics: &HttpMetrics) -> Self {
        Self(RefCell::new(Rc::new(ThreadTable::new(&routes.current(), metrics))))
    }

    /// The table at hand, made anew when it was replaced since.
    pub fn take(&self, routes: &Routes, metrics: &HttpMetrics) -> Rc<ThreadTable> {
        let cached = Rc::clone(&self.0.borrow());
        if cached.version == routes.version() {
            return cached;
        }
        let table = Rc::new(ThreadTable::new(&routes.current(), metrics));
        self.0.replace(Rc::clone(&table));
        table
    }
}

#[cfg(test)]
mod tests;
