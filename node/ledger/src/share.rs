//! A share where it is used: the city reserves from it in its own journal, also when it can reach nobody.

use crate::outcome::{Failure, code};
use crate::{AccountKey, Amount, Order, Phase, Request, Step, cause};
use eport_model::{Digest, Epoch, RegionCode};
use serde::{Deserialize, Serialize};
use time::Date;

/// A share as its city knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Portion {
    /// Its name.
    pub id: Digest,
    /// The account.
    pub account: AccountKey,
    /// The account's home.
    pub home: RegionCode,
    /// How much it was.
    pub quantity: Amount,
    /// What is left of it.
    pub rest: Amount,
    /// The account's unit.
    pub unit: Option<String>,
    /// Last local day on which it may be used.
    pub valid_to: Date,
    /// The city's epoch in which it may be used.
    pub epoch: Epoch,
    /// The rest is on its way back.
    pub closed: bool,
}

/// What was reserved from a share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
    /// The share afterwards.
    pub portion: Portion,
    /// What the home has to be told: the reserve becomes one of its own.
    pub settle: Request,
}

/// Why nothing is reserved from a share. The home has to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undrawn {
    /// It was given to an epoch whose end is not known here: what is left of it is not known either.
    OtherEpoch,
    /// It is given back, or its last day is over.
    Over,
    /// It has not enough.
    TooSmall,
    /// Another unit, or not a first reserve.
    Unfit,
}

impl Portion {
    /// The share that a request got, as long as nothing was drawn from it.
    pub fn of(request: &Request, home: RegionCode, unit: Option<String>) -> Option<Self> {
        let Order::Escrow { epoch, quantity, valid_to, .. } = request.order else { return None };
        Some(Self {
            id: request.cause,
            account: request.account.clone(),
            home,
            quantity,
            rest: quantity,
            unit,
            valid_to,
            epoch,
            closed: false,
        })
    }

    /// Reserves from the share what a document's first reserve on the account asks for.
    pub fn draw(&self, epoch: Epoch, request: &Request) -> Result<Drawn, Undrawn> {
        let Order::Hold { items, unit } = &request.order else { return Err(Undrawn::Unfit) };
        if self.epoch != epoch {
            return Err(Undrawn::OtherEpoch);
        }
        if self.closed || request.day > self.valid_to {
            return Err(Undrawn::Over);
        }
        let other_unit = self.unit.is_some() && unit.is_some() && self.unit != *unit;
        if other_unit || request.account != self.account || items.values().any(|q| q.is_negative()) {
            return Err(Undrawn::Unfit);
        }
        let asked = Amount::sum(items.values().copied()).ok_or(Undrawn::TooSmall)?;
        let rest = self.rest.minus(asked).filter(|r| !r.is_negative()).ok_or(Undrawn::TooSmall)?;
        let order = Order::Settle { share: self.id, items: items.clone() };
        let name = cause(&request.holder, request.step, &request.account, order.word());
        let settle = Request { cause: name, order, ..request.clone() };
        Ok(Drawn { portion: Portion { rest, ..self.clone() }, settle })
    }

    /// A primary of another epoch begins. Planned moves carry over a share of the epoch in which the former primary's book stood;
    /// after any other move what is left is not known, and no later planned one makes it known again.
    pub fn enter(&mut self, former: Epoch, epoch: Epoch, planned: bool) -> bool {
        let carried = planned && !self.closed && self.epoch == former && former < epoch;
        if carried {
            self.epoch = epoch;
        }
        carried
    }

    /// Gives the rest back: the share after that, and what the home has to be told. `None` when it is given back already, or
    /// when what is left is not known in this epoch.
    pub fn close(&self, epoch: Epoch, request: &Request) -> Option<Drawn> {
        if self.closed || self.epoch != epoch {
            return None;
        }
        let order = Order::Return { share: self.id, quantity: self.rest };
        let step = Step { version: u32::MAX, phase: Phase::Release };
        let name = cause(&request.holder, step, &self.account, &format!("return {}", self.id));
        let settle = Request { cause: name, step, account: self.account.clone(), order, ..request.clone() };
        Some(Drawn { portion: Portion { rest: Amount::ZERO, closed: true, ..self.clone() }, settle })
    }
}

impl Undrawn {
    /// The reason for people, with a code where it is one of the rules'.
    pub fn failure(self) -> Failure {
        match self {
            Undrawn::OtherEpoch => Failure::new(code::FENCED, "the share belongs to an earlier epoch"),
            Undrawn::Over => Failure::new(code::EXPIRED, "the share is over"),
            Undrawn::TooSmall => Failure::new(code::QUANTITY, "the share has not enough"),
            Undrawn::Unfit => Failure::new(code::UNIT, "the request does not fit the share"),
        }
    }
}
