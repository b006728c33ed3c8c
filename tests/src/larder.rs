//! One running server: started on a free port with a data directory of its own, stopped and
//! started again at will.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The admin token of every server under test.
pub const TOKEN: &str = "test-token-0123456789";
/// The header that carries it.
pub const BEARER: (&str, &str) = ("authorization", "Bearer test-token-0123456789");

/// How often its log is looked at, and when that ends.
const LOG_INTERVAL: Duration = Duration::from_millis(5);
const LOG_PATIENCE: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Default)]
pub struct Options {
    /// Flags after `serve`, besides those for address and data.
    pub flags: Vec<String>,
    /// The configuration file's text.
    pub config: Option<String>,
    /// Where to listen, if not on a free port of 127.0.0.1.
    pub listen: Option<String>,
    /// Variables, besides the token.
    pub variables: Vec<(String, String)>,
    /// Has it make an admin token of its own, in place of [`TOKEN`].
    pub makes_token: bool,
    /// A program and its arguments that becomes the server's process, when it has made ready.
    pub wrapper: Vec<String>,
}

impl Options {
    /// Only flags.
    #[must_use]
    pub fn flags(flags: &[&str]) -> Self {
        Self { flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Self::default() }
    }

    /// Only a configuration file.
    #[must_use]
    pub fn config(text: impl Into<String>) -> Self {
        Self { config: Some(text.into()), ..Self::default() }
    }
}

/// Where a server's files are.
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Directory::Temporary(dir) => dir.path(),
            Directory::Kept(dir) => dir,
        }
    }
}

/// A server under test. Dropping it kills it.
pub struct Larder {
    dir: Directory,
    options: Options,
    child: Option<Child>,
    /// Kept, so that the server may go on telling things.
    out: Option<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Larder {
    /// Starts a server with everything at its default.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts a server.
    ///
    /// # Panics
    /// When it does not come up; its log is printed.
    #[must_use]
    pub fn start_with(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = ([127, 0, 0, 1], 0).into();
        let dir = Directory::Temporary(dir);
        let mut larder = Self { dir, options, child: None, out: None, address };
        larder.start_again();
        larder
    }

    /// Starts a server whose data are in `dir/data`, which stays.
    ///
    /// # Panics
    /// When it does not come up; its log is printed.
    #[must_use]
    pub fn start_in(dir: &Path, options: Options) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let mut larder =
            Self { dir: Directory::Kept(dir.to_owned()), options, child: None, out: None, address };
        larder.start_again();
        larder
    }

    /// The same, or None when the server refuses to start or ends before it serves.
    ///
    /// # Panics
    /// When the program cannot be run.
    #[must_use]
    pub fn try_start_in(dir: &Path, options: Options) -> Option<Self> {
        let address = ([127, 0, 0, 1], 0).into();
        let mut larder =
            Self { dir: Directory::Kept(dir.to_owned()), options, child: None, out: None, address };
        larder.try_start().is_ok().then_some(larder)
    }

    /// Runs `larder serve` with a configuration that it must refuse, and returns what it says.
    ///
    /// # Panics
    /// When it opens its port after all.
    #[must_use]
    pub fn refused(options: Options) -> String {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut child = command(dir.path(), &options).spawn().expect("the program runs");
        // Ends at once when the program does; a program that serves says so in a line.
        let mut first = String::new();
        let out = child.stdout.take().expect("standard output");
        BufReader::new(out).read_line(&mut first).expect("readable output");
        if !first.is_empty() {
            child.kill().expect("the program is there");
        }
        let output = child.wait_with_output().expect("an exit status");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(first.is_empty(), "the port was opened: {:?}", options.config);
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }

    /// Starts the server again on the same data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        if let Err(first) = self.try_start() {
            panic!("no address in {first:?}; the log: {}", self.log());
        }
    }

    /// Starts the process; what it said when that is not where it listens.
    fn try_start(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let mut child =
            command(self.dir.path(), &self.options).stderr(log).spawn().expect("the program runs");
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("standard output"));
        out.read_line(&mut first).expect("a first line");
        let said = first.trim_end().strip_prefix("listening on ");
        let address = said.and_then(|url| url.split_once("://")).map(|(_, address)| address);
        let Some(address): Option<SocketAddr> = address.and_then(|address| address.parse().ok())
        else {
            child.wait().expect("an exit status");
            return Err(first);
        };
        self.address = address;
        if self.address.ip().is_unspecified() {
            self.address.set_ip([127, 0, 0, 1].into());
        }
        (self.child, self.out) = (Some(child), Some(out));
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's id.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Everything that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let mut log = String::new();
        let read = File::open(self.log_file()).and_then(|mut file| file.read_to_string(&mut log));
        read.expect("a readable log");
        log
    }

    /// Waits until it has logged `text` so many times.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_logged(&self, text: &str, times: usize) {
        let logged = async {
            while self.log().matches(text).count() < times {
                tokio::time::sleep(LOG_INTERVAL).await;
            }
        };
        let told = tokio::time::timeout(LOG_PATIENCE, logged).await;
        told.unwrap_or_else(|_| panic!("{text:?} was never logged {times} times"));
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Kills it as a crash does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Asks it to shut down, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is not running.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running server");
        let pid = Pid::from_child(child);
        kill_process(pid, signal).expect("the signal is delivered");
    }

    /// Its process.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it is not running.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        child.wait().expect("an exit status")
    }

    /// Runs another command of the program in the server's directory, whose data are `data`.
    ///
    /// # Panics
    /// When the program cannot be run.
    #[must_use]
    pub fn tool(&self, arguments: &[&str]) -> Output {
        let mut command = bare_command(self.dir.path(), &program());
        command.args(arguments).stdin(Stdio::null()).output().expect("the program runs")
    }

    /// The directory that holds the server's data directory, log and configuration.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether the process is there.
    pub fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Larder {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A component that the build has made, by the name of its crate.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn guest_file(name: &str) -> PathBuf {
    let path = root().join(format!("target/wasm32-wasip2/guest/{name}.wasm"));
    path.canonicalize()
        .unwrap_or_else(|_| panic!("run `make examples` first: no {}", path.display()))
}

/// A server with the test guest at `/test`, and more lines for its mount. It has one worker, so that
/// all requests find the same pool of instances.
///
/// # Panics
/// When either has not been built.
#[must_use]
pub fn test_guest(lines: &str) -> Larder {
    test_guest_with("workers = 1", lines)
}

/// The same with these settings of the server.
///
/// # Panics
/// When either has not been built.
#[must_use]
pub fn test_guest_with(settings: &str, lines: &str) -> Larder {
    let component = guest_file("larder_test_guest");
    Larder::start_with(Options::config(format!(
        "{settings}\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\n{lines}\n"
    )))
}

/// The built program, as the tests' profile makes it.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn program() -> PathBuf {
    root().join("target/quick/larder").canonicalize().expect("run `make quick` first")
}

/// A program in `dir`, without the settings of whoever runs the tests.
fn bare_command(dir: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

/// Names a control group that every server under test is put into.
const GROUP: &str = "TESTS_CONTROL_GROUP";

/// The wrapper that puts a server into this control group.
#[must_use]
pub fn in_group(group: &Path) -> Vec<String> {
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.display());
    ["sh", "-c", &script].map(str::to_owned).into()
}

/// What becomes the server, if it is not started at once.
fn wrapper(options: &Options) -> Vec<String> {
    match std::env::var(GROUP) {
        Ok(group) if options.wrapper.is_empty() => in_group(Path::new(&group)),
        _ => options.wrapper.clone(),
    }
}

fn command(dir: &Path, options: &Options) -> Command {
    let mut command = match wrapper(options).split_first() {
        None => bare_command(dir, &program()),
        Some((wrapper, arguments)) => {
            let mut command = bare_command(dir, Path::new(wrapper));
            command.args(arguments).arg(program());
            command
        }
    };
    command
        .args(["serve", "--data", "data", "--listen"])
        .arg(options.listen.as_deref().unwrap_or("127.0.0.1:0"))
        .args(&options.flags)
        .env("LARDER_ADMIN_TOKEN", TOKEN)
        .envs(options.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if options.makes_token {
        command.env_remove("LARDER_ADMIN_TOKEN");
    }
    if let Some(config) = &options.config {
        std::fs::write(dir.join("test.toml"), config).expect("a configuration file");
        command.args(["--config", "test.toml"]);
    }
    command
}
