//! What a disk could hold after a power cut: everything that was durable, and of what was not any part,
//! sector by sector. Knows writes and syncs; knows nothing of what the bytes mean.

use fastrand::Rng;

use super::log::Event;

/// What a disk writes as one: nothing smaller is torn.
const SECTOR_BYTES: usize = 512;

/// A data file on its way through a log.
#[derive(Default)]
pub struct Disk {
    durable: Vec<u8>,
    /// Writes that may be lost, oldest first.
    pending: Vec<(u64, Vec<u8>)>,
    /// How many of them the sync that is under way covers.
    syncing: usize,
}

/// Which promises of the disk hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// What was synced is there.
    Kept,
    /// Nothing was ever synced: the control.
    Ignored,
}

impl Disk {
    /// Takes one event.
    pub fn take(&mut self, event: &Event, syncs: Syncs) {
        match event {
            Event::Write { offset, bytes } => self.pending.push((*offset, bytes.clone())),
            Event::SyncBegin => self.syncing = self.pending.len(),
            Event::SyncEnd if syncs == Syncs::Kept => {
                let synced: Vec<_> = self.pending.drain(..self.syncing).collect();
                for (offset, bytes) in synced {
                    put(&mut self.durable, offset, &bytes);
                }
            }
            Event::WriteDurable if syncs == Syncs::Kept => {
                if let Some((offset, bytes)) = self.pending.pop() {
                    put(&mut self.durable, offset, &bytes);
                }
            }
            // Only ever longer, and with nothing in what is new.
            Event::Truncate(length) => {
                let length = usize::try_from(*length).unwrap_or(0);
                if length > self.durable.len() {
                    self.durable.resize(length, 0);
                }
            }
            Event::SyncEnd | Event::WriteDurable | Event::Acknowledged(_) => {}
        }
    }

    /// Writes that a power cut could lose now.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Sectors of them.
    #[must_use]
    pub fn pending_sectors(&self) -> usize {
        self.pending.iter().map(|(_, bytes)| bytes.len().div_ceil(SECTOR_BYTES)).sum()
    }

    /// One of the files that a power cut could leave now, and how many sectors of it were lost.
    pub fn image(&self, rng: &mut Rng) -> (Vec<u8>, usize) {
        let mut image = self.durable.clone();
        let mut lost = 0;
        // Some cuts lose nearly all, some nearly nothing; some lose whole writes, some tear them.
        let kept_in_8 = rng.u8(..9);
        let torn = rng.bool();
        // The disk may do its work in any order.
        let mut order: Vec<usize> = (0..self.pending.len()).collect();
        if rng.bool() {
            rng.shuffle(&mut order);
        }
        for at in order {
            let (offset, bytes) = &self.pending[at];
            let whole = rng.u8(..8) < kept_in_8;
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                let keep = if torn { rng.u8(..8) < kept_in_8 } else { whole };
                if keep {
                    put(&mut image, offset + (number * SECTOR_BYTES) as u64, sector);
                } else {
                    lost += 1;
                }
            }
        }
        (image, lost)
    }
}

fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = offset.saturating_add(bytes.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: u64, byte: u8) -> Event {
        Event::Write { offset, bytes: vec![byte; 2 * SECTOR_BYTES] }
    }

    #[test]
    fn what_was_synced_is_always_there_and_what_was_not_may_be() {
        let mut disk = Disk::default();
        for event in [write(0, 1), Event::SyncBegin, write(1024, 2), Event::SyncEnd] {
            disk.take(&event, Syncs::Kept);
        }
        let mut rng = Rng::with_seed(1);
        let images: Vec<_> = (0..200).map(|_| disk.image(&mut rng).0).collect();
        assert!(images.iter().all(|image| image[..1024] == [1; 1024]));
        for length in [1024, 1536, 2048] {
            assert!(images.iter().any(|image| image.len() == length), "{length}");
        }
        disk.take(&Event::WriteDurable, Syncs::Kept);
        assert_eq!(disk.image(&mut rng).0.len(), 2048);
    }

    #[test]
    fn without_syncs_everything_may_be_lost() {
        let mut disk = Disk::default();
        for event in [write(0, 1), Event::SyncBegin, Event::SyncEnd] {
            disk.take(&event, Syncs::Ignored);
        }
        let mut rng = Rng::with_seed(1);
        assert!((0..100).any(|_| disk.image(&mut rng).0.is_empty()));
    }
}
