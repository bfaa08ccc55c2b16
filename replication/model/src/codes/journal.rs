//! Codes of the area: journals.

use super::codes;

codes! { JOURNAL_CODES {
    NOT_PRIMARY = 3001, 421, 4, true,
        "This node is not the primary" / "本节点不是主节点",
        "Writes of a platform are taken by its primary only." / "平台的写入仅由其主节点受理。",
        "Send the request to the primary named in the answer." / "请将请求发往应答中所列的主节点。";
    WRITE_BLOCKED = 3002, 503, 5, true,
        "The write waits for backups" / "写入正在等待备份",
        "The record is on the primary's disk, but too few in-sync backups have confirmed it; its outcome is unknown." / "记录已在主节点落盘，但确认的同步备份不足；结果未知。",
        "Repeat the request with the same key; restore a backup or its link." / "用同一键重试该请求；恢复备份或其链路。";
    FENCED = 3003, 503, 5, true,
        "The epoch is fenced" / "纪元已被隔离",
        "A higher epoch exists: this node may not write for the platform any more." / "已有更高的纪元：本节点不得再为该平台写入。",
        "Nothing to do: requests go to the new primary; a diverged tail is exported." / "无需处理：请求转往新主节点；分叉尾部会被导出。";
    OVERLOADED = 3004, 503, 5, true,
        "A queue is full" / "队列已满",
        "More requests wait than the node may hold; this one was not accepted." / "等待的请求超过节点上限；本请求未被受理。",
        "Repeat after the time in Retry-After." / "请在 Retry-After 所示时间后重试。";
    JOURNAL_CORRUPT = 3005, 500, 11, false,
        "Journals disagree" / "日志不一致",
        "Two journals have the same place but different digests, or the chain is broken." / "两份日志同一位置摘要不同，或链已断裂。",
        "Stop moves of this platform; compare exports of all holders with journal verify." / "停止该平台的迁移；用 journal verify 比对各持有者的导出。";
    STATE_DIFFERS = 3006, 500, 11, false,
        "State differs between primary and backup" / "主备状态不一致",
        "At the same applied index the state digests are not equal." / "在同一已应用位置，状态摘要不相等。",
        "Do not promote the named node; rebuild it." / "请勿提升所列节点；应重建。";
} }
