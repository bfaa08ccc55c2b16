//! Extractors whose refusals are problems like all others.

use crate::problem::ApiError;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use eport_model::codes;
use serde::de::DeserializeOwned;

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::BytesRejection(e)) => Err(too_large(&e)),
            Err(e) => Err(ApiError::bad(e.body_text())),
        }
    }
}

/// A query string.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parsed: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        parsed.map(|q| Self(q.0)).map_err(|e| ApiError::bad(e.body_text()))
    }
}

/// The raw body.
pub struct Raw(pub bytes::Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        bytes::Bytes::from_request(request, state).await.map(Self).map_err(|e| too_large(&e))
    }
}

fn too_large(rejection: &BytesRejection) -> ApiError {
    let mut cause: Option<&dyn std::error::Error> = Some(rejection);
    let mut over = rejection.status().as_u16() == 413;
    while let Some(error) = cause {
        over |= error.is::<http_body_util::LengthLimitError>();
        cause = error.source();
    }
    match over {
        true => ApiError::new(codes::BODY_TOO_LARGE, rejection.body_text()),
        _ => ApiError::bad(rejection.body_text()),
    }
}
