//! What a relay or webhook is known by (certificates), and what we are known by (a secret from a file).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::relay::RelayError;

/// Authorities that certificates are verified by; `None`: the system's.
pub(super) type Authorities = Option<Arc<[CertificateDer<'static>]>>;

/// What `mail.ca_file` names.
pub(super) fn authorities(path: Option<&Path>) -> Result<Authorities, RelayError> {
    let Some(path) = path else { return Ok(None) };
    let pem =
        fs::read(path).map_err(|source| RelayError::CaFile { path: path.to_owned(), source })?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(Some(found.into())),
        _ => Err(RelayError::CaFileContent { path: path.to_owned() }),
    }
}

/// The one line of a file that not everybody may read; `key` is what names it in the configuration.
pub(super) fn secret(key: &'static str, path: &Path) -> Result<String, RelayError> {
    let failed = |source| RelayError::SecretFile { key, path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed)?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(RelayError::SecretFileOpen { key, path: path.to_owned(), mode });
    }
    let content = fs::read_to_string(path).map_err(failed)?;
    let line = content.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(|char: char| char.is_control()) {
        return Err(RelayError::SecretFileContent { key, path: path.to_owned() });
    }
    Ok(line.to_owned())
}
