//! Tokens on a driven clock, one fact a test.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};

use super::*;
use crate::auth::access::Role;
use crate::clock::DrivenClock;
use crate::storage::Options;

struct Bed {
    tokens: Tokens,
    driver: DrivenClock,
    dir: tempfile::TempDir,
}

fn bed() -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let driver = DrivenClock::at(Millis(1_000_000));
    let clock = Clock::driven(&driver);
    let storage = Storage::open(&dir.path().join("data"), Options::default(), clock.clone());
    Bed { tokens: Tokens::load(storage.unwrap(), clock).unwrap(), driver, dir }
}

fn reader(name: &str) -> NewToken {
    let (namespaces, prefixes) = (["orders".to_owned()].into(), BTreeSet::new());
    let name = name.to_owned();
    let (expiry, expires_in_ms) = (None, None);
    NewToken { name, role: Role::Read, namespaces, prefixes, expiry, expires_in_ms }
}

#[tokio::test]
async fn a_token_is_valid_from_its_making_to_its_revoking_over_restarts() {
    let bed = bed();
    let (listed, secret) = bed.tokens.create(reader("billing"), "a test").await.unwrap();
    let principal = bed.tokens.judge(secret.as_bytes()).unwrap();
    assert_eq!((&*principal.name, principal.scope.role), ("billing", Role::Read));
    assert_eq!(bed.tokens.list(), std::slice::from_ref(&listed));
    let Bed { tokens, dir: _dir, .. } = reopened(bed);
    assert_eq!(tokens.judge(secret.as_bytes()), Some(principal));
    tokens.revoke(&listed.id, "a test").await.unwrap();
    assert_eq!(tokens.judge(secret.as_bytes()), None);
    assert_eq!(tokens.revoke(&listed.id, "a test").await, Err(TokenError::Unknown));
    assert_eq!(Tokens::load(tokens.storage.clone(), tokens.clock.clone()).unwrap().list(), []);
}

/// The same tokens after a restart.
fn reopened(bed: Bed) -> Bed {
    let Bed { tokens, driver, dir } = bed;
    tokens.storage.close();
    drop(tokens);
    let clock = Clock::driven(&driver);
    let storage = Storage::open(&dir.path().join("data"), Options::default(), clock.clone());
    Bed { tokens: Tokens::load(storage.unwrap(), clock).unwrap(), driver, dir }
}

/// Holds the writer up until what is returned is dropped.
fn hold_up(storage: &Storage) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let wait = move |_| {
        begins.send(()).unwrap();
        let _ = released.recv();
    };
    storage.write_system_row(SystemTable::Tokens, "nothing".to_owned(), None, wait).unwrap();
    begun.recv().unwrap();
    release
}

/// Writes a row, whatever it says, and tells whether it was there.
async fn write(
    storage: &Storage,
    id: &str,
    content: Option<Bytes>,
) -> Result<bool, storage::Error> {
    let (sender, existed) = oneshot::channel();
    let then = |existed| sender.send(existed).unwrap();
    storage.write_system_row(SystemTable::Tokens, id.to_owned(), content, then)?;
    existed.await.unwrap()
}

/// Begins something, and goes away.
fn begin<T>(future: impl Future<Output = T>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(future).poll(&mut context).is_pending());
}

#[tokio::test]
async fn a_revocation_is_finished_although_its_asker_has_gone() {
    let bed = bed();
    let (listed, secret) = bed.tokens.create(reader("a"), "a test").await.unwrap();
    let held_up = hold_up(&bed.tokens.storage);
    begin(bed.tokens.revoke(&listed.id, "a test"));
    // What is not on disk is not so in memory either.
    assert!(bed.tokens.judge(secret.as_bytes()).is_some());
    drop(held_up);
    bed.tokens.storage.close();
    assert!(bed.tokens.judge(secret.as_bytes()).is_none());
    let bed = reopened(bed);
    assert!(bed.tokens.judge(secret.as_bytes()).is_none());
    assert_eq!(bed.tokens.list(), []);
}

#[tokio::test]
async fn a_token_whose_asker_has_gone_is_made_and_listed() {
    let bed = bed();
    let held_up = hold_up(&bed.tokens.storage);
    begin(bed.tokens.create(reader("a"), "a test"));
    assert_eq!(bed.tokens.list(), []);
    drop(held_up);
    bed.tokens.storage.close();
    let listed = bed.tokens.list();
    assert_eq!(listed.len(), 1);
    assert_eq!(reopened(bed).tokens.list(), listed);
}

#[tokio::test]
async fn what_the_store_refuses_changes_nothing() {
    let bed = bed();
    let (listed, secret) = bed.tokens.create(reader("a"), "a test").await.unwrap();
    bed.tokens.storage.close();
    for refused in [
        bed.tokens.revoke(&listed.id, "a test").await,
        bed.tokens.create(reader("b"), "a test").await.map(drop),
    ] {
        let unavailable = storage::Error::Unavailable("the store is closed");
        assert_eq!(refused, Err(TokenError::Storage(unavailable)));
    }
    assert!(bed.tokens.judge(secret.as_bytes()).is_some());
    assert_eq!(bed.tokens.list(), std::slice::from_ref(&listed));
    assert_eq!(reopened(bed).tokens.list(), [listed]);
}

#[tokio::test]
async fn of_two_that_ask_at_once_for_the_last_place_one_gets_it() {
    let Bed { tokens, dir: _dir, .. } = bed();
    let (storage, clock) = (tokens.storage.clone(), tokens.clock.clone());
    let tokens = Tokens::load_up_to(1, storage, clock).unwrap();
    let (a, b) =
        tokio::join!(tokens.create(reader("a"), "a test"), tokens.create(reader("b"), "a test"));
    let (listed, _) = a.unwrap();
    assert!(matches!(b, Err(TokenError::Invalid(_))));
    tokens.revoke(&listed.id, "a test").await.unwrap();
    tokens.create(reader("c"), "a test").await.unwrap();
}

#[tokio::test]
async fn two_that_revoke_a_token_at_once_revoke_it_once() {
    let Bed { tokens, dir: _dir, .. } = bed();
    let (listed, _) = tokens.create(reader("a"), "a test").await.unwrap();
    let (first, second) =
        tokio::join!(tokens.revoke(&listed.id, "a test"), tokens.revoke(&listed.id, "a test"));
    assert_eq!((first, second), (Ok(()), Err(TokenError::Unknown)));
}

#[tokio::test]
async fn a_token_that_is_not_there_is_unknown_without_a_commit() {
    let Bed { tokens, dir: _dir, .. } = bed();
    let commits = tokens.storage.activity().commits.count();
    for id in ["", "0123456789abcdef", &"i".repeat(300), "a\nb"] {
        assert_eq!(tokens.revoke(id, "a test").await, Err(TokenError::Unknown), "{id}");
    }
    // Nor does the store commit what changes nothing, whoever asks for it.
    assert_eq!(write(&tokens.storage, "absent", None).await, Ok(false));
    assert_eq!(tokens.storage.activity().commits.count(), commits);
}

#[tokio::test]
async fn a_row_that_is_not_understood_is_no_token_and_can_be_revoked() {
    let bed = bed();
    let content = Some(Bytes::from_static(b"nonsense"));
    assert_eq!(write(&bed.tokens.storage, "strange", content).await, Ok(false));
    let bed = reopened(bed);
    assert_eq!(bed.tokens.list(), []);
    bed.tokens.revoke("strange", "a test").await.unwrap();
    assert_eq!(bed.tokens.storage.system_rows(SystemTable::Tokens), Ok(SystemRows::default()));
}

#[tokio::test]
async fn a_time_to_live_is_counted_by_the_store_s_clock() {
    let Bed { tokens, driver, dir: _dir } = bed();
    // A clock that was set back: the store goes on from where it was.
    driver.step_wall_to(Millis(5));
    let token = NewToken { expires_in_ms: Some(500), ..reader("short") };
    let (listed, secret) = tokens.create(token, "a test").await.unwrap();
    assert_eq!(listed.token.expiry, Some(1_000_500));
    assert_eq!(listed.token.expires_in_ms, None);
    driver.advance(499);
    assert!(tokens.judge(secret.as_bytes()).is_some());
    driver.advance(1);
    assert!(tokens.judge(secret.as_bytes()).is_none());
}

#[tokio::test]
async fn a_token_ends_at_its_very_millisecond() {
    let Bed { tokens, driver, dir: _dir } = bed();
    let token = NewToken { expiry: Some(1_000_500), ..reader("short") };
    let (_, secret) = tokens.create(token, "a test").await.unwrap();
    driver.advance(499);
    assert!(tokens.judge(secret.as_bytes()).is_some());
    driver.advance(1);
    assert!(tokens.judge(secret.as_bytes()).is_none());
}

#[tokio::test]
async fn what_is_close_to_a_token_is_not_valid() {
    let Bed { tokens, dir: _dir, .. } = bed();
    let (_, secret) = tokens.create(reader("a"), "a test").await.unwrap();
    let (_, other) = tokens.create(reader("b"), "a test").await.unwrap();
    let at = MARK.len() + 1 + 2 * ID_BYTES;
    for close in [
        &secret[..secret.len() - 1],
        &format!("{secret}a"),
        &format!("{}{}", &secret[..at], &other[at..]),
        &secret.to_uppercase(),
        "larder_",
        "larder",
        "",
    ] {
        assert!(tokens.judge(close.as_bytes()).is_none(), "{close}");
    }
}

#[tokio::test]
async fn the_data_file_holds_no_secret() {
    let Bed { tokens, dir, .. } = bed();
    let (listed, secret) = tokens.create(reader("a"), "a test").await.unwrap();
    let file = std::fs::read(dir.path().join("data/data.mdb")).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds(&listed.id) && !holds(&secret[secret.len() - 43..]));
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_reason() {
    let Bed { tokens, dir: _dir, .. } = bed();
    let scope = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    for (token, reason) in [
        (reader(""), "name"),
        (reader("a b"), "name"),
        (reader("admin"), "admin token"),
        (NewToken { namespaces: scope(&[""]), ..reader("a") }, "1 to 256 bytes"),
        (NewToken { role: Role::Admin, ..reader("a") }, "leave namespaces"),
        (NewToken { expiry: Some(1_000_000), ..reader("a") }, "is over"),
        (NewToken { expires_in_ms: Some(0), ..reader("a") }, "from 1"),
        (NewToken { expires_in_ms: Some(u64::MAX), ..reader("a") }, "the year 9999"),
        (
            NewToken { expiry: Some(2_000_000), expires_in_ms: Some(1), ..reader("a") },
            "has one of them",
        ),
        (NewToken { prefixes: scope(&[&"p".repeat(257)]), ..reader("a") }, "1 to 256 bytes"),
        (NewToken { prefixes: scope(&["a\x1b[2J"]), ..reader("a") }, "control characters"),
    ] {
        let error = tokens.create(token, "a test").await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
