//! Certificates a second on one core: bare signing by rcgen, the whole way of an issue without its ledger, OCSP answers, and what
//! a handshake's verdict costs with 0, 10 000 and 100 000 revoked certificates.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_authority::{
    Authority, CaPurpose, IssuingSpec, Key, LeafNames, LeafRequest, OcspStatus, Profile, Validity,
    certificate_request, read_ocsp_request, read_request,
};
use eport_identity::{Epoch, Subject};
use eport_tls::{Identity, Revocations, Serial, Tls, TrustBundle};
use std::hint::black_box;
use time::{Duration, OffsetDateTime};

const ROUNDS: u32 = 5_000;

fn main() {
    let (domain, now) = ("gd.eport.example".parse().unwrap(), OffsetDateTime::now_utc());
    let root = Authority::create_root("gd", &domain, Validity::days(now, 3650)).unwrap();
    let (region, epoch) = ("440000".parse().unwrap(), Epoch::INITIAL);
    let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch, loopback: true };
    let ca = root.create_issuing(spec, Validity::days(now, 900)).unwrap();
    let subject: Subject = "enterprise/91440300MA5ABCD19J".parse().unwrap();
    let (request, names) = (certificate_request().unwrap().0, LeafNames::default());
    let life = Validity::days(now, 300);
    let bare =
        rate(|| drop(black_box(ca.issue(&subject, &names, Key::Request(&request), epoch, life).unwrap())));
    let whole = rate(|| {
        let asked = LeafRequest {
            profile: Profile::usual(&subject),
            subject: &subject,
            names: &names,
            request: &read_request(&request).unwrap(),
            epoch,
            days: None,
            now,
            random: rand::random(),
        };
        let tbs = ca.prepare(black_box(&asked)).unwrap();
        drop(black_box(ca.sign(&tbs).unwrap()));
    });
    println!("issue by rcgen, request checked: {bare:.0}/s a core");
    println!("issue with rehearsal and lint: {whole:.0}/s a core, {:.0} % of rcgen", whole / bare * 100.0);
    let asked = read_ocsp_request(include_bytes!("ocsp-request.der")).unwrap();
    let answers: Vec<_> = asked.into_iter().map(|a| (a, OcspStatus::Good)).collect();
    let signed = rate(|| drop(black_box(ca.ocsp_answer(&answers, now, Duration::hours(24)).unwrap())));
    println!("OCSP answers signed afresh: {signed:.0}/s a core");
    let delegate = ca.sign_delegate(ca.prepare_delegate(epoch, now, rand::random()).unwrap()).unwrap();
    let signed = rate(|| drop(black_box(delegate.answer(&answers, now, Duration::hours(24)).unwrap())));
    println!("OCSP answers signed by a delegate: {signed:.0}/s a core");
    let node = ca.issue_node(region, "gz-a-1".parse().unwrap(), &names, Key::Generate, epoch, life).unwrap();
    let identity =
        Identity::from_pem(node.chain_pem.as_bytes(), node.key_pem.as_ref().unwrap().as_bytes()).unwrap();
    let bundle = eport_authority::bundle_pem([&root, &ca]);
    for revoked in [0u32, 10_000, 100_000] {
        let serials = (0..revoked).map(|n| {
            Serial::from_bytes(&eport_authority::serial_of(epoch, {
                let mut random = [0; 12];
                random[..4].copy_from_slice(&n.to_be_bytes());
                random
            }))
        });
        let set = Revocations::new(serials);
        let tls = Tls::new(&identity, TrustBundle::from_pem(bundle.as_bytes(), domain.clone()).unwrap(), set)
            .unwrap();
        let verdicts = rate(|| drop(black_box(tls.peer(identity.chain()).unwrap())));
        println!("verdict on a chain with {revoked} revoked: {:.0} µs", 1e6 / verdicts);
    }
}

/// Nanoseconds that this thread was on a processor: on a busy machine the clock of the wall would measure the others.
fn on_processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn rate(mut work: impl FnMut()) -> f64 {
    work();
    let start = on_processor();
    (0..ROUNDS).for_each(|_| work());
    f64::from(ROUNDS) * 1e9 / (on_processor() - start)
}
