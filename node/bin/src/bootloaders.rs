//! The reference node's bootloaders for calls and estimates, where an operator has them.

use std::path::Path;

use anyhow::{Context, bail};
use lockstep_vm_era::Bootloaders;

/// Folders inside the folder that are looked into.
const DEPTH_MAX: u32 = 4;
/// Longest file that may be one, bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Loads all bootloaders in `dir` and the folders in it, whatever their names. Other files are
/// left alone.
///
/// # Errors
///
/// If the folder cannot be read or holds none.
pub(crate) fn load(dir: &Path) -> anyhow::Result<Bootloaders> {
    let mut found = Bootloaders::default();
    look(dir, DEPTH_MAX, &mut found)?;
    if found.is_empty() {
        bail!("there is no bootloader for calls or estimates that is known in {}", dir.display());
    }
    Ok(found)
}

fn look(dir: &Path, depth: u32, found: &mut Bootloaders) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", dir.display());
    for entry in std::fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let kind = std::fs::metadata(&path).with_context(cannot)?;
        if kind.is_dir() && depth > 0 {
            look(&path, depth - 1, found)?;
        } else if kind.is_file() && kind.len() <= BYTES_MAX {
            let code = std::fs::read(&path);
            found.offer(code.with_context(|| format!("cannot read {}", path.display()))?.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_any_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::fs::write(dir.path().join("inner/other.zbin"), [0; 32]).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no bootloader"), "{error}");
        let error = load(&dir.path().join("missing")).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
