//! The same backups in a store that speaks S3: a stub on this machine keeps objects in memory and looks at every request.

use crate::world::*;
use eport_backup::{Error, Folder, Manifest, S3Options, Target, Writer, open_target, restore};
use eport_model::{Coded, codec, codes};
use eport_store::Until;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const KEY_ID: &str = "EPORTKEYID";
const KEY_SECRET: &str = "this-secret-is-never-sent";

#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    seen: Mutex<Vec<String>>,
    closed: AtomicBool,
}

/// Starts the stub; it serves until the process ends.
fn stub() -> (String, Arc<Store>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = Arc::new(Store::default());
    let shared = store.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let store = shared.clone();
            std::thread::spawn(move || while serve(&stream, &store).is_some() {});
        }
    });
    (url, store)
}

/// One request of a connection; `None` at its end.
fn serve(stream: &TcpStream, store: &Store) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, uri) = (words.next()?, words.next()?);
    let (mut head, mut len) = (line.clone(), 0usize);
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        if field.trim().is_empty() {
            break;
        }
        if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
        head.push_str(&field);
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    store.seen.lock().unwrap().push(head.clone());
    let signed = head.contains("AWS4-HMAC-SHA256") && head.contains(KEY_ID);
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let key = path.trim_start_matches("/bucket").trim_start_matches('/').to_owned();
    let mut objects = store.objects.lock().unwrap();
    let (status, answer, sent) = match (method.as_str(), signed && !store.closed.load(Ordering::Relaxed)) {
        (_, false) => (403, b"<Error><Code>AccessDenied</Code></Error>".to_vec(), true),
        ("PUT", _) => {
            objects.insert(key, body);
            (200, Vec::new(), true)
        }
        ("GET", _) if key.is_empty() => (200, listing(&objects, query).into_bytes(), true),
        ("GET" | "HEAD", _) => match objects.get(&key) {
            Some(found) => (200, found.clone(), method == "GET"),
            None => (404, Vec::new(), true),
        },
        ("DELETE", _) => {
            objects.remove(&key);
            (204, Vec::new(), true)
        }
        _ => (400, Vec::new(), true),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
        answer.len()
    );
    let mut out = stream;
    out.write_all(head.as_bytes()).ok()?;
    if sent && status != 204 {
        out.write_all(&answer).ok()?;
    }
    Some(())
}

/// What is under a prefix, up to the next slash.
fn listing(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> String {
    let prefix = query.split('&').find_map(|p| p.strip_prefix("prefix=")).unwrap_or("").replace("%2F", "/");
    let (mut files, mut folders) = (String::new(), std::collections::BTreeSet::new());
    for (key, bytes) in objects {
        let Some(rest) = key.strip_prefix(&prefix) else { continue };
        match rest.split_once('/') {
            Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
            None => files.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag><Size>{}</Size></Contents>",
                bytes.len()
            )),
        }
    }
    let folders: String =
        folders.iter().map(|f| format!("<CommonPrefixes><Prefix>{f}</Prefix></CommonPrefixes>")).collect();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{files}{folders}</ListBucketResult>"
    )
}

fn options(w: &World, url: &str) -> S3Options {
    let file = w.path("s3.credentials");
    std::fs::write(&file, format!("access_key_id = {KEY_ID}\nsecret_access_key = \"{KEY_SECRET}\"\n"))
        .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    S3Options { endpoint: Some(url.to_owned()), region: None, credentials: Some(file) }
}

fn backup(w: &mut World, folder: &Folder, full: bool) -> Result<Manifest, Error> {
    let mut writer = Writer::begin(folder, &w.heading(full))?;
    w.exports += 1;
    let dir = w.path(&format!("s3-{}", w.exports));
    w.store.export(&dir, writer.continues(region()).index.next()).unwrap();
    writer.platform(&dir)?;
    writer.finish(9, &codec::encode(&w.state.rows()))
}

#[test]
fn backups_in_a_bucket_are_those_of_a_folder_and_no_secret_is_sent_or_shown() {
    let (mut w, (url, store)) = (World::new(), stub());
    let options = options(&w, &url);
    let open = || {
        let target = open_target("s3://bucket/gd", Some("gz-a-1"), &options).unwrap();
        Folder::open_at(target, Some(lineage())).unwrap()
    };
    w.documents(10);
    backup(&mut w, &open(), false).unwrap();
    w.documents(5);
    let second = backup(&mut w, &open(), false).unwrap();
    assert!(!second.full && second.platforms[0].records == 5);
    backup(&mut w, &open(), true).unwrap();
    assert_eq!(open().verify().unwrap(), []);
    let folder = open();
    let made =
        restore(&folder, folder.find(None).unwrap(), &[], Until::End, &w.recovery, &w.path("out")).unwrap();
    assert_eq!(made.platforms[0].last, w.store.last());
    // The objects are the files of a folder: copied there, they open.
    for (key, bytes) in store.objects.lock().unwrap().iter() {
        let file = w.path("backups").join(key.strip_prefix("gd/gz-a-1/").unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    assert_eq!(w.folder().verify().unwrap(), []);
    folder.remove(&[1, 2]).unwrap();
    assert_eq!(open().manifests().map(Manifest::name).collect::<Vec<_>>(), ["000003"]);
    assert!(store.objects.lock().unwrap().keys().all(|k| k.starts_with("gd/gz-a-1/000003/")));
    for sent in store.seen.lock().unwrap().iter() {
        assert!(!sent.contains(KEY_SECRET), "{sent}");
    }
    let shown = format!("{:?} {}", folder.target(), folder.target().place("x").display());
    assert!(!shown.contains(KEY_SECRET) && !shown.contains(KEY_ID), "{shown}");
}

#[test]
fn a_damaged_object_is_named_and_a_store_that_refuses_is_an_error_with_a_code() {
    let (mut w, (url, store)) = (World::new(), stub());
    let options = options(&w, &url);
    let target: Arc<dyn Target> = open_target("s3://bucket", None, &options).unwrap();
    w.documents(3);
    let folder = Folder::open_at(target.clone(), Some(lineage())).unwrap();
    backup(&mut w, &folder, false).unwrap();
    for bytes in
        store.objects.lock().unwrap().iter_mut().filter(|(k, _)| k.ends_with("registry.epb")).map(|(_, b)| b)
    {
        bytes[20] ^= 1;
    }
    let problems = Folder::open_at(target.clone(), None).unwrap().verify().unwrap();
    assert_eq!((problems.len(), problems[0].file.as_str()), (1, "registry.epb"));
    store.closed.store(true, Ordering::Relaxed);
    let refused = Folder::open_at(target, None).err().unwrap();
    assert_eq!(refused.code(), codes::BACKUP_TARGET);
    let text = format!("{refused:?}");
    assert!(!text.contains(KEY_SECRET), "{text}");
}

#[test]
fn credentials_that_others_may_read_are_refused() {
    let w = World::new();
    let options = options(&w, "http://127.0.0.1:9");
    let file = options.credentials.clone().unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = open_target("s3://bucket", None, &options).err().unwrap();
    assert_eq!(error.code(), codes::FILE_UNUSABLE);
}
