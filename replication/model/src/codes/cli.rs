//! Codes of the area: command line.

use super::codes;

codes! { CLI_CODES {
    USAGE = 7001, 400, 2, false,
        "The command line is not valid" / "命令行无效",
        "An option or argument is missing, unknown or of the wrong shape." / "缺少选项或参数，或其格式不对。",
        "See --help." / "请查看 --help。";
    API_UNREACHABLE = 7002, 503, 5, true,
        "The node's API cannot be reached" / "无法连接节点接口",
        "No connection could be made to the address, or it did not answer in time." / "无法连接该地址，或其未及时应答。",
        "Check --api, the context or EPORT_DIR, and that eportd runs." / "请检查 --api、上下文或 EPORT_DIR，并确认 eportd 正在运行。";
    VERIFY_DIFFERENCE = 7003, 409, 11, false,
        "Verification found a difference" / "核验发现差异",
        "What was verified is not what it should be; problems lists where." / "核验对象与应有内容不符；problems 列出位置。",
        "Keep the evidence and compare with other holders." / "请保留证据，并与其他持有者比对。";
    DEV_FAILED = 7004, 500, 1, false,
        "The local federation did not come up" / "本地联邦未能启动",
        "A process of the local federation ended or did not become ready in time." / "本地联邦的某个进程退出或未及时就绪。",
        "Read the log file named in the detail." / "请查看详情所指的日志文件。";
    FILE_UNUSABLE = 7005, 400, 1, false,
        "A file or folder cannot be used" / "文件或目录无法使用",
        "The file is missing, cannot be read or written, or does not have the expected content." / "文件缺失、无法读写，或内容不符合预期。",
        "Check the path named in the detail." / "请检查详情中的路径。";
    DEV_DIR_IN_USE = 7006, 409, 4, false,
        "The folder already holds a local federation" / "该目录已有本地联邦",
        "Processes of a local federation run from this folder, or it holds other files that would be overwritten." / "该目录中的本地联邦仍在运行，或目录内有会被覆盖的其他文件。",
        "Run dev down first, or choose another folder with --dir." / "请先执行 dev down，或用 --dir 选择其他目录。";
    DEV_NOT_FOUND = 7007, 404, 3, false,
        "No local federation in this folder" / "该目录没有本地联邦",
        "The folder has no dev.json, or the named node is not part of it." / "该目录没有 dev.json，或所指节点不属于它。",
        "Give the folder of dev up with --dir or EPORT_DIR." / "请用 --dir 或 EPORT_DIR 指定 dev up 的目录。";
    DEMO_FAILED = 7008, 500, 1, false,
        "The demonstration failed" / "演示失败",
        "A step of the demonstration did not end as promised; the report names it." / "演示的某一步未达到承诺的结果；报告中已指明。",
        "Run it with --keep and read the logs of the nodes in its folder." / "请用 --keep 重新运行，并查看其目录中的节点日志。";
    NOT_CONFIRMED = 7009, 409, 1, false,
        "Not confirmed" / "未确认",
        "The question was not answered with yes; nothing was changed." / "未得到肯定答复；未作任何更改。",
        "Run the command again and confirm, or give --yes." / "请重新执行并确认，或使用 --yes。";
    DEV_TIMEOUT = 7010, 503, 5, true,
        "The local federation is not ready in time" / "本地联邦未及时就绪",
        "The processes run, but a condition did not hold within the time; the detail names it." / "进程在运行，但某个条件未在限时内成立；详情中已指明。",
        "Read the log files named in the detail; repeat with a longer --timeout." / "请查看详情所指的日志；或用更长的 --timeout 重试。";
    EPORTD_MISSING = 7011, 400, 3, false,
        "The daemon eportd was not found" / "未找到守护进程 eportd",
        "There is no executable eportd next to eport, at --eportd or in EPORTD." / "eport 同目录、--eportd 或 EPORTD 均未找到可执行的 eportd。",
        "Build it (cargo build -p eport-server) or name it with --eportd." / "请先构建（cargo build -p eport-server），或用 --eportd 指定。";
    PREFLIGHT_FAILED = 7050, 409, 7, false,
        "This machine is not ready for a node" / "本机尚不具备运行节点的条件",
        "A check of ports, clock, disk or limits found something with which a node cannot run; the findings name cause and next step." / "对端口、时钟、磁盘或限额的检查发现节点无法运行的问题；检查结果列出原因与下一步。",
        "Do what the findings say and look again with --check. --unchecked goes on all the same, for files that are made for another machine." / "请按检查结果处理后用 --check 复查。若文件是为另一台机器准备的，可用 --unchecked 继续。";
    RELAY_DOWN = 7031, 503, 5, true,
        "The relay between the sites does not run" / "站点之间的中继未运行",
        "The local federation has no relay process, so nothing passes between its sites and no link can be changed." / "本地联邦没有中继进程：站点之间无法通信，也无法更改链路。",
        "Run dev heal, which starts it again; a federation made with --direct or on one site has none." / "请运行 dev heal 重新启动；以 --direct 建立或只有一个站点的联邦没有中继。";
} }
