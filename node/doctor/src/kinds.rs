//! The catalogue of findings. Ids are stable: scripts and runbooks name them.

use crate::finding::Owner::{
    Approver, PlatformOperator, Publisher, SecurityAdministrator, SystemAdministrator,
};
use crate::finding::Severity::{Critical, Error, Info, Warning};
use crate::finding::{Owner, Severity};

/// What all findings of one id have in common. Pairs are (English, Chinese).
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Stable id.
    pub id: &'static str,
    /// How bad it usually is.
    pub severity: Severity,
    /// Who must act.
    pub owner: Owner,
    /// A few words.
    pub title: (&'static str, &'static str),
    /// What it means and why it matters.
    pub means: (&'static str, &'static str),
    /// What to do first.
    pub remedy: (&'static str, &'static str),
}

/// The kind of an id.
pub fn kind(id: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|k| k.id == id)
}

macro_rules! kinds {
    ($($name:ident = $id:literal, $severity:expr, $owner:expr, $ten:literal / $tzh:literal,
        $men:literal / $mzh:literal, $ren:literal / $rzh:literal;)*) => {
        $(pub(crate) const $name: &Kind = &Kind {
            id: $id, severity: $severity, owner: $owner,
            title: ($ten, $tzh), means: ($men, $mzh), remedy: ($ren, $rzh),
        };)*
        /// Every kind.
        pub const KINDS: &[&Kind] = &[$($name),*];
    };
}

kinds! {
    NODE_SILENT = "node-silent", Error, SystemAdministrator,
        "A node does not answer" / "节点无应答",
        "Its API gave no facts: the process is down, paused, or the line between here and there is cut." /
        "其接口未给出诊断信息：进程停止、被暂停，或与本机之间的线路中断。",
        "Look at the machine and the daemon; if it stays down, move what it serves." /
        "检查该主机与守护进程；若无法恢复，请迁移其承载的平台。";
    NODE_NOT_READY = "node-not-ready", Error, SystemAdministrator,
        "A node takes no requests" / "节点未就绪",
        "The node runs and says itself why it takes no requests." / "节点在运行，但自述暂不接受请求的原因。",
        "Do what its reason asks for; its log says since when." / "按其所述原因处理；日志中可见起始时间。";
    LINK_CUT = "link-cut", Error, SystemAdministrator,
        "Two nodes do not reach each other" / "两个节点之间不通",
        "One node asked the other over this class of connections and got no answer. Backups fall behind and moves may wait." /
        "一个节点经该类连接询问另一节点，未得到应答。备份会落后，迁移可能等待。",
        "Look at the line, the firewall (UDP) and the certificate of both." / "检查线路、防火墙（UDP）以及双方证书。";
    LINK_SLOW = "link-slow", Warning, SystemAdministrator,
        "The line between two nodes is slow" / "两个节点之间线路缓慢",
        "An empty question took longer than a second. Synchronous answers wait for it." /
        "一次空询问耗时超过一秒，同步应答会随之等待。",
        "Look at the line's load; give the platform a nearer backup." / "检查线路负载；为平台配置更近的备份。";
    CLOCK_OFF = "clock-off", Error, SystemAdministrator,
        "A clock is off" / "时钟偏差",
        "The node's clock differs from most others by more than half a second. It is no good target and times in its records are wrong." /
        "该节点时钟与多数节点相差半秒以上：不宜作为迁移目标，其记录时间不可信。",
        "Set the clock by NTP or the site's time source and look again." / "用 NTP 或本地授时源校准后复查。";
    CLOCK_SET_BACK = "clock-set-back", Error, SystemAdministrator,
        "A clock was set back" / "时钟被回拨",
        "The clock lies behind a time that this node has seen; nothing is administered there until it catches up." /
        "时钟早于该节点曾见过的时间；在追上之前该节点拒绝管理操作。",
        "Set the clock right. If the earlier time is the true one, accept it." / "校准时钟；若较早的时间才正确，请明确接受。";
    DISK_FULL = "disk-full", Critical, SystemAdministrator,
        "A disk is nearly full" / "磁盘将满",
        "So little is free that journals, imports or checkpoints will soon be refused." / "剩余空间过少，日志、导入或检查点即将被拒绝。",
        "Free space or enlarge the disk; old journal files may go to an archive." / "清理或扩容；旧日志文件可移入归档。";
    DISK_SLOW = "disk-slow", Warning, SystemAdministrator,
        "A disk is slow" / "磁盘写入缓慢",
        "Even the best of several durable writes took long: every answer waits for such a write." /
        "多次落盘中最快的一次仍然很慢：每个应答都要等待一次落盘。",
        "Look at the disk's health and at who else writes to it." / "检查磁盘健康与其他写入者。";
    DISK_UNWRITABLE = "disk-unwritable", Critical, SystemAdministrator,
        "A disk cannot be written" / "磁盘无法写入",
        "A small durable write in the data directory failed." / "在数据目录中的一次小写入失败。",
        "Look at mounts, permissions and the kernel's log; move its platforms away." / "检查挂载、权限与内核日志；迁走其平台。";
    FILES_FEW = "files-few", Warning, SystemAdministrator,
        "Too few files may be open" / "可打开文件数过少",
        "The process may open fewer files than a node with several platforms needs." / "进程可打开的文件数少于多平台节点所需。",
        "Raise LimitNOFILE of the unit and restart the node." / "提高服务单元的 LimitNOFILE 并重启节点。";
    CERTIFICATE_EXPIRED = "certificate-expired", Critical, SecurityAdministrator,
        "A certificate has ended" / "证书已过期",
        "Peers refuse this node until its certificate is renewed." / "在续期之前，其他节点拒绝与其连接。",
        "Let the node renew with its old key, or issue a certificate by hand." / "用旧密钥续期，或人工签发。";
    CERTIFICATE_ENDS_SOON = "certificate-ends-soon", Error, SecurityAdministrator,
        "A certificate ends soon and was not renewed" / "证书即将到期且未续期",
        "Nodes renew by themselves at two thirds of the life; in the last fifth that has failed for long. CAs need a ceremony in time." /
        "节点在有效期三分之二时自动续期；进入最后五分之一说明已长期失败。CA 需及时举行仪式。",
        "Look why the renewal fails: the issuing CA's key locked, its primary away, the network." /
        "查明续期失败原因：签发 CA 密钥锁定、主节点不可达或网络。";
    VERSION_MIXED = "version-mixed", Info, SystemAdministrator,
        "Nodes run different versions" / "节点版本不一致",
        "Fine during an upgrade; new features open only when all nodes can." / "升级期间属正常；新功能待全部节点具备后才启用。",
        "Finish the upgrade." / "完成升级。";
    VERSION_APART = "version-apart", Error, SystemAdministrator,
        "Two nodes have no common protocol" / "两个节点没有共同协议版本",
        "Their ranges of wire versions do not meet, so they can never connect." / "二者通信版本范围不相交，无法建立连接。",
        "Upgrade the older one." / "升级较旧的节点。";
    QUORUM_LOST = "quorum-lost", Critical, SystemAdministrator,
        "The registry has no leader" / "注册中心无主导",
        "Too few voters reach each other: no placement, certificate or table can change. Platforms go on by their policies." /
        "能互相连通的投票节点不足：放置、证书、码表均无法变更，平台按策略继续运行。",
        "Bring voters back. Only when they are lost for good: the recovery." / "恢复投票节点；确认永久丢失后才执行恢复流程。";
    QUORUM_THIN = "quorum-thin", Error, SystemAdministrator,
        "One more loss costs the quorum" / "再失去一个投票节点即失去多数",
        "Just a majority of the voters answers." / "应答的投票节点刚好构成多数。",
        "Bring the missing voters back before anything else is touched." / "先恢复缺失的投票节点，再做其他操作。";
    QUORUM_SITE = "quorum-site", Warning, SystemAdministrator,
        "The loss of one site costs the quorum" / "失去一个站点即失去多数",
        "The voters do not stand on enough sites." / "投票节点所在站点不足。",
        "Let a node of another site join." / "让其他站点的节点加入。";
    REGISTRY_STALE = "registry-stale", Warning, SystemAdministrator,
        "A node's news of the registry is old" / "节点的注册中心消息陈旧",
        "It may not know of revocations and placements of the last minutes." / "可能不知道最近几分钟的吊销与放置变更。",
        "Look at its connections to the voters." / "检查其与投票节点的连接。";
    PLATFORM_BLOCKED = "platform-blocked", Critical, PlatformOperator,
        "A platform takes no writes" / "平台无法写入",
        "Its policy asks for more confirmed backups than there are, or its primary does not answer." /
        "策略要求的已确认备份不足，或主节点无应答。",
        "Bring the backups or the primary back; if the primary is gone, fail over." / "恢复备份或主节点；主节点确已失去则故障切换。";
    PLATFORM_LOCAL = "platform-local", Error, PlatformOperator,
        "Answers promise the primary's disk only" / "应答仅保证主节点本地落盘",
        "No backup confirms: what is answered now is lost with the primary's site." / "没有备份确认：此刻的应答会随主节点所在站点一起丢失。",
        "Bring the backups back." / "恢复备份。";
    PLATFORM_STOPPED = "platform-stopped", Error, PlatformOperator,
        "A platform is not served" / "平台未在服务",
        "It is recovering, fenced or stopped." / "平台处于恢复、被隔离或停止状态。",
        "See its last move and what that waits for." / "查看最近一次迁移及其等待的对象。";
    BACKUP_BEHIND = "backup-behind", Warning, PlatformOperator,
        "A backup is behind" / "备份落后",
        "It does not count as in sync: a move to it would wait, and a loss of the primary finds fewer copies." /
        "它不计入同步备份：向其迁移需等待，主节点丢失时副本更少。",
        "Look at the backup's node, its disk and its line." / "检查备份所在节点、磁盘与线路。";
    SLOT_LOST = "slot-lost", Warning, PlatformOperator,
        "A backup's slot is lost" / "备份的保留槽已失效",
        "It lacks more than is kept for shipping and takes a checkpoint." / "缺少的记录超出传送保留范围，将以检查点重建。",
        "Let it finish; look why it was away for so long." / "等待其完成，并查明长期离线的原因。";
    PROMISE_WEAK = "promise-weak", Warning, PlatformOperator,
        "A policy cannot hold what it promises" / "策略无法兑现其承诺",
        "The planner looked at what the loss of each site costs." / "规划器评估了失去各站点的代价。",
        "Carry out what the plan proposes." / "执行规划建议。";
    ROOM_MISSING = "room-missing", Warning, SystemAdministrator,
        "No site has room for another copy" / "没有站点可再放一份副本",
        "A platform lacks a backup and every other site is full by its own limit." / "平台缺少备份，而其他站点均已达到自身容量。",
        "Raise a site's room or let a node join." / "提高站点容量或增加节点。";
    QUOTA_NEAR = "quota-near", Warning, PlatformOperator,
        "A platform's disk quota is nearly used up" / "平台磁盘配额将用尽",
        "At the quota writes are refused." / "达到配额后写入会被拒绝。",
        "Raise the quota, or see what takes the space." / "提高配额，或查看占用情况。";
    TAIL_OPEN = "tail-open", Warning, PlatformOperator,
        "A diverged tail waits for a decision" / "分叉尾部等待处理",
        "Documents that an old primary had answered are kept beside the journal until somebody decides." /
        "旧主节点已应答的单证保存在日志之外，等待人工处理。",
        "Re-submit it; look at each conflict." / "重新提交，并逐一查看冲突。";
    JOURNAL_KEPT = "journal-kept", Warning, PlatformOperator,
        "A journal lies without a duty" / "存在无归属的日志",
        "It came from an earlier life of a node or of the federation and may hold documents nobody else has." /
        "来自节点或联邦的先前身份，可能含有他处没有的单证。",
        "Compare and adopt it, or let it be." / "比对后收养，或保持原状。";
    COPY_DAMAGED = "copy-damaged", Critical, PlatformOperator,
        "A copy is damaged or differs" / "副本损坏或不一致",
        "A scrub or a comparison at a mark found what does not agree with the digest chain." / "巡检或标记比对发现与摘要链不符之处。",
        "Verify all copies; replace the disk that it lies on." / "核验全部副本；更换所在磁盘。";
    KEY_MISSING = "key-missing", Error, SecurityAdministrator,
        "A node cannot open a platform's data" / "节点无法打开平台数据",
        "The placement names it, but no data key is wrapped for it yet: useless as a primary." /
        "放置中列有该节点，但尚无为其封装的数据密钥，不能充当主节点。",
        "A holder wraps within seconds; see that one of them is up." / "持有者会在数秒内封装；确认其中至少一个在线。";
    BACKUP_LATE = "backup-late", Error, SystemAdministrator,
        "A scheduled backup is late or failed" / "定期备份逾期或失败",
        "The newest whole backup is older than the schedule allows, or the last attempts failed." / "最新完整备份早于计划允许，或最近的尝试失败。",
        "Look at the target and its space; make one now." / "检查目标及其空间；立即备份一次。";
    RESTORE_UNPROVEN = "restore-unproven", Error, SystemAdministrator,
        "A restore test failed or is late" / "恢复测试失败或逾期",
        "A backup that was never restored is a hope." / "从未恢复过的备份只是愿望。",
        "Restore the newest backup by hand into an empty folder." / "人工将最新备份恢复到空目录。";
    BACKUP_NONE = "backup-none", Warning, SystemAdministrator,
        "No node makes backups by schedule" / "没有节点进行定期备份",
        "Replicas protect from lost sites, not from mistakes." / "副本可防站点丢失，不能防误操作。",
        "Give one node of each site a [backup] section." / "为每个站点的一个节点配置 [backup]。";
    TABLE_LATE = "table-late", Warning, Publisher,
        "A table version is not on every node" / "码表版本未到达全部节点",
        "Nodes without the version in force answer 503 instead of from another." / "缺少生效版本的节点会返回 503，而不是用其他版本应答。",
        "See which nodes lack it and why." / "查看缺少的节点及原因。";
    TABLE_FAULT = "table-fault", Error, Publisher,
        "A catalog is damaged or withdrawn" / "目录数据损坏或已撤回",
        "Wrong bytes came from a node, or a version was withdrawn before it took effect." / "收到错误数据，或版本在生效前被撤回。",
        "Verify the table on all nodes; publish again." / "在所有节点核验该码表；重新发布。";
    APPROVAL_WAITING = "approval-waiting", Info, Approver,
        "A command waits for a second person" / "命令等待第二人批准",
        "It is carried out only after somebody else approves it, and it ends by itself." / "须另一人批准后执行，逾期自动作废。",
        "Look at it and approve or reject." / "查看后批准或拒绝。";
    APPROVER_MISSING = "approver-missing", Warning, SecurityAdministrator,
        "There is no second person" / "缺少第二审批人",
        "Two persons are asked for and fewer than two may approve." / "要求两人批准，但可批准者不足两名。",
        "Give another operator the role." / "为另一操作员授予角色。";
    DEAD_LETTERS = "dead-letters", Warning, PlatformOperator,
        "Messages cannot take effect" / "存在死信",
        "A person must look: each has a reason and an owner. They block nothing else." / "须人工处理：每条均有原因与责任方，不阻塞其他消息。",
        "Mend the cause and send again." / "消除原因后重发。";
    OUTBOX_STUCK = "outbox-stuck", Warning, PlatformOperator,
        "Messages to another platform do not go" / "发往其他平台的消息滞留",
        "The oldest waits longer than ten minutes." / "最早的一条已等待超过十分钟。",
        "Look at the other platform and the line to it." / "检查对方平台与线路。";
    INBOX_WAITING = "inbox-waiting", Info, PlatformOperator,
        "An agency does not fetch its messages" / "监管部门未取走消息",
        "The oldest waits longer than a day." / "最早的一条已等待超过一天。",
        "Call the agency." / "联系该部门。";
    MESSAGES_UNROUTED = "messages-unrouted", Warning, PlatformOperator,
        "Messages for agencies that are attached nowhere" / "消息的接收部门未接入",
        "They wait until the agency is registered and attached." / "待该部门登记并接入后方可送达。",
        "Register the agency or correct the pack." / "登记该部门或更正标准规范包。";
    DRILL_DUE = "drill-due", Info, PlatformOperator,
        "A drill is due" / "演练到期",
        "A loss that is not rehearsed takes longer." / "未经演练的故障处置更慢。",
        "Run it in a quiet hour." / "择时执行。";
    DRILL_OVERDUE = "drill-overdue", Error, PlatformOperator,
        "A drill is past its deadline" / "演练超时未结束",
        "Platforms are not back where they were." / "平台尚未回到演练前的位置。",
        "Abort it: anybody may, after the deadline." / "中止演练；超时后任何操作员均可执行。";
    CA_LOCKED = "ca-locked", Warning, SecurityAdministrator,
        "A CA cannot sign or lies in the clear" / "CA 密钥锁定或明文存放",
        "Nothing is issued or renewed there until it is unlocked; a key in the clear is anybody's who has the disk." /
        "解锁之前无法签发或续期；明文密钥等同于交给持盘者。",
        "Unlock it, or seal it." / "解锁或加封。";
    ACCESS_LOG = "access-log", Error, SecurityAdministrator,
        "The access log is not what was written" / "访问日志异常",
        "It cannot be written or its chain is broken: evidence is at stake." / "无法写入或其链条断裂，涉及取证。",
        "Export it before anything else; compare with the published heads." / "先导出，再与已公布的链头比对。";
    UNREAD = "unread", Info, SystemAdministrator,
        "Something could not be looked at" / "部分内容未能检查",
        "The caller's role or a missing primary stood in the way; a finding may be missing." / "受调用者角色或主节点缺失所限，可能有遗漏。",
        "Ask again with the role that may, or when the primary answers." / "换用有权角色或待主节点应答后再查。";
}
