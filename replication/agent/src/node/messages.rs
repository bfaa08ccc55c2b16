//! Messages of journals and moves: from other nodes to the platform that they are for, and from the coordinator to them.
//!
//! Always holds: a message is taken only from a member and of this lineage, a promise only for a failover that the registry shows; a
//! full queue drops, because everything is sent again.

use super::Agent;
use crate::platform::{Event, envelope};
use bytes::Bytes;
use eport_journal::Message;
use eport_model::{NodeId, RegionCode, codec};
use eport_registry::PlacementState;
use eport_wire::{Envelope, Purpose};
use tracing::debug;

impl Agent {
    /// A journal or move message from another node.
    pub(crate) fn receive(&self, from: NodeId, payload: Bytes) {
        let (region, message) = match self.open_envelope(payload) {
            Ok(opened) => opened,
            Err(error) => {
                debug!(%from, %error, "journal message refused");
                return;
            }
        };
        if let Err(reason) = self.entitled(from, region, &message) {
            debug!(%from, %region, reason, "journal message refused");
            return;
        }
        if let Message::Sealed(report) = message {
            self.inner.reports.put(region, from, report);
            return;
        }
        let events = self.platforms_read().get(&region).map(|h| h.events.clone());
        match events {
            // A full queue drops the message: acknowledgements are cumulative and batches are sent again.
            Some(events) => {
                if events.try_send(Event::Peer { from, message }).is_err() {
                    debug!(%from, %region, "platform queue full, message dropped");
                }
            }
            None => debug!(%from, %region, "message for a platform that is not kept here"),
        }
    }

    /// A certificate alone gives no voice: the sender must be a member, and a promise is asked for only by a failover that this
    /// node's registry shows. A view that lags costs a moment, because coordinators repeat themselves.
    fn entitled(&self, from: NodeId, region: RegionCode, message: &Message) -> Result<(), &'static str> {
        let view = self.inner.registry.state();
        if !view.state.is_member(from) {
            return Err("the sender is not a member");
        }
        let asked = match message {
            Message::Seal { epoch, move_id } | Message::Copy { epoch, move_id, .. } => {
                Some((*epoch, *move_id))
            }
            _ => None,
        };
        let Some((epoch, move_id)) = asked else { return Ok(()) };
        match view.state.placement(region).map(|p| p.state) {
            Some(PlacementState::Recovering { move_id: id, epoch: reserved })
                if id == move_id && reserved == epoch =>
            {
                Ok(())
            }
            _ => Err("no such failover is known here"),
        }
    }

    fn open_envelope(&self, payload: Bytes) -> Result<(RegionCode, Message), String> {
        let envelope = Envelope::decode(payload).map_err(|e| e.to_string())?;
        if envelope.lineage != self.inner.config.lineage {
            return Err(format!("lineage {}", envelope.lineage));
        }
        let message = codec::decode_with_limit(&envelope.body, Purpose::Journal.payload_len_max())
            .map_err(|e| e.to_string())?;
        Ok((envelope.platform, message))
    }

    /// Sends a move message of the coordinator; a message to this node itself goes straight to its platform's task.
    pub(crate) fn send_move(&self, to: NodeId, region: RegionCode, version: u64, message: Message) {
        if to == self.me() {
            if let Some(events) = self.platforms_read().get(&region).map(|h| h.events.clone()) {
                let _ = events.try_send(Event::Peer { from: to, message });
            }
            return;
        }
        let bytes = envelope(self.inner.config.lineage, region, version, &message);
        let _ = self.inner.transport.send(to, Purpose::Move, bytes);
    }
}
