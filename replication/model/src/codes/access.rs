//! Codes of the area: users, sessions and access.

use super::codes;

codes! { ACCESS_CODES {
    OWN_ROLE = 4160, 403, 6, false,
        "Nobody gives a role to himself" / "任何人不得为自己授予角色",
        "The command would give a role to the person who asks for it or approves it." / "该命令会为申请者或批准者本人授予角色。",
        "Let another security administrator give the role." / "请由另一位安全管理员授予该角色。";
    ROLES_EXCLUDE = 4161, 409, 7, false,
        "The roles exclude each other" / "角色互斥",
        "System administrator, security administrator and auditor are three persons; one person would have two of these roles." / "系统管理员、安全管理员与审计员须为三人；该操作会使一人同时拥有其中两个角色。",
        "Give the role to another person, or take the other role away first." / "请将角色授予他人，或先收回另一角色。";
    SESSION_REFUSED = 4162, 401, 6, false,
        "The session is not valid" / "会话无效",
        "The token is damaged, was not issued by a node of this federation, lay idle too long, is over, or was logged out." / "令牌已损坏、并非由本联邦节点签发、闲置过久、已到期或已注销。",
        "Log in again with the certificate: eport login." / "请使用证书重新登录：eport login。";
    LOCKED_OUT = 4163, 429, 6, true,
        "Locked out after repeated failures" / "多次失败后已被锁定",
        "This identity or this address failed too often within a short time." / "该身份或该地址在短时间内失败次数过多。",
        "Wait as long as Retry-After says; if it was not you, tell the security administrator." / "请等待 Retry-After 指定的时间；若非本人操作，请告知安全管理员。";
    DELEGATION_MISSING = 4164, 403, 6, false,
        "No delegation covers this" / "没有相应的委托",
        "The enterprise has not delegated this to the caller, on this platform, at this time." / "该企业在此平台、此时间未将此事项委托给调用者。",
        "Let the enterprise delegate: eport delegation add." / "请由该企业进行委托：eport delegation add。";
    ACCESS_LOG_FAILED = 4165, 503, 5, true,
        "The access log cannot be written" / "访问日志无法写入",
        "What administers is done only after its line in the access log is on disk; it could not be written." / "管理操作须先将访问日志落盘方可执行；目前无法写入。",
        "Look at the node's disk; documents are not affected." / "请检查该节点磁盘；单证业务不受影响。";
    ACCESS_LOG_BROKEN = 4166, 500, 11, false,
        "The access log is not what was written" / "访问日志与写入内容不符",
        "A line was changed, removed or cut, or a published head is not in it." / "有日志行被更改、删除或截断，或已公布的日志头不在其中。",
        "Keep the files as evidence, tell the auditor, compare with an earlier export." / "请保留文件作为证据，告知审计员，并与先前的导出比对。";
    CLOCK_BEHIND = 4167, 503, 7, false,
        "The node's clock was set back" / "节点时钟被回拨",
        "The clock shows an earlier time than this node has already seen; expired certificates could look valid." / "时钟显示的时间早于本节点曾见过的时间；已过期的证书可能显得有效。",
        "Correct the clock. If the earlier time was the wrong one, stop the node and run eport node clock accept." / "请校正时钟。若先前的时间才是错误的，请停止节点并执行 eport node clock accept。";
    USER_SUSPENDED = 4168, 403, 6, false,
        "The user is suspended" / "用户已停用",
        "The registry lists the user as suspended: nothing is accepted from it." / "注册中心已将该用户停用：不接受其任何操作。",
        "Ask a security administrator." / "请联系安全管理员。";
    ROLES_JOINED = 4169, 409, 4, false,
        "The three administrators are not separated" / "三类管理员尚未分离",
        "An administrator of the founding holds the roles of system administrator, security administrator and auditor together." / "建立联邦时的管理员同时拥有系统管理员、安全管理员与审计员的权限。",
        "List three persons with one of the roles each, take the role administrator away, then eport setting set role_separation on." / "请登记三人各任一职，收回 administrator 角色，然后执行 eport setting set role_separation on。";
} }
