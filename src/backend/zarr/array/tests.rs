use super::*;

fn spec(version: Version) -> ArraySpec {
    ArraySpec {
        version,
        dtype: Dtype::U16,
        shape: vec![2, 3, 100, 120],
        chunk: vec![1, 1, 100, 120],
        shard: None,
        names: None,
    }
}

#[test]
fn chunks_have_the_names_of_their_version() {
    let file = |array: &ChunkArray, index: &[u64]| array.place(index).map(|place| place.file.to_string());
    let v2 = ChunkArray::new(spec(Version::V2)).unwrap();
    assert_eq!(file(&v2, &[1, 2, 0, 0]).as_deref(), Some("1/2/0/0"));
    assert_eq!(file(&v2, &[2, 0, 0, 0]), None);
    let v3 = ChunkArray::new(spec(Version::V3)).unwrap();
    assert_eq!(file(&v3, &[1, 2, 0, 0]).as_deref(), Some("c/1/2/0/0"));
}
