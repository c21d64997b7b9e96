//! What the tests lend, and how they look.

use cmdr_probes::{Means, Prober, Ran};
use cmdr_protocol::probes::{Measured, Probe, Script};
use futures::future::BoxFuture;
use std::net::IpAddr;
use std::time::Duration;

/// The time of day of all tests: in 2030.
pub(crate) const NOW_S: u64 = 1_893_456_000;

/// Goes anywhere but where it is told not to, and has one answer for every program.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) never: Vec<IpAddr>,
    pub(crate) ran: Option<Ran>,
}

impl Means for Lent {
    fn allows(&self, address: IpAddr) -> Result<(), String> {
        if self.never.contains(&address) {
            return Err(format!("the policy of this host lets no probe go to {address}"));
        }
        Ok(())
    }

    fn run<'a>(&'a self, _: &'a Script, _: Duration) -> BoxFuture<'a, Result<Ran, String>> {
        let ran = self.ran.clone().ok_or_else(|| "this host runs no programs".to_owned());
        Box::pin(async move { ran })
    }

    fn now_ms(&self) -> u64 {
        NOW_S * 1000
    }
}

/// Reads a probe's text, without its name, and takes one look.
pub(crate) async fn look(text: &str) -> Measured {
    look_with(Lent::default(), text).await
}

pub(crate) async fn look_with(lent: Lent, text: &str) -> Measured {
    Prober::new(lent).run(&probe(text)).await
}

pub(crate) fn probe(text: &str) -> Probe {
    let text = format!("name: shop\n{text}");
    let read = cmdr_probes::text::read(&text);
    read.unwrap_or_else(|wrong| panic!("{wrong:?} in\n{text}")).probe
}
