//! Tokens: bound to a certificate, given by a member, over when they should be.

use eport_access::{Claims, Fault, Token};
use eport_authority::{Authority, CaPurpose, CommandKey, IssuingSpec, Key, LeafNames, Validity};
use eport_model::{Digest, Distrust, Epoch, Lineage, RegionCode, Timestamp, TrustDomain};
use eport_registry::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

const NOW: i64 = 1_700_000_000_000;
const LIFE: i64 = 43_200_000;

struct World {
    state: State,
    drawn: u8,
    /// Certificate and key of the node gz-a-1, and of a stranger under another root.
    node: (Vec<u8>, CommandKey),
    stranger: (Vec<u8>, CommandKey),
}

fn of_node(authority: &Authority, id: &str, start: OffsetDateTime) -> (Vec<u8>, CommandKey) {
    let (region, validity) = ("440000".parse().unwrap(), Validity::days(start, 30));
    let issued = authority
        .issue_node(
            region,
            id.parse().unwrap(),
            &LeafNames::default(),
            Key::Generate,
            Epoch::INITIAL,
            validity,
        )
        .unwrap();
    let der = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap().to_vec();
    (der, CommandKey::from_pem(issued.key_pem.as_ref().unwrap()).unwrap())
}

fn authority(start: OffsetDateTime) -> Authority {
    let domain: TrustDomain = "gd.eport.example".parse().unwrap();
    let root = Authority::create_root("gd", &domain, Validity::days(start, 100)).unwrap();
    let region: RegionCode = "440000".parse().unwrap();
    let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch: Epoch::INITIAL, loopback: true };
    root.create_issuing(spec, Validity::days(start, 50)).unwrap()
}

impl World {
    fn new() -> Self {
        let start = OffsetDateTime::from_unix_timestamp(NOW / 1_000 - 86_400).unwrap();
        let (ours, theirs) = (authority(start), authority(start));
        let node = of_node(&ours, "gz-a-1", start);
        let mut w =
            World { state: State::default(), drawn: 0, node, stranger: of_node(&theirs, "gz-a-1", start) };
        w.apply(
            "operator/admin",
            Op::Found(Federation {
                name: "gd".into(),
                lineage: Lineage::from_bytes([7; 16]),
                domain: "gd.eport.example".parse().unwrap(),
                province: "440000".parse().unwrap(),
                mode: Mode::Dev,
                two_person: false,
                created: Timestamp::from_millis(NOW),
            }),
        );
        let der = CertificateDer::from_pem_slice(ours.certificate_pem().as_bytes()).unwrap().to_vec();
        let facts = eport_signature::issuer_facts(&der).unwrap();
        let (key_id, name, platform) = (facts.key_id.to_string(), facts.name, facts.region);
        let issuer = Issuer {
            key_id,
            name,
            platform,
            certificate: der,
            state: IssuerState::Active,
            since_epoch: eport_model::Epoch::NONE,
        };
        w.apply("operator/admin", Op::PutIssuer(issuer));
        w.apply(
            "operator/admin",
            Op::PutSite(Site::new("gz-a".parse().unwrap(), "440000".parse().unwrap(), "a")),
        );
        // Two, so that the one may go without the CA's key.
        for id in ["gz-a-1", "gz-a-2"] {
            let node = Node {
                id: id.parse().unwrap(),
                site: "gz-a".parse().unwrap(),
                region: "440000".parse().unwrap(),
                quic: "127.0.0.1:1".into(),
                api: "127.0.0.1:2".into(),
                cert_serial: String::new(),
                state: NodeState::Up,
                software: String::new(),
                incarnation: 0,
                reads: 1,
                joined: Timestamp::default(),
            };
            w.apply("operator/admin", Op::AddNode(node));
        }
        w
    }

    fn apply(&mut self, by: &str, op: Op) {
        self.drawn += 1;
        let id = CommandId([self.drawn; 16]);
        let at = Timestamp::from_millis(NOW);
        let c = Command { id, by: by.into(), at, reason: "test".into(), op, proof: None };
        self.state.apply(&c).outcome.unwrap();
    }

    fn claims(&self) -> Claims {
        Claims {
            lineage: Lineage::from_bytes([7; 16]),
            subject: "operator/li".parse().unwrap(),
            serial: "0a1b".into(),
            issuers: vec!["0c0d".into()],
            key: Digest::of(b"key"),
            issuer: Digest::of(b"issuer"),
            not_before: 0,
            begun: NOW,
            idle_until: NOW + 1_800_000,
            ends: NOW + LIFE,
            nonce: [1; 16],
        }
    }

    fn token(&self, claims: Claims) -> Token {
        Self::signed(claims, &self.node)
    }

    fn signed(claims: Claims, (certificate, key): &(Vec<u8>, CommandKey)) -> Token {
        let signature = key.sign(&claims.signed_bytes()).unwrap();
        Token { claims, certificate: certificate.clone(), signature }
    }

    fn judge(&self, token: &Token, now: i64) -> Result<(), Fault> {
        let read = Token::parse(&token.text()).unwrap();
        read.signer(&self.state, now)?;
        read.claims.holds(&self.state, now)
    }
}

#[test]
fn a_token_of_a_member_holds_until_it_lies_idle_or_ends() {
    let w = World::new();
    let token = w.token(w.claims());
    assert_eq!(w.judge(&token, NOW), Ok(()));
    assert_eq!(w.judge(&token, NOW + 1_799_999), Ok(()));
    assert_eq!(w.judge(&token, NOW + 1_800_000), Err(Fault::Idle));
    // Used in time it goes on, to its end and no further.
    let (mut claims, mut now) = (w.claims(), NOW);
    assert_eq!(claims.used(NOW + 1, 1_800_000), None, "it is not made anew at every request");
    while now < NOW + LIFE - 1_500_000 {
        now += 1_500_000;
        claims = claims.used(now, 1_800_000).unwrap_or(claims);
        assert_eq!(w.judge(&w.token(claims.clone()), now), Ok(()), "{}", now - NOW);
    }
    assert_eq!(w.judge(&w.token(claims), NOW + LIFE), Err(Fault::Expired));
}

#[test]
fn nobody_makes_a_token_but_a_member_and_nobody_changes_one() {
    let mut w = World::new();
    let good = w.token(w.claims());
    for claims in [
        Claims { subject: "operator/root".parse().unwrap(), ..w.claims() },
        Claims { ends: NOW + LIFE - 1, ..w.claims() },
        Claims { idle_until: NOW + LIFE, ..w.claims() },
        Claims { serial: "ffff".into(), ..w.claims() },
    ] {
        assert_eq!(w.judge(&Token { claims, ..good.clone() }, NOW), Err(Fault::Forged));
    }
    assert_eq!(w.judge(&World::signed(w.claims(), &w.stranger), NOW), Err(Fault::Forged), "another root");
    let long = Claims { ends: NOW + LIFE + 1, ..w.claims() };
    assert_eq!(
        w.judge(&w.token(long), NOW),
        Err(Fault::Expired),
        "not even a member makes one that lives longer"
    );
    let foreign = Claims { lineage: Lineage::from_bytes([8; 16]), ..w.claims() };
    assert_eq!(w.judge(&w.token(foreign), NOW), Err(Fault::Forged), "another federation's");
    // A signature of the same node for another purpose is none.
    let bytes = eport_model::codec::encode(&w.claims());
    let signature = w.node.1.sign(&bytes).unwrap();
    assert_eq!(w.judge(&Token { signature, ..good.clone() }, NOW), Err(Fault::Forged));
    let gone = Op::SetNodeState { node: "gz-a-1".parse().unwrap(), state: NodeState::Removed };
    w.apply("operator/admin", gone);
    assert_eq!(w.judge(&good, NOW), Err(Fault::Forged), "a node that was removed gives none");
}

#[test]
fn it_dies_with_its_certificate_and_at_the_logout_on_every_node() {
    let mut w = World::new();
    let token = w.token(w.claims());
    let later = w.token(Claims { begun: NOW + 1, ..w.claims() });
    w.apply("platform/440000/node/gz-a-1", Op::EndSessions { serial: "0a1b".into() });
    assert_eq!(w.judge(&token, NOW), Err(Fault::Ended));
    assert_eq!(w.judge(&later, NOW + 1), Ok(()), "who logs in again is in");
    w.apply("operator/admin", Op::Revoke { serial: "0c0d".into(), reason: "the CA".into() });
    assert_eq!(w.judge(&later, NOW + 1), Err(Fault::Revoked));
}

#[test]
fn it_dies_with_whatever_rule_takes_the_trust_from_its_certificate() {
    let claims = World::new().claims();
    let (key, issuer) = (claims.key, claims.issuer);
    for rule in [Distrust::Key(key), Distrust::Key(issuer)] {
        let mut w = World::new();
        let token = w.token(w.claims());
        assert_eq!(w.judge(&token, NOW), Ok(()), "before");
        w.apply("operator/admin", Op::Revoke { serial: rule.to_string(), reason: "compromised".into() });
        assert_eq!(w.judge(&token, NOW), Err(Fault::Revoked), "{rule}");
    }
}

#[test]
fn nonsense_is_no_token() {
    let w = World::new();
    let text = w.token(w.claims()).text();
    let long = format!("eport1.{}", "00".repeat(5_000));
    let odd = format!("{text}0");
    let cut = text[..text.len() - 2].to_owned();
    for bad in ["", "eport1.", "eport1.zz", "eport2.00", &long, &odd, &cut, "eport1.01ffffffffffffffffff"] {
        assert_eq!(Token::parse(bad).unwrap_err(), Fault::Malformed, "{}", &bad[..bad.len().min(30)]);
    }
    assert!(!format!("{:?}", w.token(w.claims())).contains("eport1"), "a token is not printed");
}
