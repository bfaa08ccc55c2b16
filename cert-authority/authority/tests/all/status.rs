//! Revocation lists and OCSP answers, judged by openssl where this machine has it.

use crate::kit;

use eport_authority::{
    CrlContent, CrlEntry, CrlNumber, Key, OcspStatus, Reason, Validity, read_crl, read_ocsp_request,
};
use eport_identity::Epoch;
use kit::Federation;
use std::path::Path;
use std::process::Command;
use time::{Duration, OffsetDateTime};

fn second() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(OffsetDateTime::now_utc().unix_timestamp()).unwrap()
}

fn openssl(dir: &Path, args: &[&str]) -> Option<(bool, String)> {
    let Ok(out) = Command::new("openssl").args(args).current_dir(dir).output() else {
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    Some((out.status.success(), text))
}

fn list(serials: &[&str], number: CrlNumber) -> CrlContent {
    let entry = CrlEntry { at: second(), reason: Reason::KeyCompromise };
    let entries = serials.iter().map(|s| ((*s).to_owned(), entry)).collect();
    CrlContent {
        number,
        this_update: second(),
        next_update: second() + Duration::days(7),
        entries,
        shard: None,
    }
}

#[test]
fn a_list_survives_reading_only_from_its_own_issuer_and_unaltered() {
    let f = Federation::new();
    let content =
        list(&["0100000001aabb", "01"], CrlNumber::first_of(Epoch::from_u64(9)).next(Epoch::INITIAL));
    let der = f.city.sign_crl(&content).unwrap();
    assert_eq!(read_crl(&der, f.city.der()).unwrap(), content);
    assert!(read_crl(&der, f.province.der()).is_err(), "another CA's name");
    for at in 0..der.len() {
        let mut bad = der.clone();
        bad[at] ^= 1;
        // The unsigned end has spellings that a kind parser takes for the same; what is said may never differ.
        assert!(
            read_crl(&bad, f.city.der()).map_or(true, |c| c == content && at > der.len() - 90),
            "byte {at}"
        );
        assert!(read_crl(&der[..at], f.city.der()).is_err(), "cut at {at}");
    }
}

#[test]
fn numbers_rise_within_an_epoch_and_across_epochs_even_when_the_last_one_was_lost() {
    let first = CrlNumber::first_of(Epoch::from_u64(3));
    assert_eq!(first.0, 3 << 40);
    assert_eq!(first.next(Epoch::from_u64(3)).0, (3 << 40) + 1);
    assert_eq!(first.next(Epoch::from_u64(4)).0, 4 << 40);
    assert!(CrlNumber(u64::MAX).next(Epoch::from_u64(1)) >= CrlNumber(u64::MAX - 1));
    assert!(CrlNumber::first_of(Epoch::from_u64(u64::MAX)) < CrlNumber(u64::MAX));
}

#[test]
fn openssl_takes_lists_and_ocsp_answers_and_sees_a_revocation_in_both() {
    let f = Federation::new();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let life = Validity::days(OffsetDateTime::now_utc(), 30);
    let leaf = |id: &str| f.city.issue_operator(id, Key::Generate, Epoch::INITIAL, life).unwrap();
    let (good, bad) = (leaf("good"), leaf("bad"));
    write("root.pem", f.root.certificate_pem().as_bytes());
    write("ca.pem", f.city.certificate_pem().as_bytes());
    write("good.pem", good.chain_pem.as_bytes());
    write("bad.pem", bad.chain_pem.as_bytes());
    let crl = f.city.sign_crl(&list(&[&bad.serial], CrlNumber(7))).unwrap();
    let root_crl = f.root.sign_crl(&list(&[], CrlNumber(1))).unwrap();
    let pem = |der: &[u8]| pem::encode(&pem::Pem::new("X509 CRL", der));
    write("crls.pem", (pem(&crl) + &pem(&root_crl)).as_bytes());
    let verify = |name| {
        let args = [
            "verify",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "ca.pem",
            "-crl_check_all",
            "-CRLfile",
            "crls.pem",
        ];
        openssl(dir.path(), &[&args[..], &[name]].concat())
    };
    let Some((ok, text)) = verify("good.pem") else { return };
    assert!(ok, "{text}");
    let (ok, text) = verify("bad.pem").unwrap();
    assert!(!ok && text.contains("revoked"), "{text}");
    let tbs = f.city.prepare_delegate(Epoch::INITIAL, second(), [5; 12]).unwrap();
    assert!(tbs.serial.starts_with("0100000001"), "{}", tbs.serial);
    let delegate = f.city.sign_delegate(tbs).unwrap();
    for (issued, status, word) in [
        (&good, OcspStatus::Good, ": good"),
        (&bad, OcspStatus::Revoked { at: second(), reason: Reason::KeyCompromise }, ": revoked"),
        (&good, OcspStatus::Unknown, ": unknown"),
    ] {
        write("asked.pem", issued.chain_pem.as_bytes());
        for hash in ["-sha1", "-sha256"] {
            let ask =
                ["ocsp", hash, "-issuer", "ca.pem", "-cert", "asked.pem", "-reqout", "req.der", "-no_nonce"];
            assert!(openssl(dir.path(), &ask).unwrap().0);
            let request = read_ocsp_request(&std::fs::read(dir.path().join("req.der")).unwrap()).unwrap();
            assert!(request[0].is_of(&f.city) && !request[0].is_of(&f.province));
            assert_eq!(request[0].serial(), issued.serial);
            let answers: Vec<_> = request.into_iter().map(|asked| (asked, status)).collect();
            let by_ca = f.city.ocsp_answer(&answers, second(), Duration::hours(24)).unwrap();
            let by_delegate = delegate.answer(&answers, second(), Duration::hours(24)).unwrap();
            for answer in [by_ca, by_delegate] {
                write("resp.der", &answer);
                let read = [
                    "ocsp",
                    hash,
                    "-issuer",
                    "ca.pem",
                    "-cert",
                    "asked.pem",
                    "-respin",
                    "resp.der",
                    "-CAfile",
                    "root.pem",
                    "-verify_other",
                    "ca.pem",
                    "-no_nonce",
                ];
                let (_, text) = openssl(dir.path(), &read).unwrap();
                assert!(text.contains("Response verify OK") && text.contains(word), "{hash} {word}: {text}");
            }
        }
    }
}

#[test]
fn hostile_ocsp_requests_are_malformed_and_never_a_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let f = Federation::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), f.city.certificate_pem()).unwrap();
    let args = ["ocsp", "-issuer", "ca.pem", "-serial", "0x1234", "-reqout", "req.der"];
    let Some((true, _)) = openssl(dir.path(), &args) else { return };
    let good = std::fs::read(dir.path().join("req.der")).unwrap();
    assert!(read_ocsp_request(&good).is_ok());
    for _ in 0..100_000 {
        let mut bad = good.clone();
        for _ in 0..=next() % 4 {
            let at = next() as usize % bad.len();
            bad[at] = next() as u8;
        }
        bad.truncate(1 + next() as usize % bad.len());
        // Whatever is read can be answered.
        if let Ok(asked) = read_ocsp_request(&bad) {
            let answers: Vec<_> = asked.into_iter().map(|a| (a, OcspStatus::Unknown)).collect();
            f.city.ocsp_answer(&answers, second(), Duration::hours(1)).unwrap();
        }
    }
    assert!(read_ocsp_request(&vec![0x30; 1 << 20]).is_err());
}

#[test]
fn a_delegate_answers_for_its_ca_and_is_nobody_to_a_peer() {
    let f = Federation::new();
    let now = second();
    let delegate =
        f.city.sign_delegate(f.city.prepare_delegate(Epoch::INITIAL, now, [5; 12]).unwrap()).unwrap();
    assert_eq!(delegate.not_after(), now + Duration::days(14));
    assert!(!delegate.is_due(now + Duration::days(6)) && delegate.is_due(now + Duration::days(8)));
    assert!(f.root.prepare_delegate(Epoch::INITIAL, now, [5; 12]).is_err(), "a root has none");
    let chain = [delegate.der().to_vec().into(), f.city.der().to_vec().into()];
    let judge = f.node_tls("gz-a-1");
    for usage in [eport_tls::Usage::Client, eport_tls::Usage::Server] {
        let verdict = judge.peer_at(&chain, usage, rustls_pki_types::UnixTime::now());
        assert!(verdict.is_err(), "{verdict:?}");
    }
    // Another CA's question, and an answer that would outlive the delegate.
    let asked = eport_authority::OcspAsked::usual(&f.city, "0100000001aa").unwrap();
    assert!(asked.is_of(&f.city) && !asked.is_of(&f.province));
    let request = eport_authority::ocsp_request(f.city.der(), "0100000001aa").unwrap();
    assert_eq!(read_ocsp_request(&request).unwrap(), std::slice::from_ref(&asked));
    let late = delegate.not_after() - Duration::hours(1);
    let answers = [(asked, OcspStatus::Good)];
    let (short, day) = (
        delegate.answer(&answers, late, Duration::hours(24)).unwrap(),
        delegate.answer(&answers, now, Duration::hours(24)).unwrap(),
    );
    let end = |t: OffsetDateTime| {
        let (y, m, d) = (t.year(), u8::from(t.month()), t.day());
        format!("{y:04}{m:02}{d:02}{:02}{:02}{:02}Z", t.hour(), t.minute(), t.second()).into_bytes()
    };
    let says = |answer: &[u8], t: OffsetDateTime| answer.windows(15).any(|w| w == end(t));
    assert!(says(&short, delegate.not_after()) && says(&day, now + Duration::hours(24)));
}
