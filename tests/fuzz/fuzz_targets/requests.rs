//! libFuzzer's entry to the target `requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder_fuzz::run(&larder_fuzz::requests::TARGET, input));
