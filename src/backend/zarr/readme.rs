//! What a store tells a person who finds it.

use std::io;

use super::ground::below;
use super::store::Store;
use super::table::TABLES;

/// Beside the pages: plain files in a group make zarr-python warn, in an array's directory nobody minds them.
const README: &str = "README.txt";

const TEXT: &[u8] = b"\
This directory is an OME-Zarr store that scopefs has made of image files.

Any reader of OME-Zarr opens it. The group scopefs/ holds what is needed beyond the
pixels to give the original files back, byte for byte: their names and attributes,
the bytes that are no pixels, and how all of it fits together. It survives copying
the whole directory; without it, the images stay, the files are lost.

With scopefs:     scopefs export STORE DEST
";

/// Writes the text into a new store.
pub(super) fn put(store: &Store) -> io::Result<()> {
    let path = below(&store.place(), &format!("{TABLES}/{README}"));
    store.ground.files.put(&path, TEXT, false)
}
