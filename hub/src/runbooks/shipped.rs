//! The runbooks that come with the hub: the files of the folder `runbooks`.

use super::language::{Book, read};
use std::sync::LazyLock;

/// Their texts.
const TEXTS: &[&str] = &[
    include_str!("../../../runbooks/chrony.yaml"),
    include_str!("../../../runbooks/docker.yaml"),
    include_str!("../../../runbooks/fail2ban.yaml"),
    include_str!("../../../runbooks/haproxy.yaml"),
    include_str!("../../../runbooks/mariadb.yaml"),
    include_str!("../../../runbooks/memcached.yaml"),
    include_str!("../../../runbooks/nginx.yaml"),
    include_str!("../../../runbooks/node-exporter.yaml"),
    include_str!("../../../runbooks/package.yaml"),
    include_str!("../../../runbooks/postgresql.yaml"),
    include_str!("../../../runbooks/prometheus.yaml"),
    include_str!("../../../runbooks/rabbitmq.yaml"),
    include_str!("../../../runbooks/redis.yaml"),
    include_str!("../../../runbooks/service.yaml"),
];

static BOOKS: LazyLock<Vec<(Book, &'static str)>> = LazyLock::new(|| {
    let read = |text: &&'static str| match read(text) {
        Ok(book) => Some((book, *text)),
        Err(problems) => {
            tracing::error!("a runbook that comes with the hub is left out: {problems:?}");
            None
        }
    };
    TEXTS.iter().filter_map(read).collect()
});

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static (Book, &'static str)> {
    BOOKS.iter()
}

/// The one of this name, with its text.
pub(super) fn find(name: &str) -> Option<&'static (Book, &'static str)> {
    BOOKS.iter().find(|(book, _)| book.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbooks::Plan;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn each_makes_sense_with_all_that_it_includes_and_is_called_as_its_file() {
        for text in TEXTS {
            let book =
                Arc::new(read(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")));
            let find = |name: &str| super::find(name).map(|(book, _)| Arc::new(book.clone()));
            Plan::make(book.clone(), &find)
                .unwrap_or_else(|problems| panic!("{}: {problems:#?}", book.name));
            assert!(!book.description.is_empty(), "{}", book.name);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runbooks");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let names: Vec<_> = all().map(|(book, _)| format!("{}.yaml", book.name)).collect();
        assert_eq!(names, files);
    }
}
