//! Desensitisation (sharing.md §5): what is left of a value.

use eport_documents::pack::Mask;
use serde_json::Value;

/// Deepest nesting that is masked; bodies nest less.
const DEPTH_MAX: usize = 32;

/// The value as it is shown; `None`: nothing of it is.
pub fn masked(mask: Mask, value: &Value) -> Option<Value> {
    at(mask, value, 0)
}

fn at(mask: Mask, value: &Value, depth: usize) -> Option<Value> {
    if mask == Mask::Suppress || depth > DEPTH_MAX {
        return None;
    }
    Some(match value {
        Value::String(text) => Value::String(word(mask, text)),
        Value::Array(items) => items.iter().filter_map(|i| at(mask, i, depth + 1)).collect(),
        Value::Object(members) => Value::Object(
            members.iter().filter_map(|(k, v)| Some((k.clone(), at(mask, v, depth + 1)?))).collect(),
        ),
        // A number or a flag has no harmless part.
        _ => return None,
    })
}

fn word(mask: Mask, text: &str) -> String {
    match mask {
        Mask::MaskName => text.split(' ').map(|w| ends(w, 1, 0)).collect::<Vec<_>>().join(" "),
        Mask::MaskId => ends(text, 6, 4),
        Mask::MaskPassport => ends(text, 2, 2),
        Mask::MaskPhone => ends(text, 3, 4),
        Mask::MaskAccount => format!("****{}", tail(text, 4)),
        Mask::MaskPlate => ends(text, 2, 1),
        Mask::CoarseHs => text.chars().take(4).collect(),
        Mask::CoarseTime => hour(text),
        Mask::Suppress => String::new(),
    }
}

/// The first and the last characters, stars between. What is no longer than these is stars altogether.
fn ends(text: &str, first: usize, last: usize) -> String {
    let length = text.chars().count();
    let kept = if length > first + last { (first, length - last) } else { (0, length) };
    text.chars().enumerate().map(|(i, c)| if (kept.0..kept.1).contains(&i) { '*' } else { c }).collect()
}

fn tail(text: &str, last: usize) -> String {
    let length = text.chars().count();
    match length > last {
        true => text.chars().skip(length - last).collect(),
        false => String::new(),
    }
}

/// An instant to the hour; a date stays.
fn hour(text: &str) -> String {
    let (Some(day), Some(rest)) = (text.get(..13), text.get(13..)) else {
        return text.chars().take(10).collect();
    };
    let zone = rest.find(['Z', '+', '-']).and_then(|at| rest.get(at..)).unwrap_or_default();
    let seconds = if rest.matches(':').count() > usize::from(zone.contains(':')) + 1 { ":00" } else { "" };
    format!("{day}:00{seconds}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_mask_leaves_what_the_domain_says() {
        for (mask, from, to) in [
            (Mask::MaskName, "许文明", "许**"),
            (Mask::MaskName, "Li Wen", "L* W**"),
            (Mask::MaskId, "11010519491231002X", "110105********002X"),
            (Mask::MaskPassport, "L898902C3", "L8*****C3"),
            (Mask::MaskPhone, "13800001234", "138****1234"),
            (Mask::MaskAccount, "6222020200056789", "****6789"),
            (Mask::MaskPlate, "粤Z1234港", "粤Z****港"),
            (Mask::CoarseHs, "8471300000", "8471"),
            (Mask::CoarseTime, "2018-01-03 08:17", "2018-01-03 08:00"),
            (Mask::CoarseTime, "2018-01-03T08:17:21+08:00", "2018-01-03T08:00:00+08:00"),
            (Mask::CoarseTime, "2018-01-03", "2018-01-03"),
        ] {
            assert_eq!(masked(mask, &json!(from)), Some(json!(to)), "{mask:?}");
        }
        assert_eq!(masked(Mask::Suppress, &json!("x")), None);
    }

    #[test]
    fn what_is_too_short_to_keep_ends_of_shows_nothing_and_numbers_are_not_shown() {
        for (mask, text) in
            [(Mask::MaskId, "1234567890"), (Mask::MaskPhone, "1381234"), (Mask::MaskName, "许")]
        {
            let shown = masked(mask, &json!(text)).unwrap();
            assert!(shown.as_str().unwrap().chars().all(|c| c == '*'), "{shown}");
        }
        assert_eq!(masked(Mask::MaskAccount, &json!("6789")), Some(json!("****")));
        assert_eq!(masked(Mask::MaskName, &json!(7)), None);
        let party = json!({ "name": "Li Wen", "age": 7, "also": ["Xu"] });
        assert_eq!(masked(Mask::MaskName, &party), Some(json!({ "name": "L* W**", "also": ["X*"] })));
        assert_eq!(hour("ü"), "ü");
    }
}
