//! The data directory: which folder is which store, who holds it, and how one takes another's place.
//!
//! | Name in the data directory | Is |
//! |---|---|
//! | `NAME/` | the store called NAME |
//! | `NAME.lock` | locked while a process has the store open or works on its folder; holds its id |
//! | `NAME.adopts.FROM` | FROM is about to become NAME |
//! | `NAME.old/` | what NAME was before, on its way out |
//! | `NAME.tmp/` | a checkpoint in the making, by RocksDB |
//!
//! Names of stores have no dots, so none of these is ever a store. A crash in the middle leaves
//! such a trace; [`DataDir::settle`] finishes what was begun before a store is used again.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    process,
};

use lockstep_io::{StoreError, StoreName};

use crate::error::from_io;

const LOCK: &str = "lock";
const ADOPTS: &str = "adopts";
const OLD: &str = "old";
const STAGING: &str = "tmp";

/// The data directory.
#[derive(Debug)]
pub(crate) struct DataDir(PathBuf);

/// The right to use the folder of one store, until dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl DataDir {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn folder(&self, name: &StoreName) -> PathBuf {
        self.0.join(&name.0)
    }

    fn beside(&self, name: &StoreName, ending: &str) -> PathBuf {
        self.0.join(format!("{}.{ending}", name.0))
    }

    fn marker(&self, name: &StoreName, from: &StoreName) -> PathBuf {
        self.beside(name, &format!("{ADOPTS}.{}", from.0))
    }

    /// Takes the folder of `name` for this process, makes the data directory if there is none, and
    /// finishes whatever a crash left half-done.
    pub(crate) fn claim(&self, name: &StoreName) -> Result<FolderLock, StoreError> {
        check_name(name)?;
        fs::create_dir_all(&self.0).map_err(|error| from_io("make", &self.0, &error))?;
        self.settle_all(name)?;
        let lock = self.lock(name)?;
        self.settle(name)?;
        Ok(lock)
    }

    fn lock(&self, name: &StoreName) -> Result<FolderLock, StoreError> {
        let path = self.beside(name, LOCK);
        let failed = |error: io::Error| from_io("lock", &path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => return Err(self.locked(name, &mut file)),
        }
        // For whoever finds it locked.
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", process::id()).map_err(failed)?;
        Ok(FolderLock { _file: file })
    }

    fn locked(&self, name: &StoreName, file: &mut File) -> StoreError {
        let mut holder = String::new();
        let holder = match file.read_to_string(&mut holder) {
            Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
            Ok(_) | Err(_) => "its holder".to_owned(),
        };
        StoreError::Locked(format!(
            "{} ({holder} has it; `fuser -v {}` shows who)",
            self.folder(name).display(),
            self.beside(name, LOCK).display()
        ))
    }

    /// Finishes what a crash left half-done for every store but `except` that nobody holds.
    fn settle_all(&self, except: &StoreName) -> Result<(), StoreError> {
        for entry in self.entries()? {
            let Some((name, ending)) = entry.split_once('.') else { continue };
            let name = StoreName(name.to_owned());
            let trace = ending == OLD || ending == STAGING || ending.starts_with(ADOPTS);
            if !trace || name == *except || check_name(&name).is_err() {
                continue;
            }
            match self.lock(&name) {
                Ok(_lock) => self.settle(&name)?,
                // Its holder is at work, so nothing is half-done.
                Err(StoreError::Locked(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finishes what a crash left half-done for `name`, whose lock the caller holds.
    fn settle(&self, name: &StoreName) -> Result<(), StoreError> {
        if let Some(from) = self.adopted_from(name)? {
            if self.folder(&from).exists() {
                self.exchange(name, &from)?;
            }
            self.forget(&self.marker(name, &from))?;
        }
        self.remove_folder(&self.beside(name, OLD))?;
        self.remove_folder(&self.beside(name, STAGING))
    }

    fn adopted_from(&self, name: &StoreName) -> Result<Option<StoreName>, StoreError> {
        let begin = format!("{}.{ADOPTS}.", name.0);
        let entries = self.entries()?;
        let from = entries.iter().find_map(|entry| entry.strip_prefix(&begin));
        Ok(from.map(|from| StoreName(from.to_owned())))
    }

    /// Puts the folder of `from` in the place of that of `name`. The caller holds both locks.
    ///
    /// From the moment the marker is on disk, a crash ends in the new store; until then, in the old.
    pub(crate) fn adopt(&self, name: &StoreName, from: &StoreName) -> Result<(), StoreError> {
        if !self.folder(from).join("CURRENT").exists() {
            return Err(StoreError::Io(format!("there is no store {}", from.0)));
        }
        let marker = self.marker(name, from);
        let marked = File::create_new(&marker)
            .map_err(|error| from_io("make", &marker, &error))
            .and_then(|_| self.sync());
        if let Err(error) = marked.and_then(|()| self.exchange(name, from)) {
            self.undo(name, from)?;
            return Err(error);
        }
        // The new store is in place for good. What is left over here goes with the next `settle`.
        drop(self.forget(&marker).and_then(|()| self.remove_folder(&self.beside(name, OLD))));
        Ok(())
    }

    /// `name` becomes `name.old`, `from` becomes `name`; where the first is done already, the
    /// second alone.
    fn exchange(&self, name: &StoreName, from: &StoreName) -> Result<(), StoreError> {
        let (folder, old) = (self.folder(name), self.beside(name, OLD));
        if folder.exists() {
            rename(&folder, &old)?;
        }
        rename(&self.folder(from), &folder)?;
        self.sync()
    }

    /// Takes back an adoption that failed, from wherever it stands. `from` was there when it began.
    fn undo(&self, name: &StoreName, from: &StoreName) -> Result<(), StoreError> {
        let (folder, old) = (self.folder(name), self.beside(name, OLD));
        if !self.folder(from).exists() {
            rename(&folder, &self.folder(from))?;
        }
        if old.exists() && !folder.exists() {
            rename(&old, &folder)?;
        }
        let marker = self.marker(name, from);
        if marker.exists() { self.forget(&marker) } else { Ok(()) }
    }

    /// Removes the folder of `name`, whose lock the caller holds: at once as far as a crash can
    /// see.
    pub(crate) fn remove(&self, name: &StoreName) -> Result<(), StoreError> {
        let (folder, old) = (self.folder(name), self.beside(name, OLD));
        if !folder.exists() {
            return Ok(());
        }
        rename(&folder, &old)?;
        self.sync()?;
        self.remove_folder(&old)
    }

    fn remove_folder(&self, folder: &Path) -> Result<(), StoreError> {
        match fs::remove_dir_all(folder) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(from_io("remove", folder, &error)),
        }
    }

    fn forget(&self, marker: &Path) -> Result<(), StoreError> {
        fs::remove_file(marker).map_err(|error| from_io("remove", marker, &error))?;
        self.sync()
    }

    /// Makes the names in the data directory durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        sync_path(&self.0)
    }

    /// Makes a finished folder durable: its files, their names, and its own.
    pub(crate) fn sync_folder(&self, name: &StoreName) -> Result<(), StoreError> {
        let folder = self.folder(name);
        for file in names(&folder)? {
            sync_path(&folder.join(file))?;
        }
        sync_path(&folder)?;
        self.sync()
    }

    /// Names of the stores that have a folder, in order.
    pub(crate) fn stores(&self) -> Result<Vec<StoreName>, StoreError> {
        let names = self.entries()?.into_iter().map(StoreName);
        Ok(names.filter(|name| check_name(name).is_ok() && self.folder(name).is_dir()).collect())
    }

    /// Bytes of the files of the store called `name`; what vanishes meanwhile counts nothing.
    pub(crate) fn bytes(&self, name: &StoreName) -> Result<u64, StoreError> {
        let folder = self.folder(name);
        let lengths = names(&folder)?.into_iter().map(|file| fs::metadata(folder.join(file)));
        Ok(lengths.map(|length| length.map_or(0, |length| length.len())).sum())
    }

    fn entries(&self) -> Result<Vec<String>, StoreError> {
        if self.0.exists() { names(&self.0) } else { Ok(Vec::new()) }
    }
}

/// A name is a folder, and must not look like one of the traces above.
fn check_name(name: &StoreName) -> Result<(), StoreError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.0.is_empty() && name.0.bytes().all(good) {
        return Ok(());
    }
    Err(StoreError::Io(format!("{:?} is no name of a store: letters, digits, - and _", name.0)))
}

/// Names of what `folder` holds, in order.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |error: io::Error| from_io("list", folder, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        // A name that is not UTF-8 is not ours.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| from_io("rename", from, &error))
}

fn sync_path(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| from_io("sync", path, &error))
}

#[cfg(test)]
mod tests;
