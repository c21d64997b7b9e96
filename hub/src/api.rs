//! The HTTP interface for other programs: `[api]` in the configuration; off until that says where to listen.
//!
//! It is a way in for programs' keys (`bearer`) and nothing more: every request becomes a call or a feed
//! that goes through [`crate::router`] in this process (`inside`), so rights, the audit log and the
//! services are the same as for links. `listener` accepts connections within bounds, `certificate` proves
//! who the hub is, one file a resource says what can be asked, and [`document`] describes all of it.

mod bearer;
mod body;
mod certificate;
mod commands;
mod configs;
pub mod document;
mod events;
mod files;
mod health;
mod hosts;
mod inside;
mod listener;
mod metrics;
mod ndjson;
mod patience;
mod places;
mod problem;
mod programs;
mod rate;
mod room;
mod runbooks;
mod runs;
mod schedules;
mod settings;
pub mod signing;
mod steps;
mod versions;

pub use listener::Listening;
pub use programs::Programs;
pub(crate) use runs::Run as RunView;
pub use settings::{Callbacks, Limits, Settings};

use crate::server::Hub;
use axum::extract::State;
use cmdr_link::service::Service;
use places::Places;
use rate::Rates;
use std::sync::Arc;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What all requests share.
pub(crate) struct Api {
    hub: Arc<Hub>,
    service: Arc<Service<Hub>>,
    rates: Rates,
    /// Connections of programs that have shown their key.
    places: Places,
    /// Comparisons of hosts with what they shall have.
    drifts: Places,
    /// Bodies on their way.
    bodies: room::Room,
    /// Files on their way.
    spools: files::Spools,
    /// True when the hub stops.
    stopping: watch::Receiver<bool>,
}

impl Api {
    /// Waits until the hub stops.
    async fn stops(&self) {
        // Whoever could say so being gone means the same.
        drop(self.stopping.clone().wait_for(|stopping| *stopping).await);
    }
}

type Shared = State<Arc<Api>>;

/// Everything that can be asked, with its description.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(document::head())
        .routes(routes!(health::health))
        .routes(routes!(document::openapi))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::show, hosts::change, hosts::forget))
        .routes(routes!(hosts::approve))
        .routes(routes!(hosts::reject))
        .routes(routes!(events::follow))
        .routes(routes!(health::version))
        .routes(routes!(metrics::hub))
        .routes(routes!(metrics::fleet))
        .routes(routes!(metrics::history))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::plan))
        .routes(routes!(commands::run))
        .routes(routes!(files::list, files::store))
        .routes(routes!(files::delete))
        .routes(routes!(runs::show, runs::delete))
        .routes(routes!(steps::list))
        .routes(routes!(runs::follow))
        .routes(routes!(runs::output))
        .routes(routes!(runs::stop))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::retry))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::show, schedules::put, schedules::delete))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(runbooks::list))
        .routes(routes!(runbooks::show, runbooks::save, runbooks::delete))
        .routes(routes!(runbooks::versions))
        .routes(routes!(runbooks::restore))
        .routes(routes!(configs::list))
        .routes(routes!(configs::show, configs::save, configs::delete))
        .routes(routes!(configs::versions))
        .routes(routes!(configs::restore))
        .routes(routes!(configs::drift))
        .routes(routes!(configs::push))
}
