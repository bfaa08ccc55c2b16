//! Inputs that libFuzzer makes, for the body `ocsp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = eport_fuzz_bodies::target("ocsp").expect("the name of a body");
    (target.body)(data);
});
