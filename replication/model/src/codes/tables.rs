//! Codes of the area: code tables.

use super::codes;

codes! { TABLES_CODES {
    TABLE_IMPORT_REFUSED = 4001, 422, 1, false,
        "The table file was refused" / "码表文件被拒绝",
        "The file has rows that cannot be imported; nothing was published." / "文件中有无法导入的行；未发布任何内容。",
        "Correct the lines listed in problems." / "请更正 problems 中列出的行。";
    TABLE_ENCODING = 4002, 422, 1, false,
        "The encoding is not what was declared" / "编码与声明不符",
        "A byte sequence is not valid in the declared encoding; its place is in the detail." / "存在不符合声明编码的字节，位置见详情。",
        "Declare the right encoding with --encoding." / "请用 --encoding 声明正确的编码。";
    TABLE_GUARD = 4003, 409, 7, false,
        "The publication drops too much" / "发布将删除过多内容",
        "The new version removes or changes more rows than the guard allows." / "新版本删除或修改的行超过保护上限。",
        "Look at the difference with --dry-run; publish with --force if it is meant." / "用 --dry-run 查看差异；确属本意则用 --force 发布。";
    TABLE_NOT_HERE = 4004, 503, 5, true,
        "The table version in force is not on this node" / "本节点缺少生效的码表版本",
        "The registry names a version in force that this node has not fetched yet; it does not judge by another one." / "注册中心所示的生效版本尚未取到；本节点不会改用其他版本判断。",
        "Wait for the fetch or check the link to its holders." / "请等待同步，或检查与持有节点的链路。";
    TABLE_EFFECTIVE_PAST = 4005, 409, 7, false,
        "The effective instant lies in the past" / "生效时间早于当前",
        "A version may not take effect before the one in force, except as history." / "新版本不得早于现行版本生效，历史版本除外。",
        "Choose a later instant." / "请选择更晚的生效时间。";
    TABLE_DAMAGED = 4006, 500, 11, false,
        "Table content is damaged" / "码表内容已损坏",
        "Stored or received content does not hash to the published root, or is not in canonical form." / "存储或收到的内容与发布的根摘要不符，或不是规范形式。",
        "Nothing was installed; fetch it from another holder and check the disk of the one named." / "未安装任何内容；请从其他持有节点获取，并检查所列节点的磁盘。";
    TABLE_NO_VERSION = 4007, 404, 3, false,
        "No version is in force on that date" / "该日期没有生效的码表版本",
        "The table has versions, but the first one takes effect later than the instant asked for." / "该码表有版本，但最早的版本在所查询时间之后才生效。",
        "Ask for a later instant; versions lists when each takes effect." / "请查询更晚的时间；versions 列出各版本的生效时间。";
    TABLE_FEED = 4040, 410, 4, false,
        "The change feed cannot go on from this token" / "变更流无法从该令牌继续",
        "The token is not of this feed, or the version it names is not in force here or its content is gone." / "该令牌不属于此变更流，或其所指版本未在此生效，或其内容已不存在。",
        "Start again without after and replace the copy." / "请不带 after 重新开始，并替换本地副本。";
    TABLE_MAPPING = 4041, 422, 2, false,
        "The mapping file cannot be used" / "列映射文件无法使用",
        "The mapping is no TOML of the documented shape, or contradicts itself." / "映射文件不是规定格式的 TOML，或自相矛盾。",
        "Correct the place named in the detail." / "请更正详情中指出的位置。";
    TABLE_IN_USE = 4042, 409, 7, false,
        "Codes are dropped that are still used" / "将删除仍在使用的代码",
        "Other tables or open documents use codes that the new version drops; impact lists them." / "其他码表或未办结单证仍在使用新版本将删除的代码，见 impact。",
        "Keep the codes, or bound them by validity dates; publish with --force if it is meant." / "请保留这些代码，或用有效期限定；确属本意则用 --force 发布。";
    CATALOG_WRONG_BYTES = 4050, 502, 11, true,
        "A node gave wrong bytes of a catalog" / "节点提供了错误的目录数据",
        "What the named node sent does not hash to the published root; nothing of it was installed, and it is not asked for this catalog for ten minutes." / "所列节点发送的数据与发布的根摘要不符；未安装任何内容，十分钟内不再向其请求该目录。",
        "Look at the disk and software of the node named; run table verify there." / "请检查所列节点的磁盘与软件，并在该节点运行 table verify。";
    TABLE_NOT_STAGED = 4051, 409, 7, true,
        "Not every node has the new version yet" / "并非所有节点都已取得新版本",
        "A version is published when every reachable primary and in-sync backup holds it; the nodes that lack it are named." / "新版本须由所有可达的主节点与同步备份取得后才能发布；缺少的节点已列出。",
        "Repeat the command, mend the nodes named, or publish with --force." / "请重试、修复所列节点，或用 --force 发布。";
    TABLE_WITHDRAWN = 4052, 409, 7, false,
        "A version was withdrawn before it took effect" / "版本在生效前被撤回",
        "The publisher's key was revoked for compromise, or an operator took the version back; the former version stays in force." / "发布者密钥因泄露被吊销，或操作员撤回了该版本；原版本继续有效。",
        "Publish the version again under a key that is trusted." / "请使用可信密钥重新发布该版本。";
    TABLE_RETIRED = 4053, 410, 3, false,
        "The version is retired" / "该版本已停用",
        "It was in force then, but its content was given up." / "该版本当时有效，但其内容已清除。",
        "Import the content again as history if it is needed." / "如仍需要，请将其内容作为历史版本重新导入。";
    TABLE_CLOCK = 4054, 503, 5, true,
        "A clock is off while a version is about to take effect" / "版本即将生效而时钟有偏差",
        "The clock of the node named differs from those of its peers: a version would take effect there at another moment." / "所列节点的时钟与其他节点不一致：版本将在该节点的另一时刻生效。",
        "Set the clock; the node is not ready until it agrees." / "请校准时钟；一致之前该节点不就绪。";
    BUNDLE_REFUSED = 4055, 422, 1, false,
        "The bundle was refused" / "数据包被拒绝",
        "It is damaged, of another federation, or signed by nobody who may publish; nothing was installed." / "数据包已损坏、属于其他联合体，或并非由有权发布者签名；未安装任何内容。",
        "Export it again; the detail names what does not hold." / "请重新导出；详情说明不符之处。";
} }
