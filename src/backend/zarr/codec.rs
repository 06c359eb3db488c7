//! Our Blosc frames as a codec of zarrs, `blosc` in both versions, so that zarrs reads and writes our arrays.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use zarrs::array::codec::api::{
    BytesPartialDecoderTraits, BytesToBytesCodecTraits, Codec, CodecError, CodecMetadataOptions, CodecOptions,
    CodecRuntimePluginV2, CodecRuntimePluginV3, CodecTraits, PartialDecoderCapability, PartialEncoderCapability,
    RecommendedConcurrency, register_codec_v2, register_codec_v3,
};
use zarrs::array::{ArrayBytesRaw, BytesRepresentation};
use zarrs::metadata::Configuration;
use zarrs::plugin::{PluginCreateError, ZarrVersion};
use zarrs::storage::StorageError;
use zarrs::storage::byte_range::ByteRangeIterator;

use super::blosc::{BloscError, Filter, FilterChoice, Frame, Scratch, encode};

zarrs::plugin::impl_extension_aliases!(Blosc, v3: "blosc", v2: "blosc");

/// Makes zarrs know the codec; it is enough to call it once, and harmless to call it more often.
pub fn register() {
    static REGISTERED: LazyLock<()> = LazyLock::new(|| {
        register_codec_v2(CodecRuntimePluginV2::new(
            |name| name == "blosc",
            |metadata| Blosc::create(metadata.configuration()),
        ));
        register_codec_v3(CodecRuntimePluginV3::new(
            |name| name == "blosc",
            |metadata| Blosc::create(metadata.configuration().unwrap_or(&Configuration::default())),
        ));
    });
    LazyLock::force(&REGISTERED);
}

/// The codec as one array's metadata configures it.
#[derive(Debug, Clone)]
struct Blosc {
    configuration: Configuration,
    typesize: u8,
    filter: Filter,
}

impl Blosc {
    fn create(configuration: &Configuration) -> Result<Codec, PluginCreateError> {
        let name = configuration.get("cname").and_then(Value::as_str).unwrap_or_default();
        if !["lz4", "lz4hc"].contains(&name) {
            return Err(PluginCreateError::Other(format!("Blosc frames around '{name}' are not supported")));
        }
        let typesize = configuration.get("typesize").and_then(Value::as_u64).and_then(|size| u8::try_from(size).ok());
        let shuffle = configuration.get("shuffle");
        let filter = match (shuffle.and_then(Value::as_str), shuffle.and_then(Value::as_i64)) {
            (Some("shuffle"), _) | (_, Some(1)) => Filter::Shuffle,
            (Some("bitshuffle"), _) | (_, Some(2)) => Filter::BitShuffle,
            (_, Some(-1)) if typesize.unwrap_or(1) == 1 => Filter::BitShuffle,
            (_, Some(-1)) => Filter::Shuffle,
            _ => Filter::None,
        };
        let codec = Blosc { configuration: configuration.clone(), typesize: typesize.unwrap_or(1), filter };
        Ok(Codec::BytesToBytes(Arc::new(codec)))
    }
}

impl CodecTraits for Blosc {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn configuration(&self, version: ZarrVersion, _: &CodecMetadataOptions) -> Option<Configuration> {
        let mut fields = serde_json::Map::from(self.configuration.clone());
        let (number, name) = match self.filter {
            Filter::None => (0, "noshuffle"),
            Filter::Shuffle => (1, "shuffle"),
            Filter::BitShuffle => (2, "bitshuffle"),
        };
        match version {
            ZarrVersion::V2 => {
                fields.remove("typesize");
                fields.insert("shuffle".to_owned(), json!(number));
            }
            ZarrVersion::V3 => {
                fields.insert("typesize".to_owned(), json!(self.typesize));
                fields.insert("shuffle".to_owned(), json!(name));
            }
        }
        Some(Configuration::from(fields))
    }

    fn partial_decoder_capability(&self) -> PartialDecoderCapability {
        PartialDecoderCapability { partial_read: false, partial_decode: true }
    }

    fn partial_encoder_capability(&self) -> PartialEncoderCapability {
        PartialEncoderCapability { partial_encode: false }
    }
}

impl BytesToBytesCodecTraits for Blosc {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn BytesToBytesCodecTraits> {
        self
    }

    fn recommended_concurrency(&self, _: &BytesRepresentation) -> Result<RecommendedConcurrency, CodecError> {
        Ok(RecommendedConcurrency::new_maximum(1))
    }

    fn encode<'a>(&self, decoded: ArrayBytesRaw<'a>, _: &CodecOptions) -> Result<ArrayBytesRaw<'a>, CodecError> {
        match encode(&decoded, self.typesize, FilterChoice::Always(self.filter)) {
            Ok(frame) => Ok(Cow::Owned(frame.bytes)),
            Err(e) => Err(CodecError::Other(e.to_string())),
        }
    }

    fn decode<'a>(
        &self,
        encoded: ArrayBytesRaw<'a>,
        decoded: &BytesRepresentation,
        _: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        let frame = open(&encoded, decoded)?;
        Ok(Cow::Owned(frame.decode_all().map_err(failed)?))
    }

    fn partial_decoder(
        self: Arc<Self>,
        input: Arc<dyn BytesPartialDecoderTraits>,
        decoded: &BytesRepresentation,
        _: &CodecOptions,
    ) -> Result<Arc<dyn BytesPartialDecoderTraits>, CodecError> {
        Ok(Arc::new(Partial { input, decoded: *decoded }))
    }

    fn encoded_representation(&self, decoded: &BytesRepresentation) -> BytesRepresentation {
        decoded.size().map_or(BytesRepresentation::UnboundedSize, |size| BytesRepresentation::BoundedSize(size + 16))
    }
}

/// Decodes ranges: only the blocks that they overlap.
struct Partial {
    input: Arc<dyn BytesPartialDecoderTraits>,
    decoded: BytesRepresentation,
}

impl BytesPartialDecoderTraits for Partial {
    fn exists(&self) -> Result<bool, StorageError> {
        self.input.exists()
    }

    fn size_held(&self) -> usize {
        self.input.size_held()
    }

    fn partial_decode_many(
        &self,
        regions: ByteRangeIterator,
        options: &CodecOptions,
    ) -> Result<Option<Vec<ArrayBytesRaw<'_>>>, CodecError> {
        let Some(encoded) = self.input.decode(options)? else { return Ok(None) };
        let frame = open(&encoded, &self.decoded)?;
        let mut scratch = Scratch::default();
        let decode = |region: zarrs::storage::byte_range::ByteRange| {
            let (start, end) = (region.start(frame.decoded_len()), region.end(frame.decoded_len()));
            if start > end || end > frame.decoded_len() {
                return Err(failed(BloscError::OutOfRange { range: start..end }));
            }
            let mut out = vec![0; (end - start) as usize];
            frame.decode_range(start, &mut out, &mut scratch).map_err(failed)?;
            Ok(Cow::Owned(out))
        };
        regions.map(decode).collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn supports_partial_decode(&self) -> bool {
        true
    }
}

fn open<'a>(encoded: &'a [u8], decoded: &BytesRepresentation) -> Result<Frame<&'a [u8]>, CodecError> {
    match decoded {
        BytesRepresentation::FixedSize(size) => Frame::open(encoded, *size).map_err(failed),
        _ => Err(CodecError::Other("the size of a chunk must be known to decode a Blosc frame".to_owned())),
    }
}

fn failed(e: BloscError) -> CodecError {
    CodecError::Other(e.to_string())
}
