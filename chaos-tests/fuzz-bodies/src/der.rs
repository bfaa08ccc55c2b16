//! DER as a tree that can be changed and written again with lengths that fit, and structures that are signed anew.
//!
//! Always: reading ends for every input and goes no deeper than it says; what cannot be read is bytes.

/// How deep a tree is read.
const DEPTH_MAX: usize = 24;
/// Elements that are read.
const ELEMENTS_MAX: usize = 4_096;

/// One element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub tag: u8,
    pub body: Body,
}

/// What is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// Elements behind some bytes: none in a constructed one, the count of unused bits in a BIT STRING.
    Nodes(Vec<u8>, Vec<Node>),
}

/// Tag, length and content of the element that these bytes begin with, and what follows it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // Tags of several bytes stand in nothing of ours.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// Reads elements that fill the bytes; `None` when they do not.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<Node>> {
    let mut left = ELEMENTS_MAX;
    read_all(bytes, 0, &mut left)
}

fn read_all(mut bytes: &[u8], depth: usize, left: &mut usize) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        *left = left.checked_sub(1)?;
        let (tag, content, rest) = split(bytes)?;
        nodes.push(Node { tag, body: body(tag, content, depth, left) });
        bytes = rest;
    }
    Some(nodes)
}

fn body(tag: u8, content: &[u8], depth: usize, left: &mut usize) -> Body {
    let plain = || Body::Bytes(content.to_vec());
    if depth >= DEPTH_MAX {
        return plain();
    }
    // What extensions and keys wrap is DER too.
    let (front, inner) = match tag {
        0x03 => content.split_at_checked(1).unwrap_or((content, &[])),
        _ => (&[][..], content),
    };
    let wraps = tag & 0x20 != 0 || (matches!(tag, 0x03 | 0x04) && inner.first() == Some(&0x30));
    if !wraps {
        return plain();
    }
    match read_all(inner, depth + 1, left) {
        Some(nodes) => Body::Nodes(front.to_vec(), nodes),
        None => plain(),
    }
}

/// Writes elements with lengths that fit.
pub(crate) fn write(nodes: &[Node]) -> Vec<u8> {
    let mut out = Vec::new();
    for node in nodes {
        let content = match &node.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Nodes(front, nodes) => [front.as_slice(), &write(nodes)].concat(),
        };
        element(node.tag, &content, &mut out);
    }
    out
}

pub(crate) fn element(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let len = content.len();
    let bytes = len.to_be_bytes();
    let used = bytes.iter().skip_while(|b| **b == 0).count();
    match len {
        0..=0x7f => out.push(len as u8),
        _ => {
            out.push(0x80 | used as u8);
            out.extend_from_slice(&bytes[bytes.len() - used..]);
        }
    }
    out.extend_from_slice(content);
}

/// The signed part of a structure that is content, algorithm and signature, header included.
pub(crate) fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let (0x30, content, []) = split(der)? else { return None };
    let (_, _, rest) = split(content)?;
    Some(&content[..content.len() - rest.len()])
}

/// ecdsa-with-SHA256.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Content, algorithm and signature as one structure.
pub(crate) fn signed(content: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut inner = [content, ECDSA_SHA256].concat();
    element(0x03, &[&[0], signature].concat(), &mut inner);
    let mut out = Vec::with_capacity(inner.len() + 4);
    element(0x30, &inner, &mut out);
    out
}

/// What stands in front of the point of a P-256 key.
const P256_KEY: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The same bytes with another P-256 point in the place of the first one; `None` where there is none.
pub(crate) fn with_key(der: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let at = der.windows(P256_KEY.len()).position(|w| w == P256_KEY)? + P256_KEY.len();
    let mut out = der.to_vec();
    out.get_mut(at..at + point.len())?.copy_from_slice(point);
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let (pem, _) = eport_authority::certificate_request().unwrap();
        let der = eport_authority::read_request(&pem).unwrap().der;
        let tree = read(&der).unwrap();
        assert_eq!(write(&tree), der);
        assert!(signed_part(&der).is_some_and(|part| part.len() < der.len() && part[0] == 0x30));
        for cut in 0..der.len() {
            let _ = read(&der[..cut]);
            assert!(signed_part(&der[..cut]).is_none());
        }
        assert!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
    }
}
