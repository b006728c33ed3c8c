//! libFuzzer's entry to the target `import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder_fuzz::run(&larder_fuzz::import::TARGET, input));
