//! Backups under a prefix of a bucket, in any store that speaks S3. The format is that of a folder.
//!
//! What always holds: a file is put in one request, so it is whole or absent; credentials are read once and shown nowhere. A
//! store has no lock that dies with its holder: one node writes under one prefix, and a node's prefix is its own.

use crate::Error;
use crate::place::S3Options;
use crate::target::{Target, within};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, PutPayload, path::Path as Key};
use std::any::Any;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Longest credentials file that is read.
const CREDENTIALS_LEN_MAX: u64 = 16 << 10;

/// A prefix of a bucket.
pub struct S3Target {
    store: Arc<AmazonS3>,
    bucket: String,
    prefix: String,
    /// Its own thread: callers block, and some of them on a thread of another runtime.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for S3Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Target(s3://{}/{})", self.bucket, self.prefix)
    }
}

impl Drop for S3Target {
    fn drop(&mut self) {
        // Callers may drop it on a thread of another runtime, where waiting is forbidden.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl S3Target {
    /// A prefix of a bucket. Nothing is asked of the store yet.
    pub(crate) fn open(bucket: &str, prefix: &str, options: &S3Options) -> Result<Self, Error> {
        let fail =
            |source: io::Error| Error::Target { path: format!("s3://{bucket}/{prefix}").into(), source };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_region(options.region.as_deref().unwrap_or("us-east-1"));
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(file) = &options.credentials {
            let (id, secret) = read_credentials(file)?;
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let store = builder.build().map_err(|e| fail(io::Error::other(e)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("s3")
            .build();
        let runtime = Some(runtime.map_err(fail)?);
        Ok(Self { store: Arc::new(store), bucket: bucket.to_owned(), prefix: prefix.to_owned(), runtime })
    }

    fn key(&self, name: &str) -> Key {
        [self.prefix.as_str(), name].iter().flat_map(|p| p.split('/')).filter(|p| !p.is_empty()).collect()
    }

    /// Performs requests on the store's own thread and waits for them.
    fn wait<T, F>(&self, work: impl FnOnce(Arc<AmazonS3>) -> F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let ended = || io::Error::other("the connection to the store has ended");
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        let (tx, rx) = std::sync::mpsc::sync_channel(1);
        let work = work(self.store.clone());
        runtime.spawn(async move {
            // Nobody waits any more only when the caller's thread is gone.
            let _ = tx.send(work.await);
        });
        rx.recv().map_err(|_| ended())?.map_err(|e| match e {
            object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, e),
            e => io::Error::other(e),
        })
    }
}

impl Target for S3Target {
    fn place(&self, name: &str) -> PathBuf {
        format!("s3://{}/{}", self.bucket, self.key(name)).into()
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        let key = self.key("");
        let listed = self.wait(|s| async move { s.list_with_delimiter(Some(&key)).await })?;
        Ok(listed.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect())
    }

    fn files(&self, folder: &str) -> io::Result<Vec<String>> {
        let key = self.key(folder);
        let listed = self.wait(|s| async move { s.list_with_delimiter(Some(&key)).await })?;
        Ok(listed.objects.iter().filter_map(|o| o.location.filename().map(str::to_owned)).collect())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        let key = self.key(name);
        self.wait(|s| async move { s.head(&key).await }).map(|meta| meta.size)
    }

    fn read(&self, name: &str, len_max: u64) -> io::Result<Vec<u8>> {
        let key = self.key(name);
        let bytes = self.wait(move |s| async move {
            let got = s.get(&key).await?;
            // The store's word for the length, before anything is taken into memory.
            if got.meta.size > len_max {
                return Ok(None);
            }
            got.bytes().await.map(Some)
        })?;
        match bytes {
            Some(bytes) => within(bytes.to_vec(), len_max),
            None => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {len_max} bytes")))
            }
        }
    }

    fn write(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        let key = self.key(name);
        self.wait(|s| async move { s.put(&key, PutPayload::from(bytes)).await }).map(|_| ())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let key = self.key(name);
        match self.wait(|s| async move { s.delete(&key).await }) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        self.files(folder)?.iter().try_for_each(|file| self.remove(&format!("{folder}/{file}")))
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(()))
    }
}

/// The two lines of a credentials file that only its owner may read.
fn read_credentials(file: &Path) -> Result<(String, String), Error> {
    let fail = |source: io::Error| Error::File { path: file.to_owned(), source };
    let refuse = |text: &str| fail(io::Error::new(io::ErrorKind::InvalidData, text));
    let meta = std::fs::metadata(file).map_err(fail)?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(refuse("others may read it: mode 0600 is needed"));
    }
    if meta.len() > CREDENTIALS_LEN_MAX {
        return Err(refuse("it is too long for credentials"));
    }
    let text = std::fs::read_to_string(file).map_err(fail)?;
    let value = |wanted: &str| {
        let pairs = text.lines().filter_map(|l| l.split_once('='));
        let mut found =
            pairs.filter(|(k, _)| k.trim() == wanted).map(|(_, v)| v.trim().trim_matches('"').to_owned());
        found.next().filter(|v| !v.is_empty())
    };
    match (value("access_key_id"), value("secret_access_key")) {
        (Some(id), Some(secret)) => Ok((id, secret)),
        _ => Err(refuse("access_key_id and secret_access_key are needed, one a line")),
    }
}
