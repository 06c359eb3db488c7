//! Colours of channels.

use std::fmt;

/// A colour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour(pub [u8; 3]);

/// As OME-NGFF writes it: `00FF00`.
impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "{red:02X}{green:02X}{blue:02X}")
    }
}

const BLUE: Colour = Colour([0x00, 0x00, 0xFF]);
const CYAN: Colour = Colour([0x00, 0xFF, 0xFF]);
const GREEN: Colour = Colour([0x00, 0xFF, 0x00]);
const YELLOW: Colour = Colour([0xFF, 0xFF, 0x00]);
const ORANGE: Colour = Colour([0xFF, 0x80, 0x00]);
const RED: Colour = Colour([0xFF, 0x00, 0x00]);
const MAGENTA: Colour = Colour([0xFF, 0x00, 0xFF]);
const WHITE: Colour = Colour([0xFF, 0xFF, 0xFF]);

/// Names of dyes, proteins, filters and ways of lighting, in lower case without separators, and the colour in which
/// such channels are shown. The first in this order that a name has decides. Far-red dyes are magenta: red is taken, and
/// nobody sees their own colour.
const WORDS: &[(&str, Colour)] = &[
    ("brightfield", WHITE),
    ("transmitted", WHITE),
    ("transmission", WHITE),
    ("digitalphase", WHITE),
    ("phase", WHITE),
    ("dic", WHITE),
    ("bf", WHITE),
    ("tl", WHITE),
    ("farred", MAGENTA),
    ("deepred", MAGENTA),
    ("irfp", MAGENTA),
    ("cy5", MAGENTA),
    ("cy7", MAGENTA),
    ("alexa6", MAGENTA),
    ("alexa7", MAGENTA),
    ("draq5", MAGENTA),
    ("sir", MAGENTA),
    ("alexa350", BLUE),
    ("alexa405", BLUE),
    ("alexa48", GREEN),
    ("alexa5", ORANGE),
    ("dapi", BLUE),
    ("hoechst", BLUE),
    ("ebfp", BLUE),
    ("bfp", BLUE),
    ("ecfp", CYAN),
    ("cfp", CYAN),
    ("cerulean", CYAN),
    ("mturquoise", CYAN),
    ("eyfp", YELLOW),
    ("yfp", YELLOW),
    ("venus", YELLOW),
    ("citrine", YELLOW),
    ("egfp", GREEN),
    ("gfp", GREEN),
    ("fitc", GREEN),
    ("calcein", GREEN),
    ("fluo4", GREEN),
    ("cy2", GREEN),
    ("mneongreen", GREEN),
    ("texasred", RED),
    ("txred", RED),
    ("mcherry", RED),
    ("cherry", RED),
    ("propidium", RED),
    ("rfp", RED),
    ("tdtomato", ORANGE),
    ("dsred", ORANGE),
    ("tritc", ORANGE),
    ("cy3", ORANGE),
    ("rhodamine", ORANGE),
    ("blue", BLUE),
    ("cyan", CYAN),
    ("green", GREEN),
    ("yellow", YELLOW),
    ("orange", ORANGE),
    ("magenta", MAGENTA),
    ("red", RED),
    ("405", BLUE),
    ("488", GREEN),
    ("561", ORANGE),
    ("640", MAGENTA),
    ("647", MAGENTA),
];

/// What channels get, in turn, whose names say nothing.
const PALETTE: [Colour; 7] = [BLUE, GREEN, RED, MAGENTA, CYAN, YELLOW, ORANGE];

/// The colour that a channel's name asks for; `None` if nothing in it is known. `DAPI`, `Hoechst 33342`: blue; `FITC`,
/// `GFP`, `Alexa 488`: green; `TRITC`, `Cy3`: orange; `Texas Red`, `RFP`: red; `Cy5`, `Alexa Fluor 647`: magenta;
/// `Brightfield`, `DIC`: white.
pub fn colour_of(name: &str) -> Option<Colour> {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MOST)
        .map(str::to_ascii_lowercase)
        .collect();
    // `Texas Red` and `Alexa Fluor 488` are names of two and three words.
    let names: Vec<String> = (0..words.len())
        .flat_map(|at| (1..=3).filter_map(|n| words.get(at..at + n)).map(written_alike).collect::<Vec<_>>())
        .collect();
    WORDS.iter().find(|(known, _)| names.iter().any(|name| is(name, known))).map(|&(_, colour)| colour)
}

/// Words of a name that are looked at.
const WORDS_MOST: usize = 16;

/// One spelling for the dyes that have several.
fn written_alike(words: &[String]) -> String {
    let name = words.concat();
    let number = name.strip_prefix("alexafluor").or_else(|| name.strip_prefix("af"));
    match number {
        Some(number) if number.starts_with(|c: char| c.is_ascii_digit()) => format!("alexa{number}"),
        _ => name,
    }
}

/// Whether a name is the known one, but for what may follow a longer one (`hoechst33342`) and a number (`gfp2`).
fn is(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|more| {
        more.is_empty()
            || known.len() > 3
            || (known.len() > 2
                && more.bytes().all(|b| b.is_ascii_digit())
                && !known.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// The colour of a channel of which nothing is known but its index, from 0.
pub fn palette(index: usize) -> Colour {
    PALETTE.get(index % PALETTE.len()).copied().unwrap_or(WHITE)
}

/// The colour of a channel: by its name, else by its index, from 0.
pub fn colour_for(name: &str, index: usize) -> Colour {
    colour_of(name).unwrap_or_else(|| palette(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_channels_have_their_colours() {
        let colours = [
            ("DAPI", BLUE),
            ("Hoechst 33342", BLUE),
            ("HOECHST33342", BLUE),
            ("1. BLUE penta", BLUE),
            ("FITC", GREEN),
            ("EGFP", GREEN),
            ("Alexa 488", GREEN),
            ("Alexa Fluor 488", GREEN),
            ("AF488", GREEN),
            ("MitoTracker Green", GREEN),
            ("TRITC", ORANGE),
            ("Cy3", ORANGE),
            ("Green - dsRed", ORANGE),
            ("Texas Red", RED),
            ("TexasRed", RED),
            ("RFP", RED),
            ("mCherry", RED),
            ("Cy5", MAGENTA),
            ("Cy5.5", MAGENTA),
            ("Alexa Fluor 647", MAGENTA),
            ("MitoTracker Deep Red", MAGENTA),
            ("Brightfield", WHITE),
            ("Brightfield High", WHITE),
            ("BF", WHITE),
            ("TL Phase", WHITE),
            ("W2 405", BLUE),
        ];
        for (name, colour) in colours {
            assert_eq!(colour_of(name), Some(colour), "{name}");
        }
    }

    #[test]
    fn words_that_only_contain_a_colour_have_none_and_take_one_of_the_palette() {
        for name in ["", "filtered", "indicator", "infrared", "Ch1", "caffeine", "desired", "ä", "w1", "40512"] {
            assert_eq!(colour_of(name), None, "{name}");
        }
        assert_eq!(colour_for("Ch2", 1), GREEN);
        assert_eq!(colour_for("DAPI", 1), BLUE);
        assert_eq!(palette(PALETTE.len()), palette(0));
        assert_eq!(ORANGE.to_string(), "FF8000");
    }
}
