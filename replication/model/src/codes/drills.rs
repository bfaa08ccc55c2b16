//! Codes of the area: drills.

use super::codes;

codes! { DRILLS_CODES {
    DRILL_RUNNING = 8101, 409, 4, true,
        "Another drill is under way" / "另一演练正在进行",
        "One drill runs at a time: what two of them show together shows nothing." / "同一时间只能进行一个演练：两个演练同时进行，其结果无法判断。",
        "Wait for its end, or end it: eport drill abort ID." / "请等待其结束，或将其终止：eport drill abort ID。";
    DRILL_AWAY = 8102, 409, 7, true,
        "The drill has not returned to its start state" / "演练尚未恢复到起始状态",
        "A platform is still served by another node than before the drill, or is being moved." / "某平台仍由与演练前不同的节点服务，或正在迁移。",
        "Move it back (platform failback), or accept what is: eport drill abort ID --keep." / "请将其切回（platform failback），或接受现状：eport drill abort ID --keep。";
    DRILL_FAILED = 8103, 500, 10, false,
        "The drill failed" / "演练未通过",
        "At least one stated objective was not met; the report names each." / "至少一项既定目标未达到；报告中逐项列出。",
        "Read the report (eport drill report ID), remove the cause, run the drill again." / "请查看报告（eport drill report ID），消除原因后重新演练。";
    DRILL_PRECONDITION = 8104, 409, 4, true,
        "A precondition of the drill does not hold" / "演练的前提条件不成立",
        "The federation is not in the state the drill begins from; the plan names each condition." / "联邦当前状态不符合演练起始要求；计划中逐项列出。",
        "Look at the plan (eport drill plan NAME R), mend what is named, plan again." / "请查看计划（eport drill plan NAME R），修复所列问题后重新规划。";
    DRILL_CHANGED = 8105, 409, 4, false,
        "The plan of the drill is no longer current" / "演练计划已失效",
        "Placements or the script have changed since the plan with this id was made." / "自该编号的计划制定以来，放置或脚本已发生变化。",
        "Plan again and run the new plan." / "请重新规划并执行新计划。";
    DRILL_OVERDUE = 8106, 409, 4, true,
        "A drill is past its deadline" / "演练已超过时限",
        "The drill should be over; the registry's leader puts the start state back as soon as it is safe." / "演练本应结束；注册中心领导节点将在安全时恢复起始状态。",
        "Look at eport drill show ID; mend what the restoration waits for, or end it with --keep." / "请查看 eport drill show ID；修复恢复所等待的问题，或用 --keep 结束。";
    DRILL_DUE = 8107, 409, 4, true,
        "A scheduled drill is due" / "计划演练已到期",
        "The interval of a schedule has passed without a complete drill." / "已超过演练周期而未完成演练。",
        "Run it: eport drill run NAME R." / "请执行：eport drill run NAME R。";
    DRILL_ABORTED = 8108, 409, 1, true,
        "The drill was aborted" / "演练已中止",
        "It was ended before it could show anything; the start state was put back." / "演练在得出结论前结束；已恢复起始状态。",
        "Read why in eport drill show ID and run it again." / "请在 eport drill show ID 中查看原因后重新演练。";
} }
