//! How a measurement fails.

use std::error::Error;

/// Why something could not be measured; told to people.
pub type Failure = Box<dyn Error>;
