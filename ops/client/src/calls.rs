//! The calls of the API that need more than a path: documents, table files, pages, moves.

use crate::http::{Body, Call, decode};
use crate::{Client, Error, Repeat};
use bytes::Bytes;
use eport_signature::Statement;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Most pages that a list is followed for; a page holds up to 1 000 items.
const PAGES_MAX: usize = 10_000;

/// How long a move that is done may lack the length of its pause.
const PAUSE_KNOWN: Duration = Duration::from_secs(2);

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub enum FileContent {
    /// In memory.
    Memory(Bytes),
    /// On the disk; read while it is sent.
    OnDisk(PathBuf),
}

impl From<&'static [u8]> for FileContent {
    fn from(bytes: &'static [u8]) -> Self {
        FileContent::Memory(bytes.into())
    }
}

impl From<Vec<u8>> for FileContent {
    fn from(bytes: Vec<u8>) -> Self {
        FileContent::Memory(bytes.into())
    }
}

/// A table file with the options of its import.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// File name, for the report.
    pub file_name: String,
    /// The bytes as they are on disk; the server decodes them by the declared encoding.
    pub content: FileContent,
    /// Options as the API takes them.
    pub options: Value,
}

impl TableFile {
    pub(crate) fn form(&self) -> Result<reqwest::multipart::Form, Error> {
        use reqwest::multipart::{Form, Part};
        let refuse = |e: reqwest::Error| Error::Setup {
            detail: format!("the import of {} cannot be sent: {e}", self.file_name),
            code: eport_model::codes::INTERNAL,
        };
        let options = Part::text(self.options.to_string()).mime_str("application/json").map_err(refuse)?;
        let file = match &self.content {
            FileContent::Memory(bytes) => Part::stream(bytes.clone()),
            FileContent::OnDisk(path) => {
                let opened = std::fs::File::open(path).and_then(|f| {
                    let metadata = f.metadata()?;
                    match metadata.is_file() {
                        true => Ok((metadata.len(), f)),
                        // It is sent more than once, and a pipe can be read once.
                        false => Err(std::io::Error::other("no regular file; write it to a file first")),
                    }
                });
                let (len, file) = opened.map_err(|e| Error::Setup {
                    detail: format!("{}: {e}", path.display()),
                    code: eport_model::codes::FILE_UNUSABLE,
                })?;
                Part::stream_with_length(tokio::fs::File::from_std(file), len)
            }
        };
        let file = file.file_name(self.file_name.clone());
        let file = file.mime_str("text/csv").map_err(refuse)?;
        Ok(Form::new().part("options", options).part("file", file))
    }
}

/// A text as one segment of a path: `440000/ports` becomes `440000%2Fports`.
pub fn path_segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Client {
    /// Every item of a paged list.
    pub async fn list(&self, path: &str, query: &[(&str, String)]) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut q: Vec<(&str, String)> = query.to_vec();
            if let Some(t) = &token {
                q.push(("page_token", t.clone()));
            }
            let mut page: Value = self.get(path, &q).await?;
            match page.get_mut("items").map(Value::take) {
                Some(Value::Array(more)) => items.extend(more),
                _ => return Err(self.unreadable(path, "it has no items")),
            }
            match page.get("next_page_token").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => token = Some(next.to_owned()),
                _ => return Ok(items),
            }
        }
        Err(self.unreadable(path, "the list has no end"))
    }

    /// Lodges one document. Its business key makes a repetition harmless, so `repeat` may be `Safe`.
    pub async fn lodge(
        &self,
        platform: &str,
        document: &Value,
        repeat: Repeat,
    ) -> Result<(u16, Value), Error> {
        let path = format!("/v1/platforms/{platform}/documents");
        let body = Body::Json(Bytes::from(document.to_string()));
        let call = Call { method: Method::POST, path: &path, query: &[], body, repeat, signature: None };
        let answer = self.call(call).await?;
        let status = answer.status;
        Ok((status, decode(&path, answer)?))
    }

    /// Lodges documents in one request; the answer has one entry a document, in the same order.
    pub async fn lodge_batch(
        &self,
        platform: &str,
        documents: &[Value],
        repeat: Repeat,
    ) -> Result<Vec<Value>, Error> {
        let path = format!("/v1/platforms/{platform}/documents:batch");
        let mut lines = Vec::new();
        for d in documents {
            lines.extend_from_slice(d.to_string().as_bytes());
            lines.push(b'\n');
        }
        let body = Body::Ndjson(lines.into());
        let call = Call { method: Method::POST, path: &path, query: &[], body, repeat, signature: None };
        let answer = self.call(call).await?;
        let items = ndjson(&answer.body).map_err(|e| self.unreadable(&path, &e))?;
        if items.len() == documents.len() {
            return Ok(items);
        }
        Err(self.unreadable(&path, &format!("{} lines for {} documents", items.len(), documents.len())))
    }

    /// Imports a table file. Publication is decided by content, so a repetition of the same file changes nothing.
    /// `statement` is what is published; a dry run has none.
    pub async fn import_table(
        &self,
        table: &str,
        file: TableFile,
        statement: Option<&Statement>,
    ) -> Result<Value, Error> {
        let path = format!("/v1/tables/{}/versions", path_segment(table));
        let call = Call {
            method: Method::POST,
            path: &path,
            query: &[],
            body: Body::Table(file),
            repeat: Repeat::UnlessSent,
            signature: self.signature(statement).await?,
        };
        decode(&path, self.call(call).await?)
    }

    /// Puts bytes where the path says and reads the answer. Only for what may be repeated.
    pub async fn put_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        bytes: Bytes,
    ) -> Result<T, Error> {
        let (method, body, repeat) = (Method::PUT, Body::Octets(bytes), Repeat::Safe);
        decode(path, self.call(Call { method, path, query, body, repeat, signature: None }).await?)
    }

    /// The bytes of a file that the API serves.
    pub async fn download(&self, path: &str) -> Result<Bytes, Error> {
        let call = Call {
            method: Method::GET,
            path,
            query: &[],
            body: Body::None,
            repeat: Repeat::Safe,
            signature: None,
        };
        Ok(self.call(call).await?.body)
    }

    /// Plans a move. `request` has the members of `POST …/moves` with `dry_run`; nothing is changed.
    pub async fn plan_move(&self, region: &str, request: &Value) -> Result<Value, Error> {
        self.post(&format!("/v1/platforms/{region}/moves"), request, Repeat::Safe).await
    }

    /// Starts a move that was planned, signed.
    pub async fn start_move(
        &self,
        region: &str,
        request: &Value,
        statement: &Statement,
    ) -> Result<Value, Error> {
        self.give(Method::POST, &format!("/v1/platforms/{region}/moves"), request, statement).await
    }

    /// Watches a move until it is done, aborted or failed; every new look is handed to `seen`.
    pub async fn follow_move(
        &self,
        region: &str,
        move_id: &str,
        every: Duration,
        limit: Duration,
        mut seen: impl FnMut(&Value),
    ) -> Result<Value, Error> {
        let path = format!("/v1/platforms/{region}/moves/{move_id}");
        let watch = async {
            let mut patience = PAUSE_KNOWN;
            loop {
                let now: Value = self.get(&path, &[]).await?;
                seen(&now);
                match now.get("state").and_then(Value::as_str) {
                    // The new primary notes a moment later that it has opened: then it is known how long writes waited.
                    Some("done") if now["write_pause_ms"].is_null() && patience > every => patience -= every,
                    Some("done" | "aborted" | "failed") => return Ok(now),
                    _ => {}
                }
                tokio::time::sleep(every).await;
            }
        };
        tokio::time::timeout(limit, watch).await.unwrap_or_else(|_| {
            let detail = format!("move {move_id} of platform {region} goes on after {} s", limit.as_secs());
            Err(Error::NoAnswer { api: self.api().to_owned(), detail })
        })
    }

    /// How many documents of a type the platform holds.
    pub async fn count_documents(&self, platform: &str, doc_type: &str) -> Result<u64, Error> {
        let path = format!("/v1/platforms/{platform}/documents:count");
        let answer: Value = self.get(&path, &[("doc_type", doc_type.to_owned())]).await?;
        answer.get("count").and_then(Value::as_u64).ok_or_else(|| self.unreadable(&path, "it has no count"))
    }

    /// The whole `eport status` object as this node knows it.
    pub async fn status(&self) -> Result<Value, Error> {
        self.get("/v1/federation", &[]).await
    }

    /// Asks for something that has no business key: repeated only when it was never sent.
    pub async fn command(&self, path: &str, body: Value) -> Result<Value, Error> {
        self.post(path, &body, Repeat::UnlessSent).await
    }

    fn unreadable(&self, path: &str, detail: &str) -> Error {
        Error::Answer { api: self.api().to_owned(), path: path.to_owned(), detail: detail.to_owned() }
    }
}

/// The values of a newline-delimited JSON text; empty lines are skipped.
fn ndjson(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let mut out = Vec::new();
    for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if !line.iter().all(u8::is_ascii_whitespace) {
            out.push(serde_json::from_slice(line).map_err(|e| format!("line {}: {e}", n + 1))?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_becomes_one_segment_of_the_path() {
        assert_eq!(path_segment("440000/ports"), "440000%2Fports");
    }

    #[test]
    fn ndjson_names_the_line_that_cannot_be_read() {
        assert_eq!(ndjson(b"{\"a\":1}\n\n{\"a\":2}\r\n").unwrap().len(), 2);
        assert!(ndjson(b"{}\n{").unwrap_err().starts_with("line 2:"));
    }
}
