//! The import `blobs`: bytes that stay with the host and pass by reference.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;

use super::bindings::larder::guest::blobs::{Host, HostBlob};
use crate::runtime::guest_memory::Charge;
use crate::runtime::state::State;

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

    /// The part from `offset` of up to `length` bytes, cut off at the end.
    fn part(&self, offset: u64, length: u64) -> Bytes {
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.slice(clamp(offset)..clamp(offset.saturating_add(length)))
    }
}

impl Host for State {}

impl HostBlob for State {
    fn new(&mut self, bytes: Vec<u8>) -> wasmtime::Result<Resource<Blob>> {
        self.enter()?;
        self.budget.spend_bytes(bytes.len())?;
        // They are here already, but no more than a call on each thread brings before it is charged.
        let charge = self.charge(bytes.len())?;
        Ok(self.table.push(Blob::charged(bytes.into(), charge))?)
    }

    fn length(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(self.table.get(&blob)?.bytes.len() as u64)
    }

    fn read(
        &mut self,
        blob: Resource<Blob>,
        offset: u64,
        length: u64,
    ) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        let part = self.table.get(&blob)?.part(offset, length);
        self.budget.spend_bytes(part.len())?;
        self.charge_copy(part.len())?;
        Ok(part.to_vec())
    }

    fn slice(
        &mut self,
        blob: Resource<Blob>,
        offset: u64,
        length: u64,
    ) -> wasmtime::Result<Resource<Blob>> {
        self.enter()?;
        let whole = self.table.get(&blob)?;
        let part = Blob { bytes: whole.part(offset, length), charge: whole.charge.clone() };
        Ok(self.table.push(part)?)
    }

    fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
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
