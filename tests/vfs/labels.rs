//! Masks that their rule calls labels: below their image in the store, and files like any others.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use scopefs::model::{RelPath, Tier};
use scopefs::vfs::RenameMode;

use crate::sealing::{WRITE, place};
use crate::support::{Kernel, World};
use crate::world;

const RULES: &str = "[zarr]\nsettle = \"10s\"\n[[rule]]\nmatch = \"**/*_mask.npy\"\nbackend = \"zarr\"\nas = \"labels\"\n\
                     [[rule]]\nmatch = \"**/*.npy\"\nbackend = \"zarr\"";
const IMAGE: &str = "P/P_B03_s1_w1.npy";
const MASK: &str = "P/P_B03_s1_w1_mask.npy";
const FIELD: &str = "P/P.ome.zarr/B/03/0";

/// A plane of 16-bit integers.
pub(crate) fn npy(seed: u32) -> Vec<u8> {
    let mut header = "{'descr': '<u2', 'fortran_order': False, 'shape': (64, 64), }".to_owned();
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend((0..4096_u32).flat_map(|at| ((at / 100 % (2 + seed)) as u16).to_le_bytes()));
    bytes
}

fn mount(world: &World) -> Kernel {
    Kernel::new(world.mount_over(Some(Box::new(world.zarr()))).0)
}

/// An image and its mask, sealed; the mask was written first.
fn with_mask(world: &World) -> Kernel {
    let kernel = mount(world);
    kernel.mkdir("P", 0o755).expect("makes");
    kernel.write(MASK, &npy(3)).expect("writes");
    kernel.write(IMAGE, &npy(50)).expect("writes");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(kernel.vfs.seal_rested(), 2);
    kernel
}

fn explain(kernel: &Kernel, path: &str) -> (String, Option<String>) {
    let said = kernel.vfs.explain(&RelPath::from_bytes(path.as_bytes()).expect("relative")).expect("explains");
    (said.reason, said.store.map(|at| at.array))
}

#[test]
fn a_mask_that_rests_with_its_image_is_its_labels_whichever_was_first() {
    let world = world!(rules: RULES);
    let kernel = with_mask(&world);
    let (reason, array) = explain(&kernel, MASK);
    assert_eq!(array.as_deref(), Some("B/03/0/labels/mask/0"));
    assert!(reason.starts_with("labels 'mask' of P/P.ome.zarr/B/03/0; "), "{reason}");
    assert!(!explain(&kernel, IMAGE).0.contains("labels"));
    kernel.vfs.forget_stubs();
    drop(kernel);
    let kernel = mount(&world);
    assert_eq!(kernel.read(MASK).expect("reads"), npy(3));
    assert_eq!(kernel.read(IMAGE).expect("reads"), npy(50));
    assert_eq!(kernel.list("P").expect("lists").len(), 2);
}

#[test]
fn a_mask_without_an_image_explains_why_it_is_one_itself() {
    let world = world!(rules: RULES);
    let kernel = mount(&world);
    kernel.mkdir("P", 0o755).expect("makes");
    kernel.write(MASK, &npy(3)).expect("writes");
    kernel.migrate(MASK, Tier::Zarr).expect("seals");
    let (reason, array) = explain(&kernel, MASK);
    assert_eq!(array.as_deref(), Some("B/03/0/0"));
    assert!(reason.starts_with("an image of its own, though its rule says labels"), "{reason}");
}

#[test]
fn names_of_a_mask_and_its_image_go_their_own_ways() {
    let world = world!(rules: RULES);
    let kernel = with_mask(&world);
    kernel.rename(MASK, "P/cells.npy", RenameMode::Replace).expect("renames");
    kernel.unlink(IMAGE).expect("unlinks");
    kernel.vfs.forget_stubs();
    drop(kernel);
    let kernel = mount(&world);
    assert_eq!(kernel.list("P").expect("lists").len(), 1);
    assert_eq!(kernel.read("P/cells.npy").expect("reads"), npy(3));
    assert!(world.path(FIELD).join("labels/mask/0").exists(), "it stays where it is");
    kernel.rename("P/cells.npy", "cells.npy", RenameMode::Replace).expect("leaves the directory");
    assert_eq!(kernel.read("cells.npy").expect("reads"), npy(3));
    assert!(!world.path("P/P.ome.zarr").exists(), "nothing is in it any more");
}

#[test]
fn masks_in_a_folder_of_their_own_are_labels_of_the_images_that_the_rule_names() {
    let rules = "[[rule]]\nmatch = \"**/masks/**\"\nbackend = \"zarr\"\nas = \"labels\"\nof = \"P/P_*\"\n\
                 [[rule]]\nmatch = \"**\"\nbackend = \"zarr\"";
    let world = world!(rules: rules);
    let kernel = mount(&world);
    for dir in ["P", "P/out", "P/out/masks"] {
        kernel.mkdir(dir, 0o755).expect("makes");
    }
    let mask = "P/out/masks/P_B03_s1_w1.npy";
    kernel.write(mask, &npy(3)).expect("writes");
    kernel.write(IMAGE, &npy(50)).expect("writes");
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(explain(&kernel, mask).1.as_deref(), Some("B/03/0/labels/masks/0"));
    kernel.vfs.forget_stubs();
    drop(kernel);
    let kernel = mount(&world);
    assert_eq!(kernel.list("P/out/masks").expect("lists").len(), 1);
    assert_eq!(kernel.read(mask).expect("reads"), npy(3));
}

#[test]
fn a_mask_that_is_written_again_goes_back_to_its_place() {
    let world = world!(rules: RULES);
    let kernel = with_mask(&world);
    let handle = kernel.open(MASK, WRITE).expect("opens");
    kernel.write_at(&handle, 130, b"other labels").expect("writes");
    kernel.close(handle);
    let mut wanted = npy(3);
    wanted[130..142].copy_from_slice(b"other labels");
    assert_eq!(kernel.read(MASK).expect("reads"), wanted);
    assert!(kernel.vfs.drain(&mut |_| {}, &AtomicBool::new(false)).is_empty());
    assert_eq!(place(&kernel, MASK), ("zarr".to_owned(), "sealed".to_owned()));
    assert_eq!(explain(&kernel, MASK).1.as_deref(), Some("B/03/0/labels/mask/0"));
    assert_eq!(kernel.read(MASK).expect("reads"), wanted);
}

#[test]
fn labels_that_tools_write_beside_ours_are_on_disk_at_once_and_stay() {
    let world = world!(rules: RULES);
    let kernel = with_mask(&world);
    let theirs = |rest: &str| format!("{FIELD}/labels/{rest}");
    kernel.mkdir(&theirs("nuclei"), 0o755).expect("makes");
    kernel.write(&theirs("nuclei/.zattrs"), b"{}").expect("writes");
    kernel.write(&theirs(".zattrs"), br#"{"labels": ["nuclei", "mask"]}"#).expect("lists it");
    assert_eq!(kernel.tier(&theirs(".zattrs")), "disk");
    assert_eq!(kernel.write(&theirs("mask/.zattrs"), b"{}").err(), Some(libc::EROFS));
    assert_eq!(kernel.rename(&theirs("mask"), &theirs("other"), RenameMode::Replace).err(), Some(libc::EROFS));
    kernel.write("P/P_B03_s1_w2_mask.npy", &npy(5)).expect("writes");
    kernel.migrate("P/P_B03_s1_w2_mask.npy", Tier::Zarr).expect("seals");
    kernel.unlink(MASK).expect("unlinks");
    let list = std::fs::read_to_string(world.path(FIELD).join("labels/.zattrs")).expect("is there");
    assert!(list.contains("nuclei") && list.contains("mask_w2") && !list.contains("\"mask\""), "{list}");
    assert!(world.path(FIELD).join("labels/nuclei/.zattrs").exists());
}
