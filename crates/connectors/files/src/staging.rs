//! A new local file beside the one it will replace. The target changes by one rename, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use xdb_core::names::{STAGING_PREFIX, staging_name};

/// Longest file name of the usual file systems, in bytes, less the dot in front.
const MAX_NAME: usize = 254;
/// A file that nobody holds is left alone this long: its maker may not have locked it yet.
const GRACE: Duration = Duration::from_secs(60);

/// Unique among runs and threads.
pub(crate) fn run_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{:x}-{now:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Locked while it is written. Dropping it without [`StagedFile::commit`] removes it.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: io::BufWriter<File>,
    path: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl StagedFile {
    /// Makes the folder where it isn't there, and removes what crashed runs left of earlier attempts at this target.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        // Through a symbolic link, so that the link stays one.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
        let folder = target.parent().map(Path::to_path_buf).unwrap_or_default();
        fs::create_dir_all(&folder)?;
        let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        remove_stale(&folder, &name);
        let path = folder.join(format!(".{}", staging_name("new", &run_id(), &name, MAX_NAME)));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let out = Self { file: io::BufWriter::with_capacity(256 << 10, file), path, target, committed: false };
        // Where the file system has no locks, a crash leaves the file for a person to remove.
        let _ = out.file.get_ref().try_lock();
        if let Ok(old) = fs::metadata(&out.target) {
            let _ = fs::set_permissions(&out.path, old.permissions());
        }
        Ok(out)
    }

    /// On disk, then in place.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.committed = true;
        // The rename itself is on disk once the folder is. Not every system can sync one: the file is whole either way.
        if let Some(folder) = self.target.parent().and_then(|f| File::open(f).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Write for StagedFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Staging files of `name` that no living process holds. Nothing here may fail the load.
fn remove_stale(folder: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let prefix = format!(".{STAGING_PREFIX}new_");
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if !file.strip_prefix(&prefix).is_some_and(|rest| rest.ends_with(&format!("_{name}"))) {
            continue;
        }
        let old =
            entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok()).is_some_and(|a| a > GRACE);
        if old && File::open(entry.path()).is_ok_and(|f| f.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut all: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn the_target_changes_only_in_commit() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("sub/t.csv");
        let mut s = StagedFile::create(&target).unwrap();
        s.write_all(b"old").unwrap();
        s.commit().unwrap();
        let mut s = StagedFile::create(&target).unwrap();
        s.write_all(b"half").unwrap();
        assert_eq!(names(&dir.path().join("sub")).len(), 2);
        drop(s);
        assert_eq!(names(&dir.path().join("sub")), ["t.csv"]);
        assert_eq!(fs::read(&target).unwrap(), b"old");
    }
    #[test]
    fn only_what_nobody_holds_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: &str| dir.path().join(n);
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        for n in ["._xdb_new_1_t.csv", "._xdb_new_2_t.csv", "._xdb_new_3_other.csv", "._xdb_new_4_t.csv"] {
            let f = File::create(at(n)).unwrap();
            if n != "._xdb_new_4_t.csv" {
                f.set_modified(long_ago).unwrap();
            }
        }
        let held = File::open(at("._xdb_new_2_t.csv")).unwrap();
        held.lock().unwrap();
        drop(StagedFile::create(&at("t.csv")).unwrap());
        assert_eq!(names(dir.path()), ["._xdb_new_2_t.csv", "._xdb_new_3_other.csv", "._xdb_new_4_t.csv"]);
    }
}
