//! Inputs that libFuzzer makes, for the body `pack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = eport_fuzz_bodies::target("pack").expect("the name of a body");
    (target.body)(data);
});
