//! Codes of the area: storage and data directory.

use super::codes;

codes! { STORAGE_CODES {
    DIR_IN_USE = 1101, 500, 4, false,
        "The data directory is in use" / "数据目录正被使用",
        "Another process holds the lock of this data directory." / "另一个进程持有该数据目录的锁。",
        "Stop that process first; never delete the lock file of a running node." / "请先停止该进程；切勿删除运行中节点的锁文件。";
    DIR_OF_ANOTHER_NODE = 1102, 500, 7, false,
        "The data directory belongs to another node" / "数据目录属于另一节点",
        "The directory was written by a node with another id or federation than the configuration names." / "该目录由另一节点编号或另一联邦写入，与配置不符。",
        "Point data_dir to this node's own directory, or correct node id in the configuration." / "将 data_dir 指向本节点自己的目录，或更正配置中的节点编号。";
    DIR_NEWER_FORMAT = 1103, 500, 7, false,
        "The data directory has a newer format" / "数据目录格式较新",
        "The directory was written by a newer version of the software; this one would damage it." / "该目录由更新版本的软件写入，旧版本打开会造成损坏。",
        "Start the newer version again; downgrades need a restore from backup." / "请重新启动较新版本；降级需要从备份恢复。";
    DIR_READ_ONLY = 1104, 500, 1, false,
        "The data directory cannot be written" / "数据目录不可写",
        "The file system is read-only or the process lacks the permission." / "文件系统为只读，或进程没有写权限。",
        "Check mount options, owner and mode of the directory." / "请检查挂载选项、目录属主与权限。";
    DISK_FULL = 1105, 503, 5, true,
        "The disk is full" / "磁盘已满",
        "A write failed because the file system has no space left; nothing acknowledged was lost." / "文件系统没有剩余空间，写入失败；已确认的数据没有丢失。",
        "Free space or enlarge the volume; the node goes on by itself or after a restart." / "清理空间或扩容；之后节点会自行恢复，或重启后恢复。";
    STORAGE_FAILED = 1106, 503, 5, true,
        "Storage failed" / "存储失败",
        "RocksDB or the file system reported an error; the platform or node stops writing rather than risk loss." / "RocksDB 或文件系统报错；为避免丢失，平台或节点停止写入。",
        "Read the detail, check the disk and the kernel log, then restart the node." / "查看详情，检查磁盘与内核日志，然后重启节点。";
    RECORD_DAMAGED = 1107, 500, 11, false,
        "A stored record is damaged" / "存储的记录已损坏",
        "A checksum or digest of stored data does not match." / "存储数据的校验和或摘要不符。",
        "Do not promote this node; verify it against another holder and rebuild it from there." / "请勿提升该节点；与其他持有者核对，并从那里重建。";
    APPEND_REFUSED = 1108, 500, 4, false,
        "The records do not follow the stored journal" / "记录不能接续已存日志",
        "The first record does not directly follow the last stored one by index, epoch and digest." / "首条记录的序号、纪元或摘要不能直接接续最后一条已存记录。",
        "Report it: the node asked its own store for an impossible write; nothing was changed." / "请上报：节点向自身存储提出了不可能的写入；数据未被更改。";
    BELOW_APPLIED = 1109, 409, 7, false,
        "Applied records cannot be cut off" / "已应用的记录不能截断",
        "A truncation would remove records whose effects are in the state rows already." / "截断会移除其结果已写入状态的记录。",
        "The node stays fenced with its tail exported; rebuild it from the primary." / "节点保持隔离，尾部已导出；请从主节点重建。";
    NOT_STORED = 1110, 404, 3, false,
        "Not stored here" / "此处未存储",
        "The record or object asked for is not held by this node." / "所请求的记录或对象不在本节点。",
        "Ask another holder, or wait until this node has caught up." / "请向其他持有者查询，或等待本节点追上。";
    OBJECT_TOO_LARGE = 1111, 413, 2, false,
        "A record or object is too large" / "记录或对象过大",
        "The size exceeds what the storage accepts; the limit is in the detail." / "大小超过存储上限，上限见详情。",
        "Split the content, or shorten the request." / "请拆分内容或缩短请求。";
    COPY_DAMAGED = 1113, 500, 11, true,
        "Damage was found in a copy" / "在副本中发现损坏",
        "The background look through what a node has stored found journal files or rows that cannot be read; the platform goes on, and other holders give what is missing." / "后台检查发现节点存储的日志文件或状态行无法读取；平台继续运行，缺失部分由其他持有者补回。",
        "Wait for the mending, which status shows; if it stays open, start another holder, then replace the disk." / "请等待修复（见 status）；若一直未修复，请启动其他持有者，随后更换磁盘。";
    ARCHIVE_AWAY = 1114, 503, 5, true,
        "The archive is away" / "归档目录不可用",
        "The record lies in a journal file that was moved to the archive, and the archive's file system is not there." / "该记录所在的日志文件已移至归档，而归档文件系统不可用。",
        "Mount the folder named in [archive] dir; nothing is lost, and newer records are served meanwhile." / "请挂载 [archive] dir 指定的目录；数据没有丢失，较新的记录不受影响。";
    DIR_OLDER_FORMAT = 1112, 500, 7, false,
        "The data directory has an older format" / "数据目录格式较旧",
        "The directory was written by an older version whose format this one cannot read." / "该目录由较旧版本写入，本版本无法读取其格式。",
        "Start the version that wrote it and take a backup, or let this node fetch its copies from the other holders into an empty directory." / "请用写入该目录的版本启动并做备份，或让本节点在空目录中从其他持有者取回副本。";
} }
