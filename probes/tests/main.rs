//! Probes against real far ends: nginx, sshd, dnsmasq, TLS servers with bad certificates, and ends that misbehave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dns;
mod http;
mod lent;
mod plain;
mod quorum;
mod scripts;
mod servers;
mod text;
mod tls;
