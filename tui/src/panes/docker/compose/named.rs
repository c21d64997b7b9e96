//! What a project is called when nobody says it: by `name:` of its file, else after the folder that the file is in,
//! as compose programs do. Used by the form that puts a file ([`super::kept`]).

use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Top {
    #[serde(default)]
    name: Option<String>,
}

/// The name of a project whose file is at `path` and reads `text`; empty where neither gives one.
pub(super) fn named(path: &Path, text: &str) -> String {
    // A file that cannot be read is refused by the hub, which says why.
    let said = serde_saphyr::from_str::<Top>(text).ok().and_then(|top| top.name);
    if let Some(name) = said.filter(|name| !name.is_empty()) {
        return name;
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = whole.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let letters = folder.chars().map(|c| c.to_ascii_lowercase());
    let name: String =
        letters.filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_called_as_its_file_says() {
        let text = "name: shop\nservices: {}\n";
        assert_eq!(named(Path::new("/srv/other/compose.yaml"), text), "shop");
    }

    #[test]
    fn a_project_without_a_name_is_called_after_its_folder() {
        assert_eq!(named(Path::new("/srv/_My Shop.2/compose.yaml"), "services: {}\n"), "myshop2");
        assert_eq!(named(Path::new("/compose.yaml"), "services: {}\n"), "");
        assert_eq!(named(Path::new("/srv/shop/compose.yaml"), ": [not yaml"), "shop");
    }
}
