//! What a disk could hold of a data directory after a power cut: everything that was durable, and of what
//! was not any part: of each file its sectors, of each folder its names, all independently. Knows names,
//! writes and syncs; knows nothing of what the bytes mean.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::file::{Cut, File};
use super::io_errors::make_private;
use super::log::Event;

/// LMDB's table of readers and locks, which is written as memory, and made anew after a crash.
const LOCKS: &str = "lock.mdb";

/// Which promises of the disk hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// What was synced is there.
    Kept,
    /// Only files are: their names in folders may be lost for ever.
    OfFiles,
    /// Only folders are: what is in files may be lost for ever.
    OfFolders,
}

/// A file or a folder, however often its inode was used.
type Id = usize;
/// What names mean, by folder and name.
type Names = BTreeMap<(Id, String), Id>;

/// A data directory on its way through a log.
#[derive(Clone)]
pub struct Disk {
    syncs: Syncs,
    /// The contents of files; None of folders.
    things: Vec<Option<File>>,
    inodes: HashMap<u64, Id>,
    latest: Names,
    durable: Names,
    /// Changes of names that may be lost, oldest first.
    pending: Vec<Change>,
}

/// One change of names. What was renamed has one name or the other, or for a while both.
#[derive(Clone)]
struct Change {
    set: Option<((Id, String), Id)>,
    removed: Option<(Id, String)>,
}

/// The folder that the data directory lies in.
const ABOVE: Id = 0;

impl Disk {
    /// The disk before a server begins with `root`: all that is there is durable.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn before(root: &Path, syncs: Syncs) -> io::Result<Self> {
        let above = fs::metadata(root.parent().unwrap_or(root))?.ino();
        let mut disk = Self {
            syncs,
            things: vec![None],
            inodes: HashMap::from([(above, ABOVE)]),
            latest: Names::new(),
            durable: Names::new(),
            pending: Vec::new(),
        };
        if root.exists() {
            let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
            disk.find(ABOVE, name, root)?;
        }
        disk.latest.clone_from(&disk.durable);
        Ok(disk)
    }

    fn find(&mut self, folder: Id, name: String, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        // Sockets come and go without a trace on the disk.
        if !metadata.is_dir() && !metadata.is_file() {
            return Ok(());
        }
        let content = if metadata.is_dir() { None } else { Some(File::of(fs::read(path)?)) };
        let id = self.begin(metadata.ino(), content);
        self.durable.insert((folder, name), id);
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                self.find(id, entry.file_name().to_string_lossy().into_owned(), &entry.path())?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, inode: u64, content: Option<File>) -> Id {
        self.things.push(content);
        self.inodes.insert(inode, self.things.len() - 1);
        self.things.len() - 1
    }

    /// Takes one event.
    ///
    /// # Errors
    /// When it is about something that was never made.
    pub fn take(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Write { inode, offset, bytes } => self.file(*inode)?.write(*offset, bytes),
            Event::WriteDurable(inode) if self.syncs != Syncs::OfFolders => {
                self.file(*inode)?.sync_newest();
            }
            Event::Sync(inode) => self.sync(*inode)?,
            Event::Length(inode, length) => self.file(*inode)?.set_length(*length),
            Event::Made(path, inode) => {
                let id = self.begin(*inode, Some(File::default()));
                if !path.is_empty() {
                    self.change(Some((path, id)), None)?;
                }
            }
            Event::MadeFolder(path, inode) => {
                let id = self.begin(*inode, None);
                self.change(Some((path, id)), None)?;
            }
            Event::Linked(path, inode) => {
                let id = self.id(*inode)?;
                self.change(Some((path, id)), None)?;
            }
            Event::Renamed(from, to) => {
                let id = *self.latest.get(&self.place(from)?).ok_or(format!("no {from}"))?;
                self.change(Some((to, id)), Some(from))?;
            }
            Event::Unlinked(path) => self.change(None, Some(path))?,
            Event::WriteDurable(_) | Event::Acknowledged(_) => {}
        }
        Ok(())
    }

    fn id(&self, inode: u64) -> Result<Id, String> {
        self.inodes.get(&inode).copied().ok_or_else(|| format!("inode {inode} was never made"))
    }

    fn file(&mut self, inode: u64) -> Result<&mut File, String> {
        let id = self.id(inode)?;
        self.things[id].as_mut().ok_or_else(|| format!("inode {inode} is a folder"))
    }

    /// A path's folder and its name in there.
    fn place(&self, path: &str) -> Result<(Id, String), String> {
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default().to_owned();
        let folder = parts
            .into_iter()
            .try_fold(ABOVE, |folder, part| self.latest.get(&(folder, part.to_owned())).copied());
        Ok((folder.ok_or_else(|| format!("no folder for {path}"))?, name))
    }

    fn change(&mut self, set: Option<(&str, Id)>, removed: Option<&str>) -> Result<(), String> {
        let removed = removed.map(|path| self.place(path)).transpose()?;
        let set = set.map(|(path, id)| self.place(path).map(|place| (place, id))).transpose()?;
        let change = Change { set, removed };
        change.apply(&mut self.latest);
        self.pending.push(change);
        Ok(())
    }

    fn sync(&mut self, inode: u64) -> Result<(), String> {
        let (id, syncs) = (self.id(inode)?, self.syncs);
        match &mut self.things[id] {
            Some(file) if syncs != Syncs::OfFolders => file.sync(),
            None if syncs != Syncs::OfFiles => {
                let pending = std::mem::take(&mut self.pending);
                for mut change in pending {
                    change.split(id).apply(&mut self.durable);
                    if change.set.is_some() || change.removed.is_some() {
                        self.pending.push(change);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Sectors and names that a power cut could lose now.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.things.iter().flatten().map(File::pending).sum::<usize>() + self.pending.len()
    }

    /// One of the directories that a power cut could leave now.
    pub fn image(&self, cut: &mut Cut<'_>) -> Image {
        let mut names = self.durable.clone();
        for change in &self.pending {
            if !cut.keeps() {
                cut.lost += 1;
                continue;
            }
            // The name that something had before may stay a little longer.
            let removed = change.removed.clone().filter(|_| change.set.is_none() || cut.keeps());
            Change { removed, ..change.clone() }.apply(&mut names);
        }
        self.tree(&names, &mut |file| file.image(cut))
    }

    /// What a program sees that looks now.
    #[must_use]
    pub fn latest(&self) -> Image {
        self.tree(&self.latest, &mut File::latest)
    }

    /// Makes sure that the events, done again, give what lies in `root`.
    ///
    /// # Errors
    /// What differs: what a program did and nobody saw.
    pub fn explains(&self, root: &Path, events: &[Event]) -> Result<(), String> {
        let mut disk = self.clone();
        events.iter().try_for_each(|event| disk.take(event))?;
        disk.latest().compare(root)
    }

    fn tree(&self, names: &Names, content: &mut dyn FnMut(&File) -> Vec<u8>) -> Image {
        let mut image = Image::default();
        let mut folders = vec![(ABOVE, PathBuf::new())];
        while let Some((folder, path)) = folders.pop() {
            let range = (folder, String::new())..(folder + 1, String::new());
            for ((_, name), id) in names.range(range) {
                let path = path.join(name);
                match &self.things[*id] {
                    Some(file) => image.0.insert(path, Some(content(file))),
                    None => {
                        folders.push((*id, path.clone()));
                        image.0.insert(path, None)
                    }
                };
            }
        }
        image
    }
}

impl Change {
    /// Takes out what concerns `folder`.
    fn split(&mut self, folder: Id) -> Change {
        let set = self.set.take_if(|((of, _), _)| *of == folder);
        Change { set, removed: self.removed.take_if(|(of, _)| *of == folder) }
    }

    fn apply(&self, names: &mut Names) {
        if let Some(place) = &self.removed {
            names.remove(place);
        }
        if let Some((place, id)) = &self.set {
            names.insert(place.clone(), *id);
        }
    }
}

/// Files with their bytes, and folders without, by path from the folder that the data directory lies in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image(pub BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Image {
    /// Makes it in `dir`, as private as data are.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        make_private(dir)?;
        for (path, content) in &self.0 {
            let path = dir.join(path);
            let Some(bytes) = content else {
                make_private(&path)?;
                continue;
            };
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file?.write_all(bytes)?;
        }
        Ok(())
    }

    /// Compares it with what lies in `root`.
    ///
    /// # Errors
    /// What differs.
    fn compare(&self, root: &Path) -> Result<(), String> {
        let mut found =
            Disk::before(root, Syncs::Kept).map_err(|error| error.to_string())?.latest().0;
        let mut seen = self.0.clone();
        for content in [&mut seen, &mut found].into_iter().flatten() {
            if content.0.ends_with(LOCKS) {
                *content.1 = None;
            }
        }
        let paths = seen.keys().chain(found.keys());
        match paths.into_iter().find(|path| seen.get(*path) != found.get(*path)) {
            None => Ok(()),
            Some(path) => {
                let length = |image: &BTreeMap<PathBuf, Option<Vec<u8>>>| {
                    image.get(path).map(|content| content.as_ref().map(Vec::len))
                };
                let (seen, found) = (length(&seen), length(&found));
                Err(format!("{path:?} is not what was seen: {found:?} instead of {seen:?}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;

    use super::*;

    const FILE: u64 = u64::MAX;
    const FOLDER: u64 = u64::MAX - 1;

    fn disk(dir: &Path, syncs: Syncs, events: &[Event]) -> Disk {
        let mut disk = Disk::before(&dir.join("data"), syncs).unwrap();
        events.iter().for_each(|event| disk.take(event).unwrap());
        disk
    }

    /// All sets of paths that power cuts leave.
    fn left(disk: &Disk) -> BTreeSet<String> {
        let mut rng = Rng::with_seed(1);
        let one = |_| {
            let image = disk.image(&mut Cut::draw(&mut rng));
            let paths: Vec<_> = image.0.keys().map(|path| path.display().to_string()).collect();
            paths.join(" ")
        };
        (0..300).map(one).collect()
    }

    fn made() -> Vec<Event> {
        let write = Event::Write { inode: FILE, offset: 0, bytes: vec![1; 10] };
        let folder = Event::MadeFolder("data".to_owned(), FOLDER);
        vec![folder, Event::Made("data/a".to_owned(), FILE), write, Event::Sync(FILE)]
    }

    #[test]
    fn names_are_durable_when_their_folders_were_synced() {
        let dir = tempfile::tempdir().unwrap();
        let above = fs::metadata(dir.path()).unwrap().ino();
        let mut disk = disk(dir.path(), Syncs::Kept, &made());
        assert_eq!(left(&disk), ["", "data", "data data/a"].map(str::to_owned).into());
        disk.take(&Event::Sync(FOLDER)).unwrap();
        assert_eq!(left(&disk), ["", "data data/a"].map(str::to_owned).into());
        disk.take(&Event::Sync(above)).unwrap();
        assert_eq!(left(&disk), ["data data/a".to_owned()].into());
        assert_eq!(disk.pending(), 0);
    }

    #[test]
    fn what_was_renamed_has_one_name_or_the_other_or_both_and_is_never_gone() {
        let dir = tempfile::tempdir().unwrap();
        let above = fs::metadata(dir.path()).unwrap().ino();
        let mut disk = disk(dir.path(), Syncs::Kept, &made());
        for event in [
            Event::Sync(FOLDER),
            Event::Sync(above),
            Event::Renamed("data/a".to_owned(), "data/b".to_owned()),
        ] {
            disk.take(&event).unwrap();
        }
        let all = ["data data/a", "data data/b", "data data/a data/b"];
        assert_eq!(left(&disk), all.map(str::to_owned).into());
        disk.take(&Event::Unlinked("data/b".to_owned())).unwrap();
        assert!(left(&disk).contains("data"));
    }

    #[test]
    fn folders_may_be_never_synced() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = disk(dir.path(), Syncs::OfFiles, &made());
        disk.take(&Event::Sync(FOLDER)).unwrap();
        assert!(left(&disk).contains("data"));
    }

    #[test]
    fn an_image_is_what_it_was_made_from() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(dir.path(), Syncs::Kept, &made());
        disk.latest().write(dir.path()).unwrap();
        disk.latest().compare(&dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/a"), "other").unwrap();
        assert!(disk.latest().compare(&dir.path().join("data")).is_err());
        fs::remove_file(dir.path().join("data/a")).unwrap();
        assert!(disk.latest().compare(&dir.path().join("data")).is_err());
    }
}
