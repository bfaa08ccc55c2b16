//! Printed figures against computed ones: what does not follow from the counts is listed, never copied.

use crate::{BasePolicy, Figure, change};

/// A percentage as it was printed, with the counts it should follow from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Printed {
    /// Where it stands.
    pub place: String,
    /// As printed.
    pub printed: Figure,
    /// The count now.
    pub current: i64,
    /// The count it is compared with.
    pub base: Option<i64>,
}

/// A printed figure that does not follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where it stands.
    pub place: String,
    /// As printed.
    pub printed: String,
    /// As computed; `None`: undefined.
    pub computed: Option<String>,
}

/// A percentage that does not follow from its counts.
pub fn check_change(figure: &Printed, policy: BasePolicy) -> Option<Finding> {
    let computed = change(figure.current, figure.base, policy);
    (computed != Some(figure.printed)).then(|| Finding {
        place: figure.place.clone(),
        printed: figure.printed.to_string(),
        computed: computed.map(|c| c.to_string()),
    })
}

/// A total that is not the sum of its rows.
pub fn check_total(place: &str, printed: i64, rows: impl IntoIterator<Item = i64>) -> Option<Finding> {
    let computed: i64 = rows.into_iter().sum();
    (computed != printed).then(|| Finding {
        place: place.to_owned(),
        printed: printed.to_string(),
        computed: Some(computed.to_string()),
    })
}
