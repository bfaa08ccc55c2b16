//! Rules of a platform: planned by the node, shown, signed and given.
//!
//! Always holds: what is signed is the whole policy that was shown; it is given under a later version of the placement only when
//! nothing that was shown has changed, so another operator's change is a conflict.

use super::platform::PolicyArgs;
use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::ValueEnum;
use eport_api_types::{PolicyBackup, PolicyRequest};
use eport_client::{Client, Method, Repeat, Statement};
use eport_model::codes::VERSION_CONFLICT;
use eport_model::{Coded, RegionCode};
use eport_registry::{DurabilityMode, FailoverMode, Policy, Role, statement};
use serde_json::Value;

/// How often a change is planned and given when the placement's version moves under it.
const ROUNDS: u32 = 5;

/// A policy change as the node would make it.
pub struct Planned {
    /// The platform as it is.
    pub platform: Value,
    /// The whole policy as it is, in the words of the API.
    pub now: Value,
    /// What is asked for, under the version of the platform as it is.
    pub request: PolicyRequest,
    /// The node's answer: the whole policy and its version.
    pub planned: Value,
}

impl Planned {
    /// True when another look at the platform shows the same rules, backups, primary and state, before the change and after it:
    /// what moved the version meanwhile is nothing that the operator has been shown.
    fn same(&self, other: &Self) -> bool {
        let of = |p: &Self| {
            let platform = ["primary", "epoch", "state"].map(|name| p.platform[name].clone());
            (platform, p.now.clone(), p.planned["policy"].clone())
        };
        of(self) == of(other)
    }
}

/// Looks at the platform and lets the node plan the change. A placement that changes between the looks, as it does when a
/// backup falls out of sync, is looked at again: nothing has been shown or asked yet.
pub async fn planned(client: &Client, region: RegionCode, asked: &PolicyRequest) -> Result<Planned, Error> {
    let path = format!("/v1/platforms/{region}");
    let mut rounds = ROUNDS;
    loop {
        rounds -= 1;
        let platform: Value = client.get(&path, &[]).await?;
        let expected_version = platform.get("version").and_then(Value::as_u64);
        let nothing = PolicyRequest { dry_run: true, ..PolicyRequest::default() };
        let now: Value = client.put(&format!("{path}/policy"), &nothing, Repeat::Safe).await?;
        let request = PolicyRequest { expected_version, dry_run: false, ..asked.clone() };
        let dry = PolicyRequest { dry_run: true, ..request.clone() };
        let planned: Value = client.put(&format!("{path}/policy"), &dry, Repeat::Safe).await?;
        let same = [&now, &planned].iter().all(|p| p["version"].as_u64() == expected_version);
        if rounds == 0 || same {
            return Ok(Planned { platform, now: now["policy"].clone(), request, planned });
        }
    }
}

/// Gives the order that was shown. Backups that come into sync or fall out of it change the placement's version at any
/// moment: as long as nothing that was shown has changed, the same order is given again under the version of now. Another
/// operator's change is a conflict.
pub async fn give(client: &Client, region: RegionCode, mut plan: Planned) -> Result<Value, Error> {
    let path = format!("/v1/platforms/{region}/policy");
    let mut rounds = ROUNDS;
    loop {
        rounds -= 1;
        let (full, statement) = order(region, &plan.request, &plan.planned)?;
        let error = match client.give(Method::PUT, &path, &full, &statement).await {
            Ok(answer) => return Ok(answer),
            Err(error) => Error::from(error),
        };
        if rounds == 0 || error.code() != VERSION_CONFLICT {
            return Err(error);
        }
        let again = planned(client, region, &plan.request).await?;
        if !plan.same(&again) {
            return Err(error);
        }
        plan = again;
    }
}

/// The word of an enumeration as the API writes it.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

/// Shows old and new rules, asks, and changes them.
pub async fn set(client: &Client, args: &PolicyArgs, out: Out) -> Result<(), Error> {
    let asked = PolicyRequest {
        durability: args.durability.map(word),
        k: args.k,
        isolation: args.isolation.map(word),
        failover: args.failover.map(word),
        backups: (!args.backups.is_empty()).then(|| args.backups.clone()),
        same_site: args.same_site.then_some(true),
        min_durability: args.min_durability.map(word),
        expected_version: None,
        dry_run: false,
    };
    let plan = planned(client, args.region, &asked).await?;
    if !out.json {
        out.progress(policy_plan(&plan.platform, &plan.request));
    }
    if args.dry_run {
        out.result(&plan.planned, || whole_policy(&plan.planned));
        return Ok(());
    }
    // What is not in the plan that is asked for is refused before anybody is asked.
    order(args.region, &plan.request, &plan.planned)?;
    if !out.json {
        out.progress(whole_policy(&plan.planned).trim_end());
    }
    out.confirm(("change the policy?", "更改策略？"))?;
    let answer = give(client, args.region, plan).await?;
    out.result(&answer, || super::status::platforms(std::slice::from_ref(&answer), out.lang).render());
    Ok(())
}

/// The whole policy as it will be, in the words of the API.
fn whole_policy(planned: &Value) -> String {
    let policy = &planned["policy"];
    let mut table = Table::new(["", ""]);
    for name in ["durability", "k", "isolation", "failover", "same_site", "min_durability"] {
        table.row([name.to_owned(), cell(policy, name)]);
    }
    let role =
        |b: &Value| format!("{}:{}", cell(b, "node"), if b["sync"] == true { "sync" } else { "async" });
    let backups: Vec<String> = policy["backups"].as_array().into_iter().flatten().map(role).collect();
    table.row(["backups".to_owned(), backups.join(" ")]);
    table.render()
}

/// The request in full, and what is signed for it: the whole policy that was shown. What was asked for must be in it.
fn order(
    region: RegionCode,
    asked: &PolicyRequest,
    planned: &Value,
) -> Result<(PolicyRequest, Statement), Error> {
    let bad = |what: &str| {
        Error::coded(eport_model::codes::MOVE_UNSAFE, format!("the node planned another {what}"))
    };
    let full: PolicyRequest = serde_json::from_value(planned["policy"].clone()).map_err(|_| bad("policy"))?;
    let version = planned["version"].as_u64().ok_or_else(|| bad("version"))?;
    let full = PolicyRequest { expected_version: Some(version), dry_run: false, ..full };
    let kept = [
        ("durability", asked.durability.is_none() || asked.durability == full.durability),
        ("k", asked.k.is_none() || asked.k == full.k || full.durability.as_deref() == Some("async")),
        ("isolation", asked.isolation.is_none() || asked.isolation == full.isolation),
        ("failover", asked.failover.is_none() || asked.failover == full.failover),
        ("same_site", asked.same_site.is_none() || asked.same_site == full.same_site),
        ("min_durability", asked.min_durability.is_none() || asked.min_durability == full.min_durability),
        ("backups", asked.backups.is_none() || asked.backups == full.backups),
        ("version", asked.expected_version.is_none() || asked.expected_version == full.expected_version),
    ];
    if let Some((what, _)) = kept.iter().find(|(_, same)| !same) {
        return Err(bad(what));
    }
    let durability = match full.durability.as_deref() {
        Some("sync") => DurabilityMode::Sync,
        Some("auto_sync") => DurabilityMode::AutoSync,
        Some("async") => DurabilityMode::Async,
        _ => return Err(bad("durability")),
    };
    let isolation = match full.isolation.as_deref() {
        Some("block") => eport_registry::Isolation::Block,
        Some("degrade") => eport_registry::Isolation::Degrade,
        _ => return Err(bad("isolation")),
    };
    let failover = match full.failover.as_deref() {
        Some("auto") => FailoverMode::Auto,
        Some("manual") => FailoverMode::Manual,
        _ => return Err(bad("failover")),
    };
    let (k, same_site) = (full.k.unwrap_or(0) as usize, full.same_site.unwrap_or(false));
    let min_durability = match full.min_durability.as_deref() {
        Some("replicated") => eport_model::Durability::Replicated,
        Some("local") => eport_model::Durability::Local,
        _ => return Err(bad("min_durability")),
    };
    let rules = Policy { durability, k, isolation, failover, same_site, min_durability };
    let role = |sync: bool| if sync { Role::Sync } else { Role::Async };
    let backups: Vec<eport_registry::PolicyBackup> = full
        .backups
        .iter()
        .flatten()
        .map(|b| eport_registry::PolicyBackup { node: b.node, role: role(b.sync) })
        .collect();
    Ok((full, statement::policy(region, version, &rules, &backups)))
}

/// Old and new value of everything that the request changes.
fn policy_plan(before: &Value, request: &PolicyRequest) -> String {
    let mut table = Table::new(["", "now", "then"]);
    let mut line = |name: &str, then: Option<String>| {
        if let Some(then) = then {
            table.row([name.to_owned(), cell(before, name), then]);
        }
    };
    line("durability", request.durability.clone());
    line("k", request.k.map(|k| k.to_string()));
    line("isolation", request.isolation.clone());
    line("failover", request.failover.clone());
    line("min_durability", request.min_durability.clone());
    line("same_site", request.same_site.map(|s| if s { "yes" } else { "no" }.to_owned()));
    if let Some(backups) = &request.backups {
        let now: Vec<String> =
            before["backups"].as_array().into_iter().flatten().map(|b| cell(b, "node")).collect();
        let role = |b: &PolicyBackup| format!("{}:{}", b.node, if b.sync { "sync" } else { "async" });
        table.row(["backups".into(), now.join(" "), backups.iter().map(role).collect::<Vec<_>>().join(" ")]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_shown_is_given_again_under_a_later_version() {
        let look = |version: u64, k: u64, epoch: u64, then: u64| Planned {
            platform: json!({"version": version, "epoch": epoch, "primary": "sz-a-1", "state": "active"}),
            now: json!({"k": k}),
            request: PolicyRequest::default(),
            planned: json!({"version": version, "policy": {"k": then}}),
        };
        let shown = look(7, 1, 3, 2);
        assert!(shown.same(&look(9, 1, 3, 2)), "a backup came into sync");
        assert!(!shown.same(&look(9, 2, 3, 2)), "another operator changed the rules");
        assert!(!shown.same(&look(9, 1, 4, 2)), "the platform has moved");
        assert!(!shown.same(&look(9, 1, 3, 3)), "the plan is another");
    }

    #[test]
    fn the_whole_policy_that_was_shown_is_signed_and_what_was_asked_is_in_it() {
        let region = "440300".parse().unwrap();
        let planned = json!({"version": 7, "policy": {"durability": "sync", "k": 1, "isolation": "block",
            "failover": "manual", "same_site": false, "min_durability": "local",
            "backups": [{"node": "gz-a-1", "sync": true}]}});
        let asked = PolicyRequest {
            durability: Some("sync".into()),
            expected_version: Some(7),
            ..PolicyRequest::default()
        };
        let (full, signed) = order(region, &asked, &planned).unwrap();
        assert_eq!((full.k, full.same_site, full.dry_run), (Some(1), Some(false), false));
        let op = eport_registry::Op::SetPolicy {
            region,
            version: 7,
            policy: Policy {
                durability: DurabilityMode::Sync,
                k: 1,
                isolation: eport_registry::Isolation::Block,
                failover: FailoverMode::Manual,
                same_site: false,
                min_durability: eport_model::Durability::Local,
            },
            backups: vec![eport_registry::PolicyBackup { node: "gz-a-1".parse().unwrap(), role: Role::Sync }],
        };
        assert_eq!(signed, op.statement(), "what the registry will apply");
        for (name, value) in
            [("durability", json!("async")), ("k", json!(0)), ("min_durability", json!("replicated"))]
        {
            let mut other = planned.clone();
            other["policy"][name] = value;
            let asked = PolicyRequest { k: Some(1), min_durability: Some("local".into()), ..asked.clone() };
            assert!(order(region, &asked, &other).is_err(), "another {name} than asked for");
        }
    }

    #[test]
    fn the_policy_plan_shows_only_what_changes() {
        let before = json!({"durability": "sync", "failover": "manual", "backups": [{"node": "gz-a-1"}]});
        let request = PolicyRequest {
            durability: Some("async".into()),
            backups: Some(vec![PolicyBackup { node: "gz-c-1".parse().unwrap(), sync: true }]),
            ..PolicyRequest::default()
        };
        let text = policy_plan(&before, &request);
        assert!(
            text.contains("durability  sync") && text.contains("gz-c-1:sync") && !text.contains("manual"),
            "{text}"
        );
    }
}
