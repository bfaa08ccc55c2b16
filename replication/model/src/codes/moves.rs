//! Codes of the area: moves.

use super::codes;

codes! { MOVES_CODES {
    MOVE_UNSAFE = 2101, 409, 7, false,
        "A safety check refused the move" / "安全检查拒绝了迁移",
        "At least one check of the plan does not hold; the plan names each." / "计划中至少一项检查不成立，计划中逐项列出。",
        "Read the failed checks, remove their cause, plan again." / "查看未通过的检查，消除原因后重新规划。";
    PRIMARY_ANSWERS = 2102, 409, 7, false,
        "The primary answers: use switchover" / "主节点仍在应答：请使用计划切换",
        "A failover was asked for while the primary is alive; a switchover loses nothing." / "主节点仍然存活却请求故障切换；计划切换不会丢失任何数据。",
        "Run platform switchover instead." / "请改用 platform switchover。";
    MOVE_LOSS = 2103, 409, 7, false,
        "The move may lose acknowledged documents" / "迁移可能丢失已确认的单证",
        "Too few in-sync backups answered to prove that every acknowledged record is held by one of them." / "应答的同步备份数量不足，无法证明每条已确认记录至少由其一持有。",
        "Bring a named backup back, or accept the printed loss with --accept-data-loss." / "恢复所列备份，或用 --accept-data-loss 接受所列损失。";
    MOVE_ABORTED = 2104, 409, 1, true,
        "The move was aborted" / "迁移已中止",
        "The move was ended before its commit; the primary stays as it was." / "迁移在提交前结束；主节点保持不变。",
        "Read the reason in platform history; run it again when the cause is gone." / "查看 platform history 中的原因，消除后重试。";
    MOVE_RUNNING = 2105, 409, 4, true,
        "Another move is under way" / "另一迁移正在进行",
        "The platform is being moved already." / "该平台已在迁移中。",
        "Wait until it ends; platform history shows it." / "请等待其结束；platform history 可查看进度。";
    SEAL_CONFLICT = 2106, 409, 11, false,
        "Two candidates differ at the same position" / "两个候选节点在同一位置内容不一致",
        "Two sealed journals end at the same epoch and index with different digests; this must never happen." / "两份已封存的日志在相同纪元与序号处摘要不同；正常情况下不可能发生。",
        "Do not choose by hand: verify both journals and keep both data directories." / "请勿人工选择：校验两份日志并保留两份数据目录。";
    SEALS_MISSING = 2107, 503, 5, true,
        "The failover waits for answers" / "故障切换正在等待应答",
        "Too few in-sync backups have sealed and reported; the platform stays recovering." / "完成封存并报告的同步备份不足；平台保持恢复状态。",
        "Bring the named nodes back, or repeat with --accept-data-loss." / "请恢复所列节点，或使用 --accept-data-loss 重试。";
    PROMISE_WEAK = 2151, 409, 7, false,
        "A policy cannot hold what it promises" / "策略无法兑现其承诺",
        "With the copies there are now, one more loss stops writes, loses documents or leaves no automatic takeover; the text says which." / "以现有副本，再失去一处就会停止写入、丢失单证或无法自动接管；说明中已指明。",
        "Run plan backups and give the platform the policy it proposes." / "请运行 plan backups，并按其建议设置平台策略。";
    ROOM_MISSING = 2152, 409, 7, false,
        "No site has room for another copy" / "没有站点能再容纳一份副本",
        "The sites' room for copies of platforms is used up, or there are too few sites." / "各站点的副本容量已用尽，或站点太少。",
        "Add a site or a node, or raise the room with site set --copies." / "请增加站点或节点，或用 site set --copies 提高容量。";
} }
