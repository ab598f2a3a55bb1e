//! The files behind lists, looked at now and then.

use std::sync::Arc;

use super::watched_file::WatchedFile;
use super::{List, ListError, ListSource, Lists};

/// Reads lists again when their files have changed. What can't be read keeps its last good copy.
#[derive(Debug, Default)]
pub struct ListWatch(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    source: ListSource,
    file: WatchedFile,
    list: Option<Arc<List>>,
    error: Option<ListError>,
}

impl ListWatch {
    /// Those of some rules, read at once.
    pub fn new(sources: &[ListSource]) -> Self {
        let mut watch = Self::default();
        watch.follow(sources);
        watch
    }

    /// Takes the lists of other rules, reads them, and keeps good copies of files that are still named.
    pub fn follow(&mut self, sources: &[ListSource]) {
        let old = std::mem::take(&mut self.0);
        self.0.extend(sources.iter().map(|source| {
            let known = old.iter().find(|old| old.source.path == source.path);
            let mut watched = Watched {
                source: source.clone(),
                file: WatchedFile::new(&source.path),
                list: known.and_then(|known| known.list.clone()),
                error: None,
            };
            watched.read();
            watched
        }));
    }

    /// Looks at the files, and reads those that have changed. Says whether there is anything new.
    pub fn look(&mut self) -> bool {
        let mut news = false;
        for watched in &mut self.0 {
            if watched.file.has_changed() {
                watched.read();
                news = true;
            }
        }
        news
    }

    /// What they hold, in order.
    pub fn lists(&self) -> Lists {
        self.0.iter().map(|watched| watched.list.clone()).collect()
    }

    /// Those that can't be read, why, and whether an earlier copy is used.
    pub fn troubles(&self) -> impl Iterator<Item = (&ListSource, &ListError, bool)> {
        self.0.iter().filter_map(|watched| {
            Some((&watched.source, watched.error.as_ref()?, watched.list.is_some()))
        })
    }
}

impl Watched {
    fn read(&mut self) {
        match List::read(&self.source.path) {
            Ok(list) => {
                self.list = Some(Arc::new(list));
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::Value;
    use crate::rules::Place;

    #[test]
    fn a_changed_file_is_read_when_two_looks_agree_and_a_broken_one_keeps_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let place = Place { file: "x".into(), line: 1, column: 1, text: String::new() };
        let source = ListSource { name: "vips".into(), path: path.clone(), place };
        let mut watch = ListWatch::new(std::slice::from_ref(&source));
        let holds = |watch: &ListWatch, text: &str| {
            let lists = watch.lists();
            lists[0].as_ref().map(|list| list.contains(&Value::Text(text.as_bytes().into())))
        };
        assert_eq!(holds(&watch, "bob"), None);
        assert!(watch.troubles().any(|(_, _, copy)| !copy));
        assert!(!watch.look(), "still not there");

        fs::write(&path, "bob\n").unwrap();
        assert!(!watch.look(), "it may still be being written");
        assert!(watch.look() && !watch.look());
        assert_eq!(holds(&watch, "bob"), Some(true));
        assert_eq!(watch.troubles().count(), 0);

        fs::write(&path, "alice\n198.51.100.0/99\n").unwrap();
        assert!(!watch.look());
        fs::write(&path, "alice\n198.51.100.0/99 \n").unwrap();
        assert!(!watch.look(), "it changed again");
        assert!(watch.look());
        assert_eq!(holds(&watch, "bob"), Some(true));
        assert!(watch.troubles().any(|(_, _, copy)| copy));

        fs::remove_file(&path).unwrap();
        assert!(!watch.look());
        assert!(watch.look() && !watch.look());
        assert_eq!(holds(&watch, "bob"), Some(true));
        watch.follow(&[source]);
        assert_eq!(holds(&watch, "bob"), Some(true), "over a reload too");
        watch.follow(&[]);
        assert_eq!(watch.lists().len(), 0);
    }
}
