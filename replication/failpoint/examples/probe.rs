//! Passes one place and says whether a test wanted it to fail: the program that the proof of absence is made with.
#![forbid(unsafe_code)]

fn main() {
    eport_failpoint::enter("probe");
    eport_failpoint::point!("probe.place.before", "nothing");
    let failed = eport_failpoint::fails!("probe.place.fails", "nothing");
    println!(
        "carried {} failed {failed} clock {}",
        eport_failpoint::CARRIED,
        eport_failpoint::wall_offset_ms()
    );
}
