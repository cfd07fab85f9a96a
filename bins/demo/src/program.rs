use std::{error::Error, net::SocketAddr, time::Duration};

use sovd_app::{
    Application, Settings, Shutdown, StartError, init_telemetry, migrate::Migrator,
    settings::Sources,
};
use sovd_devstack::Stack;
use tokio::{task::JoinHandle, time::sleep};

use crate::output::{print, print_step};

/// The interval at which the server is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The complete system on private servers.
pub(crate) struct Program {
    pub(crate) stack: Stack,
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), StartError>>,
}

impl Program {
    /// Starts the servers, migrates, seeds and serves.
    pub(crate) async fn start(shutdown: Shutdown) -> Result<Self, Box<dyn Error>> {
        print_step("starting PostgreSQL and Redis");
        let stack = tokio::task::spawn_blocking(Stack::start).await??;
        let settings = settings(&stack)?;
        init_telemetry(&settings.log)?;

        print_step("migrating and seeding the database");
        let migrator = Migrator::new(&settings);
        migrator.wait(settings.database.start_timeout()).await?;
        migrator.up().await?;
        migrator.seed(false).await?;

        print_step("starting the server");
        let application = build(settings).await?;
        let address = application.addresses().first().copied();
        let address = address.ok_or("the server has no address")?;
        let serving = tokio::spawn(application.run(shutdown.clone()));
        Ok(Self {
            stack,
            address,
            shutdown,
            serving,
        })
    }

    /// Waits for a shutdown signal or the end of the server.
    pub(crate) async fn wait_for_end(&mut self) {
        tokio::select! {
            () = self.shutdown.requested() => {}
            () = async { while !self.serving.is_finished() { sleep(POLL_INTERVAL).await } } => {}
        }
    }

    /// Stops the API server, then PostgreSQL and Redis.
    pub(crate) async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.shutdown.stop();
        self.serving.await??;
        Ok(())
    }
}

/// Loads the settings, with the servers of `stack` and only warnings in the log.
fn settings(stack: &Stack) -> Result<Settings, Box<dyn Error>> {
    let mut sources = Sources::from_process()?;
    let mut set =
        |key: &str, value: &str| sources.overrides.insert(key.to_owned(), value.to_owned());
    set("database.url", stack.database_url());
    set("redis.url", stack.redis_url());
    if !sources.env.contains_key("LOG_LEVEL") {
        set("log.level", "warn");
    }
    Ok(Settings::load(sources)?.settings)
}

/// Binds the configured port, or any free one if that is in use.
async fn build(settings: Settings) -> Result<Application, StartError> {
    let mut on_any_port = settings.clone();
    on_any_port.server.port = 0;
    match Application::build(settings).await {
        Err(StartError::Address(error)) => {
            print(&format!("  {error}; using any free port"));
            Application::build(on_any_port).await
        }
        built => built,
    }
}
