//! A file of a table as it comes in: straight to the disk, never into memory.
//!
//! Always: a piece of it is in memory at a time; its options are bounded; where the disk has no room nothing of it stays.

use crate::problem::ApiError;
use crate::state::ApiConfig;
use crate::tables_api::ImportOptions;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use bytes::Bytes;
use eport_model::codes;
use eport_spool::{Filling, Spooled};
use futures::{Stream, StreamExt};
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of the options: a mapping of 256 KiB as JSON, and room for the rest.
const OPTIONS_LEN_MAX: usize = 1 << 20;
/// Bytes that are written at once.
const PIECE_LEN: usize = 1 << 20;
/// Bytes that may come without a part or a piece of one: more than a connection hands over at once.
const BETWEEN_LEN_MAX: usize = 8 << 20;
/// How long a sender may be silent.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Takes the parts of a form.
pub(crate) async fn receive(
    config: &ApiConfig,
    request: Request,
) -> Result<(ImportOptions, Spooled), ApiError> {
    let since = Arc::new(AtomicUsize::new(0));
    let (parts, body) = request.into_parts();
    let body = Body::from_stream(paced(body.into_data_stream(), since.clone()));
    let form = Multipart::from_request(Request::from_parts(parts, body), &()).await;
    let mut form = form.map_err(|e| ApiError::bad(e.body_text()))?;
    let (mut options, mut file) = (ImportOptions::default(), None);
    let mut file_name = String::new();
    while let Some(field) = in_time(form.next_field()).await? {
        since.store(0, Ordering::Relaxed);
        match field.name().unwrap_or_default() {
            "options" => {
                let bytes = small(field, &since).await?;
                options =
                    serde_json::from_slice(&bytes).map_err(|e| ApiError::bad(format!("options: {e}")))?;
            }
            "file" => {
                file_name = field.file_name().unwrap_or_default().to_owned();
                file = Some(spooled(config, field, &since).await?);
            }
            other => return Err(ApiError::bad(format!("part {other:?} is not known; options and file are"))),
        }
    }
    options.request.name_format(&file_name);
    Ok((options, file.ok_or_else(|| ApiError::bad("the part `file` is missing"))?))
}

/// The bytes of a body, as long as parts come of them: what stands between parts is in memory until it ends.
fn paced<S>(bytes: S, since: Arc<AtomicUsize>) -> impl Stream<Item = Result<Bytes, axum::BoxError>> + Send
where
    S: Stream<Item = Result<Bytes, axum::Error>> + Send + 'static,
{
    bytes.map(move |piece| {
        let piece = piece?;
        let waiting = since.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
        match waiting > BETWEEN_LEN_MAX {
            true => Err(format!("{BETWEEN_LEN_MAX} bytes without the beginning of a part").into()),
            false => Ok(piece),
        }
    })
}

/// What comes next; whoever sends nothing for a minute gives its place to others.
async fn in_time<T>(next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(IDLE_MAX, next).await {
        Ok(next) => next.map_err(|e| cut_off(&e)),
        Err(_) => Err(ApiError::bad(format!("nothing came for {} s", IDLE_MAX.as_secs()))),
    }
}

fn cut_off(error: &MultipartError) -> ApiError {
    match error.status().as_u16() {
        413 => ApiError::new(codes::BODY_TOO_LARGE, error.body_text()),
        _ => ApiError::bad(error.body_text()),
    }
}

async fn small(mut field: Field<'_>, since: &AtomicUsize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        since.store(0, Ordering::Relaxed);
        bytes.extend_from_slice(&piece);
        if bytes.len() > OPTIONS_LEN_MAX {
            return Err(ApiError::new(
                codes::BODY_TOO_LARGE,
                format!("options take at most {OPTIONS_LEN_MAX} bytes"),
            ));
        }
    }
    Ok(bytes)
}

async fn spooled(config: &ApiConfig, mut field: Field<'_>, since: &AtomicUsize) -> Result<Spooled, ApiError> {
    let spool = config.spool.clone();
    let begun = tokio::task::spawn_blocking(move || spool.file()).await;
    let begun = begun.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let mut file = begun.map_err(|e| unkept(&e))?;
    let mut waiting = Vec::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        since.store(0, Ordering::Relaxed);
        waiting.extend_from_slice(&piece);
        if waiting.len() >= PIECE_LEN {
            file = put(file, std::mem::take(&mut waiting)).await?;
        }
    }
    Ok(put(file, waiting).await?.done())
}

/// Writes off the async threads.
async fn put(mut file: Filling, bytes: Vec<u8>) -> Result<Filling, ApiError> {
    let written = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file)).await;
    written.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?.map_err(|e| unkept(&e))
}

fn unkept(error: &std::io::Error) -> ApiError {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => codes::DISK_FULL,
        _ => codes::STORAGE_FAILED,
    };
    ApiError::new(code, format!("the file cannot be kept here: {error}"))
}
