//! Small stores made by hand, for tests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::array::{ArraySpec, ChunkArray, Shard, Version};
use super::super::blosc::{Filter, FilterChoice};
use super::super::table::{
    ArrayUse, Attributes, CHUNK, ChunkList, ChunkRef, Due, LITERALS, LiteralChunk, Literals, Page, Recipe, RecipeBytes,
    Record, RecordId, Spill, TABLES,
};
use super::{Finding, Offline, RESTORE_PY, check};
use crate::backend::Object;
use crate::model::{RelPath, Timestamp};
use crate::view::{Array, ChunkIndex, Dtype, ImageMeta, Interleave, Layout, Role, Run, Segment};

const HEIGHT: u64 = 96;
const WIDTH: u64 = 400;
const PLANE: u64 = HEIGHT * WIDTH * 2;

/// A store and the files that are in it.
pub(crate) struct Made {
    /// Where the store stands.
    pub dir: tempfile::TempDir,
    /// Names and bytes.
    pub files: Vec<(Vec<u8>, Vec<u8>)>,
}

struct Builder {
    root: PathBuf,
    arrays: BTreeMap<&'static str, ChunkArray>,
    shards: BTreeMap<PathBuf, BTreeMap<usize, Vec<u8>>>,
    literals: u64,
}

impl Builder {
    fn new(root: &Path, version: Version, sharded: bool) -> Builder {
        let mut arrays = BTreeMap::new();
        let bytes = |chunks: u64| ArraySpec {
            version,
            dtype: Dtype::U8,
            shape: vec![chunks * CHUNK as u64],
            chunk: vec![CHUNK as u64],
            shard: None,
            names: None,
        };
        let image = ArraySpec {
            version,
            dtype: Dtype::U16,
            shape: vec![8, 3, HEIGHT, WIDTH],
            chunk: vec![1, 1, HEIGHT, WIDTH],
            shard: sharded.then(|| vec![8, 3, HEIGHT, WIDTH]),
            names: None,
        };
        let rgb = ArraySpec { chunk: vec![1, 3, HEIGHT, WIDTH], shard: None, ..image.clone() };
        for (path, spec) in [("B/03/0/0", image), ("B/03/1/0", rgb), (TABLES, bytes(2)), (LITERALS, bytes(20))] {
            let array = ChunkArray::new(spec).unwrap();
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join(ChunkArray::document_name(version)), array.document().unwrap()).unwrap();
            arrays.insert(path, array);
        }
        Builder { root: root.to_owned(), arrays, shards: BTreeMap::new(), literals: 0 }
    }

    fn chunk(&mut self, path: &'static str, coords: &[u64], bytes: &[u8], filter: Filter) -> (u64, Vec<u64>) {
        let array = &self.arrays[path];
        let encoded = array.encode(bytes, FilterChoice::Always(filter)).unwrap();
        let place = array.place(coords).unwrap();
        let file = self.root.join(path).join(place.file.as_path());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let stored = encoded.bytes.len() as u64;
        match place.slot {
            None => fs::write(file, encoded.bytes).unwrap(),
            Some(slot) => drop(self.shards.entry(file).or_default().insert(slot, encoded.bytes)),
        }
        (stored, encoded.checks)
    }

    fn literal_chunks(&mut self, bytes: &[u8]) -> Vec<LiteralChunk> {
        let first = self.literals;
        let put = |(id, part): (u64, &[u8])| {
            let mut part = part.to_vec();
            part.resize(CHUNK, 0);
            let (stored, checks) = self.chunk(LITERALS, &[id], &part, Filter::None);
            LiteralChunk { id, stored, checks }
        };
        let chunks: Vec<LiteralChunk> = (first..).zip(bytes.chunks(CHUNK)).map(put).collect();
        self.literals += chunks.len() as u64;
        chunks
    }

    fn finish(mut self, page: &Page) {
        self.chunk(TABLES, &[0], &page.encode().unwrap(), Filter::None);
        let slots = self.arrays["B/03/0/0"].slots();
        for (file, chunks) in &self.shards {
            let to =
                Object::new(File::options().read(true).write(true).create_new(true).open(file).unwrap().into(), true);
            let changes = chunks.iter().map(|(slot, bytes)| (*slot, Some(bytes.as_slice()))).collect();
            let nothing = Object::new(tempfile::tempfile().unwrap().into(), false);
            Shard::empty(slots.unwrap()).rewrite(&nothing, &changes, &to).unwrap();
        }
    }
}

/// A smooth picture, or (`noise`) one that does not compress.
pub(crate) fn plane(seed: u64, noise: bool) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as u16
    };
    let value = |n: u64| if noise { next() } else { (n / 7 + seed * 100) as u16 & 0xfff | next() & 3 };
    (0..PLANE / 2).map(value).flat_map(u16::to_le_bytes).collect()
}

/// One file of `planes` planes with so many literal bytes before each.
struct Spec {
    name: &'static [u8],
    first: u64,
    planes: u64,
    literal: u64,
    swap: bool,
    rgb: bool,
    filter: Filter,
    noise: bool,
    spill: bool,
}

/// What a file is planned as, its bytes, its literal bytes and its chunks.
struct Parts {
    layout: Layout,
    file: Vec<u8>,
    literals: Vec<u8>,
    chunks: ChunkList,
}

fn parts(builder: &mut Builder, id: u64, spec: &Spec) -> Parts {
    let (array, samples) = if spec.rgb { ("B/03/1/0", 3) } else { ("B/03/0/0", 1) };
    let (mut segments, mut file, mut literals) = (Vec::new(), Vec::new(), Vec::new());
    let mut chunks = ChunkList::default();
    for number in 0..spec.planes {
        let text: Vec<u8> = (0..spec.literal).map(|n| (n * 7 + number) as u8).collect();
        segments.push(Segment { offset: file.len() as u64, len: spec.literal, run: None });
        file.extend_from_slice(&text);
        literals.extend_from_slice(&text);
        let seed = id * 10 + number * 3;
        let decoded: Vec<u8> = (0..samples).flat_map(|sample| plane(seed + sample, spec.noise)).collect();
        let coords = [spec.first + number, 0, 0, 0];
        let (stored, checks) = builder.chunk(array, &coords, &decoded, spec.filter);
        chunks.push(ChunkRef { array: 0, coords: &coords, stored, checks: &checks });
        let interleave = spec.rgb.then_some(Interleave { samples: 3, sample_stride: PLANE });
        let chunk = ChunkIndex { array: 0, plane: number, row: 0, column: 0 };
        let run = Some(Run { chunk, at: 0, swap: spec.swap, interleave });
        segments.push(Segment { offset: file.len() as u64, len: PLANE * samples, run });
        for k in 0..PLANE * samples {
            let (sample, pixel) = (k / 2 % samples, k / 2 / samples);
            let byte = if spec.swap { 1 - k % 2 } else { k % 2 };
            file.push(decoded[(sample * PLANE + pixel * 2 + byte) as usize]);
        }
    }
    let planes = Array {
        dtype: Dtype::U16,
        planes: spec.planes,
        samples: samples as u32,
        height: HEIGHT,
        width: WIDTH,
        chunk_height: HEIGHT,
        chunk_width: WIDTH,
        role: Role::Full(0),
    };
    let layout = Layout { size: file.len() as u64, arrays: vec![planes], segments, meta: ImageMeta::default() };
    Parts { layout, file, literals, chunks }
}

fn add(builder: &mut Builder, page: &mut Page, id: u64, spec: &Spec) -> Vec<u8> {
    let Parts { layout, file, literals, chunks } = parts(builder, id, spec);
    let literals = if spec.spill {
        Literals::Chunks { len: literals.len() as u64, chunks: builder.literal_chunks(&literals) }
    } else {
        Literals::Inline(literals)
    };
    let recipe = Recipe::new(&layout, chunks, literals).unwrap().encode();
    let recipe = if spec.spill {
        let chunks = builder.literal_chunks(&recipe);
        RecipeBytes::Spilled(Spill { len: recipe.len() as u64, crc: crc32fast::hash(&recipe), chunks })
    } else {
        RecipeBytes::Inline(recipe)
    };
    let mut names = vec![RelPath::from_bytes(spec.name).unwrap()];
    if id == 1 {
        names.push(RelPath::from_bytes(b"links/second.tif").unwrap());
    }
    let time = Timestamp { secs: 1_500_000_000 + id as i64, nanos: 123_456_789 };
    let (path, samples) = if spec.rgb { ("B/03/1/0", 3) } else { ("B/03/0/0", 1) };
    let chunk_shape = vec![1, samples, HEIGHT, WIDTH];
    let record = Record {
        id: RecordId(id),
        names,
        size: file.len() as u64,
        attributes: Attributes { perm: 0o640, uid: 0, gid: 0, atime: time, mtime: time },
        xattrs: vec![("user.note".into(), b"x".to_vec())],
        sha256: Sha256::digest(&file).into(),
        source: None,
        arrays: vec![ArrayUse { path: path.to_owned(), dtype: Dtype::U16, chunk_shape, derived: false }],
        recipe,
    };
    assert!(page.put(RecordId(id), record.encode()));
    file
}

/// What makes a directory a store of ours.
fn mark(root: &Path, version: Version) {
    let marker = r#"{"version": 1, "id": "0123456789abcdef0123456789abcdef", "kind": "plate"}"#;
    let (name, text) = match version {
        Version::V2 => (".zattrs", format!(r#"{{"scopefs": {marker}}}"#)),
        Version::V3 => ("zarr.json", format!(r#"{{"zarr_format": 3, "attributes": {{"scopefs": {marker}}}}}"#)),
    };
    fs::write(root.join("scopefs").join(name), text).unwrap();
}

pub(crate) fn made(version: Version, sharded: bool) -> Made {
    made_with(version, sharded, Vec::new())
}

pub(crate) fn made_with(version: Version, sharded: bool, dues: Vec<Due>) -> Made {
    let plain = Spec {
        name: b"a.tif",
        first: 0,
        planes: 1,
        literal: 8,
        swap: false,
        rgb: false,
        filter: Filter::Shuffle,
        noise: false,
        spill: false,
    };
    let specs = [
        Spec { name: b"B/a.tif", ..plain },
        Spec { name: b"odd \xff\n.tif", first: 1, planes: 2, swap: true, filter: Filter::BitShuffle, ..plain },
        Spec { name: b"rgb.tif", rgb: true, swap: true, filter: Filter::None, literal: 100, ..plain },
        Spec { name: b"noise.npy", first: 3, noise: true, literal: 128, ..plain },
        Spec { name: b"long.tif", first: 4, planes: 2, literal: 1_500_000, spill: true, ..plain },
    ];
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("P1.ome.zarr");
    fs::create_dir(dir.path().join("staging")).unwrap();
    let mut builder = Builder::new(&root, version, sharded);
    let mut page = Page::new("B/03");
    page.dues = dues;
    let mut files = Vec::new();
    for (id, spec) in (1..).zip(&specs) {
        files.push((spec.name.to_vec(), add(&mut builder, &mut page, id, spec)));
    }
    fs::write(root.join("restore.py"), RESTORE_PY).unwrap();
    mark(&root, version);
    builder.finish(&page);
    Made { dir, files }
}

impl Made {
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("P1.ome.zarr")
    }

    pub(crate) fn open(&self) -> Offline {
        Offline::open(&self.root(), Some(&self.dir.path().join("staging"))).unwrap()
    }

    pub(crate) fn check(&self) -> Vec<Finding> {
        check(&self.open(), &mut |_, _| true).findings
    }

    /// The file of the chunk with these coordinates of the first array.
    pub(crate) fn chunk(&self, at: u64) -> PathBuf {
        self.root().join(self.open().arrays.file_of("B/03/0/0", &[at, 0, 0, 0]).unwrap().unwrap().as_path())
    }
}
