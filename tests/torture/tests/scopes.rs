//! The short form of the trial of tokens, with controls that plant what it looks for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fastrand::Rng;
use larder_tests::TOKEN;
use larder_torture::{Tally, tokens};

#[test]
fn tokens_do_what_they_were_granted_in_20_000_requests() {
    let mut tally = Tally::default();
    for seed in 0..2 {
        let told = tokens::requests(seed, 10_000, &|_, token| token.to_owned(), &mut tally);
        assert_eq!(told, Ok(()), "seed {seed}");
    }
    for verdict in ["unknown", "forbidden", "allowed"] {
        assert!(tally.get(verdict) > 1000, "{tally}");
    }
}

#[test]
fn a_server_that_forgets_to_check_now_and_then_is_noticed() {
    let admin =
        |rng: &mut Rng, token: &str| (if rng.usize(..200) == 0 { TOKEN } else { token }).to_owned();
    let told = tokens::requests(1, 10_000, &admin, &mut Tally::default());
    assert!(told.unwrap_err().contains("should have been"));
}

#[test]
fn a_server_that_refuses_what_was_granted_now_and_then_is_noticed() {
    let nobody = |rng: &mut Rng, token: &str| {
        if rng.usize(..200) == 0 { "nobody".to_owned() } else { token.to_owned() }
    };
    let told = tokens::requests(1, 10_000, &nobody, &mut Tally::default());
    assert!(told.unwrap_err().contains("should have been Allowed"));
}
