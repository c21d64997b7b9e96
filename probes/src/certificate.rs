//! Certificates that a far end shows: which they are, what is wrong with them. All that is wrong is told, not only the first.

use crate::look::shown;
use cmdr_protocol::probes::Certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Names of one certificate that are told.
const NAMES: usize = 32;
/// What the system trusts is read again after so long.
const FRESH: Duration = Duration::from_hours(1);

/// What chains lead to.
#[derive(Default)]
pub(crate) struct Roots {
    system: Mutex<Option<(Instant, Arc<RootCertStore>)>>,
}

impl Roots {
    /// What the system trusts, or what stands in a PEM text. Why there is none, in words.
    pub(crate) fn of(&self, authorities: Option<&str>) -> Result<Arc<RootCertStore>, String> {
        if let Some(pem) = authorities {
            return told(pem).map(Arc::new);
        }
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roots)) = system.as_ref().filter(|(read, _)| read.elapsed() < FRESH) {
            return Ok(roots.clone());
        }
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_taken, _left) = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(
                "this host trusts no authority at all: install the package ca-certificates there, or tell the probe `authorities`"
                    .to_owned(),
            );
        }
        let roots = Arc::new(roots);
        *system = Some((Instant::now(), roots.clone()));
        Ok(roots)
    }
}

/// The authorities that stand in a PEM text.
pub(crate) fn told(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let one =
            one.map_err(|e| format!("the authorities are no certificates in PEM form: {e}"))?;
        roots.add(one).map_err(|e| format!("one of the authorities is no good: {e}"))?;
    }
    if roots.is_empty() {
        return Err("the authorities are no certificates in PEM form: there is none".to_owned());
    }
    Ok(roots)
}

/// Takes any certificate: it is judged afterwards, so that all about it can be told. That the far end has its key is
/// checked all the same.
#[derive(Debug)]
pub(crate) struct AnyVerifier(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AnyVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What there is to say about the certificates that a far end has shown for a name.
pub(crate) fn judge(
    shown_certs: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    roots: &Result<Arc<RootCertStore>, String>,
    now_ms: u64,
) -> Certificate {
    let mut seen = Certificate { chain: shown_certs.len() as u32, ..Certificate::default() };
    let Some((first, rest)) = shown_certs.split_first() else {
        seen.problems.push("it showed no certificate".to_owned());
        return seen;
    };
    let Ok((_, parsed)) = X509Certificate::from_der(first) else {
        seen.problems.push("its certificate cannot be read".to_owned());
        return seen;
    };
    let validity = parsed.validity();
    let ms = |s: i64| u64::try_from(s).unwrap_or(0).saturating_mul(1000);
    seen.begins_ms = ms(validity.not_before.timestamp());
    seen.ends_ms = ms(validity.not_after.timestamp());
    seen.subject = shown(&parsed.subject().to_string());
    seen.issuer = shown(&parsed.issuer().to_string());
    seen.names = names(&parsed);
    let mut judged_at = now_ms / 1000;
    if now_ms >= seen.ends_ms {
        seen.problems.push(format!("it ended {} ago", span(now_ms - seen.ends_ms)));
        judged_at = (seen.ends_ms / 1000).saturating_sub(1);
    } else if now_ms < seen.begins_ms {
        seen.problems.push(format!("it begins in {}", span(seen.begins_ms - now_ms)));
        judged_at = seen.begins_ms / 1000 + 1;
    }
    let Ok(ours) = ParsedCertificate::try_from(first) else {
        seen.problems.push("its certificate cannot be read".to_owned());
        return seen;
    };
    if verify_server_name(&ours, name).is_err() {
        let names = if seen.names.is_empty() { "no name".into() } else { seen.names.join(", ") };
        seen.problems.push(format!("it is not for {}, but for {names}", name.to_str()));
    }
    match roots {
        Err(why) => seen.problems.push(why.clone()),
        Ok(roots) => {
            let algorithms = ring::default_provider().signature_verification_algorithms.all;
            let at = UnixTime::since_unix_epoch(Duration::from_secs(judged_at));
            let trusted =
                verify_server_cert_signed_by_trust_anchor(&ours, roots, rest, at, algorithms);
            if let Err(e) = trusted {
                let itself = parsed.subject() == parsed.issuer();
                seen.problems.push(chain(&e, itself, rest.len()));
            }
        }
    }
    seen
}

/// Why a chain leads to nobody who is trusted.
fn chain(error: &Error, itself: bool, rest: usize) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) if itself => {
            "it is signed by itself, and not trusted".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) if rest == 0 => {
            "nobody who is trusted has signed it, and it came without certificates in between"
                .to_owned()
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "it names somebody who is trusted, who has not signed it".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its chain leads to nobody who is trusted".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "a certificate of its chain has ended".to_owned(),
        other => format!("its chain does not hold: {}", shown(&other.to_string())),
    }
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = alternative.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(shown(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| std::net::Ipv4Addr::from(b).to_string()),
            16 => {
                <[u8; 16]>::try_from(*bytes).ok().map(|b| std::net::Ipv6Addr::from(b).to_string())
            }
            _ => None,
        },
        _ => None,
    });
    names.take(NAMES).collect()
}

/// How long that is, roughly.
pub(crate) fn span(ms: u64) -> String {
    match ms / 1000 {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} minutes", s / 60),
        s if s < 2 * 86_400 => format!("{} hours", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}
