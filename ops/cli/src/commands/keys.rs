//! `eport platform keys`: data keys of a platform, who can open them, and rotation.

use crate::error::Error;
use crate::output::{Out, cell};
use crate::table::Table;
use eport_client::{Client, Method};
use eport_model::RegionCode;
use eport_registry::{data_keys_setting, statement};
use serde_json::{Value, json};

/// Shows the data keys; with `rotate` asks for the next one first. The primary makes it within moments.
pub async fn run(client: &Client, region: RegionCode, rotate: bool, out: Out) -> Result<(), Error> {
    let path = format!("/v1/platforms/{region}/data-keys");
    if rotate {
        let known = client.list(&path, &[]).await?;
        let newest = known.iter().filter_map(|k| k["id"].as_u64()).max().unwrap_or(0);
        let statement = statement::setting(&data_keys_setting(region), &(newest + 1).to_string());
        let asked: Value = client.give(Method::POST, &path, &json!({}), &statement).await?;
        out.result(&asked, || {
            let key = cell(&asked, "key");
            out.lang.pick((format!("key {key} is asked for\n"), format!("已请求生成密钥 {key}\n")))
        });
        return Ok(());
    }
    let items = client.list(&path, &[]).await?;
    let document = json!({ "items": items, "next_page_token": null });
    out.result(&document, || {
        let mut table = Table::new([">key", "made", "holders", "lacking"]);
        for key in &items {
            let names = |field: &str| {
                let names = key[field].as_array().into_iter().flatten().filter_map(Value::as_str);
                names.collect::<Vec<_>>().join(" ")
            };
            table.row([cell(key, "id"), cell(key, "made"), names("holders"), names("lacking")]);
        }
        table.render()
    });
    Ok(())
}
