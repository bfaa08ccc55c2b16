//! Drills that nobody ended: while this node leads the registry it carries out what `moves::drill_step` says.
//!
//! It keeps nothing: every command is compare-and-set on the placement version, so a leader that dies is followed by one that
//! starts over.

use crate::node::Agent;
use eport_model::MoveId;
use eport_moves::{DrillStep, drill_step};
use rand::RngCore;
use std::time::Duration;
use tracing::{info, warn};

/// How often a drill past its deadline is looked at.
const TICK: Duration = Duration::from_millis(500);
/// How long one registry command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until the node stops.
pub(crate) async fn follow(agent: Agent) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        every.tick().await;
        if agent.registry().is_leader() {
            act(&agent, &mut said).await;
        }
    }
}

async fn act(agent: &Agent, said: &mut String) {
    let view = agent.registry().state();
    let mut id = [0u8; 16];
    rand::rng().fill_bytes(&mut id);
    let step = drill_step(&view.state, agent.clock().wall(), MoveId(id), |region| {
        agent.observe(&view.state, region)
    });
    match step {
        DrillStep::Nothing => said.clear(),
        DrillStep::Wait { region, why } => {
            if *said != why {
                warn!(%region, %why, "a drill is past its deadline and the way back is not open");
                *said = why;
            }
        }
        DrillStep::Propose { reason, op } => {
            said.clear();
            let command = agent.command(&reason, *op);
            match agent.registry().propose(command, COMMAND_TIMEOUT).await {
                Ok(outcome) => info!(?outcome, %reason, "a drill past its deadline"),
                Err(error) => warn!(%error, %reason, "a drill past its deadline: not done"),
            }
        }
    }
}
