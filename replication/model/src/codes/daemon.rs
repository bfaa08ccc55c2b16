//! Codes of the area: daemon and configuration.

use super::codes;

codes! { DAEMON_CODES {
    CONFIG_INVALID = 1001, 500, 2, false,
        "Configuration is not valid" / "配置无效",
        "The configuration file has an unknown key, a missing key or a value outside its bounds." / "配置文件含有未知的键、缺少必需的键或数值超出范围。",
        "Correct the line named in the detail; the nearest valid key is given." / "按详情所指的行修改；提示中给出了最接近的有效键。";
    PORT_TAKEN = 1002, 500, 1, false,
        "A listening address is in use" / "监听地址已被占用",
        "Another process listens on the address that the configuration names." / "另一个进程正在监听配置所指的地址。",
        "Stop the other process or select a free address in the configuration." / "停止该进程，或在配置中选用空闲地址。";
    DRAINING = 1003, 503, 5, true,
        "The node is stopping" / "节点正在停止",
        "The node received a stop signal and takes no new requests." / "节点已收到停止信号，不再接受新请求。",
        "Repeat the request at another node, or here after the restart." / "请向其他节点重试，或待本节点重启后再试。";
    RELEASE_REFUSED = 1004, 500, 11, false,
        "The program is not the released one" / "程序不是已发布的版本",
        "The signed list of the release cannot be used, another key signed it, or a program is not what it names." / "发布清单无法使用、由其他密钥签名，或程序与清单不符。",
        "Install program and list of one release again and look at both with eport release verify, from another machine. Do not take the list out of the configuration." / "请重新安装同一发布的程序与清单，并在另一台机器上用 eport release verify 核对。切勿从配置中移除清单。";
    BUILD_DIFFERS = 1008, 409, 4, false,
        "A node runs another program than its peers" / "节点运行的程序与其他节点不同",
        "The digest of its program is not that of most nodes. During an upgrade this is expected; at any other time a node was forgotten, or its program is not the released one." / "其程序摘要与多数节点不同。升级期间属正常；其他时间则可能有节点漏升级，或其程序不是发布版本。",
        "Finish the upgrade; otherwise look at the program with eport release verify, from another medium, and install the release again." / "请完成升级；否则请用其他介质上的 eport release verify 核对程序，并重新安装发布版本。";
} }
