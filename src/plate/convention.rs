//! The conventions by which microscopes name their images.
//!
//! Each pattern sees a name without its extension. Its groups are the words of [`super::pattern`]: `prefix` and `rest`
//! are the literal text around the part that varies. Text behind that part begins with neither letter nor digit (`_`,
//! `.`, a space, a bracket), so that no number is cut short: `_w10` is channel 10, and `_w1x` is no channel at all.

/// A convention: its name and its pattern.
pub(super) struct Convention {
    /// As it stands in [`super::PlateKey::convention`].
    pub name: &'static str,
    /// For `regex`, with the flags of [`super::pattern`].
    pub pattern: &'static str,
}

/// In the order in which they are tried: what is special comes before ImageXpress, which would take `t1_` of an INCarta
/// name for a plate.
pub(super) const CONVENTIONS: &[Convention] = &[
    // t1_A01_s1_w1_z1
    Convention {
        name: "incarta",
        pattern: r"^(?<prefix>(?:.*_)?)t(?<time>\d{1,9})_(?<row>[A-Z]{1,2})(?<column>\d{1,2})_s(?<field>\d{1,9})_w(?<channel>\d{1,4})_z(?<depth>\d{1,9})(?<rest>(?:[^A-Z0-9].*)?)$",
    },
    // r01c02f03p04-ch1sk1fk1fl1: sk, fk and fl have no axis. `rc` is the record that, with `ch`, makes the channel.
    // Harmony 5 writes the time point as t01.
    Convention {
        name: "phenix",
        pattern: r"^(?<prefix>(?:.*[^A-Z0-9])?)r(?<row>\d{1,2})c(?<column>\d{1,2})f(?<field>\d{1,9})p(?<depth>\d{1,9})(?:rc(?<record>\d{1,4}))?-ch(?<channel>\d{1,4})(?:t(?<time>\d{1,9}))?(?:sk\d{1,9})?(?:fk\d{1,9})?(?:fl\d{1,9})?(?<rest>(?:[^A-Z0-9].*)?)$",
    },
    // Plate_B03_T0001F001L01A01Z01C01: the timeline L and the action A have no axis.
    Convention {
        name: "cellvoyager",
        pattern: r"^(?<prefix>(?:.*_)?)(?<row>[A-Z]{1,2})(?<column>\d{2})_T(?<time>\d{1,9})F(?<field>\d{1,9})L\d{1,9}A\d{1,9}Z(?<depth>\d{1,9})C(?<channel>\d{1,4})(?<rest>(?:[^A-Z0-9].*)?)$",
    },
    // W0001F0001T0001Z001C1
    Convention {
        name: "cq1",
        pattern: r"^(?<prefix>(?:.*[^A-Z0-9])?)W(?<well>\d{1,9})F(?<field>\d{1,9})T(?<time>\d{1,9})Z(?<depth>\d{1,9})C(?<channel>\d{1,4})(?<rest>(?:[^A-Z0-9].*)?)$",
    },
    // B - 03(fld 1 wv DAPI - DAPI z 2 time 3 - 600000 ms)
    Convention {
        name: "incell",
        pattern: r"^(?<prefix>(?:.*[^A-Z0-9])?)(?<row>[A-Z]{1,2}) - (?<column>\d{1,2})\(fld (?<field>\d{1,9}) wv (?<wave>[^)]+?)(?: z (?<depth>\d{1,9}))?(?: time (?<time>\d{1,9})[^)]*)?\)(?<rest>(?:[^A-Z0-9].*)?)$",
    },
    // VID12_B3_1_00d12h30m: the time is in minutes.
    Convention {
        name: "incucyte",
        pattern: r"^(?<prefix>(?:.*_)?)(?<row>[A-Z]{1,2})(?<column>\d{1,2})_(?<field>\d{1,9})_(?<days>\d{1,5})d(?<hours>\d{1,2})h(?<minutes>\d{1,2})m(?<rest>(?:[^A-Z0-9].*)?)$",
    },
    // Plate_B03_s1_w1_z1_t1 and a GUID: the well is what stands right before the site, whatever else looks like one.
    Convention {
        name: "imagexpress",
        pattern: r"^(?<prefix>(?:.*?_)?)(?<row>[A-Z]{1,2})(?<column>\d{1,2})_s(?<field>\d{1,6})(?:_w(?<channel>\d{1,2}))?(?:_z(?<depth>\d{1,6}))?(?:_t(?<time>\d{1,6}))?(?<rest>(?:[A-F0-9]{8}-[A-F0-9]{4}-.*|[^A-Z0-9].*)?)$",
    },
    // Plate_B03_w1, but not img_s1_w1, where s1 is a site of no well.
    Convention {
        name: "imagexpress",
        pattern: r"^(?<prefix>(?:.*?_)?)(?<row>A[A-F]|[A-P]|(?-i:[Q-Z]))(?<column>\d{1,2})_w(?<channel>\d{1,2})(?:_z(?<depth>\d{1,6}))?(?:_t(?<time>\d{1,6}))?(?<rest>(?:[A-F0-9]{8}-[A-F0-9]{4}-.*|[^A-Z0-9].*)?)$",
    },
    // Plate_B03 alone could be many things (t01, z12, c1): a capital letter up to P, two digits, and no further number.
    Convention {
        name: "imagexpress",
        pattern: r"^(?<prefix>(?:.*_)?)(?<row>(?-i:[A-P]))(?<column>\d{2})(?:_z(?<depth>\d{1,6}))?(?:_t(?<time>\d{1,6}))?(?<rest>(?:[A-F0-9]{8}-[A-F0-9]{4}-.*|[^A-Z0-9][^0-9]*|_\[[A-F0-9-]{36}\].*)?)$",
    },
];
