//! A command of a drill that one person alone may not give: the drill says so and waits for the second one.
//!
//! The wait counts: a federation whose failover takes two persons is as slow as its second person is to reach.

use crate::drill::stop::wait_for;
use crate::error::Error;
use crate::output::Out;
use eport_client::Client;
use eport_model::Coded;
use eport_model::codes::{APPROVAL_OVER, APPROVAL_PENDING};
use serde_json::Value;
use std::time::Instant;

/// The approval that an error names, when the command waits for a second person.
fn asked_for(error: &Error) -> Option<String> {
    match error {
        Error::Api(e) if error.code() == APPROVAL_PENDING => {
            e.problem()?.more.get("approval")?.as_str().map(str::to_owned)
        }
        _ => None,
    }
}

/// Waits until a command that needs a second person was carried out. Any other error stays what it is.
///
/// # Errors
/// The error itself; `APPROVAL_OVER` when the second person refuses or the approval expires; the end of the time.
pub async fn person(client: &Client, error: Error, until: Instant, out: Out) -> Result<(), Error> {
    let Some(id) = asked_for(&error) else { return Err(error) };
    out.say(
        format!("waits for a second person: eport approve {id}"),
        format!("等待第二人批准：eport approve {id}"),
    );
    let path = format!("/v1/approvals/{id}");
    let decided = wait_for(until, async || {
        let item: Value = client.get(&path, &[]).await.map_err(|e| e.to_string())?;
        match item["state"].as_str() {
            None | Some("pending") => Err(format!("approval {id} waits for a second person")),
            Some(state) => Ok(state.to_owned()),
        }
    });
    match decided.await?.as_str() {
        "executed" => Ok(()),
        state => Err(Error::coded(APPROVAL_OVER, format!("approval {id} was {state}"))),
    }
}
