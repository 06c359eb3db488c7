//! `*.HTD` of MetaXpress: lines of a quoted key and values, separated by commas.

use super::super::ChannelKey;
use super::PlateMeta;

/// The key of its first line.
pub(super) const HEAD: &str = "\"HTSInfoFile\"";

/// Reads it; `None` if it does not begin as such a file does. It knows neither pixel sizes nor positions.
pub(super) fn read(text: &str) -> Option<PlateMeta> {
    let mut lines = text.lines().map(fields).skip_while(|line| line.iter().all(String::is_empty));
    if !lines.next()?.first()?.eq_ignore_ascii_case("HTSInfoFile") {
        return None;
    }
    let mut meta = PlateMeta::default();
    let (mut rows, mut columns) = (None, None);
    for line in lines {
        let [key, value, ..] = line.as_slice() else {
            if line.first().is_some_and(|key| key.eq_ignore_ascii_case("EndFile")) {
                break;
            }
            continue;
        };
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "xwells" => columns = value.parse().ok(),
            "ywells" => rows = value.parse().ok(),
            "description" => meta.named(value),
            _ => {
                if let Some(number) = key.strip_prefix("wavename").and_then(|number| number.parse::<u32>().ok()) {
                    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(0);
                    meta.channel_named(ChannelKey::Number(number), value, index);
                }
            }
        }
    }
    meta.size(rows, columns);
    Some(meta)
}

/// The fields of a line that are looked at; commas within quotes separate nothing.
fn fields(line: &str) -> Vec<String> {
    let mut quoted = false;
    let fields = line.trim_start_matches('\u{FEFF}').split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    fields.take(2).map(|field| field.trim().trim_matches('"').to_string()).collect()
}
