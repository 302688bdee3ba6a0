//! Encrypted backups, in the age format: `age --decrypt` reads them too.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use age::secrecy::SecretString;
use anyhow::Context;

/// What a file in the age format begins with.
const HEADER: &[u8] = b"age-encryption.org/v1";
/// scrypt with N = 2^17: 128 MiB of memory, and about half a second of one core.
const WORK_FACTOR: u8 = 17;
/// The largest factor that is accepted when a file is read: 4 GiB of memory.
const WORK_FACTOR_MAX: u8 = 22;

/// Reads a passphrase from a file. Line ends at its end are not part of it.
pub(super) fn read_passphrase(path: &Path) -> anyhow::Result<SecretString> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read the passphrase file {shown}"))?;
    let passphrase = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!passphrase.trim().is_empty(), "the passphrase file {shown} is empty");
    Ok(SecretString::from(passphrase.to_owned()))
}

/// Whether a file is in the age format.
pub(super) fn is_encrypted(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(HEADER.len() as u64).read_to_end(&mut head)?;
    Ok(head == HEADER)
}

/// Encrypts a file into a new one with rights for its owner alone.
pub(super) fn encrypt(plain: &Path, to: &Path, passphrase: SecretString) -> anyhow::Result<()> {
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(WORK_FACTOR);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))?;
    let mut out = encryptor.wrap_output(BufWriter::new(private(to)?))?;
    io::copy(&mut File::open(plain)?, &mut out)?;
    let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(file.sync_all()?)
}

/// Decrypts a file into a new one with rights for its owner alone.
pub(super) fn decrypt(from: &Path, to: &Path, passphrase: SecretString) -> anyhow::Result<()> {
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let shown = from.display();
    let decryptor = age::Decryptor::new_buffered(BufReader::new(File::open(from)?))
        .with_context(|| format!("{shown} can't be decrypted"))?;
    let mut plain = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .with_context(|| format!("{shown} can't be decrypted; is it the right passphrase file?"))?;
    let mut out = BufWriter::new(private(to)?);
    io::copy(&mut plain, &mut out).with_context(|| format!("{shown} can't be decrypted: it is damaged"))?;
    Ok(out.flush()?)
}

/// Copies a file into a new one with rights for its owner alone.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut source = File::open(from).with_context(|| format!("can't read {}", from.display()))?;
    let mut out = private(to)?;
    io::copy(&mut source, &mut out).with_context(|| format!("can't copy {}", from.display()))?;
    Ok(())
}

fn private(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_file_is_read_only_with_its_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, sealed, opened] = ["plain", "sealed", "opened"].map(|name| folder.path().join(name));
        std::fs::write(&plain, "keys".repeat(50_000)).unwrap();
        encrypt(&plain, &sealed, SecretString::from("correct horse".to_owned())).unwrap();
        assert!(is_encrypted(&sealed).unwrap() && !is_encrypted(&plain).unwrap());
        decrypt(&sealed, &opened, SecretString::from("correct horse".to_owned())).unwrap();
        assert_eq!(std::fs::read(&opened).unwrap(), std::fs::read(&plain).unwrap());
        let error = decrypt(&sealed, &opened, SecretString::from("wrong".to_owned())).unwrap_err();
        assert!(format!("{error:#}").contains("is it the right passphrase file?"), "{error:#}");
        let mut bytes = std::fs::read(&sealed).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&sealed, bytes).unwrap();
        let error = decrypt(&sealed, &opened, SecretString::from("correct horse".to_owned())).unwrap_err();
        assert!(format!("{error:#}").contains("it is damaged"), "{error:#}");
    }
}
