//! Microseconds to encrypt and decrypt what one document of 2 KiB stores: its body and its columns.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_envelope::{DataKey, KeyId, KeyRing, Part, Place};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 200_000;

fn main() {
    let key = DataKey::from_bytes([7; 32].into());
    let ring = KeyRing::new("440300".parse().unwrap(), [(KeyId::FIRST, key)].into(), [1; 16]).unwrap();
    let (body, columns) = (vec![b'x'; 2048], b"GZ-000001".as_slice());
    let request = "91440100MA5ABCD19J|arrival_report|#00112233445566778899aabbccddeeff|1";
    let place = |part| Place { request, part };
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(ring.blind("client_ref", black_box("GZ-000001")));
        black_box(ring.seal(place(Part::Request), black_box(&body)).unwrap());
        black_box(ring.seal(place(Part::Columns), black_box(columns)).unwrap());
    }
    report("encrypt", start);
    let sealed = ring.seal(place(Part::Request), &body).unwrap();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(ring.open(place(Part::Request), black_box(&sealed)).unwrap());
    }
    report("decrypt", start);
}

fn report(what: &str, start: Instant) {
    println!("{what}: {:.2} µs a document of 2 KiB", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}
