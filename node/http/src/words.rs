//! Words of the API for the registry's enumerations, both ways.

use eport_registry::{DurabilityMode, FailoverMode, Isolation, MoveKind, MoveState};

/// `sync`, `auto_sync`, `async`.
pub fn durability(v: DurabilityMode) -> &'static str {
    match v {
        DurabilityMode::Sync => "sync",
        DurabilityMode::AutoSync => "auto_sync",
        DurabilityMode::Async => "async",
    }
}

/// The mode of a word.
pub fn durability_of(word: &str) -> Option<DurabilityMode> {
    [DurabilityMode::Sync, DurabilityMode::AutoSync, DurabilityMode::Async]
        .into_iter()
        .find(|v| durability(*v) == word)
}

/// The least durability of a word: `local`, `replicated`.
pub fn min_durability_of(word: &str) -> Option<eport_model::Durability> {
    use eport_model::Durability::{Local, Replicated};
    [Local, Replicated].into_iter().find(|v| v.to_string() == word)
}

/// `block`, `degrade`.
pub fn isolation(v: Isolation) -> &'static str {
    match v {
        Isolation::Block => "block",
        Isolation::Degrade => "degrade",
    }
}

/// The mode of a word.
pub fn isolation_of(word: &str) -> Option<Isolation> {
    [Isolation::Block, Isolation::Degrade].into_iter().find(|v| isolation(*v) == word)
}

/// `auto`, `manual`.
pub fn failover(v: FailoverMode) -> &'static str {
    match v {
        FailoverMode::Auto => "auto",
        FailoverMode::Manual => "manual",
    }
}

/// The mode of a word.
pub fn failover_of(word: &str) -> Option<FailoverMode> {
    [FailoverMode::Auto, FailoverMode::Manual].into_iter().find(|v| failover(*v) == word)
}

/// `switchover`, `failover`, `failback`, `promote`.
pub fn kind(v: MoveKind) -> &'static str {
    match v {
        MoveKind::Switchover => "switchover",
        MoveKind::Failover => "failover",
        MoveKind::Failback => "failback",
        MoveKind::Promote => "promote",
    }
}

/// The kind of a word.
pub fn kind_of(word: &str) -> Option<MoveKind> {
    [MoveKind::Switchover, MoveKind::Failover, MoveKind::Failback, MoveKind::Promote]
        .into_iter()
        .find(|v| kind(*v) == word)
}

/// The API's state of a move.
pub fn move_state(v: MoveState) -> eport_api_types::MoveState {
    match v {
        MoveState::Planned => eport_api_types::MoveState::Planned,
        MoveState::Running => eport_api_types::MoveState::Running,
        MoveState::Done => eport_api_types::MoveState::Done,
        MoveState::Aborted => eport_api_types::MoveState::Aborted,
        MoveState::Failed => eport_api_types::MoveState::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_leads_back_to_its_value() {
        for w in ["sync", "auto_sync", "async"] {
            assert_eq!(durability(durability_of(w).unwrap()), w);
        }
        for w in ["switchover", "failover", "failback", "promote"] {
            assert_eq!(kind(kind_of(w).unwrap()), w);
        }
        assert!(isolation_of("degrade").is_some() && failover_of("auto").is_some() && kind_of("x").is_none());
    }
}
