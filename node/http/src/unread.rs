//! A request that is answered before its body was read: the answer says whether the connection goes on.
//!
//! HTTP/1.1 knows the end of a request only by reading it. A server that answers early and then closes leaves a caller that
//! takes the connection for its next request without an answer (RFC 9112 §9.6): so the answer itself says `close`.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, Version};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tower::Service;

/// Bytes of an unread body that are thrown away so that its connection stays, where they have come already.
const THROWN_AWAY: usize = 64 << 10;

/// Where a body goes when its reader lets go of it before the end.
type Left<B> = Arc<Mutex<Option<B>>>;

/// A body that is handed back unless it was read to its end.
struct Lent<B> {
    body: Option<B>,
    left: Left<B>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
    }
}

/// Has the router answer. Where the body was not read to its end and has not come whole either, the answer ends the connection.
pub(crate) async fn answer<B>(mut router: Router, request: Request<B>) -> Result<Response<Body>, Infallible>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    // HTTP/2 ends a stream without ending the connection.
    let ends = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
    if !ends {
        return router.call(request).await;
    }
    let left: Left<B> = Arc::default();
    let lent = left.clone();
    let request = request.map(|body| Body::new(Lent { body: Some(body), left: lent }));
    let mut response = router.call(request).await?;
    let body = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A body that somebody still holds is not at its end.
    if !body.is_some_and(came_whole) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Throws away what has come of a body, without waiting. True when that was the rest of it, and little.
fn came_whole<B: HttpBody<Data = Bytes> + Unpin>(mut body: B) -> bool {
    let mut room = THROWN_AWAY;
    while !body.is_end_stream() {
        let len = match body.frame().now_or_never() {
            Some(None) => return true,
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            None | Some(Some(Err(_))) => return false,
        };
        match room.checked_sub(len) {
            Some(rest) => room = rest,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use axum::routing::post;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A server that reads a body only where the path says so, and the caller's end of a connection to it.
    fn connection() -> DuplexStream {
        let router = Router::new()
            .route("/read", post(|body: Bytes| async move { body.len().to_string() }))
            .route("/unread", post(|| async { (StatusCode::BAD_REQUEST, "no") }));
        let (near, far) = tokio::io::duplex(256 << 10);
        let service = hyper::service::service_fn(move |request| answer(router.clone(), request));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service));
        near
    }

    async fn head(stream: &mut DuplexStream) -> String {
        let mut seen = Vec::new();
        while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
            let byte = stream.read_u8().await.expect("an answer");
            seen.push(byte);
        }
        String::from_utf8(seen).expect("a head").to_lowercase()
    }

    fn request(path: &str, len: usize, body: &[u8]) -> Vec<u8> {
        [format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len}\r\n\r\n").as_bytes(), body]
            .concat()
    }

    #[tokio::test]
    async fn an_answer_before_the_body_says_that_the_connection_ends_and_then_it_ends() {
        let mut stream = connection();
        stream.write_all(&request("/unread", 1 << 20, &[b'x'; 1_000])).await.expect("sent");
        let head = head(&mut stream).await;
        assert!(head.starts_with("http/1.1 400") && head.contains("connection: close"), "{head}");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("the end");
        assert_eq!(rest, b"no");
    }

    #[tokio::test]
    async fn a_small_body_that_has_come_is_thrown_away_and_the_connection_goes_on() {
        let mut stream = connection();
        for (path, status) in
            [("/unread", "http/1.1 400"), ("/read", "http/1.1 200"), ("/unread", "http/1.1 400")]
        {
            stream.write_all(&request(path, 1_000, &[b'x'; 1_000])).await.expect("sent");
            let head = head(&mut stream).await;
            assert!(head.starts_with(status) && !head.contains("connection: close"), "{path}: {head}");
            let mut body = [0; 2];
            if path == "/unread" {
                stream.read_exact(&mut body).await.expect("the answer's body");
            } else {
                stream.read_exact(&mut [0; 4]).await.expect("the answer's body");
            }
        }
    }

    #[tokio::test]
    async fn a_large_body_ends_the_connection_also_when_it_has_come_whole() {
        let mut stream = connection();
        let len = THROWN_AWAY + 1;
        stream.write_all(&request("/unread", len, &vec![b'x'; len])).await.expect("sent");
        let head = head(&mut stream).await;
        assert!(head.starts_with("http/1.1 400") && head.contains("connection: close"), "{head}");
    }

    #[test]
    fn no_more_is_thrown_away_than_is_little() {
        let body = |len: usize| http_body_util::Full::new(Bytes::from(vec![b'x'; len]));
        assert!(came_whole(body(THROWN_AWAY)));
        assert!(!came_whole(body(THROWN_AWAY + 1)));
    }
}
