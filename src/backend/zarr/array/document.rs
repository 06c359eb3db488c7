//! The metadata documents of arrays, by way of the types of zarrs.

use serde_json::{Value, json};
use zarrs::metadata::ArrayMetadata;
use zarrs::metadata::ChunkKeySeparator;
use zarrs::metadata::v2::{ArrayMetadataV2, ArrayMetadataV2Order, DataTypeMetadataV2, MetadataV2};
use zarrs::metadata::v3::{ArrayMetadataV3, MetadataV3};

use super::{ArrayError, ArraySpec, Version};
use crate::view::Dtype;

/// Names of the types: ours, that of v2 (little-endian), that of v3.
const TYPES: [(Dtype, &str, &str); 10] = [
    (Dtype::U8, "|u1", "uint8"),
    (Dtype::U16, "<u2", "uint16"),
    (Dtype::U32, "<u4", "uint32"),
    (Dtype::U64, "<u8", "uint64"),
    (Dtype::I8, "|i1", "int8"),
    (Dtype::I16, "<i2", "int16"),
    (Dtype::I32, "<i4", "int32"),
    (Dtype::I64, "<i8", "int64"),
    (Dtype::F32, "<f4", "float32"),
    (Dtype::F64, "<f8", "float64"),
];

/// The level that others read in the metadata and write with.
const LEVEL: u8 = 5;

/// The document of a new array.
pub(super) fn of_spec(spec: &ArraySpec) -> Result<ArrayMetadata, ArrayError> {
    let Some((_, v2, v3)) = TYPES.iter().find(|(dtype, ..)| *dtype == spec.dtype) else {
        return Err(ArrayError::Unsupported("it has no type that can be named".to_owned()));
    };
    let fill = if matches!(spec.dtype, Dtype::F32 | Dtype::F64) { json!(0.0) } else { json!(0) };
    match spec.version {
        Version::V2 => read::<ArrayMetadataV2>(json!({
            "zarr_format": 2, "shape": spec.shape, "chunks": spec.chunk, "dtype": v2, "fill_value": fill,
            "order": "C", "filters": null, "dimension_separator": "/",
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": LEVEL, "shuffle": declared(spec.dtype).0,
                           "blocksize": 0},
        }))
        .map(ArrayMetadata::V2),
        Version::V3 => read::<ArrayMetadataV3>(json!({
            "zarr_format": 3, "node_type": "array", "shape": spec.shape, "data_type": v3, "fill_value": fill,
            "chunk_grid": {"name": "regular",
                           "configuration": {"chunk_shape": spec.shard.as_ref().unwrap_or(&spec.chunk)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": separator(spec.shard.is_some())}},
            "codecs": codecs(spec), "attributes": {},
            "dimension_names": spec.names,
        }))
        .map(ArrayMetadata::V3),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ArrayError> {
    serde_json::from_value(value).map_err(|e| ArrayError::Malformed(e.to_string()))
}

/// The filter that the metadata declares, as v2 and v3 call it. Each chunk says itself which one it has.
fn declared(dtype: Dtype) -> (u8, &'static str) {
    if dtype.size() == 1 { (2, "bitshuffle") } else { (1, "shuffle") }
}

/// What stands between the numbers in the name of a chunk, or of a shard.
fn separator(sharded: bool) -> &'static str {
    if sharded { "." } else { "/" }
}

fn codecs(spec: &ArraySpec) -> Value {
    let little = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let bytes = if spec.dtype.size() == 1 { json!({"name": "bytes"}) } else { little.clone() };
    let blosc = json!({"name": "blosc", "configuration": {"cname": "lz4", "clevel": LEVEL,
        "shuffle": declared(spec.dtype).1, "typesize": spec.dtype.size(), "blocksize": 0}});
    if spec.shard.is_none() {
        return json!([bytes, blosc]);
    }
    json!([{"name": "sharding_indexed", "configuration": {
        "chunk_shape": spec.chunk, "codecs": [bytes, blosc],
        "index_codecs": [little, {"name": "crc32c"}], "index_location": "end"}}])
}

/// The document as a file holds it.
pub(super) fn bytes(metadata: &ArrayMetadata) -> Result<Vec<u8>, ArrayError> {
    let malformed = |e: serde_json::Error| ArrayError::Malformed(e.to_string());
    let mut value = match metadata {
        ArrayMetadata::V2(metadata) => serde_json::to_value(metadata),
        ArrayMetadata::V3(metadata) => serde_json::to_value(metadata),
    }
    .map_err(malformed)?;
    match (metadata, value.as_object_mut()) {
        (ArrayMetadata::V2(_), Some(fields)) => {
            // Neither is of version 2; attributes have a file of their own.
            fields.remove("node_type");
            fields.remove("attributes");
        }
        (ArrayMetadata::V3(_), Some(fields)) => {
            // zarr-python wants objects, where zarrs writes the bare names of codecs without configuration.
            for codec in fields.get_mut("codecs").and_then(Value::as_array_mut).into_iter().flatten() {
                if codec.is_string() {
                    *codec = json!({"name": codec.take()});
                }
            }
        }
        _ => {}
    }
    serde_json::to_vec_pretty(&value).map_err(malformed)
}

/// Reads a document, refusing what we cannot serve.
pub(super) fn parse(version: Version, bytes: &[u8]) -> Result<(ArraySpec, ArrayMetadata), ArrayError> {
    let malformed = |e: serde_json::Error| ArrayError::Malformed(e.to_string());
    match version {
        Version::V2 => {
            let metadata: ArrayMetadataV2 = serde_json::from_slice(bytes).map_err(malformed)?;
            Ok((of_v2(&metadata)?, ArrayMetadata::V2(metadata)))
        }
        Version::V3 => {
            let metadata: ArrayMetadataV3 = serde_json::from_slice(bytes).map_err(malformed)?;
            Ok((of_v3(&metadata)?, ArrayMetadata::V3(metadata)))
        }
    }
}

fn refuse<T>(what: impl Into<String>) -> Result<T, ArrayError> {
    Err(ArrayError::Unsupported(what.into()))
}

fn of_v2(metadata: &ArrayMetadataV2) -> Result<ArraySpec, ArrayError> {
    let DataTypeMetadataV2::Simple(name) = &metadata.dtype else { return refuse("its elements have fields") };
    let Some((dtype, ..)) = TYPES.iter().find(|(_, v2, _)| v2 == name) else {
        return refuse(format!("its elements are of type {name}"));
    };
    if metadata.order != ArrayMetadataV2Order::C {
        return refuse("its chunks are in Fortran order");
    }
    if metadata.filters.as_ref().is_some_and(|filters| !filters.is_empty()) {
        return refuse("it has filters");
    }
    if metadata.dimension_separator != ChunkKeySeparator::Slash && metadata.shape.len() > 1 {
        return refuse("the names of its chunks are not separated by '/'");
    }
    let compressor = metadata.compressor.as_ref().filter(|compressor| compressor.id() == "blosc");
    if !is_lz4(compressor.map(MetadataV2::configuration).and_then(|fields| fields.get("cname"))) {
        return refuse("its chunks are not Blosc frames around LZ4");
    }
    check_fill(&serde_json::to_value(&metadata.fill_value).unwrap_or_default())?;
    let chunk = metadata.chunks.iter().map(|extent| extent.get()).collect();
    Ok(ArraySpec {
        version: Version::V2,
        dtype: *dtype,
        shape: metadata.shape.clone(),
        chunk,
        shard: None,
        names: None,
    })
}

fn of_v3(metadata: &ArrayMetadataV3) -> Result<ArraySpec, ArrayError> {
    let name = metadata.data_type.name();
    let Some((dtype, ..)) = TYPES.iter().find(|(_, _, v3)| *v3 == name) else {
        return refuse(format!("its elements are of type {name}"));
    };
    if !metadata.storage_transformers.is_empty() {
        return refuse("it has storage transformers");
    }
    if metadata.chunk_grid.name() != "regular" {
        return refuse("its chunks are not all of one size");
    }
    check_fill(&serde_json::to_value(&metadata.fill_value).unwrap_or_default())?;
    let outer = extents(field(&metadata.chunk_grid, "chunk_shape"))?;
    let (chunk, shard) = match metadata.codecs.as_slice() {
        [sharding] if sharding.name() == "sharding_indexed" => (inner_chunk(sharding)?, Some(outer)),
        codecs => {
            check_codecs(codecs)?;
            (outer, None)
        }
    };
    let (keys, wanted) = (&metadata.chunk_key_encoding, separator(shard.is_some()));
    if keys.name() != "default" || field(keys, "separator").and_then(Value::as_str).unwrap_or("/") != wanted {
        return refuse(format!("the names of its chunks are not separated by '{wanted}'"));
    }
    let names: Option<Vec<String>> =
        metadata.dimension_names.as_ref().and_then(|names| names.iter().cloned().collect());
    Ok(ArraySpec { version: Version::V3, dtype: *dtype, shape: metadata.shape.clone(), chunk, shard, names })
}

fn field<'m>(metadata: &'m MetadataV3, name: &str) -> Option<&'m Value> {
    metadata.configuration()?.get(name)
}

/// The extent of an inner chunk of a shard that is laid out as ours are.
fn inner_chunk(sharding: &MetadataV3) -> Result<Vec<u64>, ArrayError> {
    let codecs = |name| read::<Vec<MetadataV3>>(field(sharding, name).cloned().unwrap_or_default());
    check_codecs(&codecs("codecs")?)?;
    let index = codecs("index_codecs")?;
    let [bytes, check] = index.as_slice() else { return refuse("its shards have an index of another kind") };
    if bytes.name() != "bytes" || field(bytes, "endian").is_some_and(|e| e != "little") || check.name() != "crc32c" {
        return refuse("its shards have an index of another kind");
    }
    if field(sharding, "index_location").is_some_and(|location| location != "end") {
        return refuse("its shards have their index at the beginning");
    }
    extents(field(sharding, "chunk_shape"))
}

fn check_codecs(codecs: &[MetadataV3]) -> Result<(), ArrayError> {
    let [bytes, blosc] = codecs else { return refuse("its chunks are not Blosc frames around LZ4") };
    if bytes.name() != "bytes" || field(bytes, "endian").is_some_and(|endian| endian != "little") {
        return refuse("its elements are not little-endian");
    }
    if blosc.name() != "blosc" || !is_lz4(field(blosc, "cname")) {
        return refuse("its chunks are not Blosc frames around LZ4");
    }
    Ok(())
}

fn is_lz4(name: Option<&Value>) -> bool {
    matches!(name.and_then(Value::as_str), Some("lz4" | "lz4hc"))
}

fn extents(value: Option<&Value>) -> Result<Vec<u64>, ArrayError> {
    read(value.cloned().unwrap_or_default())
}

/// A missing chunk is zeros, and must be that to all readers.
fn check_fill(value: &Value) -> Result<(), ArrayError> {
    if value.as_f64() == Some(0.0) { Ok(()) } else { refuse("its fill value is not 0") }
}
