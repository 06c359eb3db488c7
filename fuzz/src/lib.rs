//! What each fuzz target does with arbitrary bytes.
//!
//! An entry takes any bytes, panics where the product breaks a promise, and says whether the bytes came past the first
//! look, so that a corpus of nothing but refusals is noticed. The targets in `fuzz_targets` call these functions, and so
//! does `tests/fuzz_corpus`, which replays the corpus in seconds.

mod blosc;
mod description;
mod image;
mod names;
mod recipe;
mod vendor;

pub use blosc::blosc;
pub use description::description;
pub use image::{npy, tiff};
pub use names::names;
pub use recipe::recipe;
pub use vendor::vendor;

/// What a target is called, and what it does.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them: each has a file in `fuzz_targets` and a folder in `corpus` of its name.
pub const TARGETS: &[Target] = &[
    ("tiff", tiff),
    ("npy", npy),
    ("description", description),
    ("blosc", blosc),
    ("recipe", recipe),
    ("vendor", vendor),
    ("names", names),
];

/// Takes `N` bytes off the front of `bytes`; zeros where there are none.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, rest) = bytes.split_at(N.min(bytes.len()));
    *bytes = rest;
    let mut taken = [0; N];
    taken[..head.len()].copy_from_slice(head);
    taken
}
