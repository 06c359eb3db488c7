//! Names and what is recognised in them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::model::RelPath;

const GUID: &str = "4996E914-A4B6-49AF-8081-5B58A8653201";

fn recogniser() -> &'static Recogniser {
    static BUILT: OnceLock<Recogniser> = OnceLock::new();
    BUILT.get_or_init(|| Recogniser::new(&[]).expect("the conventions compile"))
}

fn path(text: &str) -> RelPath {
    RelPath::from_path(text.as_ref()).expect("relative")
}

fn recognise(text: &str) -> Option<Recognised> {
    recogniser().recognise(&path(text))
}

/// `convention|prefix|suffix|extension well field channel [z] [t] depth`, for tables that can be read.
fn told(text: &str) -> String {
    let Some(Recognised { key, position, depth, linear_well }) = recognise(text) else { return "-".to_string() };
    assert_eq!((key.has_depth, key.has_time), (position.depth.is_some(), position.time.is_some()), "{text}");
    let channel = match position.channel {
        ChannelKey::Number(number) => format!("w{number}"),
        ChannelKey::Name(name) => format!("'{name}'"),
    };
    let mut told = format!("{}|{}|{}|{} ", key.convention, key.prefix, key.suffix, key.extension);
    told += &format!("{} f{} {channel}", position.well, position.field);
    told += &position.depth.map_or_else(String::new, |z| format!(" z{z}"));
    told += &position.time.map_or_else(String::new, |t| format!(" t{t}"));
    told += &linear_well.map_or_else(String::new, |index| format!(" #{index}"));
    told + &format!(" /{depth}")
}

fn table(rows: &[(&str, &str)]) {
    for (name, expected) in rows {
        assert_eq!(&told(name), expected, "{name}");
    }
}

#[test]
fn imagexpress_and_openhcs_names_are_recognised() {
    table(&[
        ("A01_s1_w1.tif", "imagexpress|||.tif A01 f1 w1 /1"),
        ("a1_S2_W3.TIF", "imagexpress|||.TIF A01 f2 w3 /1"),
        ("B03_s001_w1_z004_t012.tiff", "imagexpress|||.tiff B03 f1 w1 z4 t12 /1"),
        ("B03_s1_w1_z2.tif", "imagexpress|||.tif B03 f1 w1 z2 /1"),
        ("B03_s1_w1_t2.tif", "imagexpress|||.tif B03 f1 w1 t2 /1"),
        ("BSF018292-1A_P24_w2.TIF", "imagexpress|BSF018292-1A_||.TIF P24 f1 w2 /1"),
        ("plate 11001_H12_s16.tif", "imagexpress|plate 11001_||.tif H12 f16 w1 /1"),
        ("P1_AF48_s1_w1.tif", "imagexpress|P1_||.tif AF48 f1 w1 /1"),
        ("PlateA_B03.tif", "imagexpress|PlateA_||.tif B03 f1 w1 /1"),
        ("B03.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("B03_s1_w1.npy", "imagexpress|||.npy B03 f1 w1 /1"),
        ("Größe_B03_s1_w1.tif", "imagexpress|Größe_||.tif B03 f1 w1 /1"),
    ]);
}

#[test]
fn what_would_claim_the_same_plane_has_its_own_key() {
    table(&[
        ("PlateA_B03_s1_w1.tif", "imagexpress|PlateA_||.tif B03 f1 w1 /1"),
        ("PlateB_B03_s1_w1.tif", "imagexpress|PlateB_||.tif B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1_mask.tif", "imagexpress|PlateA_|_mask|.tif B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1_corrected.tiff", "imagexpress|PlateA_|_corrected|.tiff B03 f1 w1 /1"),
        ("PlateA_B03_s1_w10.tif", "imagexpress|PlateA_||.tif B03 f1 w10 /1"),
        ("PlateA_B03_s1_w1 (copy).tif", "imagexpress|PlateA_| (copy)|.tif B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1(copy).tif", "imagexpress|PlateA_|(copy)|.tif B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1.ome.tif", "imagexpress|PlateA_||.ome.tif B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1.ome.tiff", "imagexpress|PlateA_||.ome.tiff B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1.corrected.tif", "imagexpress|PlateA_|.corrected|.tif B03 f1 w1 /1"),
        ("PlateA_B03_s1_w1_z1_mask.tif", "imagexpress|PlateA_|_mask|.tif B03 f1 w1 z1 /1"),
        ("PlateA_B03_mask.tif", "imagexpress|PlateA_|_mask|.tif B03 f1 w1 /1"),
    ]);
}

#[test]
fn a_guid_belongs_to_no_key_and_a_thumbnail_is_no_image() {
    for (name, expected) in [
        // The channel's digit is not joined with those of the GUID, whatever they are.
        (format!("HTS_A01_s1_w1{GUID}.tif"), "imagexpress|HTS_||.tif A01 f1 w1 /1"),
        (format!("HTS_A01_s1_w10{GUID}.tif"), "imagexpress|HTS_||.tif A01 f1 w10 /1"),
        (format!("HTS_A01_s12{GUID}.tif"), "imagexpress|HTS_||.tif A01 f12 w1 /1"),
        (format!("p_A01_s1_[{GUID}].tif"), "imagexpress|p_||.tif A01 f1 w1 /1"),
        (format!("p_A01_[{GUID}].tif"), "imagexpress|p_||.tif A01 f1 w1 /1"),
        (format!("HTS_A01_s1_w2_{}_mask.tif", GUID.to_lowercase()), "imagexpress|HTS_|_mask|.tif A01 f1 w2 /1"),
        (format!("HTS_A01_s1_w1_thumb{GUID}.tif"), "-"),
        ("B03_s1_w1_thumb1234.tif".to_string(), "-"),
        ("B03_s1_w1_THUMB.tif".to_string(), "-"),
        ("B03_thumb.tif".to_string(), "-"),
    ] {
        assert_eq!(told(&name), expected, "{name}");
    }
}

#[test]
fn the_last_well_before_the_site_is_the_well() {
    table(&[
        ("A01_B03_s1_w1.tif", "imagexpress|A01_||.tif B03 f1 w1 /1"),
        ("P12_run2_C4_s1_w1.tif", "imagexpress|P12_run2_||.tif C04 f1 w1 /1"),
        ("B03_s1_w1_C04.tif", "imagexpress||_C04|.tif B03 f1 w1 /1"),
        ("P12_B03.tif", "imagexpress|P12_||.tif B03 f1 w1 /1"),
        ("PlateB03_s1_w1.tif", "-"),
    ]);
}

#[test]
fn the_other_systems_names_are_recognised() {
    table(&[
        ("r01c02f03p04-ch1.tiff", "phenix|||.tiff A02 f3 w1 z4 /1"),
        ("r16c24f03p04-ch12sk1fk1fl1.tiff", "phenix|||.tiff P24 f3 w12 z4 /1"),
        ("R01C02F03P04-CH1SK2FK1FL1_mask.TIF", "phenix||_mask|.TIF A02 f3 w1 z4 /1"),
        ("P1_r01c02f03p04-ch1t07.tiff", "phenix|P1_||.tiff A02 f3 w1 z4 t7 /1"),
        ("r02c07f01p01rc2-ch1sk1fk1fl1.tiff", "phenix|||.tiff B07 f1 'rc2-ch1' z1 /1"),
        ("Plate_#1_B03_T0001F002L01A03Z04C05.tif", "cellvoyager|Plate_#1_||.tif B03 f2 w5 z4 t1 /1"),
        ("P_AF48_T0001F002L01A03Z04C05_x.tif", "cellvoyager|P_|_x|.tif AF48 f2 w5 z4 t1 /1"),
        ("W0001F0002T0003Z004C5.tif", "cq1|||.tif A01 f2 w5 z4 t3 #0 /1"),
        ("W0014F0001T0001Z001C1.tif", "cq1|||.tif B02 f1 w1 z1 t1 #13 /1"),
        ("B - 03(fld 1 wv DAPI - DAPI).tif", "incell|||.tif B03 f1 'DAPI - DAPI' /1"),
        ("B - 3(fld 02 wv UV - DAPI z 4 time 5 - 600000 ms).tif", "incell|||.tif B03 f2 'UV - DAPI' z4 t5 /1"),
        ("B - 3(fld 2 wv 405 time 5).tif", "incell|||.tif B03 f2 '405' t5 /1"),
        ("B - 3(fld 2 wv Cy3 - dsRed) (copy).tif", "incell|| (copy)|.tif B03 f2 'Cy3 - dsRed' /1"),
        ("t1_A01_s2_w3_z4.tif", "incarta|||.tif A01 f2 w3 z4 t1 /1"),
        ("t12_A01_s2_w3_z4_mask.tif", "incarta||_mask|.tif A01 f2 w3 z4 t12 /1"),
        ("VID12_B3_1_01d02h03m.tif", "incucyte|VID12_||.tif B03 f1 w1 t1563 /1"),
    ]);
}

#[test]
fn other_names_are_not_recognised() {
    for name in [
        "",
        "notes.txt",
        ".tif",
        "image.tif",
        "t01.tif",
        "img_t01.tif",
        "img_z12.tif",
        "img_c1.tif",
        "img_s1_w1.tif",
        "img_t1_w1_z1.tif",
        "exp_B03_0001.tif",
        "B03_site1.tif",
        "B00_s1_w1.tif",
        "A49_s1_w1.tif",
        "AG01_s1_w1.tif",
        "B03_s1_w1x.tif",
        "B03_s1_w123.tif",
        "B03_s1_w1_t1_z1.tif",
        "B03_s1_w1.png",
        "P_B03_T0001F001L01A01Z01C01.png",
        "B03_s1_w1.HTD",
        "r00c01f01p01-ch1.tiff",
        "r33c01f01p01-ch1.tiff",
        "r01c01f9999999999p01-ch1.tiff",
        "r01c01f999999999p01-ch1x.tiff",
        "xr01c01f01p01-ch1.tiff",
        "W0000F0001T0001Z001C1.tif",
        "P_B3_1_99999d99h99m_2d.txt",
    ] {
        assert_eq!(told(name), "-", "{name}");
    }
    let broken = RelPath::from_path(OsString::from_vec(b"\xff_B03_s1_w1.tif".to_vec()).as_ref()).expect("relative");
    assert_eq!(recogniser().recognise(&broken), None);
}

#[test]
fn folders_of_a_plate_count_and_say_their_number() {
    table(&[
        ("P1/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("P1/TimePoint_3/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 t3 /2"),
        ("P1/timepoint_3/zstep_4/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 z4 t3 /3"),
        ("TimePoint_3/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 t3 /2"),
        ("P1/Images/r01c02f03p04-ch1.tiff", "phenix|||.tiff A02 f3 w1 z4 /2"),
        ("P1/B03/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /2"),
        ("P1/b3/ZStep_2/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 z2 /3"),
        ("P1/A02/Images/r01c02f03p04-ch1.tiff", "phenix|||.tiff A02 f3 w1 z4 /3"),
        // What contradicts the name, or comes twice, is a directory like others.
        ("P1/B04/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("P1/ZStep_1/B03_s1_w1_z2.tif", "imagexpress|||.tif B03 f1 w1 z2 /1"),
        ("P1/ZStep_2/B03_s1_w1_z2.tif", "imagexpress|||.tif B03 f1 w1 z2 /2"),
        ("P1/TimePoint_1/TimePoint_1/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 t1 /2"),
        ("P1/TimePoint_/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("P1/TimePoint_99999999999/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("TimePoint_1/masks/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("P1/images/B03_s1_w1.tif", "imagexpress|||.tif B03 f1 w1 /1"),
        ("A01/W0001F0002T0003Z004C5.tif", "cq1|||.tif A01 f2 w5 z4 t3 #0 /1"),
    ]);
    let odd = RelPath::from_bytes(b"\xff/TimePoint_2/B03_s1_w1.tif").expect("relative");
    let found = recogniser().recognise(&odd).expect("the directory above is not the plate's");
    assert_eq!(found.base(&odd), RelPath::from_bytes(b"\xff").expect("relative"));
    let top = path("TimePoint_2/B03_s1_w1.tif");
    assert!(recogniser().recognise(&top).expect("recognised").base(&top).is_root());
}

/// The table of `docs/plates.md`: a name and what is read in it.
#[test]
fn the_examples_of_the_documentation_are_read_as_it_says() {
    let document = include_str!("../../docs/plates.md");
    let mut seen = Vec::new();
    for line in document.lines().filter(|line| line.ends_with(" |") && line.contains(" /")) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let ["", name, convention, before, behind, ending, position, ""] = cells[..] else { panic!("{line}") };
        assert_eq!(told(name), format!("{convention}|{before}|{behind}|{ending} {position}"), "{name}");
        seen.push(convention);
    }
    for convention in convention::CONVENTIONS {
        assert!(seen.contains(&convention.name), "{}", convention.name);
    }
}

#[test]
fn files_that_differ_in_what_has_no_axis_claim_one_plane() {
    for (one, other) in [
        ("r01c02f03p04-ch1sk1fk1fl1.tiff", "r01c02f03p04-ch1sk2fk1fl1.tiff"),
        ("P_B03_T0001F001L01A01Z01C01.tif", "P_B03_T0001F001L01A02Z01C01.tif"),
        ("B03_s1_w1.tif", "B3_S01_w1.tif"),
    ] {
        assert_eq!(recognise(one), recognise(other), "{one} {other}");
    }
}

#[test]
fn a_well_given_by_its_index_finds_its_place_once_the_plate_is_known() {
    let found = recognise("W0097F0001T0001Z001C1.tif").expect("recognised");
    assert_eq!(found.position.well.to_string(), "I01");
    assert_eq!(found.clone().on_plate_of(24).position.well.to_string(), "E01");
    assert_eq!(found.on_plate_of(0).position.well, WellPosition { row: 96, column: 0 });
    let named = recognise("B03_s1_w1.tif").expect("recognised");
    assert_eq!(named.clone().on_plate_of(24), named);
}

fn custom(pattern: &str) -> Result<Recogniser, PatternError> {
    Recogniser::new(&[pattern.to_string()])
}

#[test]
fn patterns_of_the_configuration_come_first() {
    let pattern = r"_(?P<well>[A-H]\d+)-(?P<field>\d+)-(?P<channel>[a-z]+)(?:-z(?P<depth>\d+))?(?:-t(?P<time>\d+))?";
    let recogniser = custom(pattern).expect("valid");
    let found = recogniser.recognise(&path("d/TimePoint_1/Run7_B3-12-dapi-z4_seg.tif")).expect("recognised");
    assert_eq!(found.key.convention, pattern);
    assert_eq!((found.key.prefix.as_str(), found.key.suffix.as_str()), ("Run7_", "_seg"));
    assert_eq!(found.position.well.to_string(), "B03");
    assert_eq!((found.position.field, found.position.depth, found.position.time), (12, Some(4), Some(1)));
    assert_eq!((found.position.channel, found.depth), (ChannelKey::Name("dapi".to_string()), 2));
    assert!(recogniser.recognise(&path("B03_s1_w1.tif")).is_some(), "the conventions still hold");

    let rows = custom(r"^row(?<row>\w+?)col(?<column>\d+)(?:ch(?<channel>\d+))?$").expect("valid");
    for (name, well, channel) in
        [("row2col3ch4.tif", "B03", 4), ("rowBcol03.tif", "B03", 1), ("rowAFcol48.npy", "AF48", 1)]
    {
        let found = rows.recognise(&path(name)).expect("recognised");
        assert_eq!(
            (found.position.well.to_string().as_str(), found.position.channel),
            (well, ChannelKey::Number(channel))
        );
    }
    for name in ["row0col3.tif", "row2col0.tif", "row33col1.tif", "rowxcolumn.tif", "row2col3.jpg"] {
        assert_eq!(rows.recognise(&path(name)), None, "{name}");
    }
    let whole = custom(r"^(?<well>[A-Z]\d\d)x(?<channel>\d).*\.tif$").expect("valid");
    let found = whole.recognise(&path("B03x2_mask.tif")).expect("a pattern may ask for the extension");
    assert_eq!((found.key.suffix.as_str(), found.key.extension.as_str()), ("_mask", ".tif"));
    assert_eq!(whole.recognise(&path("B03x2.npy")), None);
    let greedy = custom(r"^(?<well>[A-Z]\d\d)x(?<channel>.*\.tif)$").expect("valid");
    assert_eq!(greedy.recognise(&path("B03x2.tif")), None, "an extension is no channel");
    let index = custom(r"^(?<well>\d+)_").expect("valid").recognise(&path("014_a.tif")).expect("recognised");
    assert_eq!((index.linear_well, index.position.well.to_string()), (Some(13), "B02".to_string()));
}

#[test]
fn patterns_that_cannot_be_used_say_why() {
    for (pattern, expected) in [
        ("(", "is not a regular expression"),
        (r"(?<well>\w{1000}{1000})", "is not a regular expression"),
        (r"(?<well>..)(?<site>\d)", "has a group 'site'"),
        (r"(?<well>..)_(\d)", "has a group '2'"),
        (r"(?<row>.)_(?<field>\d)", "has no group 'well'"),
        ("", "has no group 'well'"),
    ] {
        let error = custom(pattern).err().expect("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A plane that every convention can name.
fn plane() -> impl Strategy<Value = (u32, u32, u32, u32, u32, u32)> {
    (0..26u32, 0..48u32, 1..999u32, 1..99u32, 1..99u32, 1..999u32)
}

proptest! {
    #[test]
    fn no_bytes_make_recognition_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), tail in "(_s[0-9]{0,12}|_w[0-9]{0,3}|[A-Z]{0,3}[0-9]{0,3}|-ch1)*\\.tif") {
        let mut name = bytes.clone();
        name.extend_from_slice(tail.as_bytes());
        for name in [bytes, name] {
            if let Some(path) = RelPath::from_bytes(&name) {
                let _ = recogniser().recognise(&path);
            }
        }
    }

    #[test]
    fn a_formatted_name_is_recognised_back((row, column, field, channel, depth, time) in plane(), plate in "[A-Za-z0-9 #é-]{1,12}_", end in "(_[a-z]{1,8}| \\(copy\\))?") {
        prop_assume!(!end.contains("_thumb"));
        let well = WellPosition { row, column };
        let names = [
            ("imagexpress", format!("{plate}{well}_s{field}_w{channel}_z{depth}_t{time}{end}.tif")),
            ("phenix", format!("{plate}r{:02}c{:02}f{field:02}p{depth:02}-ch{channel}t{time}sk1fk1fl1{end}.tif", row + 1, column + 1)),
            ("cellvoyager", format!("{plate}{well}_T{time:04}F{field:03}L01A01Z{depth:02}C{channel:02}{end}.tif")),
            ("incell", format!("{plate}{} - {}(fld {field} wv {channel} z {depth} time {time} - 5 ms){end}.tif", row_name(row), column + 1)),
            ("incarta", format!("{plate}t{time}_{well}_s{field}_w{channel}_z{depth}{end}.tif")),
        ];
        let recogniser = recogniser();
        for (convention, name) in names {
            let found = recogniser.recognise(&path(&name)).expect("recognised");
            prop_assert_eq!(found.key.convention.as_str(), convention);
            prop_assert_eq!((found.key.prefix.as_str(), found.key.suffix.as_str()), (plate.as_str(), end.as_str()));
            let channel = if convention == "incell" { ChannelKey::Name(channel.to_string()) } else { ChannelKey::Number(channel) };
            let position = Position { well, field, channel, depth: Some(depth), time: Some(time) };
            prop_assert_eq!(found.position, position);
        }
    }
}
