//! A peer with a good certificate that speaks nonsense, over a bare quinn connection.

use crate::kit;

use eport_tls::Tls;
use eport_transport::{CloseCode, Purpose};
use eport_wire::{Hello, header};
use kit::{Federation, LINEAGE, Node, config, id, loopback, until};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use std::sync::Arc;

async fn connect(tls: &Tls, node: &Node, alpn: &[&[u8]]) -> Result<Connection, ConnectionError> {
    let mut endpoint = Endpoint::client(loopback()).unwrap();
    let crypto = QuicClientConfig::try_from(tls.quic_client(alpn).unwrap()).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint.connect(node.transport.local_addr(), &tls.node_server_name(node.id)).unwrap().await
}

/// A connection past its hellos.
async fn greeted(tls: &Tls, node: &Node) -> Connection {
    let conn = connect(tls, node, &[b"eport/1"]).await.unwrap();
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    let hello = Hello { connection: 1, ..Hello::new(LINEAGE, id("sz-a-1"), 1, "test") };
    send.write_all(&hello.encode()).await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(2000).await.unwrap();
    conn
}

async fn closed_with(conn: &Connection) -> Option<CloseCode> {
    match conn.closed().await {
        ConnectionError::ApplicationClosed(close) => CloseCode::from_number(close.error_code.into_inner()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_bad_frame_closes_the_connection_with_its_code_and_reaches_no_handler() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let tls = f.tls("sz-a-1");
    let frame = |n: u64| [&header(Purpose::Raft, n, b"x").unwrap()[..], b"x"].concat();
    let mut long = header(Purpose::Raft, 0, b"").unwrap().to_vec();
    long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut version = frame(0);
    version[2] = 9;
    let mut damaged = frame(0);
    damaged[20] ^= 1;
    let bulk = header(Purpose::Catalog, 0, b"").unwrap().to_vec();
    let bad: [(&str, Vec<u8>); 7] = [
        ("noise", b"GET / HTTP/1.1".to_vec()),
        ("too long", long),
        ("another version", version),
        ("damaged", damaged),
        ("out of turn", frame(1)),
        ("truncated", frame(0)[..10].to_vec()),
        ("of the other class", bulk),
    ];
    for (what, bytes) in bad {
        let conn = greeted(&tls, &a).await;
        let mut stream = conn.open_uni().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.finish().unwrap();
        assert_eq!(closed_with(&conn).await, Some(CloseCode::Malformed), "{what}");
        let conn = greeted(&tls, &a).await;
        let (mut stream, _recv) = conn.open_bi().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.finish().unwrap();
        assert_eq!(closed_with(&conn).await, Some(CloseCode::Malformed), "request {what}");
    }
    assert_eq!(a.seen.messages().len(), 0);
    let conn = greeted(&tls, &a).await;
    let mut stream = conn.open_uni().await.unwrap();
    stream.write_all(&[frame(0), frame(0)].concat()).await.unwrap();
    assert_eq!(closed_with(&conn).await, Some(CloseCode::Malformed), "replayed");
    assert_eq!(a.seen.messages().len(), 1, "the first one counted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_lies_or_is_noise_is_refused() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let tls = f.tls("sz-a-1");
    let honest = Hello::new(LINEAGE, id("sz-a-1"), 1, "test");
    let liar = Hello { node: id("gz-c-1"), ..honest.clone() };
    let future = Hello { version_min: 7, version_max: 9, ..honest.clone() };
    let cases = [
        (liar.encode(), CloseCode::Identity),
        (future.encode(), CloseCode::Version),
        (b"EPHI\xff\xff".to_vec(), CloseCode::Malformed),
        (b"SSH-2.0-x".to_vec(), CloseCode::Malformed),
        (honest.encode()[..9].to_vec(), CloseCode::Malformed),
    ];
    for (bytes, code) in cases {
        let conn = connect(&tls, &a, &[b"eport/1"]).await.unwrap();
        let (mut send, _recv) = conn.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        assert_eq!(closed_with(&conn).await, Some(code));
    }
    assert_eq!(a.seen.events(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_quic_client_without_our_protocol_name_is_refused() {
    let f = Federation::new();
    let a = Node::start(f.tls("gz-a-1"), config("gz-a-1")).await;
    let tls = f.tls("sz-a-1");
    for alpn in [&[][..], &[&b"h3"[..]][..]] {
        let refused = connect(&tls, &a, alpn).await;
        assert!(refused.is_err(), "{alpn:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_says_hello_is_let_go() {
    let f = Federation::new();
    let greeting_timeout = std::time::Duration::from_millis(200);
    let a =
        Node::start(f.tls("gz-a-1"), eport_transport::Config { greeting_timeout, ..config("gz-a-1") }).await;
    let conn = connect(&f.tls("sz-a-1"), &a, &[b"eport/1"]).await.unwrap();
    conn.closed().await;
    until("forgotten", || a.transport.connections_open() == 0).await;
}
