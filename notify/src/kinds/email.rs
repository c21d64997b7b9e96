//! Mail: text and HTML, once, to all whom the server takes: one that does not exist keeps nobody else from it. What a
//! server says is bounded before lettre reads it.

use super::http;
use crate::config::{Email, Encryption, Place};
use crate::content::Content;
use crate::escape::{Markup, escape};
use crate::failure::{Failure, Sent, words};
use crate::fit::Limit;
use crate::means::Means;
use lettre::address::Address;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(super) const LIMIT: Limit = Limit::Bytes(128 * 1024);
/// A connection may take so long; answers are bounded by the time of all together.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that a server may say in one connection, a certificate included.
const SAID: usize = 256 * 1024;

/// Reads an address, with or without a name.
pub(crate) fn mailbox(key: &str, text: &str) -> Result<Mailbox, String> {
    let shown = cmdr_protocol::display::clean_to_width(text, 60);
    text.parse()
        .map_err(|e| format!("{key}: '{shown}' is no address such as name@example.com: {e}"))
}

pub(super) async fn send(
    place: &Place,
    to: &Email,
    content: &Content,
    means: &dyn Means,
) -> Result<Sent, Failure> {
    let (title, text) = super::texts(place, content).map_err(super::wrong)?;
    let html = super::body(place, content, Markup::Html, LIMIT).map_err(super::wrong)?;
    let message = message(to, content, &title, text, &html).map_err(Failure::never)?;
    let from = mailbox("from", &to.from).map_err(Failure::never)?.email;
    let login = match (&to.user, &to.password) {
        (Some(user), Some(name)) => {
            let password = http::secret(means, name)?;
            Some(Credentials::new(user.clone(), password.value().to_owned()))
        }
        _ => None,
    };
    let mut connection = connect(to, means).await?;
    let server = Server { host: &to.host };
    if let Some(login) = &login {
        let how = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&how, login).await.map_err(|e| server.said("logging in", &e))?;
    }
    let done = transaction(&mut connection, &server, &from, to, &message).await;
    connection.quit().await.ok();
    done
}

/// One mail to all who are taken: the rest is told. When nobody is, it is not sent.
async fn transaction(
    connection: &mut AsyncSmtpConnection,
    server: &Server<'_>,
    from: &Address,
    to: &Email,
    message: &[u8],
) -> Result<Sent, Failure> {
    let begun = connection.command(Mail::new(Some(from.clone()), Vec::new())).await;
    begun.map_err(|e| server.said(&format!("mail from {from}"), &e))?;
    let (mut taken, mut refused, mut worst) = (0, Vec::new(), None);
    for recipient in &to.to {
        let address = mailbox("to", recipient).map_err(Failure::never)?.email;
        match connection.command(Rcpt::new(address, Vec::new())).await {
            Ok(_) => taken += 1,
            Err(e) => {
                let failure = server.said(&format!("mail to {recipient}"), &e);
                if e.status().is_none() {
                    return Err(failure); // it is no answer: the connection is gone
                }
                refused.push(failure.what().to_owned());
                // One that may be taken later makes another try worth it.
                if worst.is_none() || matches!(failure, Failure::Later { .. }) {
                    worst = Some(failure);
                }
            }
        }
    }
    if let (0, Some(failure)) = (taken, worst) {
        return Err(failure);
    }
    connection.command(Data).await.map_err(|e| server.said("the mail", &e))?;
    connection.message(message).await.map_err(|e| server.said("the mail", &e))?;
    Ok(Sent { pause: Duration::ZERO, refused })
}

fn message(
    to: &Email,
    content: &Content,
    title: &str,
    text: String,
    html: &str,
) -> Result<Vec<u8>, String> {
    let from = mailbox("from", &to.from)?;
    let all: Result<Vec<Mailbox>, String> = to.to.iter().map(|to| mailbox("to", to)).collect();
    let all: Mailboxes = all?.into_iter().collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let id: String = content.id.chars().filter(|c| plain(*c)).take(100).collect();
    let id = format!("<{id}@{}>", from.email.domain());
    let html = format!(
        "<html><body><h3>{}</h3><pre style=\"font-family: sans-serif; white-space: pre-wrap\">{html}</pre></body></html>",
        escape(title, Markup::Html)
    );
    let parts = MultiPart::alternative()
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(html));
    lettre::Message::builder()
        .from(from)
        .mailbox(lettre::message::header::To::from(all))
        .subject(title)
        // The same for each try: who gets it twice sees it once.
        .message_id(Some(id))
        .multipart(parts)
        .map(|message| message.formatted())
        .map_err(|e| format!("writing the mail: {e}"))
}

struct Server<'a> {
    host: &'a str,
}

impl Server<'_> {
    /// What lettre or the server says went wrong.
    fn said(&self, doing: &str, error: &Error) -> Failure {
        use std::error::Error as _;
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_told = inner.to_string();
            if !told.contains(&inner_told) {
                told = format!("{told}: {inner_told}");
            }
            cause = inner.source();
        }
        let what = format!("{}: {doing}{}", self.host, words(&told, &[]));
        if error.is_permanent() || error.is_client() {
            Failure::never(what)
        } else {
            Failure::later(what)
        }
    }

    fn failed(&self, doing: &str, why: impl std::fmt::Display) -> Failure {
        Failure::later(format!("{}: {doing}: {why}", self.host))
    }
}

/// Connects and, where it is so configured, encrypts.
async fn connect(to: &Email, means: &dyn Means) -> Result<AsyncSmtpConnection, Failure> {
    let server = Server { host: &to.host };
    let port = to.port.unwrap_or(match to.encryption {
        Encryption::Starttls => 587,
        Encryption::Tls => 465,
        Encryption::None => 25,
    });
    let address = means.mail_server(&to.host, port).await.map_err(Failure::later)?;
    let tcp = tokio::time::timeout(CONNECT, TcpStream::connect(address))
        .await
        .map_err(|_| server.failed("connecting", "no answer within 10 s"))?
        .map_err(|e| server.failed("connecting", e))?;
    let hello = ClientId::default();
    let authorities = means.authorities();
    if to.encryption == Encryption::Tls {
        let config = tls(authorities.as_deref()).map_err(Failure::never)?;
        let name = ServerName::try_from(to.host.clone())
            .map_err(|_| Failure::never(format!("{} cannot prove a certificate", to.host)))?;
        let tls = TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|e| server.failed("TLS", e))?;
        let stream = Bounded { inner: tls, peer: address, left: SAID };
        return AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello)
            .await
            .map_err(|e| server.said("greeting", &e));
    }
    let stream = Bounded { inner: tcp, peer: address, left: SAID };
    let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello)
        .await
        .map_err(|e| server.said("greeting", &e))?;
    if to.encryption == Encryption::Starttls {
        if !connection.can_starttls() {
            let what = "it does not offer STARTTLS; nothing is sent in the clear";
            return Err(Failure::never(format!("{}: {what}", to.host)));
        }
        let tls = parameters(&to.host, authorities.as_deref()).map_err(Failure::never)?;
        connection.starttls(tls, &hello).await.map_err(|e| server.said("STARTTLS", &e))?;
    }
    Ok(connection)
}

/// Whom servers have to prove themselves by: these certificates alone, or what the system trusts.
fn tls(authorities: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?;
    let config = if let Some(pem) = authorities {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("the certificates for mail: {e}"))?;
            roots.add(certificate).map_err(|e| format!("the certificates for mail: {e}"))?;
        }
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let builder = builder.with_platform_verifier().map_err(|e| format!("TLS: {e}"))?;
        builder.with_no_client_auth()
    };
    Ok(Arc::new(config))
}

/// The same in the words of lettre.
fn parameters(host: &str, authorities: Option<&[u8]>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = authorities {
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("the certificates for mail: {e}"))?;
            let certificate = Certificate::from_der(certificate.to_vec())
                .map_err(|e| format!("the certificates for mail: {e}"))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|e| format!("TLS: {e}"))
}

/// A stream of which only so much is read: a server that never ends a line takes no memory.
#[derive(Debug)]
struct Bounded<S> {
    inner: S,
    peer: SocketAddr,
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let what = "the server said more than 256 KiB";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        let mut part = buffer.take(self.left);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let read = part.filled().len();
        if matches!(polled, Poll::Ready(Ok(()))) {
            // `take` shares the memory with `buffer`, which does not know yet that it is filled.
            let bytes = part.filled().to_vec();
            buffer.put_slice(&bytes);
            self.left -= read;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream
    for Bounded<S>
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
