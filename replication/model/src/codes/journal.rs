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
    TAIL_NOT_HERE = 3010, 503, 5, true,
        "The primary does not hold the tail yet" / "主节点尚未持有该尾部",
        "The node that exported the tail, or one that received it, has not handed it to the present primary." / "导出或接收该尾部的节点尚未将其交给当前主节点。",
        "Start a node that holds it; it hands the tail over by itself within seconds." / "启动持有该尾部的节点；它会在数秒内自动移交。";
    TAIL_CLOSED = 3011, 409, 4, false,
        "The tail is decided already" / "该尾部已处理完毕",
        "Every record of the tail was submitted again, found present or discarded." / "该尾部的每条记录都已重新提交、确认已存在或被弃置。",
        "Nothing to do; tail show lists what became of each record." / "无需处理；tail show 可查看每条记录的结果。";
    TAIL_CHANGED = 3012, 409, 4, false,
        "What the document was judged by has changed" / "单证当时所依据的内容已改变",
        "Since the fork something that this document had read was changed: another version of the same document, or a table." / "自分叉以来，该单证所读取的内容已被更改：同一单证的其他版本，或码表。",
        "Look at both with tail show and doc show; let the trader lodge a new version, or discard the record with a reason." / "用 tail show 与 doc show 对比两者；请企业提交新版本，或说明理由后弃置该记录。";
    TAIL_WAITING = 3013, 409, 7, false,
        "A diverged tail waits for a decision" / "有分叉尾部等待处理",
        "A failover left records behind that had been answered; they are exported and not yet submitted again, found present or discarded." / "故障切换遗留了已应答的记录；这些记录已导出，但尚未重新提交、确认已存在或弃置。",
        "Run tail show and tail resubmit with the id named; decide what is left with tail discard --reason." / "请用所列编号运行 tail show 与 tail resubmit；其余记录用 tail discard --reason 处理。";
    TAIL_FOREIGN = 3014, 409, 4, false,
        "The tail does not begin in this journal" / "该尾部不接续此日志",
        "The record before the tail is not in the platform's journal, or the tail's last record is: it belongs to another platform or history, or nothing of it was left behind." / "尾部之前的记录不在该平台日志中，或尾部最后一条记录已在其中：它属于其他平台或历史，或并无遗留。",
        "Export it again with tail export while the federation can be asked, so that it begins where the histories part." / "请在可访问联邦时用 tail export 重新导出，使其从历史分叉处开始。";
    TAIL_NOT_TAKEN = 3015, 422, 1, false,
        "A part of the tail was not taken" / "尾部的一部分未被接收",
        "The primary has too little space, or what came does not verify and was thrown away." / "主节点空间不足，或收到的内容校验失败并已丢弃。",
        "Read the detail: make room on the primary, or copy the exported files again, and repeat tail import; it goes on where it ended." / "请查看详情：在主节点腾出空间，或重新拷贝导出文件，再次执行 tail import；将从中断处继续。";
    PROOF_TOO_LONG = 3016, 409, 4, false,
        "The next signed head is too far from the document" / "下一个签名位置距该单证过远",
        "Evidence of one document holds every record from the document's to one that a signed head covers, and there are more of them than it may hold." / "单证证据须包含从该单证记录到签名位置所覆盖记录之间的全部记录，其数量超过上限。",
        "Prove it by the whole journal, with journal export and journal verify --offline; a shorter mark_every_s signs heads more often from now on." / "请用 journal export 与 journal verify --offline 以整个日志证明；缩短 mark_every_s 可使今后更频繁地签名。";
} }
