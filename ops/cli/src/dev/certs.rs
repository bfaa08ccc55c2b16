//! Certificates of a new federation: root, issuing CA of the province, nodes, the first operator.
//!
//! Files in DIR: `ca/root.{crt,key}`, `ca/REGION.{crt,key}` (keys sealed), `ca/bundle.pem`, `NODE/tls/node.{crt,key}`,
//! `operator/admin.{crt,key}`. With a ceremony the root's key is not here, and the CAs are `ca/REGION-infra.{crt,key}` for
//! nodes and `ca/REGION-subject.{crt,key}` for everybody else.

use crate::error::Error;
use eport_api_types::OperatorFiles;
use eport_authority::ceremony::Folder;
use eport_authority::{
    Authority, CaPurpose, Issued, IssuingSpec, Key, LeafNames, LifeDays, PASSPHRASE_BESIDE, Passphrase,
    Validity, bundle_pem,
};
use eport_model::{Digest, Epoch, NodeId, RegionCode, TrustDomain};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Id of the operator that a new federation starts with.
pub const FIRST_OPERATOR: &str = "admin";

/// The authorities of a new federation: one issuing CA a province, or one for nodes and one for the others.
pub struct Authorities {
    dir: PathBuf,
    root_fingerprint: Digest,
    issuing: BTreeMap<(RegionCode, CaPurpose), Authority>,
    loopback: bool,
    now: OffsetDateTime,
}

/// A fault of the authority with its code.
fn refused(error: eport_authority::Error) -> Error {
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        detail = format!("{detail}: {source}");
    }
    Error::coded(eport_model::Code(error.code()), detail)
}

impl Authorities {
    /// Makes root and issuing CAs in `DIR/ca`. `dev` keeps the passphrase beside the keys and puts localhost into every node's
    /// certificate; `localhost` lets the CAs speak for it.
    pub fn create(
        dir: &Path,
        federation: &str,
        domain: &TrustDomain,
        regions: &[RegionCode],
        dev: bool,
        localhost: bool,
    ) -> Result<Self, Error> {
        let now = OffsetDateTime::now_utc();
        let life = |days| Validity::days(now, days);
        let root = Authority::create_root(federation, domain, life(LifeDays::ROOT)).map_err(refused)?;
        let ca = dir.join("ca");
        let word = seal_word(dir, dev)?;
        root.save_sealed(&ca, "root", &word).map_err(refused)?;
        let mut issuing = BTreeMap::new();
        for region in regions.iter().map(|r| r.province()) {
            if issuing.contains_key(&(region, CaPurpose::Any)) {
                continue;
            }
            let epoch = Epoch::from_u64(1);
            let spec = IssuingSpec { region, purpose: CaPurpose::Any, epoch, loopback: dev || localhost };
            let authority = root.create_issuing(spec, life(LifeDays::ISSUING)).map_err(refused)?;
            authority.save_sealed(&ca, &region.to_string(), &word).map_err(refused)?;
            issuing.insert((region, CaPurpose::Any), authority);
        }
        let bundle = bundle_pem(std::iter::once(&root).chain(issuing.values()));
        let all = Self { dir: dir.to_owned(), root_fingerprint: root.spki(), issuing, loopback: dev, now };
        eport_authority::write_certificate(&all.bundle(), &bundle).map_err(refused)?;
        Ok(all)
    }

    /// Takes the issuing CAs of a ceremony, whose folder is proven first. `keys` holds `REGION-infra.{crt,key}` and
    /// `REGION-subject.{crt,key}`, or `REGION.{crt,key}`; the root's key is not needed.
    pub fn from_ceremony(
        dir: &Path,
        ceremony: &Path,
        keys: &Path,
        domain: &TrustDomain,
        region: RegionCode,
        localhost: bool,
    ) -> Result<Self, Error> {
        let folder = Folder::at(ceremony);
        let proof = folder.verify(None).map_err(refused)?;
        // A witness may still sign later; anything else that differs must not become a federation.
        if let Some(problem) = proof.problems.first() {
            return Err(Error::coded(eport_model::codes::CA_TRANSCRIPT, problem.clone()));
        }
        let mut issuing = BTreeMap::new();
        for purpose in [CaPurpose::Infra, CaPurpose::Subject, CaPurpose::Any] {
            let stem = stem(region, purpose);
            if !keys.join(format!("{stem}.crt")).exists() {
                continue;
            }
            let authority = Authority::load(keys, &stem).map_err(refused)?;
            if authority.domain() != domain || authority.region() != Some(region) {
                return Err(Error::key(format!("{stem}.crt is not a CA of {region} in {domain}")));
            }
            issuing.insert((region, purpose), authority);
        }
        let (dir, now) = (dir.to_owned(), OffsetDateTime::now_utc());
        let all = Self { dir, root_fingerprint: proof.root, issuing, loopback: false, now };
        // Before anything is written: nobody would accept the first node.
        if localhost && !all.issuer(region, true)?.speaks_for_localhost() {
            return Err(Error::key(format!(
                "the ceremony's CA of nodes of {region} may not speak for localhost: listen on another address (--listen-api), or say loopback = true at its [[issuing]]"
            )));
        }
        all.issuer(region, false)?;
        let word = seal_word(&all.dir, false)?;
        for ((region, purpose), authority) in &all.issuing {
            authority.save_sealed(&all.dir.join("ca"), &stem(*region, *purpose), &word).map_err(refused)?;
        }
        let record = folder.record().map_err(refused)?;
        let ca = all.dir.join("ca");
        eport_authority::write_certificate(&ca.join("root.crt"), &record.root_pem).map_err(refused)?;
        crate::files::write_new(&ca.join("root.crl"), &record.crl, false)?;
        eport_authority::write_certificate(&all.bundle(), &record.bundle).map_err(refused)?;
        Ok(all)
    }

    /// File of the passphrase under which the CAs' keys are sealed.
    pub fn passphrase_file(&self) -> PathBuf {
        passphrase_path(&self.dir, self.loopback)
    }

    /// The trust bundle: root and issuing CAs.
    pub fn bundle(&self) -> PathBuf {
        self.dir.join("ca/bundle.pem")
    }

    /// Fingerprint of the root's public key: what a joining node is told out of band.
    pub fn root_fingerprint(&self) -> String {
        self.root_fingerprint.to_string()
    }

    /// Issues a node's certificate into `DIR/NODE/tls` and returns (certificate, key).
    pub fn node(
        &self,
        platform: RegionCode,
        node: NodeId,
        names: LeafNames,
        days: i64,
    ) -> Result<(PathBuf, PathBuf), Error> {
        let names = LeafNames { loopback: self.loopback || names.loopback, ..names };
        let validity = Validity::days(self.now, days);
        let issuer = self.issuer(platform, true)?;
        let issued = issuer.issue_node(platform, node, &names, Key::Generate, Epoch::from_u64(1), validity);
        self.keep(issued, &self.dir.join(node.as_str()).join("tls"), "node")
    }

    /// Issues the first operator's certificate into `DIR/operator`.
    pub fn operator(&self, province: RegionCode) -> Result<OperatorFiles, Error> {
        self.operator_of(province, FIRST_OPERATOR)
    }

    /// Issues an operator's certificate into `DIR/operator`.
    pub fn operator_of(&self, province: RegionCode, id: &str) -> Result<OperatorFiles, Error> {
        let validity = Validity::days(self.now, LifeDays::OPERATOR);
        let issuer = self.issuer(province, false)?;
        let issued = issuer.issue_operator(id, Key::Generate, Epoch::from_u64(1), validity);
        let (cert, key) = self.keep(issued, &self.dir.join("operator"), id)?;
        let text = |p: &Path| p.display().to_string();
        Ok(OperatorFiles { cert: text(&cert), key: text(&key), ca: text(&self.bundle()) })
    }

    fn issuer(&self, platform: RegionCode, nodes: bool) -> Result<&Authority, Error> {
        let own = if nodes { CaPurpose::Infra } else { CaPurpose::Subject };
        let found =
            [own, CaPurpose::Any].into_iter().find_map(|p| self.issuing.get(&(platform.province(), p)));
        found.ok_or_else(|| {
            let whom = if nodes { "nodes" } else { "operators" };
            Error::key(format!("no issuing CA speaks for {whom} of {platform}"))
        })
    }

    fn keep(
        &self,
        issued: Result<Issued, eport_authority::Error>,
        dir: &Path,
        stem: &str,
    ) -> Result<(PathBuf, PathBuf), Error> {
        issued.map_err(refused)?.save(dir, stem).map_err(refused)?;
        Ok((dir.join(format!("{stem}.crt")), dir.join(format!("{stem}.key"))))
    }
}

/// Beside the keys for a federation on one machine; else beside their folder, from where it goes to another medium.
pub(crate) fn passphrase_path(dir: &Path, on_one_machine: bool) -> PathBuf {
    if on_one_machine {
        dir.join("ca").join(PASSPHRASE_BESIDE)
    } else {
        dir.join(format!("ca.{PASSPHRASE_BESIDE}"))
    }
}

/// Draws the passphrase of a new federation's CAs and writes its file, which says what it is for.
fn seal_word(dir: &Path, on_one_machine: bool) -> Result<Passphrase, Error> {
    let word = Passphrase::draw();
    let comment = if on_one_machine {
        "Opens the CAs' keys in this folder. It lies beside them because this federation is for development:\nwhoever has the folder has the CAs. In production it lies on another medium, or nowhere."
    } else {
        "Opens the CAs' keys in ca/. Put it on another medium, or give it to systemd as the credential eport-ca,\nand name it in [ca] passphrase_file; without it the keys stay locked until `eport ca unlock`."
    };
    word.write(&passphrase_path(dir, on_one_machine), comment).map_err(refused)?;
    Ok(word)
}

/// Name of an issuing CA's files.
pub fn stem(region: RegionCode, purpose: CaPurpose) -> String {
    match purpose {
        CaPurpose::Any => region.to_string(),
        purpose => format!("{region}-{purpose}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_federation_gets_a_bundle_of_root_and_issuing_ca_and_keys_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (province, city) = ("440000".parse().unwrap(), "440300".parse().unwrap());
        let domain = "gd.eport.example".parse().unwrap();
        let made = Authorities::create(dir.path(), "gd", &domain, &[province, city], true, true).unwrap();
        let bundle = std::fs::read_to_string(made.bundle()).unwrap();
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2, "root and one CA for the province");
        let (cert, key) = made.node(city, "sz-a-1".parse().unwrap(), LeafNames::default(), 30).unwrap();
        assert_eq!(std::fs::read_to_string(cert).unwrap().matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        let operator = made.operator(province).unwrap();
        assert!(operator.cert.ends_with("operator/admin.crt"));
        assert!(
            made.node("350200".parse().unwrap(), "xm-1".parse().unwrap(), LeafNames::default(), 30).is_err()
        );
    }
}
