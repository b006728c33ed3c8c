//! One file on a disk: what of it is durable, and what a power cut could lose of it, sector by sector.
//! Knows writes, lengths and syncs; knows neither names nor what the bytes mean.

use fastrand::Rng;

/// What a disk writes as one: nothing smaller is torn.
pub const SECTOR_BYTES: usize = 512;

/// A file on its way through a log.
#[derive(Clone, Default)]
pub struct File {
    durable: Vec<u8>,
    /// What may be lost, oldest first.
    pending: Vec<Change>,
}

/// Something that was done to a file and not synced yet.
#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Change {
    fn is_write(&self) -> bool {
        matches!(self, Change::Write(..))
    }
}

/// How a power cut goes, for all that it meets.
pub struct Cut<'a> {
    rng: &'a mut Rng,
    /// Some cuts lose nearly all, some nearly nothing.
    kept_in_8: u8,
    /// Some lose whole writes, some tear them.
    torn: bool,
    /// Sectors and names that were lost.
    pub lost: usize,
}

impl<'a> Cut<'a> {
    /// A cut of any kind.
    pub fn draw(rng: &'a mut Rng) -> Self {
        let (kept_in_8, torn) = (rng.u8(..9), rng.bool());
        Self { rng, kept_in_8, torn, lost: 0 }
    }

    /// A cut that loses whatever it can, or nothing.
    pub fn extreme(rng: &'a mut Rng, loses: bool) -> Self {
        Self { rng, kept_in_8: if loses { 0 } else { 8 }, torn: false, lost: 0 }
    }

    /// Whether something was still written.
    pub fn keeps(&mut self) -> bool {
        self.rng.u8(..8) < self.kept_in_8
    }

    /// Something was lost.
    fn lose(&mut self) {
        self.lost += 1;
    }
}

impl File {
    /// A file whose bytes are all on the disk.
    #[must_use]
    pub fn of(durable: Vec<u8>) -> Self {
        Self { durable, pending: Vec::new() }
    }

    /// Bytes were written.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.pending.push(Change::Write(offset, bytes.to_vec()));
    }

    /// The length was changed.
    pub fn set_length(&mut self, length: u64) {
        self.pending.push(Change::Length(length));
    }

    /// Everything is durable.
    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change);
        }
    }

    /// The newest write is durable.
    pub fn sync_newest(&mut self) {
        if let Some(change) = self.pending.pop() {
            apply(&mut self.durable, &change);
        }
    }

    /// Sectors, and changes of length, that a power cut could lose now.
    #[must_use]
    pub fn pending(&self) -> usize {
        let count = |change: &Change| match change {
            Change::Write(_, bytes) => bytes.len().div_ceil(SECTOR_BYTES),
            Change::Length(_) => 1,
        };
        self.pending.iter().map(count).sum()
    }

    /// What a program reads that looks now.
    #[must_use]
    pub fn latest(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|change| apply(&mut bytes, change));
        bytes
    }

    /// What a power cut leaves.
    pub fn image(&self, cut: &mut Cut<'_>) -> Vec<u8> {
        let mut image = self.durable.clone();
        // The disk may do its work in any order, but for lengths, which are the file system's.
        for run in self.pending.chunk_by(|one, next| one.is_write() && next.is_write()) {
            let mut order: Vec<&Change> = run.iter().collect();
            if cut.rng.bool() {
                cut.rng.shuffle(&mut order);
            }
            for change in order {
                match change {
                    Change::Write(offset, bytes) => cut.write(&mut image, *offset, bytes),
                    Change::Length(_) if cut.keeps() => apply(&mut image, change),
                    Change::Length(_) => cut.lose(),
                }
            }
        }
        image
    }
}

impl Cut<'_> {
    fn write(&mut self, image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let whole = self.keeps();
        for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if if self.torn { self.keeps() } else { whole } {
                put(image, offset + (number * SECTOR_BYTES) as u64, sector);
            } else {
                self.lose();
            }
        }
    }
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => put(file, *offset, bytes),
        Change::Length(length) => file.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0),
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

    fn images(file: &File) -> Vec<Vec<u8>> {
        let mut rng = Rng::with_seed(1);
        (0..200).map(|_| file.image(&mut Cut::draw(&mut rng))).collect()
    }

    #[test]
    fn what_was_synced_is_always_there_and_what_was_not_may_be() {
        let mut file = File::default();
        file.write(0, &[1; 1024]);
        file.sync();
        file.write(1024, &[2; 1024]);
        assert!(images(&file).iter().all(|image| image[..1024] == [1; 1024]));
        for length in [1024, 1536, 2048] {
            assert!(images(&file).iter().any(|image| image.len() == length), "{length}");
        }
        file.sync_newest();
        assert!(images(&file).iter().all(|image| image.len() == 2048));
    }

    #[test]
    fn what_was_emptied_and_written_again_is_old_or_new_or_less() {
        let mut file = File::of(vec![1; 1024]);
        file.set_length(0);
        file.write(0, &[2; 512]);
        let found = images(&file);
        for expected in [vec![1; 1024], vec![2; 512], Vec::new()] {
            assert!(found.contains(&expected), "{expected:?}");
        }
        assert_eq!(file.latest(), [2; 512]);
    }
}
