//! Statistics over ten million consignments in columns: filter by two dimensions, then every figure of a cell.
// A benchmark reads the clock and prints.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use eport_timeliness::Durations;
use std::time::Instant;

const ROWS: usize = 10_000_000;

fn main() {
    // A generator of its own: the same rows on every machine.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut seconds = Vec::with_capacity(ROWS);
    let mut place = Vec::with_capacity(ROWS);
    for _ in 0..ROWS {
        let drawn = next();
        // Skewed to short times, up to 90 days.
        seconds.push(u32::try_from((drawn >> 40).pow(2) % 7_776_000).unwrap_or_default());
        place.push((drawn & 0xff) as u16);
    }
    let begun = Instant::now();
    let whole = Durations::new(seconds.clone()).statistics();
    println!(
        "all {} rows: {:?}, median {}",
        whole.n,
        begun.elapsed(),
        whole.p50.map_or_else(String::new, |f| f.to_string())
    );
    let begun = Instant::now();
    let cell: Vec<u32> = seconds.iter().zip(&place).filter(|(_, p)| **p < 64).map(|(s, _)| *s).collect();
    let cell = Durations::new(cell).statistics();
    println!("a quarter, {} rows: {:?}", cell.n, begun.elapsed());
}
