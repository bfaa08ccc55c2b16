//! The quinn endpoint: one UDP socket to listen on and dial from, with every limit set by us (R1, R2).

use crate::{Config, Error};
use eport_tls::Tls;
use eport_wire::Class;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// Client configurations by class, and the endpoint.
pub(crate) struct Endpoints {
    pub endpoint: Endpoint,
    clients: [ClientConfig; 2],
}

impl Endpoints {
    pub fn client(&self, class: Class) -> ClientConfig {
        self.clients[class as usize - 1].clone()
    }
}

pub(crate) fn open(config: &Config, tls: &Tls) -> Result<Endpoints, Error> {
    let transport = Arc::new(limits(config)?);
    let server = server(tls, transport.clone())?;
    let clients = [client(tls, Class::Control, transport.clone())?, client(tls, Class::Bulk, transport)?];
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken(config.listen),
        _ => Error::Socket { addr: config.listen, source },
    };
    let socket = UdpSocket::bind(config.listen).map_err(fail)?;
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime))
        .map_err(|source| Error::Socket { addr: config.listen, source })?;
    Ok(Endpoints { endpoint, clients })
}

fn server(tls: &Tls, transport: Arc<TransportConfig>) -> Result<ServerConfig, Error> {
    let crypto = tls.quic_server(&Class::ALL.map(Class::alpn))?;
    let crypto = QuicServerConfig::try_from(crypto).map_err(|_| Error::Limit("initial cipher suite"))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport);
    Ok(config)
}

fn client(tls: &Tls, class: Class, transport: Arc<TransportConfig>) -> Result<ClientConfig, Error> {
    let crypto = tls.quic_client(&[class.alpn()])?;
    let crypto = QuicClientConfig::try_from(crypto).map_err(|_| Error::Limit("initial cipher suite"))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport);
    Ok(config)
}

fn limits(config: &Config) -> Result<TransportConfig, Error> {
    let mut limits = TransportConfig::default();
    limits
        .max_concurrent_bidi_streams(VarInt::from_u32(config.streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(config.streams_max))
        .stream_receive_window(VarInt::from_u32(config.stream_window))
        .receive_window(VarInt::from_u32(config.connection_window))
        .keep_alive_interval(Some(config.keep_alive))
        .max_idle_timeout(Some(
            IdleTimeout::try_from(config.idle_timeout).map_err(|_| Error::Limit("idle_timeout"))?,
        ))
        .datagram_receive_buffer_size(None);
    Ok(limits)
}
