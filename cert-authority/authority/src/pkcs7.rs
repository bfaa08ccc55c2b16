//! The forms in which enrolment over secure transport (EST, RFC 7030) carries certificates and requests: certs-only PKCS#7 and
//! base64, as standard clients write and read them.

use crate::Error;
use crate::key::REQUEST_LEN_MAX;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";

/// Certificates as a PKCS#7 SignedData without signature (RFC 5272 "certs-only"), DER.
pub fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let certificates: Vec<&[u8]> = certificates.into_iter().collect();
    yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 113549, 1, 7, 2]));
            w.next().write_tagged(Tag::context(0), |w| {
                w.write_sequence(|w| {
                    w.next().write_u8(1);
                    w.next().write_set(|_| {});
                    w.next().write_sequence(|w| {
                        w.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 113549, 1, 7, 1]));
                    });
                    w.next().write_tagged_implicit(Tag::context(0), |w| {
                        w.write_set_of(|w| certificates.iter().for_each(|der| w.next().write_der(der)));
                    });
                    w.next().write_set(|_| {});
                });
            });
        });
    })
}

/// Bytes in base64, 64 characters a line.
pub fn base64_lines(bytes: &[u8]) -> String {
    let text = crate::pem_of("X", bytes);
    text.lines().filter(|l| !l.starts_with("-----")).fold(String::new(), |all, line| all + line + "\n")
}

/// The bytes of a base64 text, at most `max` characters of it; blanks and line ends do not count.
pub fn base64_bytes(text: &str, max: usize) -> Option<Vec<u8>> {
    if text.len() > max || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=\r\n ".contains(&b)) {
        return None;
    }
    let line: String = text.split_ascii_whitespace().collect();
    let wrapped = format!("-----BEGIN X-----\n{line}\n-----END X-----\n");
    pem::parse(wrapped).ok().map(|p| p.into_contents())
}

/// The body of an EST request as a PEM request: base64 of DER as the RFC says, or DER, or PEM as people send it.
pub fn request_of_body(body: &[u8]) -> Result<String, Error> {
    let refuse = |why: &str| Error::Refused { subject: "request".into(), reason: why.into() };
    if body.len() > REQUEST_LEN_MAX {
        return Err(refuse("it is too long"));
    }
    if body.first() == Some(&0x30) {
        return Ok(crate::pem_of(REQUEST_LABEL, body));
    }
    let text = std::str::from_utf8(body).map_err(|_| refuse("it is neither base64 nor DER"))?;
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(text.to_owned());
    }
    let der = base64_bytes(text, REQUEST_LEN_MAX).ok_or_else(|| refuse("it is neither base64 nor DER"))?;
    Ok(crate::pem_of(REQUEST_LABEL, &der))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_is_read_in_each_form_a_client_sends() {
        let (pem, _) = crate::certificate_request().unwrap();
        let der = pem::parse(&pem).unwrap().into_contents();
        let base64 = base64_lines(&der);
        assert_eq!(base64_bytes(&base64, 10_000).unwrap(), der);
        for body in [pem.as_bytes(), &der, base64.as_bytes(), base64.replace('\n', "").as_bytes()] {
            let read = request_of_body(body).unwrap();
            assert!(crate::read_request(&read).is_ok());
        }
        for bad in [&b"!"[..], &[0xff; 9], &vec![b'A'; REQUEST_LEN_MAX + 1]] {
            assert!(request_of_body(bad).is_err());
        }
    }
}
