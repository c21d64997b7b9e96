//! Directories that vouch for people: [`ldap`] by their password, [`oidc`] by what they confirm in a
//! browser. Each answers with a [`person`] and their groups; [`groups`] turns those into a role.
//!
//! Nothing here is kept: each question dials the directory anew, so a directory that is down takes nobody
//! else with it.

pub mod groups;
pub mod ldap;
pub mod oidc;
pub mod person;

mod tls;

use std::path::Path;
use zeroize::Zeroizing;

/// The secret in a file for its owner alone, without the line's end.
fn secret_in(path: &Path) -> Result<Zeroizing<String>, String> {
    let what = |why: &str| format!("reading the secret in {}: {why}", path.display());
    let bytes = cmdr_link::files::read_private(path, 4096).map_err(|e| what(&e.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| what("it is not text"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
