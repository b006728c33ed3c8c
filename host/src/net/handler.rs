//! What answers the requests of connections: the seam between `net`, which knows no guest, and whoever does.

use std::future::Future;

use http::{Request, Response};
use hyper::body::Incoming;

use super::body::Reply;

/// Answers requests on one worker thread. The server's gateway is one; benches have others.
pub trait Handler: Clone + 'static {
    /// Answers one request of the connection with this number, whatever happens.
    fn answer(
        self,
        request: Request<Incoming>,
        connection: u64,
    ) -> impl Future<Output = Response<Reply>> + 'static;
}
