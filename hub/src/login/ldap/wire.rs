//! One connection to an LDAP server: one question at a time, every answer bounded in size, depth and
//! number. Used by [`super`] alone, which bounds the time.

use super::{Settings, TooMany};
use crate::login::person::words;
use crate::login::tls;
use bytes::BytesMut;
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapDerefAliases, LdapExtendedRequest, LdapFilter, LdapMsg,
    LdapOp, LdapResult, LdapResultCode, LdapSearchRequest, LdapSearchResultEntry, LdapSearchScope,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::codec::{Decoder as _, Encoder as _};
use zeroize::Zeroize as _;

/// Bytes of one message.
const LARGEST: usize = 1 << 20;
/// Depth of one message: that of an entry, with room for controls.
const DEEPEST: usize = 16;
/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// Messages that answer one question.
const MOST_MESSAGES: usize = 4096;
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    codec: LdapCodec,
    buffer: BytesMut,
    id: i32,
}

/// What to look for.
pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    pub(super) scope: LdapSearchScope,
    pub(super) filter: LdapFilter,
    pub(super) attributes: &'a [&'a str],
    /// So many entries, and no more.
    pub(super) most: usize,
}

fn codec() -> LdapCodec {
    LdapCodec::new(Some(LARGEST), Some(DEEPEST))
}

impl Wire {
    /// Dials the server, over TLS as the settings say. The error says what went wrong.
    pub(super) async fn open(settings: &Settings) -> Result<Self, String> {
        let server = &settings.url;
        let tls = (server.tls || settings.start_tls)
            .then(|| tls::client(settings.ca_file.as_deref()))
            .transpose()?;
        let tcp = TcpStream::connect((server.host.as_str(), server.port))
            .await
            .map_err(|e| cmdr_link::files::reason(&e))?;
        let stream: Box<dyn Stream> = Box::new(tcp);
        let mut wire = Self { stream, codec: codec(), buffer: BytesMut::new(), id: 0 };
        let Some(tls) = tls else { return Ok(wire) };
        if settings.start_tls {
            wire.start_tls().await?;
        }
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| format!("'{}' can be on no certificate", server.host))?;
        let stream = TlsConnector::from(tls)
            .connect(name, wire.stream)
            .await
            .map_err(|e| format!("it does not prove who it is: {e}"))?;
        // What came before TLS may come from anybody: nothing of it is kept.
        Ok(Self { stream: Box::new(stream), codec: codec(), buffer: BytesMut::new(), id: 0 })
    }

    async fn start_tls(&mut self) -> Result<(), String> {
        let request = LdapExtendedRequest { name: START_TLS.to_owned(), value: None };
        let id = self.send(LdapOp::ExtendedRequest(request)).await?;
        match self.receive(id).await? {
            LdapOp::ExtendedResponse(answer) if answer.res.code == LdapResultCode::Success => {}
            LdapOp::ExtendedResponse(answer) => {
                return Err(format!("it refuses StartTLS: {}", said(&answer.res)));
            }
            _ => return Err(OTHER.to_owned()),
        }
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err("it sent more than was asked before TLS began".to_owned())
        }
    }

    /// Proves a name by its password.
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<LdapResult, String> {
        // What the library copies of it is not wiped; see docs/security.md.
        let cred = LdapBindCred::Simple(password.to_owned());
        let request = LdapBindRequest { version: 3, dn: dn.to_owned(), cred };
        let id = self.send(LdapOp::BindRequest(request)).await?;
        match self.receive(id).await? {
            LdapOp::BindResponse(answer) => Ok(answer.res),
            _ => Err(OTHER.to_owned()),
        }
    }

    /// Looks for entries. References to other servers are not followed.
    pub(super) async fn search(
        &mut self,
        search: Search<'_>,
        seconds: u64,
    ) -> Result<(Vec<LdapSearchResultEntry>, Result<LdapResult, TooMany>), String> {
        let request = LdapSearchRequest {
            base: search.base.to_owned(),
            scope: search.scope,
            aliases: LdapDerefAliases::Never,
            sizelimit: i32::try_from(search.most).unwrap_or(i32::MAX),
            timelimit: i32::try_from(seconds).unwrap_or(i32::MAX),
            typesonly: false,
            filter: search.filter,
            attrs: search.attributes.iter().map(|&a| a.to_owned()).collect(),
        };
        let id = self.send(LdapOp::SearchRequest(request)).await?;
        let (mut entries, mut bytes, mut many) = (Vec::new(), 0_usize, false);
        for _ in 0..MOST_MESSAGES {
            match self.receive(id).await? {
                LdapOp::SearchResultEntry(entry) => {
                    bytes = bytes.saturating_add(entry.size());
                    many |= entries.len() == search.most || bytes > 8 * LARGEST;
                    if !many {
                        entries.push(entry);
                    }
                }
                LdapOp::SearchResultDone(done)
                    if done.code == LdapResultCode::SizeLimitExceeded =>
                {
                    return Ok((entries, Err(TooMany)));
                }
                LdapOp::SearchResultDone(done) => {
                    return Ok((entries, if many { Err(TooMany) } else { Ok(done) }));
                }
                LdapOp::SearchResultReference(_) | LdapOp::IntermediateResponse(_) => {}
                _ => return Err(OTHER.to_owned()),
            }
        }
        Err(format!("it sent more than {MOST_MESSAGES} answers to one question"))
    }

    /// Says farewell; what comes of it does not matter.
    pub(super) async fn close(mut self) {
        self.send(LdapOp::UnbindRequest).await.ok();
        self.stream.shutdown().await.ok();
    }

    async fn send(&mut self, op: LdapOp) -> Result<i32, String> {
        self.id += 1;
        let mut out = BytesMut::new();
        let message = LdapMsg { msgid: self.id, op, ctrl: Vec::new() };
        self.codec.encode(message, &mut out).map_err(|e| e.to_string())?;
        let sent = self.stream.write_all(&out).await;
        out.as_mut().zeroize();
        sent.map_err(|e| lost(&e))?;
        self.stream.flush().await.map_err(|e| lost(&e))?;
        Ok(self.id)
    }

    async fn receive(&mut self, id: i32) -> Result<LdapOp, String> {
        loop {
            let decoded = self.codec.decode(&mut self.buffer);
            match decoded.map_err(|_| "what it sends is not LDAP, or too large".to_owned())? {
                Some(message) if message.msgid == id => return Ok(message.op),
                Some(LdapMsg { msgid: 0, op: LdapOp::ExtendedResponse(notice), .. }) => {
                    return Err(format!("it hung up: {}", said(&notice.res)));
                }
                Some(_) => return Err(OTHER.to_owned()),
                None => {}
            }
            self.buffer.reserve(PIECE);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err("it hung up".to_owned()),
                Ok(_) => {}
                Err(e) => return Err(lost(&e)),
            }
        }
    }
}

const OTHER: &str = "it answers something else than was asked";

fn lost(error: &std::io::Error) -> String {
    format!("the connection broke: {}", cmdr_link::files::reason(error))
}

/// A result in words.
pub(super) fn said(result: &LdapResult) -> String {
    let text = words(&result.message);
    let code = format!("{:?} ({})", result.code, result.code.clone() as i64);
    if text.is_empty() { code } else { format!("{code}: {text}") }
}
