//! The command line, exactly as typed. What flags mean, together with variables and a configuration
//! file, is `config`'s.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};

use crate::auth::access::Role;
use crate::config::{DataArgs, Settings};
use crate::runtime::COMPILE_COMMAND;

/// A serverless backend in one binary: sandboxed WebAssembly guests over a durable key-value store.
#[derive(Debug, Parser)]
#[command(name = "larder", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the key-value API and the mounted guests over HTTP
    ///
    /// Settings come from, each overruling the one before: defaults, the configuration file,
    /// environment variables, flags. Each has one name in all three: data, LARDER_DATA, --data; an
    /// empty variable is none. Everything is checked before the port is opened. A path that begins
    /// with `~/` counts from HOME.
    ///
    /// Once requests are taken, `listening on http://ADDR` is the first line on standard output;
    /// the log goes to standard error. SIGTERM and SIGINT finish what runs and exit 0; a second
    /// signal exits at once.
    #[command(after_long_help = AFTER_HELP)]
    Serve(Box<Settings>),
    /// Check that the data are sound, beside a server or without one
    ///
    /// Reads every page and every record and compares them with their checksums and with each
    /// other. Exits 0 when nothing is wrong, else 1, with what is wrong on standard output. Changes
    /// nothing, and works on read-only places.
    Check(DataArgs),
    /// Back the data up into one file, beside a server or without one
    ///
    /// The backup holds one commit, with at least every write that was acknowledged before. FILE is
    /// there once it is whole, checked and on disk, and replaces nothing; of a backup that fails or is
    /// killed nothing is left. Needs to read the data and to write FILE.
    ///
    /// While a backup or an export runs, the data file grows with what is written meanwhile.
    Backup {
        /// The file to make; it must not be there
        file: PathBuf,
        /// Which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Restore a backup into a data directory that holds no data
    ///
    /// What is not a whole backup is refused. The version counter moves on by 2^40, so that no
    /// version that was given out after the backup is given out again. As root, what is made becomes
    /// the user's who has the directory.
    Restore {
        /// The backup, which is a file: its end is read first
        file: PathBuf,
        /// Where to.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Write everything as lines of JSON, beside a server or without one
    ///
    /// The form is described in docs/operations.md. A FILE is there once it is whole and on disk, as a
    /// backup is. Needs to read the data, which may be in a read-only place.
    Export {
        /// The file to write, or `-` for standard output; it must not be there
        #[arg(default_value = "-")]
        file: PathBuf,
        /// Leave damaged records out and go on; each is told, and the exit code is 1
        #[arg(long)]
        skip_damaged: bool,
        /// Which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Read what `export` wrote into a data directory that holds no data
    ///
    /// Values and expiries come as they were; each entry gets a new version. As root, what is made
    /// becomes the user's who has the directory.
    Import {
        /// The file to read, or `-` for standard input
        file: PathBuf,
        /// Where to.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Tell how far the data's time is ahead of this machine's clock, and set it back
    ///
    /// Time never falls: after one start with a clock that was ahead, it goes on from there. With
    /// --set-back it goes on from this machine's clock again. What has expired by then is removed, so
    /// that it does not come back; what was given a time to live meanwhile expires that much later.
    Clock {
        /// Set it back; no server may run
        #[arg(long)]
        set_back: bool,
        /// Whose.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Compile a component from standard input; the server runs this for itself
    #[command(name = COMPILE_COMMAND, hide = true)]
    Compile,
    /// Make, list and revoke tokens, beside a server or without one
    ///
    /// A token lets a client do some of what the admin token lets it do: as much as its role says,
    /// in the namespaces and with the keys that it names, until it ends or is revoked. A server that
    /// runs follows at once.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it once; one that cannot be printed is revoked
    Create {
        /// What it is to be.
        #[command(flatten)]
        token: NewTokenArgs,
        /// Whose.
        #[command(flatten)]
        data: DataArgs,
    },
    /// List all tokens, without their secrets; works on read-only places
    List {
        /// Whose.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Revoke a token, at once and for good
    Revoke {
        /// The token's id, as `list` shows it
        id: String,
        /// Whose.
        #[command(flatten)]
        data: DataArgs,
    },
}

/// What a new token is to be.
#[derive(Args, Debug)]
pub struct NewTokenArgs {
    /// What guests and logs call who has it: 1 to 64 visible ASCII characters
    pub name: String,
    /// read: get; write: also set, delete and configure namespaces; admin: everything
    #[arg(long)]
    pub role: Role,
    /// Namespace that it reaches; may be given several times [default: all]
    #[arg(long = "namespace", value_name = "NAME")]
    pub namespaces: Vec<String>,
    /// What keys that it reaches begin with; may be given several times [default: all keys]
    #[arg(long = "prefix", value_name = "PREFIX")]
    pub prefixes: Vec<String>,
    /// When it ends, counted from now, such as 90d or 12h [default: never]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expires_in: Option<Duration>,
    /// When it ends, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "INSTANT", conflicts_with = "expires_in", value_parser = humantime::parse_rfc3339_weak)]
    pub expires_at: Option<SystemTime>,
}

const AFTER_HELP: &str = "\
/livez answers 200 while the process serves, /readyz 200 while it serves writes, else 503 and why;
neither needs a token. /metrics is for Prometheus (see docs/operations.md).

The admin token is LARDER_ADMIN_TOKEN, or `admin_token` in the file, or what stands in
DATA/admin-token; when there is none, one is made and written there, readable by you alone.

Guests are mounted by the configuration file (see docs/mounts.md):

  [[mount]]
  prefix = \"/visits\"
  component = \"visits.wasm\"
  namespaces = { visits = \"write\" }";
