//! Tables: what is committed is found again, also by whoever reads the pages from nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::tests::record;
use super::*;
use crate::model::RelPath;

/// Pages in memory.
#[derive(Debug, Clone, Default)]
struct Pages(Arc<Mutex<BTreeMap<u64, Vec<u8>>>>);

impl PageReader for Pages {
    fn read_page(&self, index: u64) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().get(&index).cloned().unwrap_or_default())
    }
}

impl Pages {
    fn write(&self, writes: Vec<PageWrite>) {
        let mut pages = self.0.lock().unwrap();
        for write in writes {
            if write.bytes.is_empty() {
                pages.remove(&write.index)
            } else {
                pages.insert(write.index, write.bytes)
            };
        }
    }

    fn load(&self) -> (Table<Pages>, Found) {
        let indices: Vec<u64> = self.0.lock().unwrap().keys().copied().collect();
        Table::load(self.clone(), &indices, 0)
    }
}

fn rel(name: &str) -> RelPath {
    RelPath::from_bytes(name.as_bytes()).unwrap()
}

fn due(path: &str) -> Due {
    Due::Rename { staged: "s".into(), path: path.into() }
}

fn put(pages: &Pages, table: &Table<Pages>, owner: &str, name: &str, len: usize) -> RecordId {
    let id = table.take_id();
    let mut edit = table.edit(owner);
    edit.put(record(id.0, name.as_bytes(), vec![1; len]), vec![due("B/03/0/0/0")]).unwrap();
    pages.write(edit.writes().unwrap());
    let committed = edit.commit();
    assert_eq!(committed.dues().count(), 1);
    pages.write(committed.settled());
    id
}

fn sorted(table: &Table<Pages>) -> Vec<(RecordId, Entry)> {
    let mut entries = table.entries();
    entries.sort_by_key(|(id, _)| *id);
    entries
}

#[test]
fn what_was_committed_is_found_by_whoever_reads_the_pages() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    for n in 0..300 {
        put(&pages, &table, ["B/03", "C/11"][n % 2], &format!("n{n}.tif"), 9000);
    }
    assert!(table.pages() > 2, "more than a page for each");
    let (again, found) = pages.load();
    assert!(found.flaws.is_empty(), "{:?}", found.flaws);
    assert_eq!(sorted(&again), sorted(&table));
    let (id, _) = again.find(&rel("n7.tif")).unwrap();
    assert_eq!(again.record(id).unwrap().names, [rel("n7.tif")]);
    assert_eq!(again.owner_of(id).unwrap(), "C/11");
    assert!(again.take_id() > id);
}

#[test]
fn renaming_replacing_and_removing_leave_the_other_records_alone() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    let ids: Vec<RecordId> = (0..4).map(|n| put(&pages, &table, "", &format!("n{n}"), 100)).collect();
    let mut edit = table.edit("");
    edit.update(ids[1], |record| record.names = vec![rel("m"), rel("k")]).unwrap();
    edit.remove(ids[2], vec![Due::Remove { path: "2/0/0".into() }]).unwrap();
    assert!(table.find(&rel("n2")).is_some(), "nothing has changed yet");
    pages.write(edit.writes().unwrap());
    let committed = edit.commit();
    assert_eq!(committed.dues().collect::<Vec<_>>(), [&Due::Remove { path: "2/0/0".into() }]);
    assert!(committed.settled().is_empty());
    for table in [&table, &pages.load().0] {
        assert_eq!(table.find(&rel("m")).unwrap().0, ids[1]);
        assert_eq!(table.find(&rel("k")).unwrap().0, ids[1]);
        assert!(table.find(&rel("n1")).is_none() && table.find(&rel("n2")).is_none());
        assert!(matches!(table.record(ids[2]), Err(TableError::NoRecord)));
        assert_eq!(table.record(ids[3]).unwrap().names, [rel("n3")]);
    }
}

#[test]
fn an_edit_that_is_given_up_changes_nothing() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    let id = put(&pages, &table, "B/03", "a", 100);
    let before = (sorted(&table), table.pages());
    let mut edit = table.edit("B/03");
    edit.put(record(9, b"b", vec![1; 100_000]), Vec::new()).unwrap();
    edit.put(record(10, b"c", vec![1; 1_000_000]), Vec::new()).unwrap();
    edit.remove(id, Vec::new()).unwrap();
    drop(edit);
    assert_eq!(sorted(&table), before.0);
    put(&pages, &table, "C/01", "d", 100);
    assert_eq!(table.pages(), 2, "the page that was taken is used by the next");
}

#[test]
fn what_is_due_is_said_again_until_it_is_settled() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    for name in ["a", "b"] {
        let mut edit = table.edit("B/03");
        edit.put(record(table.take_id().0, name.as_bytes(), Vec::new()), vec![due(name)]).unwrap();
        pages.write(edit.writes().unwrap());
        drop(edit.commit());
    }
    let (again, found) = pages.load();
    assert_eq!(found.dues, [(0, due("a")), (0, due("b"))]);
    again.settle(0);
    let mut edit = again.edit("B/03");
    edit.update(RecordId(1), |record| record.attributes.uid = 5).unwrap();
    pages.write(edit.writes().unwrap());
    pages.write(edit.commit().settled());
    assert!(pages.load().1.dues.is_empty());
}

#[test]
fn the_last_record_takes_its_page_with_it() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    let id = put(&pages, &table, "B/03", "a", 100);
    let mut edit = table.edit("B/03");
    edit.remove(id, vec![Due::Remove { path: "B/03/0/0/0".into() }]).unwrap();
    pages.write(edit.writes().unwrap());
    assert_eq!(pages.0.lock().unwrap().len(), 1, "as long as something is due");
    pages.write(edit.commit().settled());
    assert!(pages.0.lock().unwrap().is_empty());
    assert!(table.owners().is_empty());
    put(&pages, &table, "C/01", "b", 100);
    assert_eq!(table.pages(), 1);
}

#[test]
fn of_two_records_with_one_name_the_newer_has_it() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    put(&pages, &table, "B/03", "a", 100);
    let newer = put(&pages, &table, "C/01", "a", 100);
    for table in [&table, &pages.load().0] {
        assert_eq!(table.find(&rel("a")).unwrap().0, newer);
    }
}

#[test]
fn owners_change_their_records_at_the_same_time() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    // An edit of another owner is open all the while: the others must not wait for it.
    let open = table.edit("A/01");
    std::thread::scope(|scope| {
        for owner in ["B/03", "C/04", "D/05", "B/03"] {
            let (table, pages) = (&table, &pages);
            scope.spawn(move || {
                for n in 0..20 {
                    let name = format!("{owner}-{n}-{:?}", std::thread::current().id());
                    put(pages, table, owner, &name, 20_000);
                }
            });
        }
    });
    drop(open);
    assert_eq!(table.entries().len(), 80);
    assert_eq!(sorted(&pages.load().0), sorted(&table));
}

#[test]
fn a_damaged_page_is_told_of_and_not_written_over() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    let ids: Vec<RecordId> = (0..3).map(|n| put(&pages, &table, "B/03", &format!("n{n}"), 100)).collect();
    // The middle record, by its name.
    let bytes = pages.0.lock().unwrap().get(&0).unwrap().clone();
    let at = bytes.windows(3).position(|w| w == b"\x02n1").unwrap();
    pages.0.lock().unwrap().get_mut(&0).unwrap()[at + 1] ^= 0x40;
    let (again, found) = pages.load();
    assert!(matches!(&found.flaws[..], [Flaw::Bytes { page: 0, damage }] if damage.id == Some(ids[1])), "{found:?}");
    assert!(again.find(&rel("n1")).is_none());
    again.settle(0);
    put(&pages, &again, "B/03", "new", 100);
    let (last, found) = pages.load();
    assert_eq!(found.flaws.len(), 1);
    assert_eq!(last.entries().len(), 3);
}

#[test]
fn what_is_due_for_a_removal_goes_into_another_page_if_there_is_no_room() {
    let pages = Pages::default();
    let table = Table::empty(pages.clone());
    let ids: Vec<RecordId> = (0..9).map(|n| put(&pages, &table, "", &format!("n{n}"), 110_000)).collect();
    assert_eq!(table.pages(), 1);
    let removal = |n: usize| Due::Remove { path: format!("{}/{n}/x", n * 7919 % 10_007) };
    let dues: Vec<Due> = (0..30_000).map(removal).collect();
    let mut edit = table.edit("");
    edit.remove(ids[0], dues.clone()).unwrap();
    pages.write(edit.writes().unwrap());
    let committed = edit.commit();
    assert_eq!(committed.dues().count(), 30_000);
    assert_eq!(pages.load().1.dues.into_iter().map(|(_, due)| due).collect::<Vec<_>>(), dues);
    pages.write(committed.settled());
    let (again, found) = pages.load();
    assert!(found.dues.is_empty() && found.flaws.is_empty());
    assert_eq!(again.records_of("").unwrap(), ids[1..]);
}
