//! The short form of the trial of hostile guests, with controls that plant what it looks for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fastrand::Rng;
use larder_bench::system::Process;
use larder_tests::Larder;
use larder_torture::Tally;
use larder_torture::client::Connection;
use larder_torture::guests::neighbour::{Neighbour, key};
use larder_torture::guests::{
    CALL_MS_MAX, Expected, Kind, Stage, call_all, contained, kinds, memory,
};

#[test]
fn every_kind_of_hostile_guest_is_contained_beside_a_neighbour() {
    let mut tally = Tally::default();
    assert_eq!(contained(1, 3, &mut tally), Ok(()));
    assert!(tally.get("kinds") >= 100 && tally.get("neighbour's requests") > 1000, "{tally}");
    println!("{tally}");
}

fn kind(name: &str) -> Kind {
    kinds::all().into_iter().find(|kind| kind.name == name).unwrap()
}

fn called(stage: &Stage, kind: &Kind) -> Result<(), String> {
    let kinds = std::slice::from_ref(kind);
    call_all(stage.larder.address(), kinds, 1, &mut Rng::new(), &mut Tally::default())
}

#[test]
fn an_answer_that_is_not_due_or_not_in_time_is_noticed() {
    // A server that lets guests run for far too long.
    let stage = Stage::start(6000, "", Vec::new()).unwrap();
    for (name, wrong) in [
        ("panic", Expected::Timeout),
        ("panic", Expected::Says("")),
        ("read?default", Expected::Internal),
        ("read?default", Expected::Says("Ok")),
        ("log-bomb", Expected::Fails),
    ] {
        let right = kind(name);
        assert_eq!(called(&stage, &right), Ok(()));
        let told = called(&stage, &Kind { expected: wrong, ..right });
        assert!(told.unwrap_err().contains("was due"), "{name} {wrong:?}");
    }
    assert!(called(&stage, &kind("loop")).unwrap_err().contains("the answer took"));
}

#[test]
fn names_of_a_component_forge_no_lines_of_a_text_log() {
    let variables = vec![("LARDER_LOG_FORMAT".to_owned(), "text".to_owned())];
    let mut stage = Stage::start(CALL_MS_MAX, "", variables).unwrap();
    assert_eq!(called(&stage, &kind("text names")), Ok(()));
    assert!(stage.larder.terminate().success());
    let log = stage.larder.log();
    assert!(log.contains(r"a\nforged\u{1b}[2J\u{9b}2J"), "{log}");
    for line in log.lines() {
        assert!(line.starts_with("20") && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_neighbour_whose_values_are_changed_or_who_is_not_answered_is_noticed() {
    let mut stage = Stage::start(CALL_MS_MAX, "", Vec::new()).unwrap();
    let neighbour = Neighbour::start(stage.larder.address());
    let forged = format!(r#"{{"key":"{}","value":"forged"}}"#, key(3));
    let mut connection = Connection::new(stage.larder.address());
    while !neighbour.has_ended() {
        connection.post("/api/v1.kv.set", forged.as_bytes()).unwrap();
    }
    assert!(neighbour.stop().unwrap_err().contains("holds"));
    let neighbour = Neighbour::start(stage.larder.address());
    stage.larder.kill();
    assert!(neighbour.stop().unwrap_err().contains("was answered"));
}

#[test]
fn memory_that_does_not_come_back_is_noticed() {
    let larder = Larder::start();
    let server = Process(larder.id());
    let mut connection = Connection::new(larder.address());
    let was = memory::at_rest(server).unwrap();
    assert!(memory::comes_back(server, was, 1).is_ok());
    // What is stored stays mapped, here as much again as there was.
    let value = "v".repeat(4 << 20);
    for number in 0..was / (4 << 10) + 1 {
        let set = format!(r#"{{"key":"{number}","value":"{value}"}}"#);
        assert_eq!(connection.post("/api/v1.kv.set", set.as_bytes()).unwrap().status, 200);
        let get = format!(r#"{{"key":"{number}"}}"#);
        assert_eq!(connection.post("/api/v1.kv.get", get.as_bytes()).unwrap().status, 200);
    }
    assert!(memory::comes_back(server, was, 50).unwrap_err().contains("KiB are resident"));
}
