//! The tables that every scenario with documents begins with.
//!
//! Always holds: when `starter` returns, every node has installed every table.

use anyhow::Result;
use eport_cluster::Federation;

/// Publishes the starter tables and waits until all four nodes have them.
pub fn starter(fed: &Federation) -> Result<()> {
    fed.eport(&["table", "import", "--starter"])?.expect(0, "starter import")?;
    fed.wait_status("gz-a-1", "tables on every node", |s| {
        let tables = s["tables"].as_array().cloned().unwrap_or_default();
        !tables.is_empty() && tables.iter().all(|t| t["installed_nodes"] == 4)
    })?;
    Ok(())
}
