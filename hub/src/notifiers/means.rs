//! What the hub lends for sending: its guarded way out, its secrets, its clock.

use crate::outward::Outward;
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_notify::{Answer, Doing, Means, Request, Secret, Unreachable};
use std::net::SocketAddr;
use std::path::Path;

/// Bytes of a file of certificates.
const PEM: u64 = 1 << 20;

/// Everything that sending needs.
pub(super) struct Lent<'a> {
    pub hub: &'a Hub,
    pub outward: &'a Outward,
    pub ca_file: Option<&'a Path>,
}

impl Means for Lent<'_> {
    fn post(&self, request: Request) -> Doing<'_, Result<Answer, Unreachable>> {
        Box::pin(async move {
            let never = |what: String| Unreachable { what, never: true };
            // Addresses of robots are secrets: not even their server is named.
            let place = self.outward.place(&request.url).map_err(|_| {
                never("the address is none that the hub posts to: it has to be https://, of a public server or one of a network that the hub's configuration allows ([api.callbacks])".to_owned())
            })?;
            let headers: Vec<(&'static str, String)> =
                request.headers.iter().map(|(name, value)| (*name, value.to_string())).collect();
            let answer = self.outward.exchange(&place.hidden(), &headers, request.body).await;
            let answer = answer.map_err(|what| Unreachable { what, never: false })?;
            Ok(Answer { status: answer.status, retry_after: answer.retry_after, body: answer.body })
        })
    }

    fn secret(&self, name: &str) -> Result<Secret, String> {
        let value = self.hub.vault.secret(name, "notifiers").map_err(|e| e.to_string())?;
        let value = value.ok_or_else(|| {
            let name = cmdr_protocol::display::clean_to_width(name, 60);
            format!("there is no secret '{name}'; put it with: cmdr secrets put {name}")
        })?;
        let text = std::str::from_utf8(&value).map_err(|_| "the secret is no text".to_owned())?;
        Ok(Secret::new(text))
    }

    fn mail_server<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(async move { self.outward.server(host, port).await })
    }

    fn authorities(&self) -> Option<Vec<u8>> {
        use std::io::Read as _;
        let mut pem = Vec::new();
        let file = std::fs::File::open(self.ca_file?).ok()?;
        file.take(PEM).read_to_end(&mut pem).ok()?;
        Some(pem)
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }
}
