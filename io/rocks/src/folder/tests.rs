//! Adoption of checkpoints, cut off at every point.

use super::*;

/// A data directory with the stores `main` and `image`, told apart by the file in them.
struct World {
    _folder: tempfile::TempDir,
    dir: DataDir,
    main: StoreName,
    image: StoreName,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path().join("data"));
        let (main, image) = (StoreName("main".into()), StoreName("image".into()));
        for name in [&main, &image] {
            fs::create_dir_all(dir.folder(name)).unwrap();
            fs::write(dir.folder(name).join(&name.0), []).unwrap();
            fs::write(dir.folder(name).join("CURRENT"), []).unwrap();
        }
        Self { _folder: folder, dir, main, image }
    }

    /// Which store the folder of `name` holds.
    fn content(&self, name: &StoreName) -> Option<String> {
        let folder = self.dir.folder(name);
        let mut names = if folder.exists() { names(&folder).unwrap() } else { return None };
        names.retain(|name| name != "CURRENT");
        Some(names.concat())
    }

    fn traces(&self) -> Vec<String> {
        let entries = self.dir.entries().unwrap();
        entries.into_iter().filter(|name| name.contains('.') && !name.ends_with(LOCK)).collect()
    }

    fn old(&self) -> PathBuf {
        self.dir.beside(&self.main, OLD)
    }

    fn mark(&self) {
        File::create(self.dir.marker(&self.main, &self.image)).unwrap();
    }

    fn assert_as_before(&self) {
        assert_eq!(self.content(&self.main).as_deref(), Some("main"));
        assert_eq!(self.content(&self.image).as_deref(), Some("image"));
        assert_eq!(self.traces(), [""; 0]);
    }

    fn assert_adopted(&self) {
        assert_eq!(self.content(&self.main).as_deref(), Some("image"));
        assert_eq!(self.content(&self.image), None);
        assert_eq!(self.traces(), [""; 0]);
    }
}

#[test]
fn adopting_leaves_the_new_store_and_no_trace() {
    let world = World::new();
    world.dir.adopt(&world.main, &world.image).unwrap();
    world.assert_adopted();
}

#[test]
fn a_crash_anywhere_after_the_marker_ends_in_the_new_store() {
    // What is done when the crash comes: 0 the marker, 1 the old one aside, 2 the new one in
    // place, 3 the marker gone.
    for done in 0..=3 {
        // Whichever store is opened first after the crash.
        for first in ["main", "image", "other"] {
            let world = World::new();
            let (main, image) = (world.dir.folder(&world.main), world.dir.folder(&world.image));
            world.mark();
            if done >= 1 {
                fs::rename(&main, world.old()).unwrap();
            }
            if done >= 2 {
                fs::rename(&image, &main).unwrap();
            }
            if done >= 3 {
                fs::remove_file(world.dir.marker(&world.main, &world.image)).unwrap();
            }
            drop(world.dir.claim(&StoreName(first.into())).unwrap());
            world.assert_adopted();
        }
    }
}

#[test]
fn a_crash_when_there_was_no_old_store_ends_in_the_new_one() {
    let world = World::new();
    fs::remove_dir_all(world.dir.folder(&world.main)).unwrap();
    world.mark();
    drop(world.dir.claim(&world.main).unwrap());
    world.assert_adopted();
}

#[test]
fn an_adoption_that_fails_is_taken_back_from_wherever_it_stands() {
    // What is done when it fails: 0 the marker, 1 the old one aside, 2 the new one in place.
    for done in 0..=2 {
        let world = World::new();
        let (main, image) = (world.dir.folder(&world.main), world.dir.folder(&world.image));
        world.mark();
        if done >= 1 {
            fs::rename(&main, world.old()).unwrap();
        }
        if done >= 2 {
            fs::rename(&image, &main).unwrap();
        }
        world.dir.undo(&world.main, &world.image).unwrap();
        world.assert_as_before();
    }
}

#[test]
fn an_adoption_that_fails_leaves_both_stores() {
    let world = World::new();
    // The way aside is blocked by a folder that is not empty, so the first rename fails.
    fs::create_dir_all(world.old().join("in the way")).unwrap();
    assert!(matches!(world.dir.adopt(&world.main, &world.image), Err(StoreError::Io(_))));
    fs::remove_dir_all(world.old()).unwrap();
    world.assert_as_before();
    let nowhere = StoreName("nowhere".into());
    assert!(matches!(world.dir.adopt(&world.main, &nowhere), Err(StoreError::Io(_))));
    world.assert_as_before();
    world.dir.adopt(&world.main, &world.image).unwrap();
    world.assert_adopted();
}

#[test]
fn a_removal_cut_short_is_finished() {
    let world = World::new();
    fs::rename(world.dir.folder(&world.main), world.old()).unwrap();
    drop(world.dir.claim(&world.image).unwrap());
    assert_eq!(world.traces(), [""; 0]);
    assert_eq!(world.content(&world.main), None);
    assert_eq!(world.content(&world.image).as_deref(), Some("image"));
}

#[test]
fn a_locked_folder_names_itself_and_its_holder() {
    let world = World::new();
    let held = world.dir.claim(&world.main).unwrap();
    let Err(StoreError::Locked(message)) = world.dir.claim(&world.main) else {
        panic!("the folder was given out twice");
    };
    assert!(message.contains(&world.dir.folder(&world.main).display().to_string()), "{message}");
    assert!(message.contains(&format!("process {}", process::id())), "{message}");
    assert!(message.contains("fuser -v "), "{message}");
    drop(world.dir.claim(&world.image).unwrap());
    drop(held);
    drop(world.dir.claim(&world.main).unwrap());
}

#[test]
fn names_that_leave_the_data_directory_are_refused() {
    let world = World::new();
    for name in ["", ".", "..", "a/b", "main.old", "main.lock", "ä"] {
        let refused = world.dir.claim(&StoreName(name.into()));
        assert!(matches!(refused, Err(StoreError::Io(_))), "{name:?} is a name");
    }
}
