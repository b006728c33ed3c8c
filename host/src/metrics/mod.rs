//! What the server counts about itself: how numbers are kept, and how they are shown. Knows nothing of
//! what is counted.

mod counts;
mod prometheus;

pub use self::counts::{BATCHES, Bounds, Counter, Distribution, Histogram, Own, PerThread, TIMES};
pub use self::prometheus::{CONTENT_TYPE, Exposition, Family, Kind};
