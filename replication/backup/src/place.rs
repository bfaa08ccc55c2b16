//! From what an operator writes to a target: a folder, or `s3://BUCKET/PREFIX`.

use crate::{DirTarget, Error, Target};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a store that speaks S3 is reached. Credentials come from a file, or from `AWS_ACCESS_KEY_ID` and
/// `AWS_SECRET_ACCESS_KEY`; they are in no configuration, status or log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    /// Its address, `https://HOST[:PORT]`; the store of the region without it.
    pub endpoint: Option<String>,
    /// Region name that signatures carry. Default `us-east-1`.
    pub region: Option<String>,
    /// File with the lines `access_key_id = …` and `secret_access_key = …`, mode 0600.
    pub credentials: Option<PathBuf>,
}

/// Bucket and prefix of `s3://BUCKET/PREFIX`; `None` for a folder.
pub fn bucket(place: &str) -> Option<(&str, &str)> {
    let rest = place.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    Some((bucket, prefix.trim_end_matches('/')))
}

/// The target of a place, with a folder below it if one is named.
pub fn open_target(place: &str, below: Option<&str>, s3: &S3Options) -> Result<Arc<dyn Target>, Error> {
    let Some((bucket, prefix)) = bucket(place) else {
        let dir = Path::new(place);
        return Ok(Arc::new(DirTarget::new(&below.map_or_else(|| dir.to_owned(), |b| dir.join(b)))));
    };
    let parts: Vec<&str> = [prefix].into_iter().filter(|p| !p.is_empty()).chain(below).collect();
    open_bucket(bucket, &parts.join("/"), s3)
}

#[cfg(feature = "s3")]
fn open_bucket(bucket: &str, prefix: &str, s3: &S3Options) -> Result<Arc<dyn Target>, Error> {
    Ok(Arc::new(crate::S3Target::open(bucket, prefix, s3)?))
}

#[cfg(not(feature = "s3"))]
fn open_bucket(bucket: &str, prefix: &str, _: &S3Options) -> Result<Arc<dyn Target>, Error> {
    let source = std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "this build does not speak S3; build it with the feature s3",
    );
    Err(Error::Target { path: format!("s3://{bucket}/{prefix}").into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket_with_a_prefix() {
        assert_eq!(bucket("/srv/backup"), None);
        assert_eq!(bucket("s3://eport/gd/a/"), Some(("eport", "gd/a")));
        assert_eq!(bucket("s3://eport"), Some(("eport", "")));
        let dir = open_target("/srv/backup", Some("gz-a-1"), &S3Options::default()).unwrap();
        assert_eq!(dir.place("000001/x"), Path::new("/srv/backup/gz-a-1/000001/x"));
    }
}
