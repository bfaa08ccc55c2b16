//! Secrets planted wherever a bundle takes its bytes from, and the bytes looked through.

use crate::support::*;
use eport_doctor::{BundleInput, REMOVED, archive, members, redact};
use std::io::{Cursor, Read};

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSECRETKEYBYTES\nq1w2e3r4t5y6\n-----END PRIVATE KEY-----\n";
const EC: &str = "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIKx1SECRETEC\\n-----END EC PRIVATE KEY-----\\n";

/// Each planted secret, and the line it stands in.
fn planted() -> Vec<(String, String)> {
    let secret = |s: &str, line: String| (s.to_owned(), line);
    vec![
        secret("SECRETKEYBYTES", PEM.to_owned()),
        secret("SECRETEC", format!("{{\"message\":\"read {EC}\"}}\n")),
        secret("NOENDKEY", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nNOENDKEY\n".to_owned()),
        secret("hunter2hunter2", "passphrase = \"hunter2hunter2\"\n".to_owned()),
        secret("open sesame", "{\"Passphrase\": \"open sesame\"}\n".to_owned()),
        secret("second-share", "shares = [\"first-share\", \"second-share\"]\n".to_owned()),
        secret("s3kr1t", "secret_access_key=s3kr1t region=x\n".to_owned()),
        secret("tok-77", "WARN enrolment_token: \"tok-77\" refused\n".to_owned()),
        secret("abc.def.ghi", "authorization: Bearer abc.def.ghi\n".to_owned()),
        secret("zzz.yyy", "sent Bearer zzz.yyy to the node\n".to_owned()),
        secret("ept1.k9.ab12", "joined with ept1.k9.ab12 at noon\n".to_owned()),
        secret("eport1.00ff", "session \"eport1.00ff\" ended\n".to_owned()),
        secret("user:pw", "target = \"https://user:pw@store.example/x\"\n".to_owned()),
        secret(
            "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEFCQ0RFRkdISUpLTA",
            "loaded Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEFCQ0RFRkdISUpLTA from disk\n".to_owned(),
        ),
    ]
}

#[test]
fn every_planted_secret_is_taken_out_and_the_rest_of_the_line_stays() {
    for (secret, line) in planted() {
        let clean = redact(&line);
        assert!(!clean.contains(&secret), "{line} → {clean}");
        assert!(clean.contains(REMOVED), "{line} → {clean}");
        assert_eq!(redact(&clean), clean, "twice is once");
    }
    assert_eq!(redact("target = \"https://user:pw@store.example/x\"\n").matches("store.example").count(), 1);
    assert!(redact("WARN enrolment_token: \"t\" refused\n").ends_with("refused\n"));
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    for line in [
        "{\"head_digest\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"records\":12}\n",
        "eport_ready 1\n# EOF\n",
        "data_dir = \"/var/lib/eport/Node-1/data/2018/January/records/archive/files\"\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "节点 gz-a-1 的时钟偏差 700 毫秒\n",
        "no token was given\n",
        "{\"message\":\"the token of gz-c-2 is refused: it has ended\",\"level\":\"WARN\"}\n",
    ] {
        assert_eq!(redact(line), line);
    }
}

#[test]
fn any_text_is_taken_without_a_panic() {
    let mut text = String::new();
    for (secret, line) in planted() {
        text.push_str(&line);
        text.push_str(&secret);
    }
    text.push_str("密码 password=密 token:\u{feff}é'\"");
    let ends: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    for end in ends {
        let _ = redact(&text[..end]);
        let _ = redact(&text[end..]);
    }
}

#[test]
fn a_bundle_with_secrets_planted_everywhere_holds_none() {
    let all: String = planted().into_iter().map(|(_, line)| line).collect();
    let mut g = with_fact(0, |f| {
        f.config = all.clone();
        f.log = all.lines().map(str::to_owned).collect();
        f.reasons = vec![all.clone()];
        f.ready = false;
    });
    silent(&mut g, 1);
    g.asked[1].fault.as_mut().unwrap().text = all.clone();
    let findings = findings(&g);
    let metrics = [("gz-a-1".to_owned(), format!("eport_ready 1\n{all}"))];
    let made = at(NOW_MS);
    let input =
        BundleInput { made: &made, version: "0.1.0", gathered: &g, findings: &findings, metrics: &metrics };
    let files = members(&input);
    let bytes = archive(&files).unwrap();
    let mut opened = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
    let mut names = Vec::new();
    for i in 0..opened.len() {
        let mut file = opened.by_index(i).unwrap();
        names.push(file.name().unwrap().into_owned());
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        let text = String::from_utf8(content).unwrap();
        for (secret, _) in planted() {
            assert!(!text.contains(&secret), "{secret} in {names:?}");
        }
    }
    for (secret, _) in planted() {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} in the bytes");
    }
    for name in [
        "about.json",
        "findings.json",
        "findings.zh.json",
        "facts.json",
        "status.json",
        "nodes/gz-a-1/eportd.toml",
        "nodes/gz-a-1/log.ndjson",
        "nodes/gz-a-1/metrics.txt",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
    assert!(files.iter().any(|(_, t)| t.contains("eport_ready 1")), "what is no secret is there");
}
