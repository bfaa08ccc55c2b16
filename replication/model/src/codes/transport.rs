//! Codes of the area: wire and transport.

use super::codes;

codes! { TRANSPORT_CODES {
    FRAME_MALFORMED = 1301, 400, 1, false,
        "A frame is malformed" / "报文帧格式错误",
        "A peer sent bytes that are not a frame of any version known here; the stream was closed." / "对方发送的字节不是任何已知版本的帧，流已关闭。",
        "Check that both sides run compatible versions." / "请确认双方版本兼容。";
    FRAME_TOO_LONG = 1302, 413, 1, false,
        "A frame is too long" / "报文帧过长",
        "A frame exceeds the limit of its class; nothing was allocated for it." / "帧超过该类别的上限，未为其分配内存。",
        "Send smaller batches." / "请减小批量。";
    WIRE_VERSION = 1303, 400, 1, false,
        "No common protocol version" / "没有共同的协议版本",
        "The peer speaks only versions that this node does not know." / "对方只支持本节点不认识的协议版本。",
        "Upgrade the older side; see the table of who talks to whom." / "请升级较旧的一方；参见版本兼容表。";
    PEER_UNREACHABLE = 1304, 503, 5, true,
        "A node cannot be reached" / "节点不可达",
        "There is no connection to the node, or it did not answer in time." / "与该节点没有连接，或未及时应答。",
        "Check the node and the network between; the request may be repeated." / "请检查该节点与网络；可以重试。";
} }
