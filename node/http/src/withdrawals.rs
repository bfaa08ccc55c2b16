//! Tails that operators have given up: who got a message of theirs is told that it is void.

use crate::state::Api;
use crate::tails_api::source;
use eport_platform::Platform;
use eport_registry::TailState;
use tracing::{debug, warn};

/// Looks through the tails of a platform that lie on this node; what was written before is not written again.
pub(crate) async fn look(api: &Api, platform: &Platform) {
    let view = api.registry.state();
    let given_up = view.state.tails().filter(|t| {
        t.region == platform.region() && (t.state == TailState::Discarded || !t.discarded.is_empty())
    });
    for tail in given_up {
        let Some(found) = source(api, tail) else { continue };
        if platform.is_withdrawn(&found) {
            continue;
        }
        let reader = platform.clone();
        let read = tokio::task::spawn_blocking(move || {
            let messages = reader.messages_given_up(&found);
            (found, messages)
        });
        match read.await {
            Ok((found, Ok(messages))) => match platform.withdraw(&found, messages).await {
                Ok(()) => {}
                Err(error) => debug!(tail = %found.id, %error, "withdrawals were not written"),
            },
            Ok((found, Err(error))) => {
                warn!(tail = %found.id, %error, "a tail cannot be read for withdrawals")
            }
            Err(error) => warn!(%error, "a tail was not read for withdrawals"),
        }
    }
}
