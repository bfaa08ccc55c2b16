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
    FRAME_REPLAYED = 1305, 400, 1, false,
        "A frame was replayed or is missing" / "报文帧重复或缺失",
        "The sequence number of a frame is not the next one of its stream; the stream was closed." / "帧的序号不是该流的下一个序号，流已关闭。",
        "Nothing was taken from the frame; if it repeats, look for a device between the nodes or a faulty peer." / "该帧未被采用；若反复出现，请检查节点之间的设备或故障的对方节点。";
    LINEAGE_FOREIGN = 1306, 409, 4, false,
        "The peer belongs to another lineage" / "对方属于另一世系",
        "Two nodes with different histories met; they exchange nothing until an operator decides." / "两个历史不同的节点相遇；在操作员决定之前不交换任何数据。",
        "Compare the lineage of both nodes (status); re-join the node that is on the wrong side." / "比较两节点的世系（status），将错误一侧的节点重新加入。";
    PEER_BUSY = 1307, 503, 5, true,
        "The queue to a node is full" / "到某节点的队列已满",
        "The peer reads more slowly than this node sends, or too many connections are open." / "对方读取速度低于本节点发送速度，或打开的连接过多。",
        "Repeat later; if it lasts, check the line to the peer." / "请稍后重试；若持续，请检查到对方的线路。";
    PEER_TIMEOUT = 1308, 503, 5, true,
        "A node did not answer in time" / "节点未及时应答",
        "The request was sent and no answer came within the timeout; its outcome is unknown." / "请求已发出但在时限内未收到应答，其结果未知。",
        "Repeat the same request with the same id." / "请使用相同标识重复同一请求。";
    PEER_IDENTITY = 1309, 403, 6, false,
        "Another node answers at the address" / "该地址应答的是另一节点",
        "The certificate at the address is not the expected node's, or the node has this node's own id." / "该地址的证书不属于预期节点，或其节点标识与本节点相同。",
        "Correct the address of the node, or its certificate." / "请更正该节点的地址或证书。";
    SLOT_LOST = 1310, 409, 4, false,
        "The slot of a backup is lost" / "备份的保留槽已失效",
        "The backup lacks more records, bytes or time than the primary keeps for shipping ([shipping] slot_records, slot_mib, slot_age_s); records are not deleted by this, they are only no longer shipped one by one." / "备份所缺的记录数、字节或时长超过主节点为传送保留的上限（[shipping] slot_records、slot_mib、slot_age_s）；记录不会因此删除，只是不再逐条传送。",
        "Nothing to do: the backup takes a checkpoint by itself once it can be reached; watch it with eport status. Raise the caps if this happens to healthy backups." / "无需处理：备份可达后会自行以检查点重建，可用 eport status 观察；若正常备份也发生，请提高上限。";
    ROLLED_BACK = 1311, 409, 7, false,
        "An old copy of this node's data was put back" / "该节点的数据被恢复成旧副本",
        "The node holds less of a platform's journal than others know it to have acknowledged; it counts for nothing and answers no failover." / "该节点持有的平台日志少于其他节点已知其确认过的；它不计入任何同步，也不参与故障切换应答。",
        "Stop the node, move platform/REGION out of its data directory (keep it aside), and start it: it is seeded anew from a checkpoint. If it was the primary, use platform failover to a backup that holds the journal." / "停止该节点，将数据目录中的 platform/REGION 移出并另行保存，再启动：它会从检查点重新建立。若它曾是主节点，请对持有日志的备份执行 platform failover。";
} }
