//! The import `blobs`: bytes that stay with the host and pass by reference.

use wasmtime::component::Resource;

use super::bindings::larder::guest::blobs::{Host, HostBlob};
use crate::runtime::blob::Blob;
use crate::runtime::state::State;

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
        let part = self.table.get(&blob)?.slice(offset, length);
        Ok(self.table.push(part)?)
    }

    fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
    }
}
