//! axum routes, problem answers, OpenAPI, forwarding to the primary.
//!
//! Always holds: a route outside the open list of design §8 needs a verified certificate and a decision of `access`; every
//! error is a problem with a stable code; a write is carried out by the platform's primary or forwarded to it once.
#![forbid(unsafe_code)]
// A shell: it measures how long requests take.
#![allow(clippy::disallowed_methods)]

mod access_api;
mod access_log;
mod agencies_api;
mod auth;
mod backup_api;
mod backup_sets;
mod ca;
mod caller;
mod catalogs_api;
mod catalogue;
mod certificates_api;
mod chains;
mod custody_api;
mod demands;
mod desk;
mod documents_api;
mod drills_api;
mod enrol;
mod enrol_api;
mod erasures_api;
mod est;
mod examine_api;
mod exchange;
mod exchange_api;
mod expiry;
mod extract;
mod federation;
mod forward;
mod gate;
mod hosting_api;
mod isolation;
mod issue_batch;
mod join_api;
mod journal_api;
mod listener;
mod lists;
mod lockout;
mod metrics;
mod observe;
mod ocsp;
mod openapi;
mod operators_api;
mod outside_api;
mod packs;
mod packs_api;
mod plan_api;
mod platforms_api;
mod problem;
mod recovery_api;
mod removal_api;
mod router;
mod session_api;
mod shelf;
mod shipping_view;
mod signing;
mod staging;
mod state;
mod status_api;
mod system;
mod tables;
mod tables_api;
mod tables_life;
mod tables_reading;
mod tables_usage;
mod tables_watch;
mod tables_where;
mod tail_import_api;
mod tails_api;
mod trust_api;
mod users_api;
mod verification;
mod withdrawals;
mod words;

pub use caller::{Caller, Shown};
pub use catalogue::{Open, ROUTES, Route};
pub use demands::{DEMANDS, Demand};
pub use desk::{ACCESS_LOG_DIR, Desk, follow as follow_access, store_floor, stored_floor};
pub use exchange::{Door, RegistryRoutes, follow as follow_exchange};
pub use forward::Receiver;
pub use listener::{serve, serve_plain};
pub use lists::{Lists, follow as follow_lists};
pub use packs::PackService;
pub use problem::ApiError;
pub use router::{metrics_router, router};
pub use shelf::{CaShelf, OpenedBy};
pub use state::{Api, ApiConfig, PlatformFactory};
pub use system::version_info;
pub use tables::TableService;
