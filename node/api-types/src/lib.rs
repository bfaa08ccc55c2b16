//! Request and answer types shared by the HTTP server and its clients.
//!
//! The field names are the contract of the interfaces document: tests and scripts rely on them, so a change here is a change
//! of contract. Keys are snake_case, times RFC 3339, sizes bytes, durations seconds unless the name ends in `_ms`.
//! Readers ignore fields they do not know, so that a newer node may add some. A core: no I/O, no clock.
#![forbid(unsafe_code)]

mod certificates;
mod consignment;
mod custody;
mod dev;
mod diagnosis;
mod documents;
mod drills;
mod enrolment;
mod erasures;
mod exchange;
mod hosting;
mod incident;
mod instant;
mod journal;
mod moves;
mod operators;
mod page;
mod plan;
mod problem;
mod recovery;
mod removal;
mod sharing;
mod status;
mod tables;
mod tail_import;
mod tails;
mod trust;
mod users;
mod verification;

pub use certificates::{
    BatchedCertificate, BatchedRequest, CERTIFICATE_BATCH_MAX, CertificateBatch, CertificateBatchAnswer,
    CertificateImport, CertificateItem, CertificateRequest, DistrustRequest, ExamineAnswer, ExamineRequest,
    RevocationRequest, RevokedItem,
};
pub use consignment::{
    AgencyStatus, Compared, ConsignmentAnswer, ConsignmentDocument, ConsignmentMilestone, ConsignmentStatus,
    Unanswered,
};
pub use custody::{CaKeyItem, CustodyItem, CustodyRequest, UnlockAnswer, UnlockRequest, WrappedKeyRequest};
pub use dev::{DevNode, DevPath, DevRelay, DevUp, OperatorFiles, ProcessState, VersionInfo};
pub use diagnosis::{ClassFacts, CodedText, DiskFacts, NodeFacts, PeerFacts, RegistryFacts, ValidityFacts};
pub use documents::{
    BatchLine, CountAnswer, DocumentAccepted, DocumentDetail, DocumentItem, DocumentQuery, Event, Failure,
    MaskedField, Receipt, TableUsed, VersionItem,
};
pub use drills::{
    DrillBegin, DrillEnd, DrillItem, DrillNumbers, DrillPlatformRef, DrillScheduleItem, DrillScheduleRequest,
    DrillStartItem, DrillStop,
};
pub use enrolment::{
    EnrolRequest, JoinAnswer, JoinRequest, JoinSeed, RenewalProof, RequestDecision, RequestItem, TokenItem,
    TokenRequest,
};
pub use erasures::{BodyItem, EraseBody, EraseRequest, ErasureItem};
pub use exchange::{
    AgencyItem, AgencyPart, ChannelItem, DeadLetter, DeadLetters, DocumentTrace, ExchangeStatus, InboxAck,
    InboxItem, InboxSummary, ReceiptAlert, ReceiptAnswer, ReceiptRequest, ResendAnswer, WhyItem,
};
pub use hosting::{CopyUsage, PlatformUsage, QuotaItem, QuotaRequest, UsageMissing, UsageReport};
pub use incident::{INCIDENT_EVENTS_MAX, IncidentEvent, IncidentEvents};
pub use instant::{from_rfc3339, rfc3339};
pub use journal::{EpochSpan, JournalHead, JournalSigned, JournalVerify, PlatformVerify, ReplicaDigest};
pub use moves::{
    ExpectedLoss, MoveAnswer, MoveRequest, MoveState, PlanCheck, PlatformCreate, PolicyBackup, PolicyRequest,
};
pub use operators::{ApprovalDecision, ApprovalItem, AuditItem, SettingItem, SettingRequest, Signed};
pub use page::Page;
pub use plan::{BackupPlan, PlatformAdvice, PlatformLossDoc, ProposedBackup, SiteDoc, SiteLoss, SiteRequest};
pub use problem::{CliError, CliErrorBody, Problem, Redirect};
pub use recovery::{AdoptPlan, AdoptRequest, JournalCopy, LineageItem, NodeRequest};
pub use removal::{NodeObstacle, NodeRemoval, NodeRemoved};
pub use sharing::{ConsentItem, ConsentRequest, CoreDataPage, CoreDataPlatform};
pub use status::{
    BackupStatus, BootstrapStatus, DurabilityNow, FederationStatus, Mode, NodeState, NodeStatus,
    PlatformKind, PlatformState, PlatformStatus, SlotStatus, TableSummary, Warning,
};
pub use tables::{
    BundleAnswer, BundleItem, CatalogAnswer, ChangedRow, FieldChange, ImportAnswer, ImportNote,
    ImportProblem, LateDocument, LateDocuments, PlatformLook, RetireRequest, RollbackAnswer, RollbackRequest,
    TableChange, TableChanges, TableDiff, TableDoc, TableDraft, TableImpact, TableNode, TableRow,
    TableStatus, TableUse, TableVerification, TableVersionItem,
};
pub use tail_import::{Place, TailImport, TailProgress};
pub use tails::{TailCounts, TailDetail, TailDiscard, TailItem, TailRecord, TailResubmit, TailResubmitted};
pub use trust::{
    IssuerRequest, LedgerHead, OutsideItem, OutsideList, OutsideListTaken, OutsideRemovalRequest,
    OutsideRequest, RootListItem, RotationItem, RotationMaterial, RotationRequest, TrustCa, TrustMember,
    TrustStatus,
};
pub use users::{
    AccessLine, AccessSegment, AccessSegments, BindRequest, DelegationEnd, DelegationItem, DelegationRequest,
    RoleItem, SessionItem, UserItem, UserRequest,
};
pub use verification::{CopyStatus, ScrubStatus};
