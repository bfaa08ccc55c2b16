//! Codes of the area: registry.

use super::codes;

codes! { REGISTRY_CODES {
    VERSION_CONFLICT = 2001, 409, 4, false,
        "The placement changed meanwhile" / "放置版本已变化",
        "The command names a placement version that is no longer current: somebody else was faster." / "命令所依据的放置版本已不是当前版本：他人已先行更改。",
        "Look at the new state and plan again." / "请查看新状态并重新规划。";
    NO_LEADER = 2002, 503, 5, true,
        "The registry has no leader" / "注册中心没有主导节点",
        "No majority of voters can be reached from here; what the registry already knows stays readable." / "本节点无法联系到多数投票节点；已有的注册信息仍可读取。",
        "Check the voters shown by status; repeat later." / "请检查 status 所列投票节点，稍后重试。";
    OUTCOME_UNKNOWN = 2003, 503, 5, true,
        "The outcome is unknown" / "结果未知",
        "The command was sent but no answer came in time; it may or may not have been applied." / "命令已发出但未及时得到答复，可能已执行也可能未执行。",
        "Repeat it with the same id: it takes effect at most once." / "用同一编号重试：最多生效一次。";
    NOT_FOUND = 2004, 404, 3, false,
        "No such object" / "对象不存在",
        "The registry has no node, platform, table or move of that name." / "注册中心没有该名称的节点、平台、码表或迁移。",
        "Check the spelling; list what exists." / "请核对名称，或列出现有对象。";
    ALREADY_EXISTS = 2005, 409, 4, false,
        "The object exists already" / "对象已存在",
        "Another object has this name and differs." / "已有同名但内容不同的对象。",
        "Choose another name or change the existing object." / "请另选名称，或修改现有对象。";
    REGISTRY_REFUSED = 2006, 422, 7, false,
        "The registry refused the command" / "注册中心拒绝该命令",
        "The command breaks a rule of the federation; the detail names it." / "命令违反联邦规则，详情中说明了原因。",
        "Read the detail and correct the command." / "请阅读详情并更正命令。";
} }
