use std::{error::Error, net::SocketAddr, time::Duration};

use sovd_app::{
    Application, Settings, Shutdown, StartError, init_telemetry,
    migrate::Migrator,
    settings::{Loaded, Sources},
};
use sovd_devstack::Stack;
use tokio::{task::JoinHandle, time::sleep};

use crate::say::{say, step};

/// How often to look whether the server still serves.
const PAUSE: Duration = Duration::from_millis(200);

/// The whole program on servers of its own.
pub(crate) struct Program {
    stack: Stack,
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), StartError>>,
}

impl Program {
    /// Starts the servers, migrates, seeds and serves.
    pub(crate) async fn start(shutdown: Shutdown) -> Result<Self, Box<dyn Error>> {
        step("starting PostgreSQL and Redis");
        let stack = tokio::task::spawn_blocking(Stack::start).await??;
        let settings = settings(&stack)?;
        init_telemetry(&settings.log)?;

        step("migrating and seeding the database");
        let migrator = Migrator::new(&settings);
        migrator
            .wait(Duration::from_secs(settings.database.wait_seconds))
            .await?;
        migrator.up().await?;
        migrator.seed(false).await?;

        step("starting the server");
        let application = build(settings).await?;
        let address = *application
            .addresses()
            .first()
            .ok_or("the server has no address")?;
        let serving = tokio::spawn(application.run(shutdown.clone()));
        Ok(Self {
            stack,
            address,
            shutdown,
            serving,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn database_url(&self) -> &str {
        self.stack.database_url()
    }

    pub(crate) fn redis_url(&self) -> &str {
        self.stack.redis_url()
    }

    /// Waits until somebody asks to stop, or the server ends by itself.
    pub(crate) async fn ended(&mut self) {
        tokio::select! {
            () = self.shutdown.asked() => {}
            () = async { while !self.serving.is_finished() { sleep(PAUSE).await } } => {}
        }
    }

    /// Stops the server, then the servers under it.
    pub(crate) async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.shutdown.stop();
        self.serving.await??;
        Ok(())
    }
}

/// The usual settings, with the servers of `stack` and few log lines.
fn settings(stack: &Stack) -> Result<Settings, Box<dyn Error>> {
    let mut sources = Sources::from_process()?;
    let overrides = [
        ("database.url", stack.database_url()),
        ("redis.url", stack.redis_url()),
    ];
    for (key, value) in overrides {
        sources.overrides.insert(key.to_owned(), value.to_owned());
    }
    if !sources.env.contains_key("LOG_LEVEL") {
        sources
            .overrides
            .insert("log.level".to_owned(), "warn".to_owned());
    }
    let Loaded { settings, .. } = Settings::load(sources)?;
    Ok(settings)
}

/// On the usual port, or on any free one when that is in use.
async fn build(settings: Settings) -> Result<Application, StartError> {
    let mut elsewhere = settings.clone();
    elsewhere.server.port = 0;
    match Application::build(settings).await {
        Err(StartError::Address(error)) => {
            say(&format!("  {error}; taking any free port"));
            Application::build(elsewhere).await
        }
        built => built,
    }
}
