//! Profiles: what stands in the certificate of a root, an issuing CA, a node, an operator, an enterprise, an agency.

use crate::{Error, IssuingSpec, serial};
use eport_identity::{CaName, CaPurpose, Epoch, RegionCode, Subject, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Eku, GeneralSubtree, IsCa, KeyUsagePurpose as Usage, NameConstraints, SanType,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use time::{Duration, OffsetDateTime};

/// How far a certificate's begin lies before the moment it is made, for clocks that run behind.
pub const NOT_BEFORE_SLACK: Duration = Duration::minutes(10);

/// Usual lives of certificates, in days.
pub struct LifeDays;

impl LifeDays {
    /// Root: 20 years.
    pub const ROOT: i64 = 20 * 365;
    /// Issuing CA: 5 years.
    pub const ISSUING: i64 = 5 * 365;
    /// Node: 30 days.
    pub const NODE: i64 = 30;
    /// Operator: 1 year.
    pub const OPERATOR: i64 = 365;
    /// Agency gateway: 1 year.
    pub const AGENCY: i64 = 365;
    /// Enterprise: 2 years.
    pub const ENTERPRISE: i64 = 2 * 365;
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// First valid instant.
    pub not_before: OffsetDateTime,
    /// Last valid instant.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// Valid from ten minutes before `now` for a number of days.
    pub fn days(now: OffsetDateTime, days: i64) -> Self {
        Self { not_before: now - NOT_BEFORE_SLACK, not_after: now + Duration::days(days) }
    }

    /// This validity cut to the CA's end: a leaf never outlives its CA.
    pub(crate) fn within(self, ca_not_after: OffsetDateTime) -> Result<Self, Error> {
        let not_after = self.not_after.min(ca_not_after);
        if not_after <= self.not_before {
            return Err(Error::Validity { not_before: self.not_before, not_after });
        }
        Ok(Self { not_after, ..self })
    }
}

/// Names of a leaf beside its URI and, for nodes, its name in the trust domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeafNames {
    /// Adds `localhost`, 127.0.0.1 and ::1, for federations on one machine.
    pub loopback: bool,
    /// Further addresses under which HTTPS clients reach a node.
    pub addresses: Vec<IpAddr>,
    /// Further DNS names under which HTTPS clients reach a node.
    pub dns: Vec<String>,
}

/// `name` is the root's whole common name.
pub(crate) fn root(name: &str, domain: &TrustDomain, validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = common(name, domain, Epoch::NONE, validity);
    // Two, not one: cross-signing at a root rotation puts one more CA in the path.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
    params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign];
    params.subject_alt_names = vec![uri(&format!("spiffe://{domain}"))?];
    Ok(params)
}

/// Another root under this one: its name as it has it, room for one layer of issuing CAs below.
pub(crate) fn cross(
    organization: Option<String>,
    name: Option<String>,
    domain: &TrustDomain,
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let mut params = root("", domain, validity)?;
    let mut distinguished = DistinguishedName::new();
    for (kind, text) in [(DnType::OrganizationName, organization), (DnType::CommonName, name)] {
        if let Some(text) = text {
            distinguished.push(kind, text);
        }
    }
    params.distinguished_name = distinguished;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

pub(crate) fn issuing(
    spec: IssuingSpec,
    domain: &TrustDomain,
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let name = match spec.purpose {
        CaPurpose::Any => format!("{} issuing", spec.region),
        purpose => format!("{} {purpose} issuing", spec.region),
    };
    let mut params = common(&name, domain, spec.epoch, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign];
    let own = CaName::Issuing { region: spec.region, purpose: spec.purpose };
    params.subject_alt_names = vec![uri(&own.uri(domain))?];
    params.name_constraints = Some(constraints(spec.region, spec.loopback, domain));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// DNS scope of an issuing CA. URI scope cannot be said here (webpki then refuses every URI), so `tls` checks it.
fn constraints(region: RegionCode, loopback: bool, domain: &TrustDomain) -> NameConstraints {
    // A province's CA also issues for the virtual cities it hosts.
    let scope = if region.is_province() { domain.to_string() } else { format!("{region}.{domain}") };
    let mut permitted = vec![GeneralSubtree::DnsName(scope)];
    let mut excluded = Vec::new();
    if loopback {
        permitted.push(GeneralSubtree::DnsName("localhost".into()));
    } else if !region.is_province() {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

pub(crate) fn leaf(
    subject: &Subject,
    names: &LeafNames,
    epoch: Epoch,
    domain: &TrustDomain,
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let (usages, ekus) = match subject {
        Subject::Node { .. } => (vec![Usage::DigitalSignature], vec![Eku::ServerAuth, Eku::ClientAuth]),
        Subject::Operator(_) | Subject::Agency { .. } => {
            (vec![Usage::DigitalSignature], vec![Eku::ClientAuth])
        }
        Subject::Enterprise(_) => {
            (vec![Usage::DigitalSignature, Usage::ContentCommitment], vec![Eku::ClientAuth])
        }
    };
    let mut params = common(&common_name(subject), domain, epoch, validity);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = usages;
    params.extended_key_usages = ekus;
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = leaf_names(subject, names, domain)?;
    Ok(params)
}

fn leaf_names(subject: &Subject, names: &LeafNames, domain: &TrustDomain) -> Result<Vec<SanType>, Error> {
    let all = names_of(subject, names, domain);
    let mut out = vec![uri(&subject.uri(domain))?];
    for name in &all.dns {
        out.push(dns(name)?);
    }
    out.extend(all.addresses.into_iter().map(SanType::IpAddress));
    Ok(out)
}

/// The common name: for people only, nothing is decided by it.
pub(crate) fn common_name(subject: &Subject) -> String {
    match subject {
        Subject::Node { node, .. } => node.to_string(),
        Subject::Operator(id) | Subject::Enterprise(id) => id.clone(),
        Subject::Agency { code, gateway } => format!("{code}-{gateway}"),
    }
}

/// DNS names and addresses of a leaf; only nodes have any.
pub(crate) fn names_of(subject: &Subject, names: &LeafNames, domain: &TrustDomain) -> LeafNames {
    let Subject::Node { platform, node } = subject else { return LeafNames::default() };
    let mut dns = vec![format!("{node}.{platform}.{domain}")];
    dns.extend(names.dns.iter().cloned());
    let mut addresses = names.addresses.clone();
    if names.loopback {
        dns.push("localhost".into());
        addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }
    addresses.sort();
    addresses.dedup();
    LeafNames { loopback: false, addresses, dns }
}

fn common(common_name: &str, domain: &TrustDomain, epoch: Epoch, validity: Validity) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, domain.as_str());
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.serial_number = Some(serial::draw(epoch));
    params
}

fn uri(text: &str) -> Result<SanType, Error> {
    Ok(SanType::URI(text.try_into()?))
}

fn dns(text: &str) -> Result<SanType, Error> {
    Ok(SanType::DnsName(text.try_into()?))
}
