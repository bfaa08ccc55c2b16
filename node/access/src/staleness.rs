//! How old news of revocations may be, by what a request could do (decision 0032).

use crate::Action;

/// How old news of revocations may be for an action: what it can do if somebody in the chain is revoked already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Staleness {
    /// Membership, moves, certificates, tables: minutes.
    Administration,
    /// Documents of trade: a day.
    Documents,
    /// What is published, and what one reads: three days.
    Reads,
}

impl Staleness {
    /// The class of an action.
    pub fn of(action: Action) -> Self {
        match action {
            Action::PublishTable
            | Action::AdministerPlatform
            | Action::AdministerNodes
            | Action::AdministerCertificates
            | Action::AdministerUsers
            | Action::Approve => Staleness::Administration,
            Action::LodgeDocument
            | Action::ListDocuments
            | Action::ReadEvents
            | Action::Delegate
            | Action::Session
            | Action::Forward
            | Action::AnswerDocuments => Staleness::Documents,
            Action::ReadFederation | Action::ReadTables | Action::ReadAudit | Action::Inspect => {
                Staleness::Reads
            }
        }
    }

    /// The limit in milliseconds; that of administration is a setting.
    pub fn limit_ms(self, administration_ms: u64) -> u64 {
        match self {
            Staleness::Administration => administration_ms,
            Staleness::Documents => 24 * 3_600_000,
            Staleness::Reads => 72 * 3_600_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_news_stops_what_administers_first_and_what_only_reads_last() {
        let limit = |action| Staleness::of(action).limit_ms(300_000);
        assert_eq!(limit(Action::AdministerCertificates), 300_000);
        assert_eq!(limit(Action::AdministerUsers), 300_000);
        assert_eq!(limit(Action::LodgeDocument), 86_400_000);
        assert_eq!(limit(Action::ReadTables), 259_200_000);
        assert_eq!(Staleness::of(Action::PublishTable).limit_ms(1_000), 1_000);
    }
}
