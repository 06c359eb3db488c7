//! Units of length and time as image files write them.

/// Micrometres in a unit; `None` for pixels and whatever else is no length.
pub(super) fn micrometres(unit: &str) -> Option<f64> {
    let unit = unit.trim();
    let factor = match unit {
        // The micro sign, the Greek letter, and how ImageJ writes the former in ASCII.
        "\u{b5}m" | "\u{3bc}m" | "\\u00B5m" | "\\u00b5m" | "um" | "micron" | "microns" => 1.0,
        "pm" => 1e-6,
        "\u{c5}" | "\u{212b}" | "angstrom" => 1e-4,
        "nm" => 1e-3,
        "mm" => 1e3,
        "cm" => 1e4,
        "m" => 1e6,
        "in" | "inch" => 25_400.0,
        _ => match unit.to_ascii_lowercase().as_str() {
            "um" | "micron" | "microns" | "micrometer" | "micrometre" | "micrometers" | "micrometres" => 1.0,
            "nanometer" | "nanometre" | "nanometers" | "nanometres" => 1e-3,
            "millimeter" | "millimetre" | "millimeters" | "millimetres" => 1e3,
            _ => return None,
        },
    };
    Some(factor)
}

/// Seconds in a unit.
pub(super) fn seconds(unit: &str) -> Option<f64> {
    match unit.trim() {
        "s" | "sec" | "second" | "seconds" => Some(1.0),
        "ms" | "msec" => Some(1e-3),
        "\u{b5}s" | "\u{3bc}s" | "us" => Some(1e-6),
        "ns" => Some(1e-9),
        "min" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3600.0),
        "d" | "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

/// A size that an image can have.
pub(super) fn positive(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

/// The same from text.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().and_then(positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_micrometres() {
        for unit in ["um", "micron", "µm", "μm", "\\u00B5m", "Micrometer"] {
            assert_eq!(micrometres(unit), Some(1.0), "{unit}");
        }
        assert_eq!((micrometres("nm"), micrometres("mm"), micrometres("Å")), (Some(1e-3), Some(1e3), Some(1e-4)));
        assert_eq!((micrometres("pixel"), micrometres("")), (None, None));
    }

    #[test]
    fn sizes_that_no_image_has_are_not_taken() {
        assert_eq!(
            (number("0"), number("-1"), number("inf"), number("NaN"), number("x")),
            (None, None, None, None, None)
        );
        assert_eq!(number(" 0.65 "), Some(0.65));
    }
}
