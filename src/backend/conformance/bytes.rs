//! Bytes in, bytes out.

use super::source::{Failing, Sparse, pattern};
use super::{Check, Fault, Harness, Outcome, ensure, is_not_found, rel};
use crate::backend::{Access, ByteSource, Expected, Object};

pub(super) static CHECKS: &[Check] = &[
    Check { name: "files of every size read back byte for byte", run: every_size },
    Check { name: "a hole reads as zeros and takes no room", run: holes },
    Check { name: "a file of holes alone keeps its length", run: only_a_hole },
    Check { name: "any range of bytes can be read", run: ranges },
    Check { name: "what is written through an object is read by the next", run: write_in_place },
    Check { name: "an object that was opened for reading refuses to write", run: read_only_object },
    Check { name: "opening what is not there says not found", run: open_absent },
    Check { name: "a source that fails leaves no trace", run: failing_source },
];

/// Around the sizes of pages and of copying steps, and one of several steps that ends within one.
const SIZES: [usize; 8] = [0, 1, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1, (5 << 20) + 13];

fn every_size(on: &Harness) -> Outcome {
    for size in SIZES {
        let path = rel([format!("{size}.tif")]);
        let bytes = pattern(size);
        let attr = on.put(&bytes, &path)?;
        ensure(attr.size == size as u64, || format!("published with {size} bytes, publish says {}", attr.size))?;
        on.holds(&path, &bytes)?;
    }
    Ok(())
}

fn holes(on: &Harness) -> Outcome {
    let path = rel(["sparse"]);
    let source = Sparse { size: (16 << 20) + 5, start: 8 << 20, data: pattern(10_000) };
    let staged = on.backend.stage(&source)?;
    let attr = on.backend.publish(staged, &path, Expected::Absent)?;
    on.holds(&path, &source.bytes())?;
    ensure(attr.blocks * 512 < 4 << 20, || format!("10,000 bytes of data take {} bytes", attr.blocks * 512))
}

fn only_a_hole(on: &Harness) -> Outcome {
    let path = rel(["hole"]);
    let source = Sparse { size: 100_001, start: 0, data: Vec::new() };
    let staged = on.backend.stage(&source)?;
    on.backend.publish(staged, &path, Expected::Absent)?;
    on.holds(&path, &source.bytes())
}

fn ranges(on: &Harness) -> Outcome {
    let path = rel(["ranges"]);
    let bytes = pattern(300_000);
    on.put(&bytes, &path)?;
    let object = object(on, Access::Read)?;
    for (start, len) in [(0, 1), (1, 1), (4095, 2), (65_537, 131_071), (299_999, 1), (0, 300_000)] {
        let mut found = vec![0; len];
        let got = object.read_at(&mut found, start as u64)?;
        ensure(got == len && found == bytes[start..start + len], || format!("{len} bytes at {start} differ"))?;
    }
    let mut beyond = [0; 10];
    let over_the_end = object.read_at(&mut beyond, 299_995)?;
    let past_the_end = object.read_at(&mut beyond, 400_000)?;
    ensure((over_the_end, past_the_end) == (5, 0), || "a read does not stop at the end".to_owned())
}

fn write_in_place(on: &Harness) -> Outcome {
    let path = rel(["ranges"]);
    let mut bytes = pattern(10_000);
    on.put(&bytes, &path)?;
    let object = object(on, Access::Write)?;
    ensure(object.writable(), || "opened for writing, it is not writable".to_owned())?;
    object.write_all_at(b"patched", 5000)?;
    object.write_all_at(b"appended", 10_000)?;
    bytes[5000..5007].copy_from_slice(b"patched");
    bytes.extend_from_slice(b"appended");
    on.holds(&path, &bytes)
}

fn read_only_object(on: &Harness) -> Outcome {
    on.put(b"as it was", &rel(["ranges"]))?;
    let refused = object(on, Access::Read)?.write_all_at(b"X", 0).is_err();
    ensure(refused, || "it can be written".to_owned())?;
    on.holds(&rel(["ranges"]), b"as it was")
}

fn open_absent(on: &Harness) -> Outcome {
    for access in [Access::Read, Access::Write] {
        is_not_found("open", on.backend.open(&rel(["nowhere"]), access))?;
    }
    Ok(())
}

fn failing_source(on: &Harness) -> Outcome {
    let whole = Sparse::dense(&pattern(5 << 20));
    for n in 0..4 {
        let failed = on.backend.stage(&Failing::at(n, &whole));
        ensure(failed.is_err(), || format!("a source that fails at read {n} is taken for whole"))?;
        on.leaves_nothing()?;
    }
    Ok(())
}

fn object(on: &Harness, access: Access) -> Outcome<Object> {
    let object = on.backend.open(&rel(["ranges"]), access)?;
    object.ok_or_else(|| Fault("it cannot be opened as an object".to_owned()))
}
