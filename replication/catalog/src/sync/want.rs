//! What is missing of a catalog, and what it is fetched upon.

use eport_identity::{Digest, NodeId};

/// A content that a version or a draft of a catalog names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// Its root.
    pub root: Digest,
    /// Where it came in, as far as is known.
    pub origin: Option<NodeId>,
    /// It came a moment ago: who stands before us in the route gets it now.
    pub fresh: bool,
}

/// A content that is named and not here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// Its root.
    pub root: Digest,
    /// The nearest content of the same catalog that is here, or will be when this one's turn has come.
    pub base: Option<Digest>,
    /// Where it came in, as far as is known.
    pub origin: Option<NodeId>,
    /// It came a moment ago.
    pub fresh: bool,
}

/// The contents of a catalog that are not here, in the order of their names, each once. Fetched in this order each is the base of
/// the next.
pub fn missing(named: &[Named], has: impl Fn(&Digest) -> bool) -> Vec<Want> {
    // Nothing older may be here: then something newer is a base as well.
    let newest = named.iter().rev().map(|n| n.root).find(|root| has(root));
    let (mut base, mut wants) = (None, Vec::<Want>::new());
    for n in named {
        if !has(&n.root) && !wants.iter().any(|w| w.root == n.root) {
            wants.push(Want { root: n.root, base: base.or(newest), origin: n.origin, fresh: n.fresh });
        }
        base = Some(n.root);
    }
    wants
}
