//! A file of a table as it comes in: straight to the disk, never into memory.
//!
//! Always: a piece of it is in memory at a time; its options are bounded; where the disk has no room nothing of it stays.

use crate::problem::ApiError;
use crate::state::ApiConfig;
use crate::tables_api::ImportOptions;
use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use eport_model::codes;
use eport_spool::{Filling, Spooled};
use std::io::{ErrorKind, Write};

/// Bytes of the options: a mapping of 256 KiB as JSON, and room for the rest.
const OPTIONS_LEN_MAX: usize = 1 << 20;
/// Bytes that are written at once.
const PIECE_LEN: usize = 1 << 20;

/// Takes the parts of a form.
pub(crate) async fn receive(
    config: &ApiConfig,
    mut form: Multipart,
) -> Result<(ImportOptions, Spooled), ApiError> {
    let (mut options, mut file) = (ImportOptions::default(), None);
    let mut file_name = String::new();
    while let Some(field) = form.next_field().await.map_err(|e| cut_off(&e))? {
        match field.name().unwrap_or_default() {
            "options" => {
                let bytes = small(field).await?;
                options =
                    serde_json::from_slice(&bytes).map_err(|e| ApiError::bad(format!("options: {e}")))?;
            }
            "file" => {
                file_name = field.file_name().unwrap_or_default().to_owned();
                file = Some(spooled(config, field).await?);
            }
            other => return Err(ApiError::bad(format!("part {other:?} is not known; options and file are"))),
        }
    }
    options.request.name_format(&file_name);
    Ok((options, file.ok_or_else(|| ApiError::bad("the part `file` is missing"))?))
}

fn cut_off(error: &MultipartError) -> ApiError {
    match error.status().as_u16() {
        413 => ApiError::new(codes::BODY_TOO_LARGE, error.body_text()),
        _ => ApiError::bad(error.body_text()),
    }
}

async fn small(mut field: Field<'_>) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|e| cut_off(&e))? {
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

async fn spooled(config: &ApiConfig, mut field: Field<'_>) -> Result<Spooled, ApiError> {
    let mut file = config.spool.file().map_err(|e| unkept(&e))?;
    let mut waiting = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|e| cut_off(&e))? {
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
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => codes::DISK_FULL,
        _ => codes::STORAGE_FAILED,
    };
    ApiError::new(code, format!("the file cannot be kept here: {error}"))
}
