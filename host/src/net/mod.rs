//! Bytes and connections: worker threads, sockets, TLS, the framing of HTTP, and how connections share
//! time and memory. Knows neither guests nor storage, and no route.

pub mod activity;
pub mod body;
pub mod closed;
pub mod connection;
mod eviction;
mod fairness;
mod frame_guard;
pub mod handler;
pub mod rooms;
mod socket;
pub mod stream;
pub mod tls;
pub mod workers;
