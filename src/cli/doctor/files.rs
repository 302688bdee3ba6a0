//! Checks of files: who owns them, who may read them, and the space that is left.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Report;
use crate::config::Config;
use keyhouse_store::Location;

/// Below this, SQLite soon can't write.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

pub(super) fn check(config: &Config, settings_file: Option<&Path>, report: &mut Report) {
    let before = report.0.len();
    let holds_secrets = |path: &&Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("://") && line.contains('@'))
    };
    if let Some(path) = settings_file.filter(holds_secrets) {
        secret_file(path, "settings with a password", report);
    }
    if let Some(tls) = &config.tls {
        secret_file(&tls.key, "the TLS key", report);
    }
    if let Location::Folder(folder) = &config.database {
        data_folder(folder, report);
    }
    report.ok_unless_found(before, "files", "only their owner can read secrets and the data folder");
    if let Location::Folder(folder) = &config.database
        && let Ok(disk) = rustix::fs::statvfs(folder)
    {
        free_space(folder, disk.f_bavail.saturating_mul(disk.f_frsize), report);
    }
}

fn secret_file(path: &Path, what: &str, report: &mut Report) {
    if let Ok(file) = std::fs::metadata(path)
        && file.mode() & 0o077 != 0
    {
        let (path, mode) = (path.display(), file.mode() & 0o777);
        report.failure(
            "files",
            format!("other users of this machine can read {path} (mode {mode:o}), which contains {what}"),
            format!("Run: chmod 600 {path}"),
        );
    }
}

/// A file or folder of the database.
struct Owned {
    path: PathBuf,
    uid: u32,
    mode: u32,
}

fn data_folder(folder: &Path, report: &mut Report) {
    let names = ["keyhouse.db", "keyhouse.db-wal", "keyhouse.db-shm", "keyhouse.lock"];
    let owned = |path: PathBuf| {
        let file = std::fs::metadata(&path).ok()?;
        Some(Owned { path, uid: file.uid(), mode: file.mode() })
    };
    let files: Vec<Owned> = names.iter().filter_map(|name| owned(folder.join(name))).collect();
    let uid = rustix::process::geteuid().as_raw();
    owners(folder, owned(folder.to_owned()).into_iter().chain(files).collect(), uid, report);
}

/// Checks the owners and modes of the folder and its files for a process of the user `uid`. `files` begins with the folder.
fn owners(folder: &Path, files: Vec<Owned>, uid: u32, report: &mut Report) {
    for file in &files {
        let shown = file.path.display();
        if file.uid != uid && uid != 0 {
            report.failure(
                "files",
                format!("{shown} belongs to the user {} and this process runs as {uid}", file.uid),
                format!("Run as root: chown {uid} {shown}"),
            );
        } else if file.mode & 0o077 != 0 && file.path != folder {
            report.failure(
                "files",
                format!("other users of this machine can open {shown} (mode {:o})", file.mode & 0o777),
                format!("Run: chmod 600 {shown}"),
            );
        }
    }
    if uid == 0 && files.iter().any(|file| file.uid != files[0].uid) {
        report.failure(
            "files",
            format!(
                "files in {} do not belong to the owner of the folder, so the service can't open them",
                folder.display()
            ),
            format!("Run: chown --reference={0} {0}/keyhouse.*", folder.display()),
        );
    }
}

fn free_space(folder: &Path, free: u64, report: &mut Report) {
    if free < FREE_BYTES_MIN {
        report.failure(
            "disk",
            format!("{} has {} MiB left", folder.display(), free / 1024 / 1024),
            "Free some space: without it nothing can be written, revocations included.",
        );
    } else {
        report.ok("disk", format!("{} has {} MiB left", folder.display(), free / 1024 / 1024));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Level};
    use super::*;

    fn owned(path: &str, uid: u32, mode: u32) -> Owned {
        Owned { path: PathBuf::from(path), uid, mode }
    }

    fn found(files: Vec<Owned>, uid: u32) -> Vec<Finding> {
        let mut report = Report::default();
        owners(Path::new("/data"), files, uid, &mut report);
        report.0
    }

    fn failure(message: &str, remedy: &str) -> Finding {
        let remedy = Some(remedy.to_owned());
        Finding { check: "files", level: Level::Failure, message: message.to_owned(), remedy }
    }

    #[test]
    fn a_file_of_another_user_is_a_failure_with_the_command_that_gives_it_back() {
        let folder = || owned("/data", 1000, 0o700);
        let database = |uid| owned("/data/keyhouse.db", uid, 0o600);
        assert_eq!(found(vec![folder(), database(1000)], 1000), []);
        let other = failure(
            "/data/keyhouse.db belongs to the user 0 and this process runs as 1000",
            "Run as root: chown 1000 /data/keyhouse.db",
        );
        assert_eq!(found(vec![folder(), database(0)], 1000), [other]);
    }

    #[test]
    fn root_finds_files_that_the_owner_of_the_folder_can_t_open() {
        let folder = || owned("/data", 1000, 0o700);
        let database = |uid| owned("/data/keyhouse.db", uid, 0o600);
        assert_eq!(found(vec![folder(), database(1000)], 0), []);
        let mixed = failure(
            "files in /data do not belong to the owner of the folder, so the service can't open them",
            "Run: chown --reference=/data /data/keyhouse.*",
        );
        assert_eq!(found(vec![folder(), database(0)], 0), [mixed]);
    }

    #[test]
    fn a_disk_with_less_than_256_mib_left_is_a_failure() {
        let level = |free| {
            let mut report = Report::default();
            free_space(Path::new("/data"), free, &mut report);
            (report.0[0].check, report.0[0].level, report.0[0].message.clone())
        };
        assert_eq!(level(FREE_BYTES_MIN), ("disk", Level::Ok, "/data has 256 MiB left".to_owned()));
        assert_eq!(level(FREE_BYTES_MIN - 1), ("disk", Level::Failure, "/data has 255 MiB left".to_owned()));
    }
}
