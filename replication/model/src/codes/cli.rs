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
} }
