//! Lists in pages.

use serde::{Deserialize, Serialize};

/// One page of a list. The token is opaque and carries the whole scan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Ask again with it; `null` on the last page.
    #[serde(default)]
    pub next_page_token: Option<String>,
}

impl<T> Page<T> {
    /// A list that fits one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_page_token: None }
    }
}
