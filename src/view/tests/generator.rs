//! TIFF files of any structure, written by the specification and by nobody's library.

use proptest::prelude::*;

use super::super::Dtype;

/// A file: its form, its pages, and a seed for the order and distance in which their parts lie.
#[derive(Debug, Clone)]
pub struct File {
    pub big_endian: bool,
    pub big: bool,
    pub pages: Vec<Page>,
    pub seed: u64,
    pub description: String,
}

#[derive(Debug, Clone)]
pub struct Page {
    pub width: usize,
    pub height: usize,
    pub samples: usize,
    pub dtype: Dtype,
    pub planar: bool,
    pub cut: Cut,
    /// Bytes that strips or tiles have more than they need.
    pub excess: usize,
    /// Lengths of strips or tiles are not given.
    pub no_lengths: bool,
    /// It lies below the last page that does not.
    pub below: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Cut {
    /// Rows of a strip; `None`: the tag is missing.
    Strips(Option<usize>),
    /// Width and height of a tile.
    Tiles(usize, usize),
}

/// The bytes, and where the first strip or tile of each page is.
pub struct Written {
    pub bytes: Vec<u8>,
    pub first: Vec<u64>,
}

/// Little-endian bytes of one sample: different ones for each place.
pub fn value(page: usize, sample: usize, y: usize, x: usize) -> [u8; 8] {
    let place = ((page * 31 + sample) * 1031 + y) * 4099 + x + 1;
    (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes()
}

pub fn any_file() -> impl Strategy<Value = File> {
    let form = (any::<bool>(), any::<bool>(), any::<u64>());
    let pages = prop::collection::vec((any_page(), any::<bool>(), any::<bool>()), 1..5);
    (form, pages).prop_map(|((big_endian, big, seed), made)| {
        let mut pages: Vec<Page> = Vec::new();
        for (page, like_the_last, below) in made {
            let page = pages.last().filter(|_| like_the_last).cloned().unwrap_or(page);
            pages.push(Page { below: below && !pages.is_empty(), ..page });
        }
        File { big_endian, big, pages, seed, description: String::new() }
    })
}

fn any_page() -> impl Strategy<Value = Page> {
    use Dtype::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let dtype = prop::sample::select(vec![U8, U16, U32, U64, I8, I16, I32, I64, F32, F64]);
    let cut = prop_oneof![
        Just(Cut::Strips(None)),
        (1usize..9).prop_map(|rows| Cut::Strips(Some(rows))),
        Just(Cut::Strips(Some(u32::MAX as usize))),
        (1usize..9, 1usize..9).prop_map(|(width, height)| Cut::Tiles(width, height)),
    ];
    let lengths = (prop_oneof![4 => Just(0), 1 => 1usize..7], prop::bool::weighted(0.1));
    (1usize..20, 1usize..20, 1usize..5, dtype, any::<bool>(), cut, lengths).prop_map(
        |(width, height, samples, dtype, planar, cut, (excess, no_lengths))| Page {
            width,
            height,
            samples,
            dtype,
            planar,
            cut,
            excess,
            no_lengths,
            below: false,
        },
    )
}

impl Page {
    /// Bytes of strips or tiles in the file's byte order, those of the first sample first where they lie apart.
    fn pieces(&self, number: usize, big_endian: bool) -> Vec<Vec<u8>> {
        let groups = if self.planar { self.samples } else { 1 };
        let (width, height) = match self.cut {
            Cut::Strips(rows) => (self.width, rows.unwrap_or(self.height).min(self.height)),
            Cut::Tiles(width, height) => (width, height),
        };
        let mut pieces = Vec::new();
        for group in 0..groups {
            for top in (0..self.height).step_by(height) {
                for left in (0..self.width).step_by(width) {
                    let bottom =
                        if matches!(self.cut, Cut::Strips(_)) { (top + height).min(self.height) } else { top + height };
                    let mut piece = Vec::new();
                    for (y, x) in (top..bottom).flat_map(|y| (left..left + width).map(move |x| (y, x))) {
                        let samples = if self.planar { group..group + 1 } else { 0..self.samples };
                        for sample in samples {
                            let mut value = value(number, sample, y, x)[..self.dtype.size()].to_vec();
                            if big_endian {
                                value.reverse();
                            }
                            piece.extend(value);
                        }
                    }
                    piece.extend(std::iter::repeat_n(0xCC, self.excess));
                    pieces.push(piece);
                }
            }
        }
        pieces
    }

    fn form_and_bits(&self) -> (u64, u64) {
        use Dtype::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        let form = match self.dtype {
            U8 | U16 | U32 | U64 => 1,
            I8 | I16 | I32 | I64 => 2,
            F32 | F64 => 3,
        };
        (form, self.dtype.size() as u64 * 8)
    }
}

/// A number in the file: known, or the place of a part.
#[derive(Clone, Copy)]
enum Number {
    Is(u64),
    PlaceOf(usize),
}

struct Writer<'f> {
    file: &'f File,
    /// Parts of the file: numbers with the bytes that each has.
    parts: Vec<Vec<(Number, usize)>>,
}

type Entry = (u16, u16, Vec<Number>);

impl File {
    pub fn write(&self) -> Written {
        let mut writer = Writer { file: self, parts: Vec::new() };
        let mut first = Vec::new();
        // From the last to the first, so that each knows the next.
        let (mut next, mut below) = (Number::Is(0), Vec::new());
        for (number, page) in self.pages.iter().enumerate().rev() {
            let pieces: Vec<Number> = page
                .pieces(number, self.big_endian)
                .into_iter()
                .map(|piece| writer.part(piece.into_iter().map(|byte| (Number::Is(byte.into()), 1)).collect()))
                .collect();
            first.push(pieces[0]);
            let mut entries = writer.entries(page, pieces);
            if page.below {
                below.insert(0, writer.directory(entries, Number::Is(0)));
            } else {
                if !below.is_empty() {
                    entries.push((330, 4, std::mem::take(&mut below)));
                }
                next = writer.directory(entries, next);
            }
        }
        first.reverse();
        writer.finish(next, &first)
    }
}

impl Writer<'_> {
    fn part(&mut self, numbers: Vec<(Number, usize)>) -> Number {
        self.parts.push(numbers);
        Number::PlaceOf(self.parts.len() - 1)
    }

    fn entries(&self, page: &Page, pieces: Vec<Number>) -> Vec<Entry> {
        let is = |value: usize| vec![Number::Is(value as u64)];
        let (form, bits) = page.form_and_bits();
        let lengths = page.pieces(0, false).iter().map(|piece| Number::Is(piece.len() as u64)).collect();
        let mut entries = vec![
            (256, 3, is(page.width)),
            (257, 4, is(page.height)),
            (258, 3, vec![Number::Is(bits); page.samples]),
            (259, 3, is(1)),
            (262, 3, is(1)),
            (277, 3, is(page.samples)),
            (284, 3, is(1 + usize::from(page.planar))),
            (339, 3, vec![Number::Is(form); page.samples]),
            (65_001, 3, is(7)),
        ];
        let (offsets_tag, lengths_tag) = match page.cut {
            Cut::Strips(rows) => {
                entries.extend(rows.map(|rows| (278, 4, is(rows))));
                (273, 279)
            }
            Cut::Tiles(width, height) => {
                entries.extend([(322, 3, is(width)), (323, 4, is(height))]);
                (324, 325)
            }
        };
        entries.push((offsets_tag, if self.file.big { 16 } else { 4 }, pieces));
        if !page.no_lengths {
            entries.push((lengths_tag, 4, lengths));
        }
        if !self.file.description.is_empty() {
            entries.push((270, 2, self.file.description.bytes().map(|byte| Number::Is(byte.into())).collect()));
        }
        entries
    }

    /// Words of counts and offsets.
    fn word(&self) -> usize {
        if self.file.big { 8 } else { 4 }
    }

    fn directory(&mut self, mut entries: Vec<Entry>, next: Number) -> Number {
        entries.sort_by_key(|entry| entry.0);
        let word = self.word();
        let mut numbers = vec![(Number::Is(entries.len() as u64), if self.file.big { 8 } else { 2 })];
        for (tag, kind, values) in entries {
            let size = [0, 1, 1, 2, 4].get(kind as usize).copied().unwrap_or(8);
            numbers.extend([(Number::Is(tag.into()), 2), (Number::Is(kind.into()), 2)]);
            numbers.push((Number::Is(values.len() as u64), word));
            let values: Vec<_> = values.into_iter().map(|value| (value, size)).collect();
            let len = values.len() * size;
            if len > word {
                let place = self.part(values);
                numbers.push((place, word));
            } else {
                numbers.extend(values);
                numbers.extend(std::iter::repeat_n((Number::Is(0), 1), word - len));
            }
        }
        numbers.push((next, word));
        self.part(numbers)
    }

    fn finish(self, directory: Number, first: &[Number]) -> Written {
        let mut seed = self.file.seed;
        let mut random = |most: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % most
        };
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random(at + 1));
        }
        let header = if self.file.big { 16 } else { 8 };
        let (mut places, mut end) = (vec![0; self.parts.len()], header);
        for &part in &order {
            // Half of the parts follow the one before immediately.
            end += random(8).saturating_sub(4);
            places[part] = end;
            end += self.parts[part].iter().map(|(_, size)| size).sum::<usize>();
        }
        let place = |number: Number| match number {
            Number::Is(value) => value,
            Number::PlaceOf(part) => places[part] as u64,
        };
        let encode = |number: Number, size: usize| {
            let mut bytes = place(number).to_le_bytes()[..size].to_vec();
            if self.file.big_endian {
                bytes.reverse();
            }
            bytes
        };
        let mut bytes = vec![0xA5; end + random(8)];
        let magic = if self.file.big_endian { b"MM" } else { b"II" };
        let mut head = magic.to_vec();
        if self.file.big {
            head.extend([encode(Number::Is(43), 2), encode(Number::Is(8), 2), encode(Number::Is(0), 2)].concat());
        } else {
            head.extend(encode(Number::Is(42), 2));
        }
        head.extend(encode(directory, self.word()));
        bytes[..header].copy_from_slice(&head);
        for (part, numbers) in self.parts.iter().enumerate() {
            let part_bytes: Vec<u8> = numbers.iter().flat_map(|&(number, size)| encode(number, size)).collect();
            bytes[places[part]..places[part] + part_bytes.len()].copy_from_slice(&part_bytes);
        }
        Written { bytes, first: first.iter().map(|&number| place(number)).collect() }
    }
}
