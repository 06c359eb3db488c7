//! What the microscope's own files, beside the images, say about the plate.
//!
//! They are read, never sealed and never changed. All is optional in them, and much of it is wrong somewhere in the
//! world: what makes no sense (a pixel of size 0, a plate of no rows) is passed over, and a file that is damaged or cut
//! short gives what stands before the damage.

mod gather;
mod harmony;
mod htd;
mod incell;
mod meta;
#[cfg(test)]
mod tests;
mod text;
mod xml;
mod yokogawa;

use std::fmt;

pub use meta::{ChannelMeta, FieldMeta, PlateMeta};

use crate::model::Name;

/// Bytes of a file that are looked at, from its beginning. Indices of large plates are longer; what the product wants to
/// know is said early in all of them.
pub const LARGEST: usize = 64 << 20;

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VendorKind {
    /// `*.HTD` of ImageXpress (MetaXpress), in the plate's directory or that of its time points.
    ImageXpress,
    /// `Index.idx.xml` or `Index.xml` of Opera Phenix and Operetta (Harmony), in `Images/`.
    Harmony,
    /// `MeasurementData.mlf` of CellVoyager: where each image was taken.
    YokogawaData,
    /// `MeasurementDetail.mrf` of CellVoyager: plate and cameras.
    YokogawaDetail,
    /// `*.xdce` of InCell and INCarta.
    InCell,
}

impl fmt::Display for VendorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VendorKind::ImageXpress => "ImageXpress HTD",
            VendorKind::Harmony => "Harmony index",
            VendorKind::YokogawaData => "CellVoyager mlf",
            VendorKind::YokogawaDetail => "CellVoyager mrf",
            VendorKind::InCell => "InCell xdce",
        })
    }
}

/// Why a file gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VendorError {
    /// It is none of what its name says.
    #[error("this is no {kind} file: it has no {expected}")]
    Foreign {
        /// What its name says.
        kind: VendorKind,
        /// What such a file begins with.
        expected: &'static str,
    },
}

/// Which of the microscopes' files this name (without directory) is; `None` for all others.
pub fn vendor_file(name: &Name) -> Option<VendorKind> {
    let name = name.to_str()?.to_ascii_lowercase();
    match name.as_str() {
        "index.idx.xml" | "index.xml" => Some(VendorKind::Harmony),
        "measurementdata.mlf" => Some(VendorKind::YokogawaData),
        "measurementdetail.mrf" => Some(VendorKind::YokogawaDetail),
        _ if name.ends_with(".htd") => Some(VendorKind::ImageXpress),
        _ if name.ends_with(".xdce") => Some(VendorKind::InCell),
        _ => None,
    }
}

/// Reads a file of the microscope, in UTF-8, UTF-16 or Latin-1. No more than [`LARGEST`] bytes are looked at, and memory
/// of about twice those is taken.
///
/// # Errors
/// [`VendorError::Foreign`] if the file is none of its kind.
pub fn read_vendor(kind: VendorKind, bytes: &[u8]) -> Result<PlateMeta, VendorError> {
    let text = text::decode(bytes.get(..LARGEST).unwrap_or(bytes));
    let read = match kind {
        VendorKind::ImageXpress => htd::read(&text).ok_or(htd::HEAD),
        VendorKind::Harmony => harmony::read(&text).ok_or(harmony::ROOT),
        VendorKind::YokogawaData => yokogawa::read_data(&text).ok_or(yokogawa::DATA),
        VendorKind::YokogawaDetail => yokogawa::read_detail(&text).ok_or(yokogawa::DETAIL),
        VendorKind::InCell => incell::read(&text).ok_or(incell::ROOT),
    };
    read.map_err(|expected| VendorError::Foreign { kind, expected })
}
