//! Inputs that libFuzzer makes, for the body `token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = eport_fuzz_bodies::target("token").expect("the name of a body");
    (target.body)(data);
});
