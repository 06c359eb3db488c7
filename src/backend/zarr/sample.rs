//! Samples of all types, out of decoded chunks and into them.

use crate::view::Dtype;

/// A sample as it lies in a chunk, little-endian.
pub(super) trait Sample: Copy + Default + PartialOrd {
    /// Holds a sum of many.
    type Sum: Copy + Default + std::ops::AddAssign;

    /// From the bytes of one sample.
    fn read(bytes: &[u8]) -> Self;

    /// Appends the bytes of one sample.
    fn put(self, out: &mut Vec<u8>);

    /// For sums.
    fn widen(self) -> Self::Sum;

    /// A mean, rounded to nearest for integers.
    fn mean(sum: Self::Sum, count: u64) -> Self;

    /// For display.
    fn to_f64(self) -> f64;
}

macro_rules! sample {
    ($($type:ty, $sum:ty, $mean:expr;)*) => {
        $(impl Sample for $type {
            type Sum = $sum;

            fn read(bytes: &[u8]) -> Self {
                bytes.try_into().map(<$type>::from_le_bytes).unwrap_or_default()
            }

            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn widen(self) -> $sum {
                self as $sum
            }

            fn mean(sum: $sum, count: u64) -> Self {
                let mean: fn($sum, $sum) -> $sum = $mean;
                mean(sum, count as $sum) as $type
            }

            fn to_f64(self) -> f64 {
                self as f64
            }
        })*
    };
}

sample! {
    u8, u64, |sum, count| (sum + count / 2) / count;
    u16, u64, |sum, count| (sum + count / 2) / count;
    u32, u64, |sum, count| (sum + count / 2) / count;
    u64, u128, |sum, count| (sum + count / 2) / count;
    i8, i64, |sum, count| (sum + count / 2).div_euclid(count);
    i16, i64, |sum, count| (sum + count / 2).div_euclid(count);
    i32, i64, |sum, count| (sum + count / 2).div_euclid(count);
    i64, i128, |sum, count| (sum + count / 2).div_euclid(count);
    f32, f64, |sum, count| sum / count;
    f64, f64, |sum, count| sum / count;
}

/// Runs the same code for the type that `dtype` names: `with_sample!(dtype, Type => expression)`.
macro_rules! with_sample {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            crate::view::Dtype::U8 => {
                type $type = u8;
                $body
            }
            crate::view::Dtype::U16 => {
                type $type = u16;
                $body
            }
            crate::view::Dtype::U32 => {
                type $type = u32;
                $body
            }
            crate::view::Dtype::U64 => {
                type $type = u64;
                $body
            }
            crate::view::Dtype::I8 => {
                type $type = i8;
                $body
            }
            crate::view::Dtype::I16 => {
                type $type = i16;
                $body
            }
            crate::view::Dtype::I32 => {
                type $type = i32;
                $body
            }
            crate::view::Dtype::I64 => {
                type $type = i64;
                $body
            }
            crate::view::Dtype::F32 => {
                type $type = f32;
                $body
            }
            crate::view::Dtype::F64 => {
                type $type = f64;
                $body
            }
        }
    };
}
pub(super) use with_sample;

/// The type as numpy writes it: `<u2`.
pub(super) fn numpy_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::U8 => "|u1",
        Dtype::U16 => "<u2",
        Dtype::U32 => "<u4",
        Dtype::U64 => "<u8",
        Dtype::I8 => "|i1",
        Dtype::I16 => "<i2",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
    }
}

/// The type that numpy calls so.
pub(super) fn named_dtype(name: &str) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|&dtype| numpy_name(dtype) == name)
}
