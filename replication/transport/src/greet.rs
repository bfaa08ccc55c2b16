//! The greeting: TLS identity checked again (R5), ALPN class read (R8), hellos exchanged and compared.

use crate::error::GreetError;
use crate::transport::Shared;
use eport_model::NodeId;
use eport_tls::PeerIdentity;
use eport_wire::{Agreed, Class, HELLO_PREFIX_LEN, Hello};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;

/// A connection whose hellos agreed.
pub(crate) struct Greeted {
    pub conn: Connection,
    pub class: Class,
    pub identity: PeerIdentity,
    pub node: NodeId,
    /// Who dialled.
    pub dialer: NodeId,
    pub theirs: Hello,
    pub agreed: Agreed,
}

/// The dialler's half: say hello, hear the answer.
pub(crate) async fn dialled(
    shared: &Shared,
    conn: Connection,
    ours: Hello,
    class: Class,
) -> Result<Greeted, GreetError> {
    let identity = certified(shared, &conn)?;
    if alpn_class(&conn) != Some(class) {
        return Err(GreetError::Class);
    }
    let (mut send, mut recv) = conn.open_bi().await?;
    write_hello(&conn, &mut send, &ours).await?;
    let theirs = read_hello(&conn, &mut recv).await?;
    greeted(shared, conn, class, identity, ours, theirs, true)
}

/// The acceptor's first half: hear the hello. The answer follows once the connection is known to be kept.
pub(crate) async fn heard(shared: &Shared, conn: Connection) -> Result<(Greeted, SendStream), GreetError> {
    let identity = certified(shared, &conn)?;
    let class = alpn_class(&conn).ok_or(GreetError::Class)?;
    let (send, mut recv) = conn.accept_bi().await?;
    let theirs = read_hello(&conn, &mut recv).await?;
    let ours = shared.hello();
    Ok((greeted(shared, conn, class, identity, ours, theirs, false)?, send))
}

/// The acceptor's second half.
pub(crate) async fn answer(
    shared: &Shared,
    conn: &Connection,
    send: &mut SendStream,
    number: u64,
) -> Result<(), GreetError> {
    write_hello(conn, send, &Hello { connection: number, ..shared.hello() }).await
}

fn greeted(
    shared: &Shared,
    conn: Connection,
    class: Class,
    identity: PeerIdentity,
    ours: Hello,
    theirs: Hello,
    by_us: bool,
) -> Result<Greeted, GreetError> {
    let node =
        identity.subject.node().ok_or_else(|| eport_tls::Refused::NotANode(identity.subject.to_string()))?;
    let agreed = ours.agree(&theirs, node)?;
    let dialer = if by_us { shared.config.me } else { node };
    Ok(Greeted { conn, class, identity, node, dialer, theirs, agreed })
}

fn certified(shared: &Shared, conn: &Connection) -> Result<PeerIdentity, GreetError> {
    let chain = conn.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let chain = chain.ok_or(eport_tls::Refused::Missing)?;
    Ok(shared.tls.peer(&chain)?)
}

fn alpn_class(conn: &Connection) -> Option<Class> {
    let data = conn.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Class::from_alpn(&data.protocol?)
}

async fn write_hello(conn: &Connection, send: &mut SendStream, hello: &Hello) -> Result<(), GreetError> {
    send.write_all(&hello.encode()).await.map_err(|e| cut_off(conn, &e))?;
    // Only fails when the peer already stopped the stream; then reading its answer tells why.
    let _ = send.finish();
    Ok(())
}

async fn read_hello(conn: &Connection, recv: &mut RecvStream) -> Result<Hello, GreetError> {
    let mut prefix = [0u8; HELLO_PREFIX_LEN];
    recv.read_exact(&mut prefix).await.map_err(|e| cut_off(conn, &e))?;
    let mut body = vec![0u8; Hello::body_len(&prefix)?];
    recv.read_exact(&mut body).await.map_err(|e| cut_off(conn, &e))?;
    Ok(Hello::decode_body(&body)?)
}

/// A closed connection explains itself better than the stream that it cut off.
fn cut_off(conn: &Connection, error: &dyn std::error::Error) -> GreetError {
    match conn.close_reason() {
        Some(reason) => GreetError::Connection(reason),
        None => GreetError::CutOff(error.to_string()),
    }
}
