//! The commands, one file a group: arguments and what they do.

pub mod approval;
pub mod context;
pub mod demo;
pub mod dev;
pub mod doc;
pub mod init;
pub mod journal;
pub mod moves;
pub mod node;
pub mod platform;
pub mod publish;
pub mod simple;
pub mod status;
pub mod table;
pub mod user;
