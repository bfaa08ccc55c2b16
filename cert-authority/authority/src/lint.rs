//! Rules that every leaf certificate keeps, looked at in the bytes themselves and not in what they were made from.

use crate::authority::Authority;
use crate::spec::{KeyUse, Purpose, TbsSpec};
use crate::{Error, NOT_BEFORE_SLACK};
use rcgen::PublicKeyData;
use time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// Extensions of a leaf, and whether each is critical.
const EXTENSIONS: [(&str, bool); 6] = [
    ("2.5.29.35", false),
    ("2.5.29.17", false),
    ("2.5.29.15", true),
    ("2.5.29.37", false),
    ("2.5.29.14", false),
    ("2.5.29.19", true),
];

/// Names every broken rule.
pub(crate) fn leaf(authority: &Authority, spec: &TbsSpec, der: &[u8]) -> Result<(), Error> {
    let unreadable = || Error::Lint { rules: vec!["the certificate cannot be read".into()] };
    let Ok(([], cert)) = X509Certificate::from_der(der) else { return Err(unreadable()) };
    let mut rules = Vec::new();
    let mut rule = |kept: bool, text: &str| {
        if !kept {
            rules.push(text.to_owned());
        }
    };
    rule(cert.raw_serial() == spec.serial, "the serial is 0x01, the epoch and 96 random bits");
    rule(
        cert.issuer().as_raw() == authority.distinguished_name(),
        "the issuer's name is the CA's, byte for byte",
    );
    rule(!cert.is_ca(), "a leaf is no CA");
    let extensions: Vec<_> = cert.extensions().iter().map(|e| (e.oid.to_id_string(), e.critical)).collect();
    let known: Vec<_> = EXTENSIONS.iter().map(|(oid, critical)| ((*oid).to_owned(), *critical)).collect();
    rule(extensions == known, "the extensions are those of a leaf, each once, and critical where it must be");
    let authority_key = cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|k| k.0),
        _ => None,
    });
    rule(authority_key == Some(authority.key_identifier()), "the authority key identifier is the CA's");
    let (from, to) = (cert.validity().not_before.to_datetime(), cert.validity().not_after.to_datetime());
    rule(to <= authority.not_after(), "a leaf never outlives its CA");
    let longest = Duration::days(spec.rules.days) + NOT_BEFORE_SLACK;
    rule(from < to && to - from <= longest, "the life is not longer than the profile's");
    rule(
        names_kept(&cert, spec),
        "the names are the subject's URI, its DNS names and addresses, and no other",
    );
    rule(usage_kept(&cert, spec), "key usage and extended key usage are the profile's");
    let same_key = *cert.public_key().raw == *spec.spki.subject_public_key_info();
    rule(same_key, "the key is the request's");
    if rules.is_empty() { Ok(()) } else { Err(Error::Lint { rules }) }
}

fn names_kept(cert: &X509Certificate<'_>, spec: &TbsSpec) -> bool {
    let Ok(Some(names)) = cert.subject_alternative_name() else { return false };
    let (mut uris, mut dns, mut addresses, mut others) = (Vec::new(), Vec::new(), 0, 0);
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::IPAddress(_) => addresses += 1,
            _ => others += 1,
        }
    }
    uris == [spec.uri.as_str()] && dns == spec.dns && addresses == spec.addresses.len() && others == 0
}

fn usage_kept(cert: &X509Certificate<'_>, spec: &TbsSpec) -> bool {
    let Ok(Some(usage)) = cert.key_usage() else { return false };
    let Ok(Some(purposes)) = cert.extended_key_usage() else { return false };
    let commits = spec.rules.usages.contains(&KeyUse::ContentCommitment);
    let expected = if commits { 0b11 } else { 0b01 };
    usage.value.flags == expected
        && purposes.value.server_auth == spec.rules.purposes.contains(&Purpose::ServerAuth)
        && purposes.value.client_auth == spec.rules.purposes.contains(&Purpose::ClientAuth)
        && !purposes.value.any
        && purposes.value.other.is_empty()
}
