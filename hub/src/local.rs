//! Reaches the hub of a data folder from the same machine: through a link when it runs, directly
//! when it does not. Whoever may read the hub's key file may do this.

use crate::audit;
use crate::config::Config;
use crate::data::{self, DataDir, InUse};
use crate::server::{Hub, VERSION};
use crate::store::Store;
use crate::vault::Vault;
use anyhow::Context as _;
use cmdr_link::hubkeys::HubKeys;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::Dialer;
use cmdr_link::{Client, files};
use cmdr_protocol::version::PeerKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The hub of a data folder.
pub enum Local {
    /// It runs; this is a link to it.
    Running(Client),
    /// It does not run; this is its state, held open.
    Stopped(Arc<Hub>, DataDir),
}

/// Reaches it.
pub async fn reach(dir: &Path, address: &str) -> anyhow::Result<Local> {
    match DataDir::open(dir) {
        Ok(data) => {
            let store = Store::open(&data.store())?;
            // Nothing that is done here needs the master key.
            let vault = Vault::locked();
            let (config, audit) = (Config::default(), audit::folder(data.path()));
            let hub = Hub::new(
                data.keys()?,
                store,
                vault,
                &audit,
                config,
                String::new(),
                address.to_owned(),
            )?;
            Ok(Local::Stopped(hub, data))
        }
        Err(e) if e.is::<InUse>() => connect(dir).await.map(Local::Running),
        Err(e) => Err(e),
    }
}

/// Dials the hub that runs in a data folder.
pub async fn connect(dir: &Path) -> anyhow::Result<Client> {
    let key = HubKeys::load(&data::key_path(dir))?.current;
    let path = data::address_path(dir);
    let address = files::read_private(&path, 1024).with_context(|| {
        format!("the hub of {} is starting or stopping: reading {}", dir.display(), path.display())
    })?;
    let address = String::from_utf8(address).context("the hub's address is not text")?;
    let dialer = Dialer {
        target: Target { address, hub: key.public() },
        key,
        kind: PeerKind::Client,
        name: "cmdr-hub".to_owned(),
        version: VERSION,
        capabilities: Vec::new(),
        join: None,
        limits: Limits::default(),
        patience: Duration::from_secs(1),
        from: None,
        dir: None,
    };
    let (client, _) = dialer.connect().await?;
    Ok(client)
}
