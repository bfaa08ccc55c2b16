//! The catalogue: every metric that a node says.
//!
//! A node can only say what stands here, for it names metrics by these constants. A test reads the sources for the reverse.

use crate::unit::{Metric, Unit};

/// Defines the constants and the list of all of them, in this order.
macro_rules! catalogue {
    ($($group:literal { $($id:ident = $name:literal, $unit:ident, [$($label:literal),*], $en:literal, $zh:literal;)* })*) => {
        /// The metrics by their names in code.
        pub mod metric {
            use super::{Metric, Unit};
            $($(
                #[doc = $en]
                pub const $id: Metric = Metric {
                    name: $name, unit: Unit::$unit, labels: &[$($label),*], group: $group, en: $en, zh: $zh,
                };
            )*)*
        }
        /// All metrics with their names in code, group by group.
        pub const METRICS: &[(&str, Metric)] = &[$($((stringify!($id), metric::$id),)*)*];
    };
}

catalogue! {
    "Node" {
        READY = "eport_ready", Flag, [], "1 while this node takes requests", "本节点接受请求时为 1";
        NODE_UP = "eport_node_up", Flag, ["node"],
            "1 while this node hears that member of the federation; 0 for a lost node or link", "本节点能收到该成员节点心跳时为 1；为 0 表示节点或链路中断";
        PEERS_CONNECTED = "eport_peers_connected", Count, [],
            "Connected nodes; a fall means a lost link or node", "已连接的节点数；下降表示链路或节点中断";
        DISK_FREE = "eport_disk_free_bytes", Bytes, [],
            "Bytes free where this node keeps its data", "数据目录所在磁盘的剩余字节数";
        DISK_SIZE = "eport_disk_size_bytes", Bytes, [],
            "Size of the disk where this node keeps its data", "数据目录所在磁盘的总字节数";
        CLOCK_OFFSET = "eport_clock_offset_seconds", Seconds, [],
            "How far this clock is ahead of the median of at least three nodes; below 0 it is behind", "本节点时钟比至少三个节点的中位数快多少秒；小于 0 表示偏慢";
        CLOCK_BEHIND = "eport_clock_behind_seconds", Seconds, [],
            "How far the clock lies behind the time this node has seen; above 0 nothing is administered here", "时钟落后于本节点见过的时间多少秒；大于 0 时本节点拒绝管理操作";
        HTTP_ANSWERS = "eport_http_answers_total", Total, ["class"],
            "HTTP answers by status class; 5xx rising means a person should look", "按状态类别统计的 HTTP 应答数；5xx 上升需人工查看";
        ACCESS_LOG_LINES = "eport_access_log_lines_total", Total, [],
            "Lines of the access log", "访问日志的行数";
        ACCESS_LOG_FAILED = "eport_access_log_failed", Flag, [],
            "1 while the access log cannot be written or is not what was written; a person must look", "访问日志无法写入或内容被改动时为 1；须人工处理";
    }
    "Registry" {
        REGISTRY_APPLIED = "eport_registry_applied_index", Index, [],
            "Registry log index applied here; standing still under change means no quorum", "本节点已应用的注册中心日志序号；有变更却不前进表示没有法定多数";
        REGISTRY_TERM = "eport_registry_term", Count, [],
            "Raft term; a rise means a change of leader", "Raft 任期；上升表示主导者变更";
        REGISTRY_IS_LEADER = "eport_registry_is_leader", Flag, [],
            "1 while this node leads the registry", "本节点主导注册中心时为 1";
        REGISTRY_HAS_LEADER = "eport_registry_has_leader", Flag, [],
            "1 while this node knows who leads the registry", "本节点知道注册中心的主导者时为 1";
        REGISTRY_VOTERS = "eport_registry_voters", Count, [],
            "Voters of the registry", "注册中心的投票节点数";
        REGISTRY_VOTERS_UP = "eport_registry_voters_up", Count, [],
            "Voters that this node hears", "本节点能收到心跳的投票节点数";
        REGISTRY_QUORUM = "eport_registry_quorum", Count, [],
            "Voters that a decision needs; fewer heard means that nothing can be decided", "形成决定所需的投票节点数；能听到的少于此数则无法决定";
        NEWS_AGE = "eport_registry_news_age_seconds", Seconds, [],
            "Age of the newest news of the registry, and so of revocations; rising means that this node is cut off", "注册中心（含吊销信息）最新消息的时长；持续上升表示本节点被隔离";
    }
    "Platforms" {
        PLATFORM_SERVED = "eport_platform_served", Flag, ["region"],
            "1 while this node hears an open primary of the platform", "本节点能听到该平台已开放的主节点时为 1";
        IS_PRIMARY = "eport_platform_is_primary", Flag, ["region"],
            "1 while this node is the open primary", "本节点是已开放的主节点时为 1";
        EPOCH = "eport_platform_epoch", Count, ["region"],
            "Epoch of each platform; a rise means a move", "平台的纪元；上升表示发生了迁移";
        ALARM = "eport_platform_alarm", Flag, ["region"],
            "1 while a platform here has an alarm; a person must look", "本节点上的平台有告警时为 1；须人工处理";
        DEGRADED = "eport_platform_durability_degraded", Flag, ["region"],
            "1 while the primary answers with less durability than its policy names, or blocks writes", "主节点的持久性低于策略要求或写入被阻止时为 1";
        DOCUMENTS = "eport_documents_accepted_total", Total, [],
            "Documents accepted by this process as primary", "本进程作为主节点接收的单证数";
        SERVED = "eport_platform_requests_served_total", Total, ["region"],
            "Requests served here, a batch once a document", "本节点处理的请求数，批量按单证计";
        REFUSED = "eport_platform_refused_total", Total, ["region", "quota"],
            "Requests refused here for a quota; rising means a flood or a quota too small", "因配额拒绝的请求数；上升表示请求泛滥或配额过小";
        TURNS = "eport_platform_turns_total", Total, ["region"],
            "Turns of work that each platform was given here", "各平台在本节点得到的处理轮次";
        TURNS_WAITED = "eport_platform_turns_waited_seconds_total", SecondsTotal, ["region"],
            "Time that requests of each platform waited for a turn here; rising for one means it floods, for all the node is full", "各平台请求等待处理的总秒数；单个平台上升表示其请求泛滥，全部上升表示节点满载";
        PLATFORM_DISK = "eport_platform_disk_bytes", Bytes, ["region"],
            "Bytes that each platform takes on this node's disk", "各平台在本节点磁盘占用的字节数";
        PLATFORM_DISK_QUOTA = "eport_platform_disk_quota_bytes", Bytes, ["region"],
            "Bytes that each platform may take on its primary's disk", "各平台在主节点磁盘上可占用的字节数";
    }
    "Journals" {
        JOURNAL_LAST = "eport_journal_last_index", Index, ["region"],
            "Last fsynced record of each platform kept here", "本节点各平台最后落盘的记录序号";
        JOURNAL_APPLIED = "eport_journal_applied_index", Index, ["region"],
            "Last applied record; far behind the last one means a slow disk", "最后应用的记录序号；远落后于最后记录表示磁盘慢";
        FSYNCS = "eport_journal_fsyncs_total", Total, ["region"],
            "Times that the journal was brought to the disk", "日志落盘次数";
        FSYNC_TIME = "eport_journal_fsync_seconds_total", SecondsTotal, ["region"],
            "Time that bringing the journal to the disk took; divided by the count it is the disk's answer", "日志落盘所用总秒数；除以次数即磁盘响应时间";
        LAG_RECORDS = "eport_backup_lag_records", Records, ["region", "backup"],
            "Records a backup lacks, as its primary sees it", "主节点所见备份缺少的记录数";
        LAG_SECONDS = "eport_backup_lag_seconds", Seconds, ["region", "backup"],
            "Time since a backup was level with its primary, as the primary sees it", "主节点所见备份落后的秒数";
        SLOT_LOST = "eport_slot_lost", Flag, ["region", "backup"],
            "1 while a backup lacks more than is kept for shipping and takes a checkpoint", "备份所缺超出为传送保留的范围、须以检查点重建时为 1";
        SHIPPING_FLOOR = "eport_shipping_floor_index", Index, ["region"],
            "First record that shipping may still need", "传送仍可能需要的首条记录序号";
        BOOTSTRAP = "eport_bootstrap_bytes", Bytes, ["region"],
            "Bytes here of the checkpoint that a platform takes; 0 for none", "正在接收的检查点已到字节数；没有则为 0";
        BOOTSTRAP_TOTAL = "eport_bootstrap_whole_bytes", Bytes, ["region"],
            "Bytes of the whole checkpoint; 0 for none", "整个检查点的字节数；没有则为 0";
        TAILS_WAITING = "eport_tails_waiting", Count, [],
            "Diverged tails that wait for a decision; a person must decide", "等待处理的分叉尾部数；须人工决定";
    }
    "Verification" {
        VERIFY_MARK = "eport_verify_mark_index", Index, ["region"],
            "Last checksum mark at which rows here were compared", "最近一次比对状态行的校验点序号";
        VERIFY_DIFFERENCES = "eport_verify_differences_total", Total, ["region"],
            "Marks at which rows here differed from the primary's; any rise means a person must look", "与主节点不一致的校验点数；任何上升都须人工处理";
        SCRUB_FOUND = "eport_scrub_found_total", Total, ["region"],
            "Damage found in what is stored here; a rise means a bad disk", "在本节点存储中发现的损坏数；上升表示磁盘故障";
        SCRUB_MENDED = "eport_scrub_mended_total", Total, ["region"],
            "Of the damage found, mended; less than found means work", "已修复的损坏数；少于发现数表示仍需处理";
        SCRUB_CHECKED = "eport_scrub_checked_bytes", Bytes, ["region"],
            "Bytes looked at in this pass over a copy", "本轮巡检已检查的字节数";
        SCRUB_AGE = "eport_scrub_age_seconds", Seconds, ["region"],
            "Seconds since a copy was looked through as a whole", "距上次完整巡检的秒数";
    }
    "Exchange" {
        OUTBOX = "eport_exchange_outbox_messages", Count, ["region", "to"],
            "Messages that wait for a platform; rising means that it is not reached", "等待送达另一平台的报文数；上升表示对方不可达";
        INBOX = "eport_exchange_inbox_messages", Count, ["region", "agency"],
            "Messages that wait for an agency; rising means that it does not fetch", "等待监管部门领取的报文数；上升表示对方未领取";
        UNROUTED = "eport_exchange_unrouted_messages", Count, ["region"],
            "Messages for agencies that are attached nowhere", "收件部门尚未接入任何平台的报文数";
        DEAD_LETTERS = "eport_exchange_dead_letters", Count, ["region"],
            "Messages that cannot take effect; a person must look", "无法生效的报文数；须人工处理";
    }
    "Certificates" {
        CERT_ENDS = "eport_certificate_ends_seconds", Seconds, ["kind", "name"],
            "Seconds to the end of this node's certificate and of each CA", "本节点证书及各 CA 距到期的秒数";
        CERT_ENDS_SOON = "eport_certificate_ends_soon", Flag, ["kind", "name"],
            "1 in the last fifth of a node's certificate, or the last 90 days of a CA; a person must look", "节点证书进入最后五分之一有效期或 CA 进入最后 90 天时为 1；须人工处理";
        CERT_REQUESTS = "eport_certificate_requests_waiting", Count, ["region"],
            "Requests for certificates that wait for an operator, at the primary of each platform", "各平台主节点上等待操作员审批的证书申请数";
    }
    "Catalogs" {
        TABLES_LATE = "eport_tables_late", Count, [],
            "Code tables of which this node lacks the version in force; above 0 for minutes means that it cannot fetch", "本节点缺少现行版本的码表数；持续大于 0 表示无法获取";
        CATALOG_OBJECTS = "eport_catalog_objects", Count, [],
            "Chunks and index nodes stored here", "本节点存储的数据块与索引节点数";
        CATALOG_BYTES = "eport_catalog_bytes", Bytes, [],
            "Bytes that they take on this disk", "上述对象占用的字节数";
        CATALOG_DAMAGED = "eport_catalog_damaged_total", Total, [],
            "Objects found damaged; a rise means a bad disk", "发现损坏的对象数；上升表示磁盘故障";
        CATALOG_COLLECTED = "eport_catalog_collected_total", Total, [],
            "Objects that no version needs any more and that were removed", "不再需要而被清除的对象数";
        CATALOG_WRONG = "eport_catalog_wrong_bytes_total", Total, [],
            "Peers that gave wrong bytes; any rise means a person must look", "给出错误数据的对端次数；任何上升都须人工处理";
        CATALOG_SCRUBBED = "eport_catalog_scrubbed_objects", Count, [],
            "Objects read by the last look through all of them", "最近一次完整检查读取的对象数";
    }
    "Backups and drills" {
        BACKUP_AGE = "eport_scheduled_backup_age_seconds", Seconds, [],
            "Age of the newest whole backup of this node; -1 while there is none", "本节点最新完整备份的时长；没有则为 -1";
        BACKUP_DUE = "eport_scheduled_backup_due_seconds", Seconds, [],
            "Seconds until the next backup of this node is due; below 0 it is late", "距下次备份的秒数；小于 0 表示已逾期";
        BACKUP_FAILURES = "eport_scheduled_backup_failures", Count, [],
            "Attempts at a backup that failed in a row; above 0 a person should look", "连续失败的备份次数；大于 0 须人工查看";
        BACKUPS_KEPT = "eport_scheduled_backups_kept", Count, [],
            "Whole backups of this node at its target", "备份目标处本节点的完整备份数";
        RESTORE_TEST_AGE = "eport_restore_test_age_seconds", Seconds, [],
            "Time since a restore test of this node's backups passed; -1 while none has", "距上次恢复测试通过的秒数；从未通过则为 -1";
        RESTORE_TEST_FAILED = "eport_restore_test_failed", Flag, [],
            "1 while the last restore test did not pass; a person must look", "最近一次恢复测试未通过时为 1；须人工处理";
        DRILL_DUE = "eport_drill_due_seconds", Seconds, ["region", "drill"],
            "Seconds until a scheduled drill is due; below 0 it is late", "距计划演练的秒数；小于 0 表示已逾期";
        DRILL_RUNNING = "eport_drill_running", Flag, [],
            "1 while a drill runs", "演练进行中为 1";
        DRILL_OVERDUE = "eport_drill_overdue", Flag, [],
            "1 while a drill is past its deadline and not over", "演练超过时限仍未结束时为 1";
    }
}
