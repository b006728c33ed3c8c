//! Bytes that stay with the host and that a guest has a handle on. Knows neither `wit/` nor what
//! the bytes are.

use std::sync::Arc;

use bytes::Bytes;

use super::guest_memory::Charge;

/// Values and bodies up to this size enter the guest's memory; larger ones stay with the host.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Immutable bytes behind a handle. Cutting and handing on copy nothing.
pub struct Blob {
    /// The bytes.
    pub bytes: Bytes,
    /// What they are charged by, with all other parts of the same; None when they are a body's, which
    /// has room of its own.
    pub charge: Option<Arc<Charge>>,
}

impl Blob {
    /// Bytes of a request's body.
    pub fn of_body(bytes: Bytes) -> Self {
        Self { bytes, charge: None }
    }

    /// Bytes that the host holds for a call.
    pub fn charged(bytes: Bytes, charge: Charge) -> Self {
        Self { bytes, charge: Some(Arc::new(charge)) }
    }

    /// Another handle on the part from `offset` of up to `length` bytes, cut off at the end.
    pub fn slice(&self, offset: u64, length: u64) -> Self {
        Self { bytes: self.part(offset, length), charge: self.charge.clone() }
    }

    /// The part from `offset` of up to `length` bytes, cut off at the end.
    pub fn part(&self, offset: u64, length: u64) -> Bytes {
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.slice(clamp(offset)..clamp(offset.saturating_add(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_off_at_the_end_and_never_out_of_range() {
        let blob = Blob::of_body(Bytes::from_static(b"0123456789"));
        assert_eq!(blob.part(2, 3), "234");
        assert_eq!(blob.part(8, 100), "89");
        assert_eq!(blob.part(10, 1), "");
        assert_eq!(blob.part(u64::MAX, u64::MAX), "");
    }
}
