//! The commands, one file a group: arguments and what they do.

pub mod approval;
pub mod backup;
pub mod context;
pub mod demo;
pub mod dev;
pub mod doc;
pub mod drill;
pub mod drill_schedule;
pub mod init;
pub mod journal;
pub mod keys;
pub mod links;
pub mod moves;
pub mod node;
pub mod plan;
pub mod platform;
pub mod publish;
pub mod simple;
pub mod site;
pub mod status;
pub mod table;
pub mod user;
