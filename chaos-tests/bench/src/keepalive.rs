//! The leanest client of the HTTP API: one TLS connection, one request at a time, kept alive.
//!
//! Client and node share the processors of one machine, so a heavy client would be measured instead of the node.

use anyhow::{Context, Result, bail};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls::ClientConfig};

/// Longest answer: a batch line takes a few hundred bytes.
const ANSWER_LEN_MAX: usize = 8 << 20;

/// One connection.
pub struct KeepAlive {
    stream: TlsStream<TcpStream>,
    host: String,
    buffer: Vec<u8>,
}

impl KeepAlive {
    /// Connects to `https://host:port`.
    pub async fn connect(api: &str, tls: Arc<ClientConfig>) -> Result<Self> {
        let host = api.strip_prefix("https://").context("an https address")?.to_owned();
        let stream = TcpStream::connect(&host).await.with_context(|| host.clone())?;
        stream.set_nodelay(true)?;
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_owned();
        let stream = TlsConnector::from(tls).connect(ServerName::try_from(name)?, stream).await?;
        Ok(Self { stream, host, buffer: Vec::new() })
    }

    /// Posts a body; the answer's status and body.
    pub async fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<(u16, &[u8])> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let (status, begin, len) = loop {
            self.fill().await?;
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() < begin + len {
            self.fill().await?;
        }
        Ok((status, &self.buffer[begin..begin + len]))
    }

    /// Waits until the node ends the connection.
    pub async fn closed(&mut self) -> Result<()> {
        let mut rest = [0; 256];
        // An end without a farewell is an end, too.
        while self.stream.read(&mut rest).await.unwrap_or(0) > 0 {}
        Ok(())
    }

    /// True when the node ends the connection at once: TLS 1.3 tells a client of a refused certificate only after its handshake.
    pub async fn closed_soon(&mut self) -> bool {
        tokio::time::timeout(std::time::Duration::from_secs(2), self.closed()).await.is_ok()
    }

    async fn fill(&mut self) -> Result<()> {
        if self.buffer.len() > ANSWER_LEN_MAX {
            bail!("the answer is longer than {ANSWER_LEN_MAX} bytes");
        }
        self.buffer.reserve(16 << 10);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the node closed the connection");
        }
        Ok(())
    }
}

/// Status, begin and length of the body, once the head is there.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let status = text.split(' ').nth(1).context("a status")?.parse()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(Some((status, end + 4, length.context("an answer with a content-length")?.parse()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head(&answer[..30]).unwrap(), None);
        assert_eq!(head(answer).unwrap(), Some((201, answer.len() - 2, 2)));
    }
}
