//! Programs that are installed by npm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lockstep_testvectors::skip_loudly;

/// The folder with the files of `tests/{name}` and what its `package-lock.json` names, installed
/// into the build directory; `None` if npm is not there, or, outside of CI, its registry is not.
/// Both are said loudly.
pub fn installed(name: &str) -> Option<PathBuf> {
    let has = |program: &str| {
        Command::new(program).arg("--version").output().is_ok_and(|said| said.status.success())
    };
    if !has("node") || !has("npm") {
        skip_loudly(&format!("{name}: node and npm are not there"));
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::read(source.join("package-lock.json")).unwrap();
    let is_there = fs::read(folder.join("installed")).is_ok_and(|installed| installed == lock);
    for file in fs::read_dir(&source).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
    if is_there {
        return Some(folder);
    }
    let mut words = String::new();
    for _attempt in 0..2 {
        let output = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if output.status.success() {
            fs::write(folder.join("installed"), &lock).unwrap();
            return Some(folder);
        }
        words = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    assert!(std::env::var_os("CI").is_none(), "npm cannot install {name}: {words}");
    skip_loudly(&format!("{name}: npm cannot install it; is its registry reachable? {words}"));
    None
}
