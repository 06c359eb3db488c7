//! The byte shuffle: first bytes of all elements, then second bytes, and so on.
//!
//! What is left over behind the last whole element stays where it is.

use std::slice::ChunksExactMut;

use super::bits::{self, word_of};
use super::header::Filter;

/// Filters `from` into `to`, which has the same length.
pub(super) fn apply(filter: Filter, typesize: usize, from: &[u8], to: &mut [u8], spare: &mut Vec<u8>) {
    match filter {
        Filter::Shuffle if typesize > 1 => shuffle(typesize, from, to),
        Filter::BitShuffle if from.len() >= typesize => bits::shuffle(typesize, from, to, spare),
        _ => to.copy_from_slice(from),
    }
}

/// Undoes [`apply`].
pub(super) fn undo(filter: Filter, typesize: usize, from: &[u8], to: &mut [u8], spare: &mut Vec<u8>) {
    match filter {
        Filter::Shuffle if typesize > 1 => unshuffle(typesize, from, to),
        Filter::BitShuffle if from.len() >= typesize => bits::unshuffle(typesize, from, to, spare),
        _ => to.copy_from_slice(from),
    }
}

/// Whether a filter leaves a block of `len` bytes as it is.
pub(super) fn is_idle(filter: Filter, typesize: usize, len: usize) -> bool {
    match filter {
        Filter::None => true,
        Filter::Shuffle => typesize <= 1,
        Filter::BitShuffle => len < typesize || len / typesize % 8 != 0,
    }
}

/// Byte shuffle of elements of `typesize` bytes.
pub(super) fn shuffle(typesize: usize, from: &[u8], to: &mut [u8]) {
    let (elements, whole) = whole_elements(typesize, from.len());
    let (from, rest) = from.split_at(whole);
    let (to, left) = to.split_at_mut(whole);
    left.copy_from_slice(rest);
    if elements == 0 {
        return;
    }
    let done = match typesize {
        2 => shuffle_pairs(elements, from, to),
        4 => shuffle_fours(elements, from, to),
        8 => shuffle_eights(elements, from, to),
        _ => 0,
    };
    let from = from.get(done * typesize..).unwrap_or_default();
    for (byte, plane) in to.chunks_exact_mut(elements).enumerate() {
        let plane = plane.get_mut(done..).unwrap_or_default();
        for (value, element) in plane.iter_mut().zip(from.chunks_exact(typesize)) {
            *value = element[byte];
        }
    }
}

/// Undoes [`shuffle`].
pub(super) fn unshuffle(typesize: usize, from: &[u8], to: &mut [u8]) {
    let (elements, whole) = whole_elements(typesize, from.len());
    let (from, rest) = from.split_at(whole);
    let (to, left) = to.split_at_mut(whole);
    left.copy_from_slice(rest);
    if elements == 0 {
        return;
    }
    match typesize {
        2 => unshuffle_by::<2>(elements, from, to),
        4 => unshuffle_by::<4>(elements, from, to),
        8 => unshuffle_by::<8>(elements, from, to),
        _ => {
            for (byte, plane) in from.chunks_exact(elements).enumerate() {
                for (value, element) in plane.iter().zip(to.chunks_exact_mut(typesize)) {
                    element[byte] = *value;
                }
            }
        }
    }
}

fn whole_elements(typesize: usize, len: usize) -> (usize, usize) {
    let elements = len / typesize;
    (elements, elements * typesize)
}

/// Elements that are walked together, once for each of their bytes: they stay in the first-level cache.
const RUN: usize = 1024;

/// The planes of `N` bytes, each in pieces of `STEP` bytes.
fn pieces<const N: usize>(elements: usize, step: usize, to: &mut [u8]) -> [ChunksExactMut<'_, u8>; N] {
    let mut planes = to.chunks_exact_mut(elements);
    std::array::from_fn(|_| planes.next().unwrap_or_default().chunks_exact_mut(step))
}

/// Shuffles elements of two bytes, 32 at a time; returns how many.
fn shuffle_pairs(elements: usize, from: &[u8], to: &mut [u8]) -> usize {
    const STEP: usize = 32;
    let [low, high] = pieces(elements, STEP, to);
    for ((low, high), from) in low.zip(high).zip(from.chunks_exact(2 * STEP)) {
        let pairs: [u16; STEP] = std::array::from_fn(|at| u16::from_le_bytes([from[2 * at], from[2 * at + 1]]));
        put(low, pairs.map(|pair| pair as u8));
        put(high, pairs.map(|pair| (pair >> 8) as u8));
    }
    elements / STEP * STEP
}

/// Shuffles elements of four bytes, eight at a time; returns how many.
fn shuffle_fours(elements: usize, from: &[u8], to: &mut [u8]) -> usize {
    let [first, second, third, fourth] = pieces(elements, 8, to);
    for ((((first, second), third), fourth), from) in
        first.zip(second).zip(third).zip(fourth).zip(from.chunks_exact(32))
    {
        let (even, odd) = split(word_of(from), word_of(&from[8..]));
        let (even_after, odd_after) = split(word_of(&from[16..]), word_of(&from[24..]));
        let (one, three) = split(even, even_after);
        let (two, four) = split(odd, odd_after);
        for (place, word) in [first, second, third, fourth].into_iter().zip([one, two, three, four]) {
            put(place, word.to_le_bytes());
        }
    }
    elements / 8 * 8
}

/// Shuffles elements of eight bytes, eight at a time; returns how many.
fn shuffle_eights(elements: usize, from: &[u8], to: &mut [u8]) -> usize {
    let mut places: [_; 8] = pieces(elements, 8, to);
    for from in from.chunks_exact(64) {
        let mut words = bits::load(from);
        bits::transpose_bytes(&mut words);
        for (place, word) in places.iter_mut().zip(words) {
            if let Some(place) = place.next() {
                put(place, word.to_le_bytes());
            }
        }
    }
    elements / 8 * 8
}

/// Stores a piece. Its length is constant, or this would be a call of a copying function.
fn put<const N: usize>(place: &mut [u8], bytes: [u8; N]) {
    if let Some(place) = place.first_chunk_mut() {
        *place = bytes;
    }
}

/// The even and the odd bytes of two words.
fn split(first: u64, second: u64) -> (u64, u64) {
    (squeeze(first) | squeeze(second) << 32, squeeze(first >> 8) | squeeze(second >> 8) << 32)
}

/// The even bytes of a word, in its lower half.
fn squeeze(word: u64) -> u64 {
    let pairs = word & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) & 0xffff_ffff
}

fn unshuffle_by<const N: usize>(elements: usize, from: &[u8], to: &mut [u8]) {
    let mut planes = from.chunks_exact(elements);
    let planes: [&[u8]; N] = std::array::from_fn(|_| planes.next().unwrap_or_default());
    for (run, to) in to.chunks_mut(RUN * N).enumerate() {
        let len = to.len() / N;
        let plane = planes.map(|plane| plane.get(run * RUN..run * RUN + len).unwrap_or_default());
        // Equal lengths, said where the compiler can use it.
        if plane.iter().any(|plane| plane.len() != len) {
            return;
        }
        for (at, element) in to.chunks_exact_mut(N).enumerate() {
            for byte in 0..N {
                element[byte] = plane[byte][at];
            }
        }
    }
}
