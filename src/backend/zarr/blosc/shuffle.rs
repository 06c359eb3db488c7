//! The byte shuffle: first bytes of all elements, then second bytes, and so on.
//!
//! What is left over behind the last whole element stays where it is.

use super::bits;
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
    match typesize {
        2 => shuffle_by::<2>(elements, from, to),
        4 => shuffle_by::<4>(elements, from, to),
        8 => shuffle_by::<8>(elements, from, to),
        _ => {
            for (byte, plane) in to.chunks_exact_mut(elements.max(1)).enumerate() {
                for (value, element) in plane.iter_mut().zip(from.chunks_exact(typesize)) {
                    *value = element[byte];
                }
            }
        }
    }
}

/// Undoes [`shuffle`].
pub(super) fn unshuffle(typesize: usize, from: &[u8], to: &mut [u8]) {
    let (elements, whole) = whole_elements(typesize, from.len());
    let (from, rest) = from.split_at(whole);
    let (to, left) = to.split_at_mut(whole);
    left.copy_from_slice(rest);
    match typesize {
        2 => unshuffle_by::<2>(elements, from, to),
        4 => unshuffle_by::<4>(elements, from, to),
        8 => unshuffle_by::<8>(elements, from, to),
        _ => {
            for (byte, plane) in from.chunks_exact(elements.max(1)).enumerate() {
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

fn shuffle_by<const N: usize>(elements: usize, from: &[u8], to: &mut [u8]) {
    for (run, from) in from.chunks(RUN * N).enumerate() {
        for (byte, plane) in to.chunks_exact_mut(elements).enumerate() {
            let plane = plane.get_mut(run * RUN..).unwrap_or_default();
            for (value, element) in plane.iter_mut().zip(from.chunks_exact(N)) {
                *value = element[byte];
            }
        }
    }
}

fn unshuffle_by<const N: usize>(elements: usize, from: &[u8], to: &mut [u8]) {
    if elements == 0 {
        return;
    }
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
