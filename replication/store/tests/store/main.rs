//! What the store promises, shown on real files: nothing acknowledged is lost, nothing damaged is served.

mod crash;
mod damage;
mod datadir;
mod disk;
mod export;
mod journal;
mod objects;
mod support;
mod writer;
