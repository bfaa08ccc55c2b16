//! Inputs that libFuzzer makes, for the body `hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = eport_fuzz_bodies::target("hello").expect("the name of a body");
    (target.body)(data);
});
