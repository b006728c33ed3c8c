//! The server: opens what the configuration names, serves it, and closes it again. Threads and
//! connections are the workers', what a connection says is the gateway's.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use crate::auth::access::Grants;
use crate::auth::control::Control;
use crate::auth::{Authenticator, Token, Tokens, random_bytes};
use crate::clock::Clock;
use crate::config::{Component, Config, ConfigError, Mount};
use crate::gateway::{
    Calls, Exposure, Gateway, HEALTH_CALLS_MAX, HttpLimits, Origins, Probe, RouteConfig, Worker,
};
use crate::hex;
use crate::net::tls::{Tls, TlsError};
use crate::net::workers::{Serving, Workers};
use crate::process::{durable, open_files};
use crate::runtime::{Compiler, EngineOptions, GuestConfig, LoadError, Runtime};
use crate::storage::{self, OpenError, Operation, QuotaChanges, Storage};

/// The built-in guest, as the build put it into this program.
pub(crate) const BUILTIN_API: &[u8] = include_bytes!(env!("LARDER_API_WASM"));
const TOKEN_BYTES: usize = 32;
/// Threads that read the store and keep a reader's slot: a worker and two beside it, and all others.
const THREADS_A_WORKER: u32 = 3;
const OTHER_READERS: u32 = 256;
const COMMIT_TIME_MAX: Duration = Duration::from_secs(60);
const COMMIT_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why the server could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting turned out wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A guest could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A namespace of a mount could not be made.
    #[error("mount.namespaces.{name:?}: {error}")]
    Namespace {
        /// The namespace.
        name: String,
        /// What the store answered.
        error: storage::Error,
    },
    /// The admin token could not be read or made.
    #[error("admin token {}: {error}", path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// Threads or sockets could not be had.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system answered.
        error: io::Error,
    },
    /// The store failed while serving.
    #[error("the store has failed: {0}; what was being written is in doubt, restart to recover")]
    Failed(String),
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |error| ServeError::System { what, error }
}

/// A server with everything open but its port.
pub struct Server {
    storage: Storage,
    clock: Clock,
    runtime: Runtime,
    routes: Vec<RouteConfig>,
    cors_origins: Origins,
    authenticator: Authenticator,
    limits: HttpLimits,
    metrics: bool,
    workers: Workers,
    shutdown_delay: Duration,
    token_file: Option<PathBuf>,
    tokens: Arc<Tokens>,
    control: Option<Control>,
}

impl Server {
    /// Opens the data directory, loads the guests and makes their namespaces.
    pub fn open(mut config: Config, clock: Clock) -> Result<Self, ServeError> {
        let workers = &mut config.workers;
        workers.connections_max = open_files::fit(workers.connections_max, workers.count);
        // Before the data, so that nothing is touched when it is refused.
        config.workers.tls = config.tls.map(Tls::open).transpose()?;
        let workers = u32::try_from(config.workers.count).unwrap_or(u32::MAX);
        let threads = workers.saturating_mul(THREADS_A_WORKER).saturating_add(OTHER_READERS);
        config.storage.readers_max = config.storage.readers_max.max(threads);
        let storage = Storage::open(&config.data, config.storage, clock.clone())?;
        let tokens = Tokens::load(storage.clone(), clock.clone())
            .map_err(|error| ServeError::Failed(format!("the tokens: {error}")))?;
        let tokens = Arc::new(tokens);
        // Before anybody is told of the server, and before guests are compiled: commands wait for both.
        let control = open_control(&config.data);
        let (token, token_file) = match config.admin_token {
            Some(token) => (token, None),
            None => {
                let path = config.data.join("admin-token");
                let token = read_or_make_token(&path)
                    .map_err(|error| ServeError::Token { path: path.clone(), error })?;
                (token, Some(path))
            }
        };
        make_namespaces(&storage, &config.mounts)?;
        let guests = config
            .mounts
            .iter()
            .map(|mount| guest_config(mount, config.compiler.as_deref()))
            .collect::<Result<Vec<_>, _>>()?;
        let memory = config.mounts.iter().map(|mount| mount.limits.memory_bytes_max).max();
        let health = config.mounts.iter().filter(|mount| !mount.health.is_empty()).count();
        let options = EngineOptions {
            calls_max: config.http.calls_max + HEALTH_CALLS_MAX * health,
            workers: config.workers.count,
            memory_bytes_max: memory.unwrap_or(0),
            guests_bytes_max: config.guests_bytes_max,
        };
        let cache_dir = config.data.join("cache");
        let runtime = Runtime::load(&options, &cache_dir, guests, storage.clone(), clock.clone())?;
        let routes = config.mounts.into_iter().zip(runtime.guests()).map(|(mount, guest)| {
            let Mount { prefix, auth, health, operations, calls_max, cors_origins, .. } = mount;
            let guest = Arc::clone(guest);
            RouteConfig { prefix, auth, health, operations, calls_max, cors_origins, guest }
        });
        Ok(Self {
            routes: routes.collect(),
            cors_origins: config.cors_origins,
            storage,
            clock,
            runtime,
            authenticator: Authenticator::new(token, Arc::clone(&tokens)),
            limits: config.http,
            metrics: config.metrics,
            workers: config.workers,
            shutdown_delay: config.shutdown_delay,
            token_file,
            tokens,
            control,
        })
    }

    /// Where the admin token lies, unless it was given by configuration.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// TLS, to have its certificate read anew; None when plain HTTP is served.
    #[must_use]
    pub fn tls(&self) -> Option<Tls> {
        self.workers.tls.clone()
    }

    /// The store that is served.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Serves until `shutdown` is ready, and for the delay that was set while it is not ready any more;
    /// then finishes what runs, within the drain's limit, and closes the store.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        self.serve_with(listener, shutdown, Runtime::executor).await
    }

    /// The same with something else than instances behind the request path; for benches.
    pub async fn serve_with<C: Calls>(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        calls: impl Fn(&Runtime) -> C + Clone + Send + 'static,
    ) -> Result<(), ServeError> {
        let Self {
            storage,
            clock,
            runtime,
            routes,
            cors_origins,
            authenticator,
            limits,
            metrics,
            workers,
            shutdown_delay,
            tokens,
            control,
            ..
        } = self;
        let control = serve_control(control, tokens);
        let address = listener.local_addr().map_err(system("serve"))?;
        let serving = Arc::<Serving>::default();
        let probe = Probe::new(
            storage.clone(),
            clock,
            Arc::clone(&serving),
            workers.connections_max,
            Arc::clone(runtime.memory()),
            Exposure::at(address.ip(), metrics),
        );
        let gateway = Arc::new(Gateway::new(routes, cors_origins, authenticator, &limits, probe));
        let shutdown = async {
            shutdown.await;
            // Whoever asks whether it is ready hears of it before the port closes.
            serving.stop();
            tokio::time::sleep(shutdown_delay).await;
        };
        let over = async {
            tokio::select! {
                () = shutdown => None,
                failure = storage.failed() => Some(failure),
                () = hung(&storage) => Some("a commit hangs".to_owned()),
            }
        };
        let runtime = Arc::new(runtime);
        let worker = move || Worker::new(Arc::clone(&gateway), calls(&runtime));
        let served = tokio::select! {
            served = workers.serve(listener, worker, over, &serving) => served,
            never = control => match never {},
        };
        if let Some(failure) = served.map_err(system("serve"))? {
            // The writer may hang: nobody waits for it.
            std::mem::forget(storage);
            return Err(ServeError::Failed(failure));
        }
        // On a thread of its own, so that signals are heard while it takes its time.
        let closing = tokio::task::spawn_blocking(move || storage.close());
        if tokio::time::timeout(COMMIT_TIME_MAX, closing).await.is_err() {
            return Err(ServeError::Failed("the last commit hangs".to_owned()));
        }
        Ok(())
    }
}

/// Opens the control socket. Without it the server serves all the same.
fn open_control(data: &Path) -> Option<Control> {
    Control::open(data).inspect_err(no_control).ok()
}

fn no_control(error: &io::Error) {
    tracing::warn!(%error, "there is no control socket: `larder token` cannot reach this server");
}

/// Answers commands; never ends.
async fn serve_control(control: Option<Control>, tokens: Arc<Tokens>) -> Infallible {
    if let Some(control) = control {
        match control.serve(tokens).await {
            Ok(never) => match never {},
            Err(error) => no_control(&error),
        }
    }
    std::future::pending().await
}

/// Ready when a commit has taken longer than any disk that works needs. Nothing can be finished
/// then: the process has to end, so that whoever watches it can act.
async fn hung(storage: &Storage) {
    while storage.writing_for() < COMMIT_TIME_MAX {
        tokio::time::sleep(COMMIT_LOOK_INTERVAL).await;
    }
}

fn guest_config(mount: &Mount, program: Option<&Path>) -> Result<GuestConfig, ServeError> {
    let compiler = match (&mount.component, program) {
        (Component::File(_), Some(program)) => Compiler::Apart(program.to_owned()),
        _ => Compiler::Here,
    };

    Ok(GuestConfig {
        name: mount.name.clone(),
        prefix: mount.prefix.clone(),
        component: mount.component.read(BUILTIN_API)?,
        trusted: matches!(mount.component, Component::BuiltinApi),
        compiler,
        grants: Grants::new(mount.namespaces.clone()),
        limits: mount.limits.clone(),
        priority: mount.priority,
    })
}

/// Makes the namespaces that mounts name and that are not there.
fn make_namespaces(storage: &Storage, mounts: &[Mount]) -> Result<(), ServeError> {
    let names = mounts.iter().flat_map(|mount| mount.namespaces.keys()).filter(|name| *name != "*");
    for name in names {
        let make = || match storage.namespace(name) {
            Err(storage::Error::NoSuchNamespace) => {
                let configure = Operation::Configure(QuotaChanges::default());
                storage.submit(name, vec![configure])?.wait()?;
                Ok(())
            }
            other => other.map(|_| ()),
        };
        make().map_err(|error| ServeError::Namespace { name: name.clone(), error })?;
    }
    Ok(())
}

fn read_or_make_token(path: &Path) -> io::Result<Token> {
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds no token; delete it to have a new one made",
        )
    };
    match fs::read_to_string(path) {
        Ok(secret) => return Token::new(secret.trim()).ok_or_else(invalid),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = hex::encode(&random_bytes::<TOKEN_BYTES>()?);
    // Written beside its place and moved there, so that a crash leaves no half a token.
    let unfinished = path.with_extension("tmp");
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // Whoever has read it finds it again after a power cut.
    if let Some(dir) = path.parent() {
        durable::sync(dir)?;
    }
    Token::new(&secret).ok_or_else(invalid)
}

/// Opens the port, where as many connections wait to be accepted as the system lets wait anywhere
/// (`net.core.somaxconn`). The standard library asks for 128: whoever comes when they wait tries again
/// after a second.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        SockRef::from(&listener).listen(i32::MAX)?;
        Ok(listener)
    };
    listen().map_err(|error: io::Error| {
        let reason = format!("{address}: {error}");
        system("listen on")(io::Error::new(error.kind(), reason))
    })
}
