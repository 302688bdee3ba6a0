//! Checks of files: who owns them and who may read them.

use std::fs::Metadata;
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
        secret_file(path, "the settings, with a password in them,", report);
    }
    if let Some(tls) = &config.tls {
        secret_file(&tls.key, "the TLS key", report);
    }
    if let Location::Folder(folder) = &config.database {
        data_folder(folder, report);
    }
    report.ok_unless_found(before, "files", "secrets and the data folder are for their owner alone");
}

fn secret_file(path: &Path, what: &str, report: &mut Report) {
    if let Ok(file) = std::fs::metadata(path)
        && file.mode() & 0o077 != 0
    {
        let path = path.display();
        report.failure(
            "files",
            format!("other users of this machine may read {what} in {path} (mode {:o})", file.mode() & 0o777),
            format!("Run: chmod 600 {path}"),
        );
    }
}

fn data_folder(folder: &Path, report: &mut Report) {
    let uid = rustix::process::geteuid().as_raw();
    let names = ["keyhouse.db", "keyhouse.db-wal", "keyhouse.db-shm", "keyhouse.lock"];
    let files: Vec<(PathBuf, Metadata)> = std::iter::once(folder.to_owned())
        .chain(names.map(|name| folder.join(name)))
        .filter_map(|path| Some((path.clone(), std::fs::metadata(path).ok()?)))
        .collect();
    for (path, file) in &files {
        let shown = path.display();
        if file.uid() != uid && uid != 0 {
            report.failure(
                "files",
                format!("{shown} belongs to the user {} and this process runs as {uid}", file.uid()),
                format!("Run as root: chown {uid} {shown}"),
            );
        } else if file.mode() & 0o077 != 0 && path != folder {
            report.failure(
                "files",
                format!("other users of this machine may open {shown} (mode {:o})", file.mode() & 0o777),
                format!("Run: chmod 600 {shown}"),
            );
        }
    }
    let owners: Vec<u32> = files.iter().skip(1).map(|(_, file)| file.uid()).collect();
    if uid == 0 && owners.windows(2).any(|pair| pair[0] != pair[1]) {
        report.failure(
            "files",
            format!(
                "the files in {} belong to different users, so the service can't open all of them",
                folder.display()
            ),
            format!("Run: chown --reference={0} {0}/keyhouse.*", folder.display()),
        );
    }
    if let Ok(disk) = rustix::fs::statvfs(folder) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < FREE_BYTES_MIN {
            report.failure(
                "disk",
                format!("{} has {} MiB left", folder.display(), free / 1024 / 1024),
                "Free some space: without it nothing can be written, revocations included.",
            );
        }
    }
}
