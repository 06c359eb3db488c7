use proptest::prelude::*;

use super::*;
use crate::model::ByteSource;

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

#[test]
fn slots_of_a_shard_are_in_c_order_and_stay_when_the_array_grows() {
    let sharded = ArraySpec { shard: Some(vec![4, 4, 100, 240]), shape: vec![2, 3, 100, 240], ..spec(Version::V3) };
    let array = ChunkArray::new(sharded).unwrap();
    assert_eq!(array.slots(), Some(32));
    let place = array.place(&[1, 2, 0, 1]).unwrap();
    assert_eq!((place.file.to_string().as_str(), place.slot), ("c.0.0.0.0", Some(8 + 2 * 2 + 1)));
    let grown = array.resized(&[9, 3, 100, 240]).unwrap();
    assert_eq!(grown.place(&[1, 2, 0, 1]), Some(place));
    assert_eq!(grown.place(&[4, 0, 0, 0]).unwrap().file.to_string(), "c.1.0.0.0");
}

#[test]
fn the_document_is_what_numcodecs_would_write() {
    let document = ChunkArray::new(spec(Version::V2)).unwrap().document().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&document).unwrap();
    let wanted = serde_json::json!({
        "zarr_format": 2, "shape": [2, 3, 100, 120], "chunks": [1, 1, 100, 120], "dtype": "<u2", "fill_value": 0,
        "order": "C", "filters": null, "dimension_separator": "/",
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    });
    assert_eq!(found, wanted);
}

#[test]
fn every_type_and_version_comes_back_from_its_document() {
    use Dtype::*;
    for dtype in [U8, U16, U32, U64, I8, I16, I32, I64, F32, F64] {
        for (version, shard) in [(Version::V2, None), (Version::V3, None), (Version::V3, Some(vec![2, 4, 100, 120]))] {
            let names = (version == Version::V3).then(|| ["t", "c", "y", "x"].map(str::to_owned).to_vec());
            let array = ChunkArray::new(ArraySpec { dtype, shard, names, ..spec(version) }).unwrap();
            assert_eq!(ChunkArray::parse(version, &array.document().unwrap()).unwrap(), array);
        }
    }
}

#[test]
fn what_others_wrote_into_a_document_survives_a_resize() {
    let document = ChunkArray::new(spec(Version::V3)).unwrap().document().unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&document).unwrap();
    value["attributes"] = serde_json::json!({"curator": {"name": "somebody"}});
    let array = ChunkArray::parse(Version::V3, value.to_string().as_bytes()).unwrap();
    let grown = array.resized(&[4, 3, 100, 120]).unwrap().document().unwrap();
    let grown: serde_json::Value = serde_json::from_slice(&grown).unwrap();
    assert_eq!(grown["attributes"], value["attributes"]);
    assert_eq!(grown["shape"], serde_json::json!([4, 3, 100, 120]));
}

#[test]
fn what_cannot_be_served_is_refused() {
    let v2 = ChunkArray::new(spec(Version::V2)).unwrap().document().unwrap();
    let v3 = ChunkArray::new(ArraySpec { shard: Some(vec![2, 4, 100, 120]), ..spec(Version::V3) }).unwrap();
    let v3 = v3.document().unwrap();
    let changes: [(&[u8], Version, &str, &str); 14] = [
        (&v2, Version::V2, "\"<u2\"", "\">u2\""),
        (&v2, Version::V2, "\"C\"", "\"F\""),
        (&v2, Version::V2, "\"/\"", "\".\""),
        (&v2, Version::V2, "\"lz4\"", "\"zstd\""),
        (&v2, Version::V2, "\"blosc\"", "\"zlib\""),
        (&v2, Version::V2, "\"fill_value\": 0", "\"fill_value\": 1"),
        (&v2, Version::V2, "\"filters\": null", "\"filters\": [{\"id\": \"delta\"}]"),
        (&v2, Version::V2, "120", "18446744073709551615"),
        (&v3, Version::V3, "\".\"", "\"/\""),
        (&v3, Version::V3, "\"little\"", "\"big\""),
        (&v3, Version::V3, "\"lz4\"", "\"zlib\""),
        (&v3, Version::V3, "\"end\"", "\"start\""),
        (&v3, Version::V3, "\"crc32c\"", "\"gzip\""),
        (&v3, Version::V3, "\"uint16\"", "\"float16\""),
    ];
    for (document, version, from, to) in changes {
        let text = String::from_utf8(document.to_vec()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        ChunkArray::parse(version, text.as_bytes()).expect("as it was");
        ChunkArray::parse(version, text.replace(from, to).as_bytes()).expect_err(to);
    }
    ChunkArray::parse(Version::V2, b"{").expect_err("cut short");
}

proptest! {
    #[test]
    fn an_arbitrary_index_of_a_shard_never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        slots in 0usize..6,
        sealed in any::<bool>(),
    ) {
        let start = bytes.len().saturating_sub(slots * 16 + 4);
        let end = bytes.len().saturating_sub(4);
        if sealed && bytes.len() >= slots * 16 + 4 {
            let check = crc32c::crc32c(&bytes[start..end]).to_le_bytes();
            bytes[end..].copy_from_slice(&check);
        }
        if let Ok(shard) = Shard::open(&Bytes(&bytes), slots) {
            for slot in 0..slots + 1 {
                prop_assert!(shard.range(slot).is_none_or(|range| range.end <= bytes.len() as u64));
            }
        }
    }

    #[test]
    fn an_arbitrary_document_never_panics(text in "[\\[\\]{}:,\"a-z0-9._ ]{0,80}", cut in any::<prop::sample::Index>()) {
        let document = ChunkArray::new(spec(Version::V2)).unwrap().document().unwrap();
        let mut mixed = document.clone();
        let at = cut.index(mixed.len());
        let end = (at + text.len()).min(mixed.len());
        mixed.splice(at..end, text.bytes());
        for bytes in [text.as_bytes(), &mixed] {
            let _ = ChunkArray::parse(Version::V2, bytes).map(|array| array.place(&[0, 0, 0, 0]));
            let _ = ChunkArray::parse(Version::V3, bytes);
        }
    }
}

struct Bytes<'b>(&'b [u8]);

impl ByteSource for Bytes<'_> {
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn next_data(&self, offset: u64) -> std::io::Result<Option<std::ops::Range<u64>>> {
        self.0.next_data(offset)
    }
}
