//! Gives as many platforms as possible one more site each, when sites have limited room: augmenting paths over preferences.

use eport_model::{RegionCode, SiteId};
use std::collections::{BTreeMap, BTreeSet};

/// Room left on each site; a site that is missing here has no limit.
pub(crate) type Room = BTreeMap<SiteId, usize>;

/// One round of the assignment. Always: no site is given more often than it has room; a platform that was given a site
/// keeps one.
pub(crate) struct Round<'a> {
    room: &'a Room,
    wishes: BTreeMap<RegionCode, Vec<SiteId>>,
    given: BTreeMap<RegionCode, SiteId>,
}

impl<'a> Round<'a> {
    /// A round with so much room.
    pub fn new(room: &'a Room) -> Self {
        Self { room, wishes: BTreeMap::new(), given: BTreeMap::new() }
    }

    /// Gives a platform the first site of its list that is possible. It goes without only when no other choice of sites
    /// for those before it would have left it one.
    pub fn add(&mut self, region: RegionCode, wishes: Vec<SiteId>) {
        self.wishes.insert(region, wishes);
        self.place(region, &mut BTreeSet::new());
    }

    /// Who was given what.
    pub fn given(&self) -> &BTreeMap<RegionCode, SiteId> {
        &self.given
    }

    /// Finds a site for `region`, moving others aside where that helps. Each site is tried once, which bounds the depth.
    fn place(&mut self, region: RegionCode, tried: &mut BTreeSet<SiteId>) -> bool {
        let sites = self.wishes.get(&region).cloned().unwrap_or_default();
        // A free one first, so that nobody is moved without need.
        for site in &sites {
            let taken = self.given.values().filter(|s| *s == site).count();
            if self.room.get(site).is_none_or(|room| taken < *room) {
                self.given.insert(region, *site);
                return true;
            }
        }
        for site in &sites {
            if !tried.insert(*site) {
                continue;
            }
            let there: Vec<RegionCode> =
                self.given.iter().filter(|(r, s)| *s == site && **r != region).map(|(r, _)| *r).collect();
            for other in there {
                if self.place(other, tried) {
                    // `other` has gone elsewhere: its place is free.
                    self.given.insert(region, *site);
                    return true;
                }
            }
        }
        false
    }
}
