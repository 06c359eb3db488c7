//! A walk through an XML text, element by element, that keeps nothing.

use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// Most bytes of an element's text that are kept.
const TEXT_MOST: usize = 1024;
/// Most attributes of an element that are looked at.
const ATTRIBUTES_MOST: usize = 64;

/// What the walk meets.
pub(super) enum Node<'a> {
    /// An element begins.
    Open(Element<'a>),
    /// The innermost element ends: its name without prefix, and its text if it has no elements in it.
    Close(&'a str, &'a str),
}

/// The beginning of an element.
pub(super) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Its name without prefix.
    pub fn name(&self) -> &str {
        std::str::from_utf8(self.0.local_name().into_inner()).unwrap_or_default()
    }

    /// The attribute of this name, whatever its prefix.
    pub fn attribute(&self, name: &str) -> Option<String> {
        // Unchecked, as the check for names that come twice takes time that grows with the square of their number.
        let mut attributes = self.0.attributes();
        let mut attributes = attributes.with_checks(false).take(ATTRIBUTES_MOST).flatten();
        let value = attributes.find(|a| a.key.local_name().into_inner() == name.as_bytes())?.value;
        let value = std::str::from_utf8(&value).ok()?;
        Some(unescape(value).map_or_else(|_| value.to_string(), |value| value.into_owned()))
    }

    /// The attribute as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        super::text::number(&self.attribute(name)?)
    }

    /// The attribute as a number that counts something.
    pub fn count(&self, name: &str) -> Option<u32> {
        self.attribute(name)?.trim().parse().ok()
    }
}

/// Shows every element to `visit`, up to the end or to where the text is no XML any more.
pub(super) fn walk(text: &str, mut visit: impl FnMut(Node<'_>)) {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    let mut within = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                within.clear();
                visit(Node::Open(Element(element)));
            }
            Ok(Event::End(element)) => {
                visit(Node::Close(std::str::from_utf8(element.local_name().into_inner()).unwrap_or_default(), &within));
                within.clear();
            }
            Ok(Event::Text(text)) => keep(&mut within, std::str::from_utf8(&text).unwrap_or_default()),
            Ok(Event::CData(text)) => keep(&mut within, std::str::from_utf8(&text).unwrap_or_default()),
            Ok(Event::GeneralRef(reference)) => keep(&mut within, &resolve(&reference)),
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Appends as much as is kept.
fn keep(within: &mut String, text: &str) {
    let room = TEXT_MOST.saturating_sub(within.len());
    within.extend(text.char_indices().take_while(|(at, _)| *at < room).map(|(_, character)| character));
}

/// What `&amp;` or `&#181;` stands for; nothing if that is not known.
fn resolve(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    std::str::from_utf8(reference).ok().and_then(resolve_predefined_entity).unwrap_or_default().to_string()
}
