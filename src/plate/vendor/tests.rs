//! Files as the microscopes write them, and files as nobody should.

use proptest::prelude::*;

use super::super::{ChannelKey, PlateSize, colour_of, palette};
use super::*;

const HTD: &str = "\"HTSInfoFile\", Version 1.0\r\n\"Description\", \"Versuch 1, gefärbt\"\r\n\"PlateType\", 4\r\n\
    \"TimePoints\", 1\r\n\"ZSeries\", TRUE\r\n\"ZSteps\", 5\r\n\"XWells\", 24\r\n\"YWells\", 16\r\n\
    \"WellsSelection1\", TRUE, FALSE, FALSE\r\n\"Sites\", TRUE\r\n\"XSites\", 2\r\n\"YSites\", 1\r\n\
    \"Waves\", TRUE\r\n\"NWavelengths\", 3\r\n\"WaveName1\", \"DAPI\"\r\n\"WaveName2\", \"8. RED\"\r\n\
    \"WaveName3\", \"odd\"\r\n\"WaveCollect1\", 1\r\n\"EndFile\"\r\n\"WaveName9\", \"beyond\"\r\n";

const HARMONY_5: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<EvaluationInputData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Version="1" xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5">
  <User>someone</User><InstrumentType>Phenix</InstrumentType>
  <Plates><Plate><PlateID>0815</PlateID><MeasurementID>x</MeasurementID><Name>Screen &amp; co</Name>
    <PlateTypeName>384 PerkinElmer CellCarrier</PlateTypeName><PlateRows>16</PlateRows><PlateColumns>24</PlateColumns>
    <Well id="0102" /></Plate></Plates>
  <Wells><Well><id>0102</id><Row>1</Row><Col>2</Col><Image id="0102K1F1P1R1" /></Well></Wells>
  <Images>
    <Image Version="1"><id>0102K1F1P1R1</id><State>Ok</State><URL>r01c02f01p01-ch1sk1fk1fl1.tiff</URL>
      <Row>1</Row><Col>2</Col><FieldID>1</FieldID><PlaneID>1</PlaneID><TimepointID>0</TimepointID>
      <ChannelID>1</ChannelID><ChannelName>HOECHST 33342</ChannelName>
      <ImageResolutionX Unit="m">2.9899E-07</ImageResolutionX><ImageResolutionY Unit="m">2.9899E-07</ImageResolutionY>
      <PositionX Unit="m">-0.00032</PositionX><PositionY Unit="m">0.00032</PositionY><PositionZ Unit="m">-2E-06</PositionZ>
      <AbsTime>2021-01-01T10:00:00+00:00</AbsTime><MeasurementTimeOffset Unit="s">0</MeasurementTimeOffset></Image>
    <Image Version="1"><Row>1</Row><Col>2</Col><FieldID>1</FieldID><PlaneID>2</PlaneID><TimepointID>0</TimepointID>
      <ChannelID>2</ChannelID><ChannelName>Alexa 488</ChannelName><PositionZ Unit="m">9E-06</PositionZ></Image>
    <Image Version="1"><Row>1</Row><Col>2</Col><FieldID>1</FieldID><PlaneID>3</PlaneID><TimepointID>0</TimepointID>
      <ChannelID>1</ChannelID><PositionZ Unit="m">1E-06</PositionZ></Image>
    <Image Version="1"><Row>1</Row><Col>2</Col><FieldID>1</FieldID><PlaneID>1</PlaneID><TimepointID>4</TimepointID>
      <ChannelID>1</ChannelID><MeasurementTimeOffset Unit="s">2400</MeasurementTimeOffset></Image>
    <Image Version="1"><Row>1</Row><Col>2</Col><FieldID>2</FieldID><PlaneID>1</PlaneID><TimepointID>0</TimepointID>
      <ChannelID>1</ChannelID><PositionX Unit="m">0.00032</PositionX><PositionY Unit="m">0.00032</PositionY></Image>
  </Images>
</EvaluationInputData>"#;

/// From version 6 on the channels' properties stand in maps.
const HARMONY_6: &str = r#"<EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV6" Version="1">
  <Plates><Plate><PlateID>plate 7</PlateID><PlateRows>8</PlateRows><PlateColumns>12</PlateColumns></Plate></Plates>
  <Maps><Map><Entry ChannelID="1"><FlatfieldProfile>{Background: {}}</FlatfieldProfile></Entry></Map>
    <Map><Entry ChannelID="2"><ChannelName>Cy5</ChannelName>
      <ImageResolutionX Unit="m">1.25E-07</ImageResolutionX></Entry></Map></Maps>
  <Images/></EvaluationInputData>"#;

const MLF: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<bts:MeasurementData bts:Version="1.0" xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
<bts:MeasurementRecord bts:Type="IMG" bts:Time="2021-06-14T09:13:30.5+01:00" bts:Column="2" bts:Row="3" bts:TimePoint="1" bts:FieldIndex="1" bts:ZIndex="1" bts:TimelineIndex="1" bts:ActionIndex="1" bts:Action="3D" bts:X="-1.5" bts:Y="2" bts:Z="-8.5" bts:Ch="1">P_C02_T0001F001L01A01Z01C01.tif</bts:MeasurementRecord>
<bts:MeasurementRecord bts:Type="ERR" bts:Time="2021-06-14T09:13:31+01:00" bts:Column="2" bts:Row="3" bts:TimePoint="1" bts:FieldIndex="9" bts:ZIndex="2" bts:X="7" bts:Y="7" bts:Z="100" bts:Ch="1">failed</bts:MeasurementRecord>
<bts:MeasurementRecord bts:Type="IMG" bts:Time="2021-06-14T09:13:32+01:00" bts:Column="2" bts:Row="3" bts:TimePoint="1" bts:FieldIndex="1" bts:ZIndex="3" bts:X="-1.5" bts:Y="2" bts:Z="-5.5" bts:Ch="1">P_C02_T0001F001L01A01Z03C01.tif</bts:MeasurementRecord>
<bts:MeasurementRecord bts:Type="IMG" bts:Time="2021-06-14T10:13:30.5+01:00" bts:Column="2" bts:Row="3" bts:TimePoint="2" bts:FieldIndex="1" bts:ZIndex="1" bts:X="-1.4" bts:Y="2" bts:Z="-8.5" bts:Ch="1">x</bts:MeasurementRecord>
<bts:MeasurementRecord bts:Type="IMG" bts:Time="2021-06-14T09:14:30+01:00" bts:Column="2" bts:Row="3" bts:TimePoint="1" bts:FieldIndex="2" bts:ZIndex="1" bts:X="300" bts:Y="2" bts:Z="-8.5" bts:Ch="1">x</bts:MeasurementRecord>
</bts:MeasurementData>"#;

const MRF: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<bts:MeasurementDetail bts:Version="1.0" bts:Title="T" bts:ColumnCount="24" bts:RowCount="16" bts:TargetSystem="CV8000" xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
  <bts:MeasurementSamplePlate bts:Name="PL1" bts:WellPlateFileName="PL1.wpi" />
  <bts:MeasurementChannel bts:Ch="1" bts:HorizontalPixelDimension="0.65" bts:VerticalPixelDimension="0.66" bts:InputBitDepth="16" />
  <bts:MeasurementChannel bts:Ch="2" bts:HorizontalPixelDimension="1.3" bts:VerticalPixelDimension="1.3" />
</bts:MeasurementDetail>"#;

const XDCE: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>
<ImageStack PlateID="plate 1"><Creation date="2012-05-22" time="13:22:41"/>
  <AutoLeadAcquisitionProtocol name="p"><Camera><Size height="2048" width="2048"/></Camera>
    <ObjectiveCalibration pixel_width="0.3225" pixel_height="0.3225" unit="um" magnification="20"/>
    <Plate columns="12" rows="8" name="96 well Greiner"><NamingRows begin="A"/></Plate>
    <PlateMap><offset_point index="0" x="-332.5" y="332.5"/><offset_point index="1" x="332.5" y="332.5"/></PlateMap>
    <Wavelengths><Wavelength index="0" fusion_wave="false" imaging_mode="2-D">
        <ExcitationFilter name="UV" wavelength="365" unit="nm"/><EmissionFilter name="DAPI" wavelength="455"/></Wavelength>
      <Wavelength index="1" fusion_wave="false"><ExcitationFilter name="TL"/><EmissionFilter name="Brightfield"/></Wavelength>
      <Wavelength index="2" fusion_wave="true"><EmissionFilter name="both"/></Wavelength></Wavelengths>
  </AutoLeadAcquisitionProtocol>
  <Images><Image filename="A - 1(fld 1 wv UV - DAPI z 1).tif" timestamp_sec="10"><Well label="A - 1"><Row number="1"/><Column number="1"/></Well>
      <FocusPosition unit="um" z="4"/><EmissionFilter name="DAPI"/><Identifier field_index="0" time_index="0" wave_index="0" z_index="0"/></Image>
    <Image timestamp_sec="11"><Well><Row number="1"/><Column number="1"/></Well>
      <FocusPosition z="5.5"/><Identifier field_index="0" time_index="0" wave_index="0" z_index="1"/></Image>
    <Image timestamp_sec="70"><Well><Row number="1"/><Column number="1"/></Well>
      <FocusPosition z="4"/><Identifier field_index="0" time_index="1" wave_index="0" z_index="0"/></Image></Images>
</ImageStack>"#;

const ALL: [(VendorKind, &str); 6] = [
    (VendorKind::ImageXpress, HTD),
    (VendorKind::Harmony, HARMONY_5),
    (VendorKind::Harmony, HARMONY_6),
    (VendorKind::YokogawaData, MLF),
    (VendorKind::YokogawaDetail, MRF),
    (VendorKind::InCell, XDCE),
];

fn read(kind: VendorKind, text: &str) -> PlateMeta {
    read_vendor(kind, text.as_bytes()).expect("read")
}

fn channels(meta: &PlateMeta) -> Vec<(ChannelKey, &str)> {
    meta.channels.iter().map(|channel| (channel.key.clone(), channel.name.as_str())).collect()
}

fn fields(meta: &PlateMeta) -> Vec<(u32, i64, i64)> {
    meta.fields.iter().map(|f| (f.field, (f.x_um * 10.0).round() as i64, (f.y_um * 10.0).round() as i64)).collect()
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value / expected - 1.0).abs() < 1e-9)
}

fn number(number: u32) -> ChannelKey {
    ChannelKey::Number(number)
}

#[test]
fn the_files_that_are_read_are_known_by_their_names() {
    for (name, kind) in [
        ("plate 1.HTD", Some(VendorKind::ImageXpress)),
        ("p.htd", Some(VendorKind::ImageXpress)),
        ("Index.idx.xml", Some(VendorKind::Harmony)),
        ("index.XML", Some(VendorKind::Harmony)),
        ("MeasurementData.mlf", Some(VendorKind::YokogawaData)),
        ("MeasurementDetail.mrf", Some(VendorKind::YokogawaDetail)),
        ("p.xdce", Some(VendorKind::InCell)),
        ("other.xml", None),
        ("MeasurementData.mrf", None),
        ("HTD", None),
        ("", None),
    ] {
        assert_eq!(vendor_file(name.as_ref()), kind, "{name}");
    }
}

#[test]
fn an_htd_gives_plate_and_channels() {
    let meta = read(VendorKind::ImageXpress, HTD);
    assert_eq!(meta.plate, Some(PlateSize { rows: 16, columns: 24 }));
    assert_eq!(meta.name.as_deref(), Some("Versuch 1, gefärbt"));
    assert_eq!(channels(&meta), [(number(1), "DAPI"), (number(2), "8. RED"), (number(3), "odd")]);
    let colours: Vec<_> = meta.channels.iter().map(|channel| Some(channel.colour)).collect();
    assert_eq!(colours, [colour_of("blue"), colour_of("red"), Some(palette(2))]);
}

#[test]
fn an_htd_is_read_in_every_encoding() {
    let expected = read(VendorKind::ImageXpress, HTD);
    let latin: Vec<u8> = HTD.chars().map(|c| c as u8).collect();
    let wide: Vec<u8> = "\u{FEFF}".chars().chain(HTD.chars()).map(|c| c as u16).flat_map(u16::to_le_bytes).collect();
    for bytes in [latin, wide, format!("\u{FEFF}{HTD}").into_bytes(), HTD.replace("\r\n", "\n").into_bytes()] {
        assert_eq!(read_vendor(VendorKind::ImageXpress, &bytes).expect("read"), expected);
    }
}

#[test]
fn a_harmony_index_gives_all_there_is() {
    let meta = read(VendorKind::Harmony, HARMONY_5);
    assert_eq!(meta.plate, PlateSize::of_wells(384));
    assert_eq!(meta.name.as_deref(), Some("Screen & co"));
    assert!(near(meta.pixel_size_um.map(|size| size.0), 0.29899));
    assert!(near(meta.z_step_um, 1.5), "{:?}", meta.z_step_um);
    assert!(near(meta.time_step_s, 600.0), "{:?}", meta.time_step_s);
    assert_eq!(channels(&meta), [(number(1), "HOECHST 33342"), (number(2), "Alexa 488")]);
    assert_eq!(fields(&meta), [(1, -3200, 3200), (2, 3200, 3200)]);
}

#[test]
fn a_harmony_index_of_version_6_gives_what_its_maps_say() {
    let meta = read(VendorKind::Harmony, HARMONY_6);
    assert_eq!((meta.plate, meta.name.as_deref()), (PlateSize::of_wells(96), Some("plate 7")));
    assert_eq!(channels(&meta), [(number(2), "Cy5")]);
    let (x, y) = meta.pixel_size_um.expect("a size");
    assert!(near(Some(x), 0.125) && x == y);
    let wide: Vec<u8> = HARMONY_6.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(read_vendor(VendorKind::Harmony, &wide).expect("read"), meta);
}

#[test]
fn the_two_files_of_a_cellvoyager_complete_each_other() {
    let data = read(VendorKind::YokogawaData, MLF);
    assert_eq!(fields(&data), [(1, -15, 20), (2, 3000, 20)]);
    assert!(near(data.z_step_um, 1.5) && near(data.time_step_s, 3600.0), "{data:?}");
    assert_eq!((data.plate, data.pixel_size_um), (None, None));
    let detail = read(VendorKind::YokogawaDetail, MRF);
    assert_eq!((detail.plate, detail.name.as_deref()), (PlateSize::of_wells(384), Some("PL1")));
    assert_eq!(detail.pixel_size_um, Some((0.65, 0.66)));
    let both = data.clone().or(detail.clone());
    assert_eq!((both.plate, &both.fields, both.pixel_size_um), (detail.plate, &data.fields, detail.pixel_size_um));
    assert_eq!(detail.or(data), both);
}

#[test]
fn an_xdce_gives_all_there_is() {
    let meta = read(VendorKind::InCell, XDCE);
    assert_eq!((meta.plate, meta.name.as_deref()), (PlateSize::of_wells(96), Some("plate 1")));
    assert_eq!(meta.pixel_size_um, Some((0.3225, 0.3225)));
    assert!(near(meta.z_step_um, 1.5) && near(meta.time_step_s, 60.0), "{meta:?}");
    assert_eq!(fields(&meta), [(1, -3325, 3325), (2, 3325, 3325)]);
    let text = |text: &str| ChannelKey::Name(text.to_string());
    let expected = [
        (number(1), "DAPI"),
        (text("UV - DAPI"), "DAPI"),
        (number(2), "Brightfield"),
        (text("TL - Brightfield"), "Brightfield"),
    ];
    assert_eq!(channels(&meta), expected);
    assert_eq!(meta.channel(&text("UV - DAPI")).map(|channel| channel.colour), colour_of("DAPI"));
}

#[test]
fn a_file_of_another_kind_is_refused() {
    for (kind, _) in ALL {
        for bytes in [&b""[..], b"<a/>", b"\"Other\", 1", b"\x00\x01\x02", b"<<<<", b"\xFF\xFE"] {
            let error = read_vendor(kind, bytes).expect_err("refused").to_string();
            assert!(error.contains(&kind.to_string()), "{error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_passed_over() {
    let meta = read(
        VendorKind::YokogawaDetail,
        r#"<MeasurementDetail RowCount="0" ColumnCount="99999999999"><MeasurementSamplePlate Name="  "/>
           <MeasurementChannel HorizontalPixelDimension="NaN"/><MeasurementChannel HorizontalPixelDimension="-1"/>"#,
    );
    assert_eq!(meta, PlateMeta::default());
    let long = format!("\"HTSInfoFile\"\n\"WaveName1\", \"{}\"", "x".repeat(100_000));
    assert_eq!(read(VendorKind::ImageXpress, &long).channels.first().map(|channel| channel.name.len()), Some(256));
    let many: String = (0..10_000).map(|n| format!("\"WaveName{n}\", \"w\"\n")).collect();
    assert_eq!(read(VendorKind::ImageXpress, &format!("\"HTSInfoFile\"\n{many}")).channels.len(), 256);
}

#[test]
fn depth_and_width_of_hostile_xml_cost_no_more_than_its_length() {
    let deep = format!("<{ROOT}>{}", "<Image>".repeat(200_000), ROOT = harmony::ROOT);
    assert_eq!(read(VendorKind::Harmony, &deep), PlateMeta::default());
    let wide = format!("<{ROOT} {}/>", "a=\"1\" ".repeat(200_000), ROOT = incell::ROOT);
    assert_eq!(read(VendorKind::InCell, &wide), PlateMeta::default());
    let entities = format!("<{ROOT}><Plates><Plate><Name>{}</Name>", "&amp;".repeat(100_000), ROOT = harmony::ROOT);
    assert_eq!(read(VendorKind::Harmony, &entities).name.map(|name| name.len()), Some(256));
}

proptest! {
    #[test]
    fn a_file_cut_or_changed_anywhere_makes_nothing_panic(which in 0..ALL.len(), cut in 0..4000usize, changes in proptest::collection::vec((0..4000usize, any::<u8>()), 0..8)) {
        let (_, text) = ALL[which];
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut);
        for (kind, _) in ALL {
            let _ = read_vendor(kind, &bytes);
        }
    }

    #[test]
    fn an_xml_file_that_is_cut_gives_part_of_what_the_whole_gives(which in 1..ALL.len(), cut in 0..4000usize) {
        let (kind, text) = ALL[which];
        let whole = read(kind, text);
        if let Ok(part) = read_vendor(kind, text.as_bytes().get(..cut).unwrap_or(text.as_bytes())) {
            prop_assert!(part.plate.is_none() || part.plate == whole.plate);
            prop_assert!(whole.channels.starts_with(&part.channels));
            prop_assert!(whole.fields.starts_with(&part.fields));
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (kind, _) in ALL {
            let _ = read_vendor(kind, &bytes);
        }
    }
}
