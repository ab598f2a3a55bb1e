//! The lists that packs name. They are everybody's, so that a rule may ask for them wherever it is inherited
//! to; a name is that of one file.

use super::{Complaints, is_name};
use crate::rules::condition::ListNames;
use crate::rules::error::Problem;
use crate::rules::list::ListSource;
use crate::rules::pack::{RawPack, Text};

/// Those of all packs, each once.
pub(super) fn lists(raws: &[(&Text<'_>, RawPack)], complaints: &mut Complaints) -> Vec<ListSource> {
    let mut lists: Vec<ListSource> = Vec::new();
    for (text, raw) in raws {
        for (name, path) in &raw.lists.0 {
            let place = text.place(path.referenced);
            let (name, path, at) = (name.clone(), path.value.clone(), path.referenced);
            if !is_name(&name) {
                complaints.add(text, at, Problem::BadName { name });
                continue;
            }
            if !path.is_absolute() {
                complaints.add(text, at, Problem::RelativeList { name, path });
                continue;
            }
            match lists.iter().find(|list| list.name == name) {
                None => lists.push(ListSource { name, path, place }),
                Some(known) if known.path == path => {}
                Some(known) => {
                    let first = Box::new(known.place.clone());
                    complaints.add(text, at, Problem::DuplicateList { name, first });
                }
            }
        }
    }
    lists
}

/// Their places by name.
pub(super) fn names(lists: &[ListSource]) -> ListNames {
    lists.iter().enumerate().map(|(at, list)| (list.name.clone(), at)).collect()
}
