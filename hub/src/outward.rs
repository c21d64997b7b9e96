//! Requests that the hub makes to places which others name: callbacks of programs, pushes of results.
//!
//! The name is resolved once, every address is judged ([`places`]), and the connection goes to exactly the
//! address that was found right: what the name means a moment later does not matter. No redirect is
//! followed, no proxy asked; time and the answer are bounded.

pub mod places;

use crate::api::Callbacks as Settings;
use crate::login::tls;
use crate::network::Network;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The longest address.
const LONGEST: usize = 2048;
/// Finding out what a name means, and each connection, may take so long.
const CONNECT: Duration = Duration::from_secs(5);
/// Everything together may take so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Addresses of one name that are tried.
const TRIED: usize = 4;
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Makes requests.
#[derive(Debug)]
pub struct Outward {
    networks: Vec<Network>,
    allow_plain: bool,
    tls: Arc<ClientConfig>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`, where it is text.
    pub retry_after: Option<String>,
    /// The body; of one that is too long, nothing.
    pub body: Bytes,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Place {
    uri: Uri,
    host: String,
    port: u16,
    secret: bool,
    /// Where it is is nobody's business.
    hidden: bool,
}

impl Place {
    /// The host and port, to tell one server from another.
    pub fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The same, and in words that people read neither its name nor its addresses stand.
    #[must_use]
    pub fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// The server in words.
    pub fn named(&self) -> String {
        if self.hidden { "the server".to_owned() } else { self.server() }
    }

    /// The host in words.
    fn host_named(&self) -> &str {
        if self.hidden { "its name" } else { &self.host }
    }

    /// What an error says, which may name any server.
    fn said(&self, error: &std::io::Error) -> String {
        if !self.hidden {
            return error.to_string();
        }
        let of_tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        match of_tls {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => "its certificate is for another name".to_owned(),
            _ => error.to_string().replace(&self.host, "the server"),
        }
    }
}

impl Outward {
    /// As configured.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            networks: settings.networks.clone(),
            allow_plain: settings.allow_plain,
            tls: tls::client(settings.ca_file.as_deref())?,
        })
    }

    /// Reads an address and says what is wrong with it, as far as that shows without asking anybody.
    pub fn place(&self, url: &str) -> Result<Place, String> {
        let shown = cmdr_protocol::display::clean_to_width(url, 100);
        let bad = |why: &str| format!("'{shown}' cannot be posted to: {why}");
        if url.len() > LONGEST {
            return Err(bad("it is longer than 2048 bytes"));
        }
        let uri: Uri =
            url.parse().map_err(|_| bad("it is no address such as https://host/path"))?;
        let secret = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.allow_plain => false,
            Some("http") => {
                return Err(bad(
                    "it is not encrypted; use https://, or have it allowed in the hub's configuration ([api.callbacks] allow_plain)",
                ));
            }
            _ => return Err(bad("it begins neither with https:// nor with http://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it has a user name in it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let port = authority.port_u16().unwrap_or(if secret { 443 } else { 80 });
        if let Ok(address) = host.parse::<IpAddr>() {
            self.judge(address).map_err(|why| bad(&why))?;
        }
        Ok(Place { uri, host, port, secret, hidden: false })
    }

    fn judge(&self, address: IpAddr) -> Result<(), String> {
        let address = address.to_canonical();
        let allowed = self.networks.iter().any(|network| network.contains(address));
        match places::public(address) {
            true => Ok(()),
            false if allowed => Ok(()),
            false => Err(format!(
                "{address} is no public address; the hub's configuration can allow its network ([api.callbacks] networks)"
            )),
        }
    }

    /// Posts a body; the status of the answer.
    pub async fn post(
        &self,
        place: &Place,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<u16, String> {
        let to = self.find(place).await?;
        self.post_to(place, &to, headers, body).await
    }

    /// Posts a body; all of the answer.
    pub async fn exchange(
        &self,
        place: &Place,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let to = self.find(place).await?;
        self.exchange_with(place, &to, headers, body).await
    }

    /// The address of a server that is spoken to in another way, where it is right.
    pub async fn server(&self, host: &str, port: u16) -> Result<SocketAddr, String> {
        let host = host.to_owned();
        let place = Place { uri: Uri::default(), host, port, secret: true, hidden: false };
        let found = self.find(&place).await?;
        found.first().copied().ok_or_else(|| format!("{} has no address", place.host))
    }

    /// The same to addresses that were found before.
    pub async fn post_to(
        &self,
        place: &Place,
        to: &[SocketAddr],
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<u16, String> {
        self.exchange_with(place, to, headers, body).await.map(|answer| answer.status)
    }

    async fn exchange_with(
        &self,
        place: &Place,
        to: &[SocketAddr],
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let request = made(place, headers, body)?;
        let posted = timeout(PATIENCE, self.posted(place, to, request)).await;
        posted.unwrap_or_else(|_| {
            Err(format!("{} did not answer within {} s", place.named(), PATIENCE.as_secs()))
        })
    }

    async fn posted(
        &self,
        place: &Place,
        to: &[SocketAddr],
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, String> {
        let tcp = self.connect(place, to).await?;
        if !place.secret {
            return exchange(tcp, request, place).await;
        }
        let name = ServerName::try_from(place.host.clone())
            .map_err(|_| format!("{} cannot prove a certificate", place.named()))?;
        let tls = TlsConnector::from(self.tls.clone())
            .connect(name, tcp)
            .await
            .map_err(|e| format!("TLS with {}: {}", place.named(), place.said(&e)))?;
        exchange(tls, request, place).await
    }

    /// The addresses that are right, of those that its name means now.
    pub async fn find(&self, place: &Place) -> Result<Vec<SocketAddr>, String> {
        let (server, host) = (place.named(), place.host_named());
        let found = timeout(CONNECT, tokio::net::lookup_host((place.host.as_str(), place.port)))
            .await
            .map_err(|_| format!("what {host} means was not found out within 5 s"))?
            .map_err(|e| format!("finding out what {host} means: {}", place.said(&e)))?;
        let mut wrong = format!("{host} has no address");
        let mut right = Vec::new();
        for address in found.take(TRIED) {
            match self.judge(address.ip()) {
                Ok(()) => right.push(address),
                Err(why) => wrong = Self::wrong(place, &server, &why),
            }
        }
        if right.is_empty() { Err(wrong) } else { Ok(right) }
    }

    /// Why an address is not gone to, without it where it is nobody's business.
    fn wrong(place: &Place, server: &str, why: &str) -> String {
        if place.hidden {
            return format!(
                "{server} has no public address; the hub's configuration can allow its network ([api.callbacks] networks)"
            );
        }
        format!("{server}: {why}")
    }

    /// Connects to the first of them that answers.
    async fn connect(&self, place: &Place, to: &[SocketAddr]) -> Result<TcpStream, String> {
        let server = place.named();
        let mut wrong = format!("{server} has no address");
        for address in to {
            // Whoever found it judged it; no other way leads to a connection.
            self.judge(address.ip()).map_err(|why| Self::wrong(place, &server, &why))?;
            let named = if place.hidden { server.clone() } else { format!("{server} ({address})") };
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return same(tcp, *address, &server),
                Ok(Err(e)) => wrong = format!("connecting to {named}: {e}"),
                Err(_) => wrong = format!("connecting to {named}: no answer within 5 s"),
            }
        }
        Err(wrong)
    }
}

/// The connection, when it goes where it was meant to.
fn same(tcp: TcpStream, address: SocketAddr, server: &str) -> Result<TcpStream, String> {
    match tcp.peer_addr() {
        Ok(peer) if peer == address => Ok(tcp),
        _ => Err(format!("the connection to {server} leads elsewhere")),
    }
}

/// What is posted there.
fn made(
    place: &Place,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let path = place.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = place.uri.authority().map_or("", |authority| authority.as_str());
    let agent = HeaderValue::from_static(concat!("cmdr-hub/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, agent);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(body)).map_err(|e| format!("the request cannot be made: {e}"))
}

async fn exchange<S>(io: S, request: Request<Full<Bytes>>, place: &Place) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let said = |e: hyper::Error| format!("posting to {}: {e}", place.named());
    let (mut send, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(16 * 1024)
        .handshake(TokioIo::new(io))
        .await
        .map_err(said)?;
    let exchange = async {
        let answer = send.send_request(request).await.map_err(said)?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        // Read in any case, so that the other end is not cut off in the middle of a sentence.
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(Answer { status, retry_after, body })
    };
    // Beside it, so that a server that hangs up behind its answer is heard; ends with this.
    let mut driving = JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    exchange.await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outward(networks: &[&str], allow_plain: bool) -> Outward {
        let networks = networks.iter().map(|n| Network::parse(n).unwrap()).collect();
        Outward::new(&Settings { networks, allow_plain, ca_file: None }).unwrap()
    }

    #[test]
    fn an_address_is_judged_before_anybody_is_asked() {
        let strict = outward(&[], false);
        let why = |url: &str| strict.place(url).unwrap_err();
        assert!(why("http://example.com/").contains("not encrypted"));
        assert!(why("ftp://example.com/").contains("begins neither"));
        assert!(why("https://user:pass@example.com/").contains("user name"));
        assert!(why("https:///x").contains("cannot be posted to"));
        assert!(why(&format!("https://example.com/{}", "x".repeat(3000))).contains("2048"));
        for private in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.1.2.3:8080/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:127.0.0.1]/",
            "https://[fe80::1]/",
        ] {
            assert!(why(private).contains("no public address"), "{private}");
        }
        assert!(strict.place("https://example.com:8443/hook?x=1").is_ok());
        assert!(outward(&["10.0.0.0/8"], true).place("http://10.1.2.3/").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_refused_however_it_is_written() {
        let strict = outward(&[], true);
        for url in ["http://localhost:1/", "http://2130706433:1/", "http://127.1:1/", "http://0:1/"]
        {
            let Ok(place) = strict.place(url) else { continue };
            let why = strict.post(&place, &[], Bytes::new()).await.unwrap_err();
            assert!(!why.contains("refused"), "nothing was connected to: {url}: {why}");
            assert!(
                why.contains("no public address") || why.contains("finding out"),
                "{url}: {why}"
            );
        }
    }

    /// Neither its host nor its port.
    fn tells_nothing(why: &str, server: &SocketAddr) {
        for secret in [server.ip().to_string(), server.port().to_string(), "localhost".into()] {
            assert!(!why.contains(&secret), "{why}");
        }
        assert!(why.contains("the server") || why.contains("its name"), "{why}");
    }

    #[tokio::test]
    async fn what_goes_wrong_with_a_hidden_place_does_not_tell_where_it_is() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let (strict, open) = (outward(&[], true), outward(&["127.0.0.0/8", "::1/128"], true));
        let url = format!("http://localhost:{}/hook", server.port());
        let why = async |outward: &Outward, url: &str| {
            let place = outward.place(url).unwrap().hidden();
            outward.post(&place, &[], Bytes::new()).await.unwrap_err()
        };
        tells_nothing(&why(&strict, &url).await, &server);
        let nowhere = "http://localhost.invalid:1/";
        assert!(!why(&open, nowhere).await.contains("invalid:"), "what has no address");
        // Hangs up, in the clear and in the middle of TLS.
        let hanging = tokio::spawn(async move {
            loop {
                drop(listener.accept().await.unwrap());
            }
        });
        tells_nothing(&why(&open, &url).await, &server);
        tells_nothing(&why(&open, &url.replace("http:", "https:")).await, &server);
        hanging.abort();
        drop(hanging.await);
        tells_nothing(&why(&open, &url).await, &server);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_nothing_more() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", server.local_addr().unwrap());
        let heard = tokio::spawn(async move {
            let (mut tcp, _) = server.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let n = tcp.read(&mut bytes).await.unwrap();
            let to =
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
            tcp.write_all(to.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        });
        let outward = outward(&["127.0.0.0/8"], true);
        let place = outward.place(&url).unwrap();
        let headers = [("Cmdr-Timestamp", "7".to_owned())];
        let status = outward.post(&place, &headers, Bytes::from_static(b"{}")).await;
        assert_eq!(status, Ok(302));
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("POST /hook HTTP/1.1\r\n"), "{heard}");
        assert!(heard.to_lowercase().contains("cmdr-timestamp: 7"), "{heard}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outward = outward(&["127.0.0.0/8"], true);
        let url = format!("http://{}/", server.local_addr().unwrap());
        let place = outward.place(&url).unwrap();
        let why = outward.post(&place, &[], Bytes::new()).await.unwrap_err();
        assert!(why.contains("within 15 s"), "{why}");
    }
}
