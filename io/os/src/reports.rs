//! Reports as files of one folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
};

use lockstep_io::{ReportError, Reports, is_report_name};

/// Reports as files of one folder, which is made with the first of them.
#[derive(Clone, Debug)]
pub struct FileReports {
    folder: PathBuf,
}

impl FileReports {
    /// Reports in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A name is given to a file only when all of it is on the disk. `None`: there is one already.
    fn put(&self, name: &str, content: &[u8]) -> io::Result<Option<PathBuf>> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name);
        let unfinished = self.folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = || -> io::Result<bool> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
            file.write_all(content)?;
            file.sync_all()?;
            // Unlike a rename, this fails if there is a file of that name.
            match fs::hard_link(&unfinished, &path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        };
        let written = written();
        // A file that stays behind has a name of its own and hurts nobody.
        drop(fs::remove_file(&unfinished));
        if !written? {
            return Ok(None);
        }
        File::open(&self.folder)?.sync_all()?;
        Ok(Some(path))
    }
}

impl Reports for FileReports {
    fn write(&self, name: &str, content: &[u8]) -> Result<String, ReportError> {
        if !is_report_name(name) {
            return Err(ReportError::BadName(name.to_owned()));
        }
        match self.put(name, content) {
            Ok(Some(path)) => Ok(path.display().to_string()),
            Ok(None) => Err(ReportError::Exists(name.to_owned())),
            Err(error) => {
                Err(ReportError::Failed { name: name.to_owned(), reason: error.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("reports-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        folder
    }

    #[test]
    fn a_report_is_a_file_that_is_never_overwritten() {
        let folder = folder("twice");
        let reports = FileReports::new(folder.clone());
        let said = reports.write("batch-3.json", b"first").unwrap();
        assert_eq!(said, folder.join("batch-3.json").display().to_string());
        let again = reports.write("batch-3.json", b"second");
        assert_eq!(again, Err(ReportError::Exists("batch-3.json".to_owned())));
        assert_eq!(fs::read(&said).unwrap(), b"first");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing unfinished stays");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_that_lead_elsewhere_and_folders_that_cannot_be_are_refused() {
        let folder = folder("refused");
        let reports = FileReports::new(folder.clone());
        for name in ["", "../x", "a/b", ".hidden", "a b"] {
            assert_eq!(reports.write(name, b""), Err(ReportError::BadName(name.to_owned())));
        }
        fs::write(&folder, b"a file").unwrap();
        let failed = reports.write("x", b"");
        assert!(matches!(failed, Err(ReportError::Failed { .. })), "{failed:?}");
        fs::remove_file(&folder).unwrap();
    }
}
