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
    NOT_ENTITLED = 2007, 403, 6, false,
        "Not entitled to this step" / "无权执行该步骤",
        "The registry accepts this command only from the node or operator whose duty it is." / "注册中心只接受职责所属的节点或操作员发出的该命令。",
        "Use the certificate of the operator or node that the detail names." / "请使用详情所指操作员或节点的证书。";
    NODE_IN_USE = 2008, 409, 7, false,
        "The node still has duties" / "该节点仍承担职责",
        "A placement names the node as primary or backup; removing it now could lose the last copy." / "仍有放置以该节点为主或备；现在移除可能丢失最后一份副本。",
        "Drain the node first: move its platforms and replace it in their policies." / "请先排空该节点：迁走平台并在策略中替换它。";
    QUORUM_AT_RISK = 2009, 503, 5, false,
        "One loss costs the registry its quorum" / "单点丢失将使注册中心失去多数",
        "The voters stand so that the loss of one node or site leaves no majority." / "投票节点的分布使得丢失一个节点或站点后不足多数。",
        "Add nodes on further sites: three voters on three sites survive any one." / "请在其他站点增加节点：三站点三投票节点可承受任一站点丢失。";
    BACKUP_MISSING = 2010, 503, 5, false,
        "A platform has too few backups in sync" / "平台的同步备份不足",
        "Fewer in-sync backups on other sites than the policy asks for." / "其他站点上的同步备份少于策略要求。",
        "Bring the backups back, or name others with platform policy." / "请恢复备份，或用 platform policy 指定其他备份。";
    COMMAND_ID_REUSED = 2011, 409, 4, false,
        "The command id was used for another command" / "命令编号已用于其他命令",
        "A command with this id and other content was applied before." / "同编号但内容不同的命令此前已执行。",
        "Draw a new id." / "请使用新的编号。";
    APPROVAL_PENDING = 2020, 409, 4, false,
        "A second person must approve" / "需要第二人批准",
        "The command was signed and kept; it is carried out when another operator approves it." / "命令已签名并保存；由另一名操作员批准后执行。",
        "Another operator runs eport approval show ID and eport approval approve ID before it expires." / "请另一名操作员在到期前执行 eport approval show ID 与 eport approval approve ID。";
    APPROVAL_SAME_PERSON = 2021, 403, 6, false,
        "The same person cannot approve" / "同一人不能批准",
        "Who signed first asked for a second person's consent; the same person or the same key is none." / "首位签名者所需的是他人的同意；同一人或同一密钥不算第二人。",
        "Another operator approves it with a certificate of their own." / "请另一名操作员使用自己的证书批准。";
    APPROVAL_CHANGED = 2022, 409, 4, false,
        "The command is not the one that was seen" / "命令与所见不一致",
        "The digest in the approval is not that of the waiting command." / "批准中的摘要与待批命令不一致。",
        "Look at it again with eport approval show, then approve what is shown." / "请用 eport approval show 重新查看，再批准所示内容。";
    APPROVAL_OVER = 2023, 409, 4, false,
        "The approval is over" / "批准已结束",
        "It was carried out, rejected, or has expired." / "该命令已执行、被拒绝或已过期。",
        "Look at eport approval list; give the command again when it is still wanted." / "请查看 eport approval list；如仍需要请重新发出命令。";
    SECOND_PERSON_MISSING = 2024, 409, 7, false,
        "There is no second person" / "没有第二人",
        "The command needs two persons, and no other operator who may approve is listed." / "该命令需要两人，而注册中心没有登记其他可批准的操作员。",
        "List another operator first: eport user issue ID, then eport user add ID --role approver." / "请先登记另一名操作员：eport user issue ID，然后 eport user add ID --role approver。";
    RECOVERY_PLAN_UNUSABLE = 2040, 422, 7, false,
        "The recovery plan cannot be used" / "恢复计划无法使用",
        "The file is no recovery plan, was changed after its node signed it, or is of another federation or lineage." / "该文件不是恢复计划、在节点签名后被改动，或属于其他联邦或谱系。",
        "Make it again on the survivor: eport quorum recover plan; check which file you gave." / "请在幸存节点上重新生成：eport quorum recover plan，并核对所给文件。";
    RECOVERY_PLAN_OVER = 2041, 409, 4, false,
        "The recovery plan is over" / "恢复计划已失效",
        "It was carried out already, or eportd ran on this directory after the plan was made." / "该计划已被执行，或计划生成后 eportd 又在此目录上运行过。",
        "Look at eport quorum status; if the quorum is still lost, stop eportd and plan again." / "请查看 eport quorum status；若仍无多数，请停止 eportd 后重新生成计划。";
    RECOVERY_TOKEN = 2042, 403, 6, false,
        "The recovery token is not the plan's" / "恢复令牌与计划不符",
        "Each plan shows its token once, when it is made; this is another one." / "每个计划在生成时显示一次令牌；所给令牌不是它的。",
        "Give the token that was shown for the plan of this node, or plan again." / "请给出本节点计划所显示的令牌，或重新生成计划。";
    QUORUM_NOT_LOST = 2043, 409, 7, false,
        "The quorum is not lost" / "多数并未丢失",
        "The voters with a plan are a majority: the registry works again once they run." / "持有计划的投票节点已构成多数：启动它们即可恢复注册中心。",
        "Start them; a recovery now would split the federation in two." / "请启动它们；此时恢复会使联邦分裂为二。";
    RECOVERY_NOT_BEST = 2044, 409, 7, false,
        "Another survivor knows more" / "另一幸存节点掌握更多",
        "Founding the new lineage here would lose registry entries that the other one holds." / "在此建立新谱系会丢失另一节点持有的注册中心条目。",
        "Carry it out on the node that the detail names." / "请在详情所指节点上执行。";
    RECOVERY_UNCONFIRMED = 2045, 409, 7, false,
        "Not every lost voter is confirmed to be stopped" / "并非每个丢失的投票节点都已确认停机",
        "A voter that still runs would go on in the old lineage beside the new one." / "仍在运行的投票节点会在旧谱系中继续，与新谱系并存。",
        "Make sure that each is stopped, then name it: --confirm-stopped NODE." / "请逐一确认停机，然后以 --confirm-stopped NODE 指明。";
    RECOVERY_PERSONS = 2046, 403, 6, false,
        "Persons are missing for the recovery" / "恢复缺少相应人员",
        "The recovery needs the signature of an administrator, and where the federation asks for two persons that of a second operator under the plan." / "恢复需要管理员签名；联邦要求双人时，还需第二名操作员在计划上签名。",
        "The second person runs eport quorum recover sign --plan FILE; then apply with --cert and --key." / "第二人执行 eport quorum recover sign --plan FILE；然后带 --cert 与 --key 执行 apply。";
    LINEAGE_SPLIT = 2047, 409, 7, false,
        "Two living lineages have met" / "两个存活的谱系相遇",
        "A node of another lineage with the same ancestor runs: the quorum was recovered twice, or the old one lives. They exchange nothing." / "有同源的另一谱系节点在运行：多数被恢复了两次，或旧谱系仍存活。两者不交换任何数据。",
        "Decide which one stays; stop the other side and let its nodes join again (node rejoin --keep-journals), then adopt its journals." / "请决定保留哪一方；停止另一方并让其节点重新加入（node rejoin --keep-journals），再接纳其日志。";
    JOURNAL_NOT_ADOPTABLE = 2048, 409, 7, false,
        "The journal cannot be adopted" / "日志无法接纳",
        "The node reports no surviving journal of the platform, or the platform's primary is still a member." / "该节点未报告此平台的幸存日志，或平台的主节点仍是成员。",
        "See which nodes keep a journal: eport quorum status; where the primary lives use switchover or failover." / "请查看哪些节点持有日志：eport quorum status；主节点仍在时请使用 switchover 或 failover。";
    QUOTA_RATE = 2060, 429, 5, true,
        "The platform asks too often" / "平台请求过于频繁",
        "The platform has used up the requests that its quota allows for now; nothing was stored." / "该平台已用完配额当前允许的请求数；未存储任何内容。",
        "Wait for the seconds of Retry-After; an operator may raise it with eport platform quota." / "请按 Retry-After 所示秒数等待；操作员可用 eport platform quota 提高配额。";
    QUOTA_BYTES = 2061, 429, 5, true,
        "The platform has too many bytes under way" / "平台在途字节过多",
        "The bodies of the platform's requests under way at this node are as large as its quota allows; nothing was stored." / "该平台在本节点的在途请求正文已达配额上限；未存储任何内容。",
        "Send fewer or smaller batches at once; an operator may raise it with eport platform quota." / "请减少同时发送的批次或缩小批次；操作员可用 eport platform quota 提高配额。";
    QUOTA_DISK = 2062, 507, 5, false,
        "The platform's disk quota is used up" / "平台磁盘配额已用尽",
        "The platform takes as much disk on its primary as its quota allows; what was accepted stays, is read and repeated as before, and nothing new is stored." / "该平台在主节点上占用的磁盘已达配额；已受理内容照常保留、可读、可重复应答，不再存储新内容。",
        "An operator raises it with eport platform quota REGION --disk-bytes SIZE, or the platform moves to nodes of its own." / "请操作员用 eport platform quota 区划 --disk-bytes 大小 提高配额，或将平台迁至自有节点。";
    DURABILITY_UNMET = 2063, 503, 5, true,
        "The answer could not promise what it must" / "应答无法达到要求的持久性",
        "The write must be replicated before it is answered, and the platform's policy never replicates; nothing was stored." / "该写入须先复制再应答，而平台策略从不复制；未存储任何内容。",
        "An operator names sync backups on another site: eport platform policy REGION --durability sync --backup NODE." / "请操作员在其他站点指定同步备份：eport platform policy 区划 --durability sync --backup 节点。";
} }
