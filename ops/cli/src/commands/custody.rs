//! `eport ca seal`, `export`, `keys` and `unlock`: keys of issuing CAs at rest, and in the hands of several persons.
//!
//! What always holds: a share leaves this machine only towards the node that is to open the key; the files of an export are on disk
//! and proven to open before anything is told to the federation; interrupted, the same command goes on with the same files.

use super::cert::at_primary;
use crate::args::Global;
use crate::connect;
use crate::error::Error;
use crate::files::write_new;
use crate::output::{Out, cell};
use crate::table::Table;
use clap::Args;
use eport_api_types::{CustodyRequest, UnlockRequest, WrappedKeyRequest};
use eport_authority::ceremony::{SHARE_LEN_MAX, Share};
use eport_authority::{Authority, PASSPHRASE_BESIDE, Passphrase, WRAPPED_KEY_LEN_MAX, WrappedKey};
use eport_client::{Client, Method, Repeat};
use eport_model::{Digest, RegionCode, Timestamp, codes};
use eport_registry::{CaCustody, statement};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Arguments of `eport ca seal`.
#[derive(Args, Debug)]
pub struct SealArgs {
    /// Key in the clear, PKCS#8 PEM, mode 0600; it is replaced by the sealed one
    #[arg(long = "file", value_name = "FILE")]
    pub file: PathBuf,
    /// File with the passphrase, mode 0600; when it is missing one is drawn and written there
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: PathBuf,
}

/// Arguments of `eport ca export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Name of the CA's files, like 440300-infra
    #[arg(long = "name", value_name = "NAME")]
    pub name: String,
    /// Folder of the CA's files; default ca in the folder of this federation
    #[arg(long, value_name = "DIR")]
    pub ca_dir: Option<PathBuf>,
    /// File with the passphrase of its key; default the one beside the key
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// So many shares open it
    #[arg(long, value_name = "K", default_value_t = 2)]
    pub shares: u8,
    /// So many exist; default one a holder
    #[arg(long, value_name = "N")]
    pub of: Option<usize>,
    /// Who holds one, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    pub holders: Vec<String>,
    /// Folder for the wrapped key and the shares
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `eport ca unlock`.
#[derive(Args, Debug)]
pub struct UnlockArgs {
    /// The CA's platform; its primary opens the key
    #[arg(long, value_name = "REGION")]
    pub platform: RegionCode,
    /// File of a share; give as many as are needed
    #[arg(long = "share", value_name = "FILE", required_unless_present = "passphrase_file")]
    pub shares: Vec<PathBuf>,
    /// File with the passphrase of a key that lies sealed on the node
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

pub(crate) fn refused(error: eport_authority::Error) -> Error {
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        detail = format!("{detail}: {source}");
    }
    Error::coded(eport_model::Code(error.code()), detail)
}

/// Seals a key where it lies.
pub fn seal(args: &SealArgs, out: Out) -> Result<(), Error> {
    let (sealed, drawn) = seal_key(&args.file, &args.passphrase_file)?;
    let document = json!({ "key": args.file, "passphrase_file": args.passphrase_file, "sealed": sealed, "drawn": drawn });
    out.result(&document, || format!("{}\n", cell(&document, "key")));
    Ok(())
}

/// Seals a key's file under the passphrase of another; says whether it did, and whether it drew the passphrase.
pub(crate) fn seal_key(key: &Path, word: &Path) -> Result<(bool, bool), Error> {
    let drawn = !word.exists();
    let passphrase = if drawn {
        let passphrase = Passphrase::draw();
        let comment = format!("opens {}; keep it on another medium", key.display());
        passphrase.write(word, &comment).map_err(refused)?;
        passphrase
    } else {
        Passphrase::read(word).map_err(refused)?
    };
    Ok((eport_authority::seal_in_place(key, &passphrase).map_err(refused)?, drawn))
}

/// Divides a CA's key among persons and sends the wrapped key along with the platform.
pub async fn export(args: &ExportArgs, global: &Global, out: Out) -> Result<(), Error> {
    if args.of.is_some_and(|n| n != args.holders.len()) {
        return Err(Error::usage(format!(
            "--of says {}, --holders names {}",
            args.of.unwrap_or(0),
            args.holders.len()
        )));
    }
    let client = connect::client(global)?;
    let path = args.out.join(format!("{}.wrapped", args.name));
    let fresh = !path.exists();
    let wrapped = if fresh { divide(args, &path)? } else { read_wrapped(&path)? };
    if !fresh {
        out.progress(format!("{} is there already: it is sent again", path.display()));
    }
    let region = region_of(&client, &wrapped.ca()).await?;
    let text = wrapped.text().map_err(refused)?;
    let digest = Digest::of(text.as_bytes());
    let holders: Vec<String> = wrapped.custody.holders.keys().cloned().collect();
    let listed = holders.join(", ");
    let (k, n) = (wrapped.custody.threshold, holders.len());
    out.confirm((
        &format!("let {k} of {n} ({listed}) open the CA {} of {region}?", args.name),
        &format!("由 {n} 人（{listed}）中的 {k} 人打开 {region} 的 CA {}？", args.name),
    ))?;
    let primary = at_primary(&client, region).await?;
    let keep = WrappedKeyRequest { wrapped: text };
    // The same wrapped key again changes nothing.
    let _: Value = primary.post(&format!("/v1/platforms/{region}/ca-keys"), &keep, Repeat::Safe).await?;
    let custody = CaCustody {
        ca: wrapped.ca(),
        region,
        kek: wrapped.kek().to_owned(),
        wrapped: digest,
        threshold: k,
        holders: holders.clone(),
        by: String::new(),
        at: Timestamp::default(),
    };
    let request =
        CustodyRequest { kek: custody.kek.clone(), wrapped: digest.to_string(), threshold: k, holders };
    let put = format!("/v1/platforms/{region}/ca-keys/{}/custody", custody.ca);
    let item: Value = primary.give(Method::PUT, &put, &request, &statement::custody(&custody)).await?;
    let document = json!({ "ca": item["ca"], "platform": region, "kek": custody.kek, "threshold": k,
        "holders": custody.holders, "wrapped": path, "shares": args.out, "kept_here": item["custody"]["kept_here"] });
    out.result(&document, || {
        let hand = "give each holder one file and remove it here";
        let zh = "把份额文件逐一交给持有人，并从此处删除";
        format!("{}\n{}\n", args.out.display(), out.lang.pick((hand, zh)))
    });
    Ok(())
}

/// Makes the files: shares first, the wrapped key last, so that it stands for all of them.
fn divide(args: &ExportArgs, path: &Path) -> Result<WrappedKey, Error> {
    let dir = match (&args.ca_dir, std::env::var_os("EPORT_DIR").filter(|d| !d.is_empty())) {
        (Some(dir), _) => dir.clone(),
        (None, Some(home)) => PathBuf::from(home).join("ca"),
        (None, _) => return Err(Error::usage("--ca-dir is needed: the folder of the CA's files")),
    };
    let word = args.passphrase_file.as_deref().map(Passphrase::read).transpose().map_err(refused)?;
    let authority = load(&dir, &args.name, word.as_ref())?;
    let made = WrappedKey::wrap(&**authority.key(), authority.spki(), args.shares, &args.holders);
    let (wrapped, shares) = made.map_err(refused)?;
    std::fs::create_dir_all(&args.out).map_err(Error::file(&args.out))?;
    let mut written = Vec::new();
    for share in &shares {
        let file = args.out.join(format!("{}.{}.share", args.name, share.holder()));
        write_new(&file, share.text().as_bytes(), true)?;
        written.push(read_share(&file)?);
    }
    // What lies on disk must open before anybody relies on it.
    let opened = wrapped.open(&written).map_err(refused)?;
    Authority::from_parts(authority.certificate_pem(), std::sync::Arc::new(opened), None).map_err(refused)?;
    write_new(path, wrapped.text().map_err(refused)?.as_bytes(), true)?;
    Ok(wrapped)
}

/// A CA of a folder, with the passphrase given, beside the key, or beside the folder.
pub(crate) fn load(dir: &Path, stem: &str, word: Option<&Passphrase>) -> Result<Authority, Error> {
    let outside = dir.parent().map(|p| p.join(format!("ca.{PASSPHRASE_BESIDE}"))).filter(|p| p.exists());
    let own = match (word, outside) {
        (None, Some(path)) if !dir.join(PASSPHRASE_BESIDE).exists() => {
            Some(Passphrase::read(&path).map_err(refused)?)
        }
        _ => None,
    };
    Authority::load_with(dir, stem, word.or(own.as_ref())).map_err(refused)
}

/// The platform that owns a CA, as the trust bundle names it.
pub(crate) async fn region_of(client: &Client, ca: &Digest) -> Result<RegionCode, Error> {
    let bundle = client.download("/v1/trust-bundle").await?;
    for der in eport_authority::certificates_of_pem(&bundle).map_err(refused)? {
        let pem = eport_authority::certificate_pem(&der);
        let Ok((key, Some(region))) = eport_authority::ca_of_pem(&pem) else { continue };
        if key == *ca {
            return Ok(region);
        }
    }
    Err(Error::coded(codes::NOT_FOUND, format!("the federation knows no issuing CA with the key {ca}")))
}

fn read_wrapped(path: &Path) -> Result<WrappedKey, Error> {
    WrappedKey::parse(&text(path, WRAPPED_KEY_LEN_MAX)?).map_err(refused)
}

fn read_share(path: &Path) -> Result<Share, Error> {
    let share = Share::parse(&text(path, SHARE_LEN_MAX)?);
    share.map_err(|e| Error::coded(codes::CA_SHARES, format!("{}: {e}", path.display())))
}

fn text(path: &Path, len_max: usize) -> Result<Zeroizing<String>, Error> {
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(Error::file(path))?;
    file.take(len_max as u64 + 1).read_to_string(&mut text).map_err(Error::file(path))?;
    if text.len() > len_max {
        return Err(Error::coded(codes::FILE_UNUSABLE, format!("{} is too large", path.display())));
    }
    Ok(text)
}

/// Sends shares, or a passphrase, to the node that is primary now.
pub async fn unlock(args: &UnlockArgs, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    let answer = unlock_at(&client, args.platform, &args.shares, args.passphrase_file.as_deref()).await?;
    out.result(&answer, || {
        let mut table = Table::new(["", ""]);
        for name in ["platform", "node", "epoch"] {
            table.row([name.to_owned(), cell(&answer, name)]);
        }
        let opened = answer["opened"].as_array().into_iter().flatten().filter_map(Value::as_str);
        format!("{}{}\n", table.render(), opened.collect::<Vec<_>>().join("\n"))
    });
    Ok(())
}

/// The same for other commands.
pub(crate) async fn unlock_at(
    client: &Client,
    region: RegionCode,
    shares: &[PathBuf],
    passphrase: Option<&Path>,
) -> Result<Value, Error> {
    let mut request = UnlockRequest::default();
    for path in shares {
        // Read here first: a file that is no share is named with its path.
        let share = read_share(path)?;
        request.shares.push(share.text().to_string());
    }
    if let Some(path) = passphrase {
        request.passphrase = Some(Passphrase::read(path).map_err(refused)?.reveal().to_owned());
    }
    let primary = at_primary(client, region).await?;
    let path = format!("/v1/platforms/{region}/ca-keys:unlock");
    Ok(primary.post::<Value>(&path, &request, Repeat::Safe).await?)
}

/// Lists the keys of the platforms' CAs as the asked node has them.
pub async fn keys(platform: Option<RegionCode>, global: &Global, out: Out) -> Result<(), Error> {
    let client = connect::client(global)?;
    let regions = match platform {
        Some(region) => vec![region.to_string()],
        None => super::cert::platforms(&client).await?,
    };
    let mut items = Vec::new();
    for region in regions {
        items.extend(client.list(&format!("/v1/platforms/{region}/ca-keys"), &[]).await?);
    }
    out.items(&items, || {
        let mut table = Table::new(["platform", "name", "node", "state", "opened by", "shares", "holders"]);
        for i in &items {
            let custody = &i["custody"];
            let holders = custody["holders"].as_array().into_iter().flatten().filter_map(Value::as_str);
            table.row([
                cell(i, "platform"),
                cell(i, "name"),
                cell(i, "node"),
                cell(i, "state"),
                cell(i, "opened_by"),
                cell(custody, "threshold"),
                holders.collect::<Vec<_>>().join(","),
            ]);
        }
        table
    });
    Ok(())
}
