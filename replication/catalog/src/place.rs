//! Where bytes lie that are too many for memory: what is read again and again, and what waits to be read.
//!
//! A core opens no file: a shell lends these. Always: a source reads the same each time it is opened; what was piled up is gone
//! when the last one who holds it lets go, and when the process ends.

use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes that are read from the beginning, as often as needed.
pub trait Source: Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;
    /// A reader that stands at the first one.
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>>;
    /// True when there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Gives room for bytes that wait.
pub trait Scratch: Send + Sync {
    /// Begins a pile.
    fn begin(&self) -> io::Result<Box<dyn Pile>>;
}

/// Bytes on their way into a scratch.
pub trait Pile: Write + Send {
    /// Nothing more comes: now they can be read.
    fn end(self: Box<Self>) -> io::Result<Arc<dyn Source>>;
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self))
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        Source::len(self.as_slice())
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Source::open(self.as_slice())
    }
}

impl Source for bytes::Bytes {
    fn len(&self) -> u64 {
        Source::len(self.as_ref())
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Source::open(self.as_ref())
    }
}

/// A source behind a few bytes of memory.
pub(crate) struct Fronted {
    pub(crate) front: Vec<u8>,
    pub(crate) rest: Arc<dyn Source>,
}

impl Source for Fronted {
    fn len(&self) -> u64 {
        self.front.len() as u64 + self.rest.len()
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.front.as_slice().chain(self.rest.open()?)))
    }
}

/// A scratch in memory: for what is small.
#[derive(Clone, Copy, Default, Debug)]
pub struct InMemory;

impl Scratch for InMemory {
    fn begin(&self) -> io::Result<Box<dyn Pile>> {
        Ok(Box::new(Vec::new()))
    }
}

impl Pile for Vec<u8> {
    fn end(self: Box<Self>) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::new(*self))
    }
}
