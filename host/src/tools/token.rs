//! `larder token`: makes, lists and revokes tokens, through the server that runs or, without one, in
//! the data directory itself. Owns what is printed; what a token is is `auth`'s.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::common::{data_dir, instant, tell_take_over};
use super::data::{self, TokenRows, ToolError};
use crate::auth::control::{self, Answer, Request};
use crate::auth::{self, Listed, NewToken, Tokens};
use crate::cli::{NewTokenArgs, TokenCommand};
use crate::clock::Clock;
use crate::process::console::say;
use crate::storage::OpenError;

/// Runs a command about tokens.
pub fn run(command: TokenCommand) -> Result<(), Box<dyn Error>> {
    let (data, request) = match command {
        TokenCommand::Create { token, data } => (data, Request::CreateToken(described(token)?)),
        TokenCommand::List { data } => (data, Request::ListTokens),
        TokenCommand::Revoke { id, data } => (data, Request::RevokeToken(id)),
    };
    let dir = data_dir(data)?;
    match ask(&dir, request)? {
        Answer::Created(made, secret) => {
            // The secret alone goes to standard output, so that a script can take it.
            say(format_args!("token {}", told(&made)));
            say(format_args!("this is the only time that it is shown:"));
            show(&format!("{secret}\n")).map_err(|error| unshown(&dir, made.id, &error))?;
        }
        Answer::Tokens(tokens) => {
            let lines: String = tokens.iter().map(|token| told(token) + "\n").collect();
            show(&lines)?;
            if tokens.is_empty() {
                say(format_args!("there are no tokens but the admin token"));
            }
        }
        Answer::Revoked => say(format_args!("the token is revoked")),
        Answer::Refused(why) if control::is_not_understood(&why) => {
            return Err(format!("{why}; restart it with this version of the program").into());
        }
        Answer::Refused(why) => return Err(why.into()),
    }
    Ok(())
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A token whose secret nobody has seen is of no use to anybody: it is taken back.
fn unshown(dir: &Path, id: String, error: &io::Error) -> String {
    match ask(dir, Request::RevokeToken(id.clone())) {
        Ok(Answer::Revoked) => format!("the token could not be shown, and is revoked: {error}"),
        _ => format!("the token could not be shown: {error}; run: larder token revoke {id}"),
    }
}

/// Has the server do it that has the directory; without one it is done here.
fn ask(dir: &Path, request: Request) -> Result<Answer, Box<dyn Error>> {
    // Also judges the format, which the server that runs may be the only one to know.
    let TokenRows { rows, damaged } = data::token_rows(dir)?;
    if data::is_served(dir)? {
        return ask_server(dir, &request);
    }
    if matches!(request, Request::ListTokens) {
        for id in &damaged {
            say(format_args!("larder: left out, its row is damaged: {id}; run: larder check"));
        }
        return Ok(Answer::Tokens(auth::listed(&rows)));
    }
    tell_take_over(dir)?;
    let clock = Clock::system();
    match data::open_alone(dir, clock.clone()) {
        Ok(storage) => {
            let tokens = Tokens::load(storage.clone(), clock)?;
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let answer = runtime.block_on(control::act(request, &tokens));
            storage.close();
            Ok(answer)
        }
        // One has begun meanwhile.
        Err(ToolError::Open(OpenError::InUse(_))) => ask_server(dir, &request),
        Err(error) => Err(error.into()),
    }
}

fn ask_server(dir: &Path, request: &Request) -> Result<Answer, Box<dyn Error>> {
    control::ask(dir, request).map_err(|error| {
        format!("the server that serves {} does not answer: {error}", dir.display()).into()
    })
}

fn described(args: NewTokenArgs) -> Result<NewToken, Box<dyn Error>> {
    let NewTokenArgs { name, role, namespaces, prefixes, expires_in, expires_at } = args;
    let ms = |time: Duration| u64::try_from(time.as_millis());
    let expiry = match expires_at.map(|at| at.duration_since(UNIX_EPOCH)).transpose() {
        Ok(since) => since.map(ms).transpose()?,
        Err(_) => return Err("--expires-at: this is over".into()),
    };
    // Counted by the clock of the store: this one may go otherwise.
    let expires_in_ms = expires_in.map(ms).transpose()?;
    let (namespaces, prefixes) = (namespaces.into_iter().collect(), prefixes.into_iter().collect());
    Ok(NewToken { name, role, namespaces, prefixes, expiry, expires_in_ms })
}

/// One line about a token.
fn told(token: &Listed) -> String {
    let Listed { id, created, token } = token;
    let NewToken { name, role, namespaces, prefixes, expiry, .. } = token;
    let mut line = format!("{id} {name}: {}", role.name());
    let mut limit = |what: &str, words: &BTreeSet<String>| {
        if !words.is_empty() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let _ = write!(line, ", {what} {}", words.join(" "));
        }
    };
    limit("namespaces", namespaces);
    limit("keys that begin with", prefixes);
    let _ = write!(line, ", made {}", instant(*created));
    if let Some(expiry) = expiry {
        let _ = write!(line, ", ends {}", instant(*expiry));
    }
    line
}
