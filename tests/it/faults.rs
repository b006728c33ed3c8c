//! How the process ends by a fault: as the system has it, but for those of the data file's map, which the
//! torture tests try.

use std::os::unix::process::ExitStatusExt;

use larder_tests::Larder;
use rustix::process::Signal;

#[test]
fn an_abort_or_a_fault_that_was_sent_ends_with_its_signal() {
    for signal in [Signal::ABORT, Signal::SEGV, Signal::BUS] {
        let mut larder = Larder::start();
        larder.signal(signal);
        let status = larder.wait();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}: {}", larder.log());
        assert!(!larder.log().contains("damaged"), "{}", larder.log());
    }
}
