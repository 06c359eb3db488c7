//! The bit shuffle: first bits of all elements, then second bits, and so on.
//!
//! Bit `b` of byte `j` of all elements makes row `8 × j + b`, eight elements a byte, the first in the lowest bit. Only a
//! block whose elements are a multiple of 8 is shuffled; any other stays as it is. Bytes behind the last whole element
//! stay where they are. This is the order of `bitshuffle`, as c-blosc applies it.

use super::shuffle as bytes;

/// Elements that one step takes: 8 words of 8 bytes, one byte of each element.
const STEP: usize = 64;

/// Bit shuffle of elements of `typesize` bytes. `spare` is memory to work in.
pub(super) fn shuffle(typesize: usize, from: &[u8], to: &mut [u8], spare: &mut Vec<u8>) {
    let elements = from.len() / typesize;
    if elements % 8 != 0 {
        to.copy_from_slice(from);
        return;
    }
    let whole = elements * typesize;
    to[whole..].copy_from_slice(&from[whole..]);
    if elements == 0 {
        return;
    }
    // In two steps: by byte, which is fast, and then each run of like bytes by bit.
    let by_byte = if typesize == 1 {
        &from[..whole]
    } else {
        spare.resize(whole, 0);
        bytes::shuffle(typesize, &from[..whole], spare);
        spare.as_slice()
    };
    for (plane, rows) in by_byte.chunks_exact(elements).zip(to.chunks_exact_mut(elements)) {
        split_plane(plane, rows);
    }
}

/// Undoes [`shuffle`].
pub(super) fn unshuffle(typesize: usize, from: &[u8], to: &mut [u8], spare: &mut Vec<u8>) {
    let elements = from.len() / typesize;
    if elements % 8 != 0 {
        to.copy_from_slice(from);
        return;
    }
    let whole = elements * typesize;
    to[whole..].copy_from_slice(&from[whole..]);
    if elements == 0 {
        return;
    }
    if typesize == 1 {
        join_plane(&from[..whole], &mut to[..whole]);
        return;
    }
    spare.resize(whole, 0);
    for (rows, plane) in from.chunks_exact(elements).zip(spare.chunks_exact_mut(elements)) {
        join_plane(rows, plane);
    }
    bytes::unshuffle(typesize, spare, &mut to[..whole]);
}

/// One byte of each element to eight rows of bits.
fn split_plane(plane: &[u8], rows: &mut [u8]) {
    let row = plane.len() / 8;
    let steps = plane.chunks_exact(STEP);
    let rest = steps.remainder();
    let done = row - rest.len() / 8;
    for (step, bytes) in steps.enumerate() {
        let mut words = load(bytes);
        transpose_bits(&mut words);
        transpose_bytes(&mut words);
        for (word, row) in words.iter().zip(rows.chunks_exact_mut(row)) {
            if let Some(place) = row[step * 8..].first_chunk_mut() {
                *place = word.to_le_bytes();
            }
        }
    }
    for (at, bytes) in rest.chunks_exact(8).enumerate() {
        let mut word = [word_of(bytes)];
        transpose_bits(&mut word);
        for (value, row) in word[0].to_le_bytes().iter().zip(rows.chunks_exact_mut(row)) {
            row[done + at] = *value;
        }
    }
}

/// Eight rows of bits to one byte of each element.
fn join_plane(rows: &[u8], plane: &mut [u8]) {
    let row = plane.len() / 8;
    let mut steps = plane.chunks_exact_mut(STEP);
    for (step, bytes) in (&mut steps).enumerate() {
        let mut words = [0; 8];
        for (word, row) in words.iter_mut().zip(rows.chunks_exact(row)) {
            *word = word_of(&row[step * 8..]);
        }
        transpose_bytes(&mut words);
        transpose_bits(&mut words);
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }
    let rest = steps.into_remainder();
    let done = row - rest.len() / 8;
    for (at, bytes) in rest.chunks_exact_mut(8).enumerate() {
        let mut word = [0; 8];
        for (value, row) in word.iter_mut().zip(rows.chunks_exact(row)) {
            *value = row[done + at];
        }
        let mut word = [u64::from_le_bytes(word)];
        transpose_bits(&mut word);
        bytes.copy_from_slice(&word[0].to_le_bytes());
    }
}

/// The first eight bytes as a word.
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The first 64 bytes as words.
pub(super) fn load(bytes: &[u8]) -> [u64; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = word_of(bytes);
    }
    words
}

/// Each word as 8 × 8 bits, turned about its diagonal (Hacker's Delight, 7-3).
fn transpose_bits(words: &mut [u64]) {
    for word in words {
        *word = swap_bits::<28>(
            swap_bits::<14>(swap_bits::<7>(*word, 0x00aa_00aa_00aa_00aa), 0xcccc_0000_cccc),
            0xf0f0_f0f0,
        );
    }
}

fn swap_bits<const SHIFT: u32>(word: u64, mask: u64) -> u64 {
    let swap = (word ^ (word >> SHIFT)) & mask;
    word ^ swap ^ (swap << SHIFT)
}

/// Eight words as 8 × 8 bytes, turned about the diagonal.
pub(super) fn transpose_bytes(words: &mut [u64; 8]) {
    swap_words::<4, 32>(words, 0x0000_0000_ffff_ffff);
    swap_words::<2, 16>(words, 0x0000_ffff_0000_ffff);
    swap_words::<1, 8>(words, 0x00ff_00ff_00ff_00ff);
}

fn swap_words<const APART: usize, const SHIFT: u32>(words: &mut [u64; 8], mask: u64) {
    for low in 0..8 {
        if low & APART == 0 {
            let swap = ((words[low] >> SHIFT) ^ words[low + APART]) & mask;
            words[low] ^= swap << SHIFT;
            words[low + APART] ^= swap;
        }
    }
}
