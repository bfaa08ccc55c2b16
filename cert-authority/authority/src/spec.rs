//! What shall stand in a leaf certificate, and the bytes of it: one `TbsSpec`, written by two back ends.
//!
//! The own back end writes the bytes that are signed; rcgen's writes the same certificate for comparison. A test holds them
//! equal byte for byte. Because the bytes exist before anything is signed, a throw-away key can sign them first: what is
//! tried is exactly what is issued. A tree with other algorithms (SM2) is a third writer of the same specification.

use crate::authority::Authority;
use crate::der::{
    authority_key, extension, no_ca, signed, subject_key, whole_second, write_algorithm, write_name,
    write_validity,
};
use crate::{Error, KeyStore, LeafNames, RequestFacts, SoftKey, Validity, profile, serial};
use eport_identity::{CaName, CaPurpose, Digest, Epoch, Subject};
use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriterSeq, Tag};

/// What a key may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Sign handshakes and commands.
    DigitalSignature,
    /// Sign what binds.
    ContentCommitment,
}

/// In which role a certificate is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// As server.
    ServerAuth,
    /// As client.
    ClientAuth,
}

impl Purpose {
    fn oid(self) -> [u64; 9] {
        [1, 3, 6, 1, 5, 5, 7, 3, if self == Purpose::ServerAuth { 1 } else { 2 }]
    }
}

/// A profile of leaf certificates.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Kind of subject: `node`, `operator`, `agency`, `enterprise`.
    pub subject: String,
    /// Purpose of the CA that issues it.
    pub issuer: CaPurpose,
    /// Longest life in days.
    pub days: i64,
    /// When to renew, in days of life.
    pub renew_days: i64,
    /// Key usage.
    pub usages: Vec<KeyUse>,
    /// Extended key usage.
    pub purposes: Vec<Purpose>,
}

static PROFILES: LazyLock<BTreeMap<String, Profile>> = LazyLock::new(|| {
    toml::from_str(include_str!("profiles.toml")).expect("the built-in profiles are tested")
});

impl Profile {
    /// A profile by name.
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.get(name)
    }

    /// Every profile.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Profile)> {
        PROFILES.iter().map(|(name, profile)| (name.as_str(), profile))
    }

    /// The usual profile of a subject.
    pub fn usual(subject: &Subject) -> &'static str {
        match subject {
            Subject::Node { .. } => "node",
            Subject::Operator(_) => "operator",
            Subject::Agency { .. } => "agency-gateway",
            Subject::Enterprise(_) => "enterprise-sign",
        }
    }

    /// Whether it is for this kind of subject.
    pub fn fits(&self, subject: &Subject) -> bool {
        let kind = match subject {
            Subject::Node { .. } => "node",
            Subject::Operator(_) => "operator",
            Subject::Agency { .. } => "agency",
            Subject::Enterprise(_) => "enterprise",
        };
        self.subject == kind
    }
}

/// What is asked of a CA.
#[derive(Clone, Debug)]
pub struct LeafRequest<'a> {
    /// Name of the profile.
    pub profile: &'a str,
    /// For whom.
    pub subject: &'a Subject,
    /// Further names of a node.
    pub names: &'a LeafNames,
    /// The request, read: its public key and the proof that the asker holds the private one; nothing else of it counts.
    pub request: &'a RequestFacts,
    /// Epoch of the platform that owns the CA.
    pub epoch: Epoch,
    /// Days of life; `None` is what the profile allows at most.
    pub days: Option<i64>,
    /// The moment of issuing.
    pub now: OffsetDateTime,
    /// Random bits of the serial.
    pub random: [u8; 12],
}

/// Everything that stands in a leaf certificate but its issuer.
pub struct TbsSpec {
    /// Name of the profile.
    pub profile: String,
    /// For whom.
    pub subject: Subject,
    /// Serial.
    pub serial: [u8; serial::SERIAL_LEN],
    /// From when to when.
    pub validity: Validity,
    pub(crate) rules: &'static Profile,
    pub(crate) organization: String,
    pub(crate) common_name: String,
    pub(crate) uri: String,
    pub(crate) dns: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) spki: SubjectPublicKeyInfo,
}

/// A certificate before its signature: the bytes that will be signed.
pub struct Tbs {
    /// What they say.
    pub spec: TbsSpec,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Tbs {
    /// What a record of the intent names.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The serial as text.
    pub fn serial(&self) -> String {
        serial::text(&self.spec.serial)
    }
}

impl Authority {
    /// The bytes of a leaf certificate under this CA, tried with a throw-away key against the lint and the policy that every
    /// verifier applies. Nothing is signed with the CA's key.
    pub fn prepare(&self, request: &LeafRequest<'_>) -> Result<Tbs, Error> {
        let refuse = |reason: String| Error::Refused { subject: request.subject.to_string(), reason };
        let rules = Profile::named(request.profile)
            .ok_or_else(|| refuse(format!("no profile is called {:?}", request.profile)))?;
        if !rules.fits(request.subject) {
            return Err(refuse(format!("profile {} is not for this kind of subject", request.profile)));
        }
        if *self.name() == CaName::Root || !self.name().covers(request.subject) {
            return Err(refuse(format!("the CA {} may not speak for it", self.name().uri(self.domain()))));
        }
        if request.subject.to_string().parse::<Subject>().as_ref() != Ok(request.subject) {
            return Err(refuse("the name has characters that a subject URI cannot carry".into()));
        }
        let days = request.days.unwrap_or(rules.days);
        if !(1..=rules.days).contains(&days) {
            return Err(refuse(format!("profile {} lives 1 to {} days", request.profile, rules.days)));
        }
        let validity = Validity::days(whole_second(request.now), days).within(self.not_after())?;
        let names = profile::names_of(request.subject, request.names, self.domain());
        let spec = TbsSpec {
            profile: request.profile.to_owned(),
            subject: request.subject.clone(),
            serial: serial::of(request.epoch, request.random),
            validity,
            rules,
            organization: self.domain().to_string(),
            common_name: profile::common_name(request.subject),
            uri: request.subject.uri(self.domain()),
            dns: names.dns,
            addresses: names.addresses,
            spki: request.request.spki.clone(),
        };
        let tbs = Tbs { bytes: self.encode(&spec), spec };
        self.rehearse(&tbs, request.now)?;
        Ok(tbs)
    }

    /// Signs what was prepared: DER of the leaf.
    pub fn sign(&self, tbs: &Tbs) -> Result<Vec<u8>, Error> {
        signed(&tbs.bytes, &**self.key(), |_| {})
    }

    /// The same bytes under a throw-away key are read, linted and verified as every peer would do it. The anchor is this CA
    /// with the throw-away key in the place of its own, so its constraints are the real ones.
    fn rehearse(&self, tbs: &Tbs, now: OffsetDateTime) -> Result<(), Error> {
        let trial = self.trial()?;
        let leaf = signed(&tbs.bytes, &trial.key, |_| {})?;
        crate::lint::leaf(self, &tbs.spec, &leaf)?;
        eport_tls::rehearse(&trial.anchor, self.name(), &leaf, self.domain(), now.unix_timestamp())
            .map_err(|refused| Error::Lint { rules: vec![format!("peers would refuse it: {refused}")] })
    }

    fn encode(&self, spec: &TbsSpec) -> Vec<u8> {
        yasna::construct_der(|w| w.write_sequence(|w| self.write_tbs(w, spec)))
    }

    fn write_tbs(&self, w: &mut DERWriterSeq<'_>, spec: &TbsSpec) {
        w.next().write_tagged(Tag::context(0), |w| w.write_u8(2));
        w.next().write_bigint_bytes(&spec.serial, true);
        write_algorithm(w.next(), self.key().algorithm());
        w.next().write_der(self.distinguished_name());
        write_validity(w.next(), &spec.validity);
        w.next().write_sequence(|w| {
            write_name(w.next(), &[2, 5, 4, 10], &spec.organization);
            write_name(w.next(), &[2, 5, 4, 3], &spec.common_name);
        });
        let spki = spec.spki.subject_public_key_info();
        w.next().write_der(&spki);
        w.next()
            .write_tagged(Tag::context(3), |w| w.write_sequence(|w| self.write_extensions(w, spec, &spki)));
    }

    fn write_extensions(&self, w: &mut DERWriterSeq<'_>, spec: &TbsSpec, spki: &[u8]) {
        authority_key(w.next(), self.key_identifier());
        extension(w.next(), &[2, 5, 29, 17], false, |w| {
            w.write_sequence(|w| {
                w.next().write_tagged_implicit(Tag::context(6), |w| w.write_ia5_string(&spec.uri));
                for name in &spec.dns {
                    w.next().write_tagged_implicit(Tag::context(2), |w| w.write_ia5_string(name));
                }
                for address in &spec.addresses {
                    w.next().write_tagged_implicit(Tag::context(7), |w| match address {
                        IpAddr::V4(a) => w.write_bytes(&a.octets()),
                        IpAddr::V6(a) => w.write_bytes(&a.octets()),
                    });
                }
            });
        });
        extension(w.next(), &[2, 5, 29, 15], true, |w| {
            let commits = spec.rules.usages.contains(&KeyUse::ContentCommitment);
            // digitalSignature is bit 0, contentCommitment bit 1; unused bits at the end are not counted.
            if commits { w.write_bitvec_bytes(&[0xc0], 2) } else { w.write_bitvec_bytes(&[0x80], 1) }
        });
        extension(w.next(), &[2, 5, 29, 37], false, |w| {
            w.write_sequence(|w| {
                for purpose in &spec.rules.purposes {
                    w.next().write_oid(&ObjectIdentifier::from_slice(&purpose.oid()));
                }
            });
        });
        subject_key(w.next(), spki);
        no_ca(w.next());
    }
}

/// A key that signs what is only tried, and the CA with that key in the place of its own.
pub(crate) struct Trial {
    key: SoftKey,
    anchor: Vec<u8>,
}

impl Trial {
    pub(crate) fn new(authority: &Authority) -> Result<Self, Error> {
        let key = SoftKey::generate(authority.key().algorithm())?;
        let (own, mut anchor) = (authority.key().public_point(), authority.der().to_vec());
        let at = anchor.windows(own.len()).position(|w| w == own);
        let at =
            at.ok_or_else(|| Error::Custody { reason: "the CA's certificate does not hold its key".into() })?;
        anchor[at..at + own.len()].copy_from_slice(key.public_point());
        Ok(Self { key, anchor })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{IssuingSpec, certificate_request, read_request};
    use x509_parser::prelude::{FromDer, X509Certificate};

    fn authority(purpose: CaPurpose) -> Authority {
        let (domain, now) = ("gd.eport.example".parse().unwrap(), OffsetDateTime::now_utc());
        let root = Authority::create_root("gd", &domain, Validity::days(now, 3650)).unwrap();
        let (region, epoch) = ("440300".parse().unwrap(), Epoch::INITIAL);
        root.create_issuing(IssuingSpec { region, purpose, epoch, loopback: true }, Validity::days(now, 900))
            .unwrap()
    }

    /// The bytes that both back ends write for one specification.
    fn both(ca: &Authority, spec: &TbsSpec) -> (Vec<u8>, Vec<u8>) {
        let names = LeafNames { loopback: false, addresses: spec.addresses.clone(), dns: spec.dns.clone() };
        let mut params =
            profile::leaf(&spec.subject, &names, Epoch::INITIAL, ca.domain(), spec.validity).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&spec.serial));
        // The node's own name is among the names of the specification already.
        let own = params.subject_alt_names.iter().position(|n| matches!(n, rcgen::SanType::DnsName(_)));
        if spec.subject.node().is_some() {
            params.subject_alt_names.remove(own.unwrap());
        }
        let signed = params.signed_by(&spec.spki, ca.issuer()).unwrap();
        let (_, cert) = X509Certificate::from_der(signed.der()).unwrap();
        (cert.tbs_certificate.as_ref().to_vec(), ca.encode(spec))
    }

    #[test]
    fn both_back_ends_write_the_same_bytes() {
        let ca = authority(CaPurpose::Any);
        let mut seen = 0;
        for subject in [
            "platform/440300/node/sz-a-1",
            "operator/li.lei",
            "enterprise/91440300MA5ABCD19J",
            "agency/CUS/gw/1",
        ] {
            let subject: Subject = subject.parse().unwrap();
            for (loopback, days) in [(true, None), (false, Some(1)), (false, None)] {
                let addresses = if loopback { vec!["10.1.2.3".parse().unwrap()] } else { vec![] };
                let names = LeafNames { loopback, addresses, dns: vec![] };
                let request = LeafRequest {
                    profile: Profile::usual(&subject),
                    subject: &subject,
                    names: &names,
                    request: &read_request(&certificate_request().unwrap().0).unwrap(),
                    epoch: Epoch::from_u64(70_000),
                    days,
                    now: OffsetDateTime::now_utc(),
                    random: rand::random(),
                };
                let tbs = ca.prepare(&request).unwrap();
                let (theirs, ours) = both(&ca, &tbs.spec);
                assert_eq!(hex::encode(theirs), hex::encode(ours), "{subject}");
                seen += 1;
            }
        }
        assert_eq!(seen, 12);
    }

    #[test]
    fn what_was_tried_is_what_is_issued() {
        let ca = authority(CaPurpose::Infra);
        let subject: Subject = "platform/440300/node/sz-a-1".parse().unwrap();
        let request = read_request(&certificate_request().unwrap().0).unwrap();
        let names = LeafNames::default();
        let mut asked = LeafRequest {
            profile: "node",
            subject: &subject,
            names: &names,
            request: &request,
            epoch: Epoch::from_u64(3),
            days: None,
            now: OffsetDateTime::now_utc(),
            random: [7; 12],
        };
        let tbs = ca.prepare(&asked).unwrap();
        let der = ca.sign(&tbs).unwrap();
        let (_, cert) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(Digest::of(cert.tbs_certificate.as_ref()), tbs.digest());
        assert_eq!(tbs.serial(), "0100000003070707070707070707070707");
        for days in [0, 31, i64::MAX] {
            asked.days = Some(days);
            assert!(ca.prepare(&asked).is_err(), "{days} days");
        }
        asked.days = None;
        // Where peers would refuse, nothing is issued: the name constraint of the CA excludes it, and only a trial shows that.
        let foreign = LeafNames { dns: vec!["gz-1.440100.gd.eport.example".into()], ..LeafNames::default() };
        asked.names = &foreign;
        let refused = ca.prepare(&asked).err().unwrap();
        assert!(refused.to_string().contains("peers would refuse"), "{refused}");
        let person: Subject = "operator/li".parse().unwrap();
        let none = LeafNames::default();
        asked = LeafRequest { subject: &person, profile: "operator", names: &none, ..asked };
        assert!(ca.prepare(&asked).is_err(), "an infra CA issues for no person");
    }

    #[test]
    fn the_built_in_profiles_are_sound() {
        for (name, p) in Profile::all() {
            assert!(
                p.days >= 1 && p.renew_days <= p.days && !p.usages.is_empty() && !p.purposes.is_empty(),
                "{name}"
            );
            let serves = p.purposes.contains(&Purpose::ServerAuth);
            assert_eq!(serves, p.subject == "node", "{name}: only nodes are servers");
            assert_eq!(p.issuer == CaPurpose::Infra, p.subject == "node", "{name}");
        }
    }
}
