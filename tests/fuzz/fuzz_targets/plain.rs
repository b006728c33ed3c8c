//! libFuzzer's entry to the target `plain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder_fuzz::run(&larder_fuzz::plain::TARGET, input));
