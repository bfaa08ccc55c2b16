//! What a node does by itself and what it says of itself: soft state to its peers, number blocks in time, its own row and
//! journal heads in the registry.
//!
//! Always holds: every duty may be repeated at any time; one that fails is tried again and stops no other.

use super::*;

impl Agent {
    /// The program that runs here.
    pub fn software(&self) -> Software {
        self.inner.config.software.borrow().clone()
    }

    /// What this node says of itself.
    pub fn soft_state(&self) -> SoftState {
        let view = self.inner.registry.state();
        let mut platforms: Vec<PlatformSoft> = self
            .platforms_read()
            .iter()
            .map(|(region, h)| {
                let (disk, scrub) = (h.handle.store().disk_bytes(), self.inner.scrubs.soft(*region));
                soft(*region, &h.handle.status().borrow(), disk, scrub, self.archived(*region))
            })
            .collect();
        platforms.extend(self.broken().iter().map(|(region, why)| PlatformSoft::broken(*region, why)));
        platforms.extend(self.kept().iter().map(|(region, last)| PlatformSoft::kept(*region, *last)));
        let tables = self.tables_here(&view.state);
        SoftState {
            incarnation: self.inner.config.incarnation,
            version: self.software().to_string(),
            wall: self.inner.clock.wall(),
            ready: *self.inner.ready.borrow(),
            registry_index: view.index,
            free_bytes: self.free_bytes(),
            certificate: *self.inner.certificate.lock().unwrap_or_else(PoisonError::into_inner),
            news_ms: self.news_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            lists: self.inner.lists.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            platforms,
            tables,
            catalog: self.catalog_soft(),
            backup_set: self.backup_set(),
        }
    }

    /// What peers are told of each table: one line, with the version in force or the newest that is here.
    fn tables_here(&self, state: &eport_registry::State) -> Vec<TableSoft> {
        let mut tables = Vec::new();
        let now = self.inner.clock.wall();
        for table in state.tables() {
            // The version in force, or the newest held here when that one is missing: one line a table is what peers need.
            let here = |v: &&eport_registry::TableVersion| self.inner.objects.has(&v.root);
            let in_force = state.table_as_of(table, now).filter(here);
            let held = in_force.or_else(|| state.table_versions(table).rev().find(here));
            if let Some(v) = held {
                let (bytes_fetched, seconds) = self.fetched(&v.root);
                tables.push(TableSoft {
                    name: table.to_string(),
                    version: v.version,
                    root: v.root,
                    bytes_fetched,
                    seconds,
                });
            }
        }
        tables
    }

    /// Tells peers at once when a change of the registry has put another version in their place: a content may have been here, staged,
    /// long before its version was published.
    pub(crate) fn tell_of_tables(&self, told: &mut Vec<(String, u64)>) {
        let here = self.tables_here(&self.inner.registry.state().state);
        let here: Vec<(String, u64)> = here.into_iter().map(|t| (t.name, t.version)).collect();
        if here != *told {
            *told = here;
            self.inner.news.notify_one();
        }
    }

    /// Puts what is told of this node's scheduled backups; peers hear of it at once.
    pub fn put_backup_set(&self, set: crate::BackupSetSoft) {
        *self.inner.backup_set.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
        self.inner.news.notify_one();
    }

    /// What was put last.
    pub fn backup_set(&self) -> Option<crate::BackupSetSoft> {
        self.inner.backup_set.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells one peer at once how this node is.
    pub(crate) fn greet(&self, node: NodeId) {
        let bytes = Bytes::from(codec::encode(&self.soft_state()));
        let _ = self.inner.transport.send(node, Purpose::Control, bytes);
    }

    pub(super) async fn tell_peers(self) {
        let mut every = tokio::time::interval(SOFT_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // At once when a role changed or a table arrived, so that nobody plans on an old picture.
            tokio::select! {
                _ = every.tick() => {}
                () = self.inner.news.notified() => {}
            }
            let state = self.soft_state();
            let bytes = Bytes::from(codec::encode(&state));
            self.inner.board.put(self.me(), state);
            let connected = self.inner.transport.connected().borrow().clone();
            for node in connected {
                let _ = self.inner.transport.send(node, Purpose::Control, bytes.clone());
            }
        }
    }

    /// Looks at how much disk each platform takes.
    pub(super) async fn measure_disks(self) {
        let mut every = tokio::time::interval(DISK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let platforms = self.platforms();
            let look = move || {
                for handle in platforms {
                    if let Err(error) = handle.store().measure_disk() {
                        warn!(region = %handle.region(), %error, "the disk that a platform takes cannot be measured");
                    }
                }
            };
            if let Err(error) = tokio::task::spawn_blocking(look).await {
                warn!(%error, "the look at the disk did not end");
            }
        }
    }

    pub(super) async fn keep_numbers(self) {
        let mut every = tokio::time::interval(Duration::from_secs(2));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.refill_numbers().await;
        }
    }

    /// Asks the registry for another number block when half of the newest one is given out.
    async fn refill_numbers(&self) {
        type Wanted = (RegionCode, u64, eport_model::Epoch, Vec<(u64, u64)>);
        let wanted: Vec<Wanted> = self
            .platforms_read()
            .iter()
            .filter_map(|(region, h)| {
                let receiver = h.handle.status();
                let status = receiver.borrow();
                let epoch = status.placement.as_ref().map(|p| p.epoch)?;
                status.is_open().then(|| {
                    (*region, h.number_cursor.load(Ordering::Relaxed), epoch, status.numbers.clone())
                })
            })
            .collect();
        for (region, next, epoch, blocks) in wanted {
            let Some((start, len)) = blocks.last().copied() else { continue };
            if next < start.saturating_add(len / 2) {
                continue;
            }
            let op = Op::ReserveNumbers { region, epoch, have: blocks.len() };
            let command = self.command("number block half used", op);
            if let Err(error) = self.inner.registry.propose(command, COMMAND_TIMEOUT).await {
                warn!(%region, %error, "no further number block yet");
            }
        }
    }

    /// A registry command of this node.
    pub(crate) fn command(&self, reason: &str, op: Op) -> eport_registry::Command {
        steps::node_command(self.home(), self.me(), self.inner.clock.wall(), reason, op)
    }

    /// Tells the registry which software runs here: at once, for what a node reads bounds what others may write, and again when the
    /// digest of its program is known. A file that cannot be read is told of as a version alone.
    pub(super) async fn introduce(self) {
        let mut software = self.inner.config.software.clone();
        let first = software.borrow().clone();
        self.tell_software(&first).await;
        if first.build.is_none()
            && let Ok(whole) = software.wait_for(|s| s.build.is_some()).await.map(|s| s.clone())
        {
            self.tell_software(&whole).await;
        }
    }

    /// Repeated until the registry has taken it.
    async fn tell_software(&self, software: &Software) {
        let change = NodeChange {
            software: Some(software.to_string()),
            incarnation: Some(self.inner.config.incarnation),
            reads: Some(eport_failpoint::setting("reads").unwrap_or(eport_model::SCHEMA_VERSION)),
            ..NodeChange::default()
        };
        let mut changes = self.inner.registry.changes();
        while !self.inner.registry.state().state.is_member(self.me()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
        let mut refused: u32 = 0;
        loop {
            // A refused command stays refused under its id: each attempt has its own.
            let command =
                self.command("node started", Op::UpdateNode { node: self.me(), change: change.clone() });
            match self.inner.registry.propose(command, COMMAND_TIMEOUT).await {
                Ok(_) => return,
                // It may be about this moment: in a federation that is being founded, nodes may be members before the CA that
                // vouches for them is known. Nothing is given to a node that the registry knows nothing of, so it goes on asking.
                Err(error @ eport_consensus::ProposeError::Refused(_)) => {
                    if refused == 0 {
                        warn!(%error, "the registry refuses this node's introduction; it is asked again");
                    }
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(250 << refused.min(7))).await;
                }
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Publishes the heads of all journals kept here: the outside anchor of `journal verify`.
    pub(super) async fn publish_heads(self) {
        let mut every = tokio::time::interval(HEADS_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let heads: Vec<HeadReport> = self
                .platforms()
                .iter()
                .filter_map(|h| {
                    let status = h.status().borrow().clone();
                    let index = status.committed;
                    let position = h.store().position(index).ok().flatten()?;
                    status.is_open().then_some(HeadReport { region: h.region(), position })
                })
                .collect();
            if heads.is_empty() {
                continue;
            }
            let command = self.command("journal heads", Op::PublishHeads(heads));
            if let Err(error) = self.inner.registry.propose(command, COMMAND_TIMEOUT).await {
                debug!(%error, "journal heads not published");
            }
        }
    }
}
