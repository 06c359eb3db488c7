//! Files that are made to do harm: a reason in bounded time, whatever they claim.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::known::{tiff, with};
use super::*;

/// A file of any size: what is behind the given bytes is made, in words of 8 bytes, by a function of their offset.
struct Endless<'a> {
    head: &'a [u8],
    size: u64,
    tail: fn(u64) -> u64,
}

impl ByteSource for Endless<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = (buf.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let made = ((self.tail)(at / 8 * 8)).to_le_bytes();
            let source =
                self.head.get(at as usize..).filter(|rest| !rest.is_empty()).unwrap_or(&made[at as usize % 8..]);
            let count = source.len().min(len - done);
            buf[done..done + count].copy_from_slice(&source[..count]);
            done += count;
        }
        Ok(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.size).then_some(offset..self.size))
    }
}

#[track_caller]
fn refused(file: &Endless<'_>) -> Refusal {
    let began = Instant::now();
    let refusal = layout(file).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    refusal
}

const HUGE: u64 = 1 << 62;

#[test]
fn directories_without_end_are_too_many() {
    // BigTIFF; a directory of no entries every 16 bytes: a count of 0, and the offset of the next one.
    let tail = |at: u64| if at % 16 == 0 { 0 } else { at + 8 };
    let head = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0";
    assert!(matches!(refused(&Endless { head, size: HUGE, tail }), Refusal::TooComplex(_)));
}

#[test]
fn large_directories_without_end_are_more_than_is_read() {
    // BigTIFF; at every multiple of 2^32 a directory of 65535 entries, whose next is 2^32 bytes on.
    let tail = |at: u64| if at % 16 == 0 { 0xFFFF } else { (at >> 32) + 1 };
    let head = b"II+\0\x08\0\0\0\0\0\0\0\x01\0\0\0";
    let refusal = refused(&Endless { head, size: HUGE, tail }).to_string();
    assert!(refusal.contains("headers are more than 128 MiB"), "{refusal}");
}

#[test]
fn a_loop_of_directories_is_damage() {
    let mut file = tiff(&with(&[]), &[0; 16]);
    let next = 8 + 2 + 12 * 6;
    file[next] = 8;
    assert!(layout(&&file[..]).unwrap_err().to_string().contains("loop"));
    // A page that lies below itself is read once.
    let mut below = tiff(&with(&[(330, 4, 1, 8)]), &[0; 16]);
    assert_eq!(round_trip(&below, 9).unwrap().0.arrays[0].planes, 1);
    below[8 + 2 + 12 * 7] = 200;
    assert!(layout(&&below[..]).is_err());
}

#[test]
fn strips_without_end_are_too_many() {
    for rows in [1, 1000] {
        let head = tiff(&with(&[(257, 4, 1, u32::MAX), (278, 4, 1, rows), (273, 4, u32::MAX, 100)]), &[]);
        let refusal = refused(&Endless { head: &head, size: HUGE, tail: |_| 0x0101_0101_0101_0101 });
        assert!(matches!(refusal, Refusal::TooComplex(_) | Refusal::Malformed(_)), "{refusal}");
    }
}

#[test]
fn extents_that_no_file_has_are_refused_before_anything_is_allocated() {
    for (width, height) in [(u32::MAX, u32::MAX), (u32::MAX, 1), (1 << 30, 1 << 30)] {
        for size in [HUGE, 1 << 20] {
            let head = tiff(&with(&[(256, 4, 1, width), (257, 4, 1, height), (278, 4, 1, height)]), &[]);
            refused(&Endless { head: &head, size, tail: |_| 0 });
        }
    }
    let tiles = with(&[(322, 4, 1, 1), (323, 4, 1, 1), (256, 4, 1, u32::MAX), (257, 4, 1, 9), (324, 4, 1, 0)]);
    let head = tiff(&tiles, &[]);
    refused(&Endless { head: &head, size: HUGE, tail: |_| 0 });
}

#[test]
fn planes_without_end_are_in_too_many_pieces() {
    let head = b"\x93NUMPY\x01\0\x76\0{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 1, 1), }";
    let mut head = head.to_vec();
    head.resize(128, b' ');
    let refusal = refused(&Endless { head: &head, size: HUGE * 2, tail: |_| 0 });
    assert!(matches!(refusal, Refusal::TooComplex(_)), "{refusal}");
    let stack = tiff(&with(&[(33_629, 5, u32::MAX, 0)]), &[]);
    let refusal = refused(&Endless { head: &stack, size: HUGE, tail: |_| 0 });
    assert!(matches!(refusal, Refusal::TooComplex(_)), "{refusal}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    struct Broken;
    impl ByteSource for Broken {
        fn size(&self) -> io::Result<u64> {
            Ok(100)
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
        fn next_data(&self, _: u64) -> io::Result<Option<Range<u64>>> {
            Ok(None)
        }
    }
    assert_eq!(layout(&Broken), Err(Refusal::Unreadable("bad sector".to_owned())));
}

#[test]
fn a_file_that_became_shorter_is_an_error_of_its_chunk() {
    let file = tiff(&with(&[]), &[0; 16]);
    let layout = layout(&&file[..]).unwrap();
    let by_chunk = layout.by_chunk();
    let index = layout.chunks().next().unwrap();
    let shorter = &file[..file.len() - 1];
    let error = gather(&layout.arrays[0], by_chunk.of(index), &shorter, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_layout_that_is_not_sound_is_found() {
    let sound = layout(&&tiff(&with(&[]), &[0; 20])[..]).unwrap();
    assert_eq!((sound.check(), sound.segments.len()), (Ok(()), 3));
    let faults: [fn(&mut Layout); 13] = [
        |layout| layout.arrays[0].chunk_width = 1 << 30,
        |layout| layout.size += 1,
        |layout| layout.segments[0].len -= 1,
        |layout| layout.segments.swap(0, 1),
        |layout| layout.segments.truncate(2),
        |layout| layout.segments[2].len = 0,
        |layout| layout.arrays.clear(),
        |layout| layout.arrays[0].planes = 0,
        |layout| layout.arrays[0].chunk_height = 3,
        |layout| layout.arrays[0].width = u64::MAX,
        |layout| layout.segments[1].run.as_mut().unwrap().at = u64::MAX,
        |layout| layout.segments[1].run.as_mut().unwrap().chunk.plane = 1,
        |layout| {
            let interleave = Interleave { samples: 1, sample_stride: 8 };
            layout.segments[1].run.as_mut().unwrap().interleave = Some(interleave);
        },
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let mut layout = sound.clone();
        fault(&mut layout);
        assert!(matches!(layout.check(), Err(Refusal::Malformed(_))), "fault {number}");
    }
}
