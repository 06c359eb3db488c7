use super::*;

fn path(text: &str) -> RelPath {
    RelPath::from_bytes(text.as_bytes()).expect("relative")
}

fn listed(n: usize) -> Listed {
    // Sizes and ages in different orders, each of them several times.
    Listed { path: path(&format!("d/{n}")), size: (n as u64 * 7919) % 1000, mtime: (n as i64 * 104_729) % 500 }
}

fn list(count: usize) -> Option<List> {
    let mut lister = Lister::new(u64::MAX);
    let make = || Ok(Arc::new(Object::new(tempfile::tempfile()?.into(), true)));
    (0..count).for_each(|n| lister.add(&listed(n), make).expect("adds"));
    lister.finish().expect("writes")
}

fn visited(list: &List, by: By, range: Range<u64>) -> Vec<Listed> {
    let mut all = Vec::new();
    list.visit(by, range, &mut |file| {
        all.push(file);
        true
    })
    .expect("reads");
    all
}

#[test]
fn a_range_of_sizes_or_ages_is_all_of_it_in_order() {
    let count = LEAST + 30_000;
    let list = list(count).expect("large enough");
    let all: Vec<Listed> = (0..count).map(listed).collect();
    let by_size = visited(&list, By::Size, list.of_size(Some(300), Some(302)).expect("reads"));
    assert_eq!(by_size.len(), all.iter().filter(|file| (300..=302).contains(&file.size)).count());
    assert!(by_size.windows(2).all(|pair| pair[0].size >= pair[1].size));
    assert!(by_size.iter().all(|file| all.contains(file)));
    let by_age = visited(&list, By::Age, list.of_age(Some(498), None).expect("reads"));
    assert_eq!(by_age.len(), all.iter().filter(|file| file.mtime >= 498).count());
    assert!(by_age.windows(2).all(|pair| pair[0].mtime <= pair[1].mtime));
    assert!(list.of_size(Some(1000), None).expect("reads").is_empty());
    assert_eq!(list.of_age(None, None).expect("reads"), 0..count as u64);
}

#[test]
fn few_files_need_no_list_and_too_many_get_none() {
    assert!(list(LEAST - 1).is_none());
    let mut lister = Lister::new(1);
    let make = || Err(io::ErrorKind::Unsupported.into());
    lister.add(&listed(0), make).expect("one may be");
    assert!(lister.add(&listed(1), make).is_err());
}

#[test]
fn what_changed_is_known_by_the_name_that_it_has_now() {
    let mut changed = Changed::new(1000);
    changed.touch(&path("a/x"));
    changed.renamed(&path("a"), &path("b"));
    changed.touch(&path("a/x"));
    changed.renamed(&path("b"), &path("c"));
    assert!(changed.has(&path("c/x")) && changed.has(&path("a/x")) && !changed.has(&path("b/x")));
    assert_eq!(changed.now(path("a/y")), path("c/y"));
    assert_eq!(changed.now(path("ab/y")), path("ab/y"));
}

#[test]
fn past_its_bound_what_changed_is_not_noted_and_the_list_not_used() {
    let listing = Listing::default();
    listing.begin(200);
    listing.end(list(LEAST + 20_000));
    listing.touch(&path("a"));
    assert!(listing.get().expect("can be used").1.has(&path("a")));
    (0..3).for_each(|n| listing.touch(&path(&n.to_string())));
    assert!(listing.get().is_none());
}

#[test]
fn directories_renamed_under_a_walk_make_its_list_useless() {
    let listing = Listing::default();
    listing.begin(1000);
    listing.renamed(&path("a"), &path("b"), true);
    listing.end(list(LEAST + 20_000));
    assert!(listing.get().is_none());
}
