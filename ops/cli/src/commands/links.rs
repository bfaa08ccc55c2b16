//! `eport dev cut|slow|heal`: faults on the links between the sites of a local federation.
//!
//! A link has two directions with a rule each. `cut` and `slow` are told apart: a slow link that is cut is slow again when
//! only the cut is taken away; `heal` takes everything away.

use crate::dev::relay;
use crate::dev::state::{DevState, DirLock};
use crate::error::Error;
use crate::output::Out;
use crate::table::Table;
use clap::Args;
use eport_model::SiteId;
use eport_model::codes::{DEV_NOT_FOUND, RELAY_DOWN};
use eport_relay::{Change, LinkState, Question, Rule};
use serde_json::json;
use std::path::Path;

/// Arguments of `eport dev cut`.
#[derive(Args, Debug)]
pub struct CutArgs {
    /// A site
    pub site_a: SiteId,
    /// Another site
    pub site_b: SiteId,
    /// Only what goes from the first to the second
    #[arg(long)]
    pub one_way: bool,
}

/// Arguments of `eport dev slow`.
#[derive(Args, Debug)]
pub struct SlowArgs {
    /// A site
    pub site_a: SiteId,
    /// Another site
    pub site_b: SiteId,
    /// Only what goes from the first to the second
    #[arg(long)]
    pub one_way: bool,
    /// Delay of each direction, milliseconds; twice of it is the round trip
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub delay_ms: u32,
    /// Additional delay up to this, drawn for each datagram; the order stays
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub jitter_ms: u32,
    /// Datagrams lost, per cent
    #[arg(long, value_name = "PCT", default_value_t = 0.0)]
    pub loss: f64,
    /// Rate in kbit/s; 0 is without limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rate_kbit: u32,
    /// What may wait for a limited rate, KiB
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub queue_kib: u32,
    /// Datagrams that arrive twice, per cent
    #[arg(long, value_name = "PCT", default_value_t = 0.0)]
    pub duplicate: f64,
    /// Datagrams that later ones overtake, per cent
    #[arg(long, value_name = "PCT", default_value_t = 0.0)]
    pub reorder: f64,
    /// Datagrams with one bit changed, per cent
    #[arg(long, value_name = "PCT", default_value_t = 0.0)]
    pub corrupt: f64,
    /// Begin the draws anew from this seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Arguments of `eport dev heal`.
#[derive(Args, Debug)]
pub struct HealArgs {
    /// A site; without sites all links are mended
    #[arg(requires = "site_b")]
    pub site_a: Option<SiteId>,
    /// Another site
    pub site_b: Option<SiteId>,
}

/// Cuts a link.
pub async fn cut(dir: &Path, args: CutArgs, out: Out) -> Result<(), Error> {
    let ends = directions(args.site_a, args.site_b, args.one_way);
    change(dir, &ends, None, |rule| Rule { cut: true, ..rule }, out).await
}

/// Gives a link delay, losses and a rate.
pub async fn slow(dir: &Path, args: SlowArgs, out: Out) -> Result<(), Error> {
    let ends = directions(args.site_a, args.site_b, args.one_way);
    let rule = |former: Rule| Rule {
        cut: former.cut,
        delay_ms: args.delay_ms,
        jitter_ms: args.jitter_ms,
        loss_pct: args.loss,
        rate_kbit: args.rate_kbit,
        queue_kib: args.queue_kib,
        duplicate_pct: args.duplicate,
        reorder_pct: args.reorder,
        corrupt_pct: args.corrupt,
    };
    rule(Rule::default()).check().map_err(|e| Error::usage(e.to_string()))?;
    change(dir, &ends, args.seed, rule, out).await
}

/// Takes every fault away.
pub async fn heal(dir: &Path, args: HealArgs, out: Out) -> Result<(), Error> {
    let mut state = DevState::load(dir)?;
    let Some(row) = &state.relay else { return Err(none(dir)) };
    if row.state() == eport_api_types::ProcessState::Exited {
        let _lock = DirLock::take_existing(dir)?;
        relay::start(&mut state).await?;
    }
    let ends = match (args.site_a, args.site_b) {
        (Some(a), Some(b)) => directions(a, b, false),
        _ => relay::links(dir, &Question::Show).await?.iter().map(|l| (l.from, l.to)).collect(),
    };
    change(dir, &ends, None, |_| Rule::default(), out).await
}

fn directions(a: SiteId, b: SiteId, one_way: bool) -> Vec<(SiteId, SiteId)> {
    if one_way { vec![(a, b)] } else { vec![(a, b), (b, a)] }
}

fn none(dir: &Path) -> Error {
    Error::coded(RELAY_DOWN, format!("the federation of {} has no relay", dir.display()))
}

/// Changes the rules of some directions and prints these links as they are then.
async fn change(
    dir: &Path,
    ends: &[(SiteId, SiteId)],
    seed: Option<u64>,
    rule: impl Fn(Rule) -> Rule,
    out: Out,
) -> Result<(), Error> {
    if DevState::load(dir)?.relay.is_none() {
        return Err(none(dir));
    }
    let known = relay::links(dir, &Question::Show).await?;
    let mut changes = Vec::new();
    for (from, to) in ends {
        let link = known.iter().find(|l| (l.from, l.to) == (*from, *to)).ok_or_else(|| {
            let sites: std::collections::BTreeSet<&str> = known.iter().map(|l| l.from.as_str()).collect();
            let sites: Vec<&str> = sites.into_iter().collect();
            let detail = format!("there is no link from {from} to {to}; the sites are {}", sites.join(", "));
            Error::coded(DEV_NOT_FOUND, detail)
        })?;
        changes.push(Change { from: *from, to: *to, rule: rule(link.rule), seed, cut_ms: None });
    }
    let now = relay::links(dir, &Question::Set { changes }).await?;
    let shown: Vec<LinkState> = now.into_iter().filter(|l| ends.contains(&(l.from, l.to))).collect();
    out.result(&json!({ "links": shown }), || table(&shown).render());
    Ok(())
}

/// Links as a table.
pub fn table(links: &[LinkState]) -> Table {
    let mut table = Table::new(["from", "to", "link", ">passed", ">bytes", ">lost", ">under way"]);
    for l in links {
        let c = &l.counts;
        table.row([
            l.from.to_string(),
            l.to.to_string(),
            words(&l.rule),
            c.passed.to_string(),
            (c.passed_bytes + c.stream_bytes).to_string(),
            (c.lost_cut + c.lost_drawn + c.lost_full).to_string(),
            c.held_bytes.to_string(),
        ]);
    }
    table
}

/// A rule in a few words.
fn words(rule: &Rule) -> String {
    if rule.is_clear() {
        return "clear".to_owned();
    }
    let mut words = Vec::new();
    if rule.cut {
        words.push("cut".to_owned());
    }
    if rule.delay_ms > 0 || rule.jitter_ms > 0 {
        words.push(format!("{}+{} ms", rule.delay_ms, rule.jitter_ms));
    }
    if rule.rate_kbit > 0 {
        words.push(format!("{} kbit/s", rule.rate_kbit));
    }
    let shares = [
        ("loss", rule.loss_pct),
        ("twice", rule.duplicate_pct),
        ("overtaken", rule.reorder_pct),
        ("spoiled", rule.corrupt_pct),
    ];
    words.extend(shares.iter().filter(|(_, s)| *s > 0.0).map(|(word, share)| format!("{word} {share}%")));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_told_in_words() {
        assert_eq!(words(&Rule::default()), "clear");
        let rule = Rule { cut: true, delay_ms: 30, loss_pct: 0.5, ..Rule::default() };
        assert_eq!(words(&rule), "cut, 30+0 ms, loss 0.5%");
    }

    #[test]
    fn a_link_has_two_directions_unless_one_is_meant() {
        let (a, b) = ("gz-a".parse().unwrap(), "sz-a".parse().unwrap());
        assert_eq!(directions(a, b, false), [(a, b), (b, a)]);
        assert_eq!(directions(a, b, true), [(a, b)]);
    }
}
