//! A certificate is good, and stays so for a while. Whoever else speaks TLS begins here too.

use crate::certificate::{AnyVerifier, judge, span};
use crate::look::{Ended, Fault, Look, shown, since};
use crate::reach::{connect, words};
use cmdr_protocol::probes::{Tls, Verdict};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, DEFAULT_VERSIONS};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Agrees on keys, and judges the certificate. Whoever goes on looks at its problems first.
pub(crate) async fn shake(
    look: &mut Look<'_>,
    stream: TcpStream,
    name: &str,
    authorities: Option<&str>,
) -> Result<TlsStream<TcpStream>, Fault> {
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|_| Fault::Unsaid(format!("'{}' is no name for a certificate", shown(bare))))?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|e| Fault::Unsaid(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyVerifier(provider)))
        .with_no_client_auth();
    let at = look.seen.address.clone();
    look.doing(format!("agreeing on keys with {at}"));
    let begun = Instant::now();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
    look.seen.phases.tls_us = Some(since(begun));
    let stream =
        shaken.map_err(|e| Fault::Down(format!("agreeing on keys with {at}: {}", words(&e))))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let roots = look.roots.of(authorities);
    look.seen.certificate = Some(judge(certificates, &name, &roots, look.means.now_ms()));
    Ok(stream)
}

pub(crate) async fn ask(look: &mut Look<'_>, tls: &Tls) -> Ended {
    let stream = connect(look, &tls.host, tls.port).await?;
    let name = tls.name.as_deref().unwrap_or(&tls.host);
    drop(shake(look, stream, name, tls.authorities.as_deref()).await?);
    let Some(certificate) = &look.seen.certificate else {
        return Err(Fault::Down("it showed no certificate".to_owned()));
    };
    if !certificate.problems.is_empty() {
        return Err(Fault::Down(format!("its certificate: {}", certificate.problems.join("; "))));
    }
    let left = certificate.ends_ms.saturating_sub(look.means.now_ms());
    let said = format!("its certificate ends in {}", span(left));
    if left < tls.least_ms {
        return Err(Fault::Down(format!("{said}; at least {} was asked for", span(tls.least_ms))));
    }
    if left < tls.warn_ms {
        return Ok((Verdict::Warning, said));
    }
    Ok((Verdict::Up, said))
}
