//! The recorded cases against the built program: as recorded, over HTTP/2, and the JSON ones as
//! MessagePack.

use larder_tests::{Larder, Variant, load_cases, run_scenario};

/// Cases that the file holds, less those that only inform.
const COMPARED: usize = 369;

async fn play(variant: Variant, prefix: &str) {
    let larder = Larder::start();
    let mut faults = Vec::new();
    let mut compared = 0;
    for (_, cases) in load_cases() {
        let (found, played) = run_scenario(&larder, &cases, variant, prefix).await;
        faults.extend(found);
        compared += played;
    }
    assert_eq!(compared, COMPARED);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn every_case_is_answered_as_recorded() {
    play(Variant::Recorded, "p00000001-").await;
}

#[tokio::test]
async fn every_case_is_answered_alike_over_http2() {
    play(Variant::Http2, "p00000002-").await;
}

#[tokio::test]
async fn every_case_is_answered_alike_in_messagepack() {
    play(Variant::MessagePack, "p00000003-").await;
}
