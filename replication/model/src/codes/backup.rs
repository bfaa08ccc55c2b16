//! Codes of the area: backup and restore.

use super::codes;

codes! { BACKUP_CODES {
    BACKUP_DAMAGED = 8001, 500, 11, false,
        "A backup is damaged" / "备份已损坏",
        "A file of the backup is missing, altered, or does not chain to the backup before it." / "备份文件缺失、被篡改，或不能接续前一份备份。",
        "Use another backup, and make a full one now: eport backup create --full." / "请使用其他备份，并立即做一次全量备份：eport backup create --full。";
    BACKUP_KEY = 8002, 403, 6, false,
        "The recovery key does not open the backup" / "恢复密钥无法打开备份",
        "The backup was encrypted for another recovery key, or the federation has none yet." / "该备份是为另一恢复密钥加密的，或联邦尚无恢复密钥。",
        "Name the right key file; make the first one with eport backup key and keep it offline." / "请指定正确的密钥文件；首次使用请运行 eport backup key 生成并离线保存。";
    BACKUP_NOT_FOUND = 8003, 404, 3, false,
        "No such backup" / "备份不存在",
        "The folder holds no backup of that name." / "该目录中没有此名称的备份。",
        "List what is there: eport backup list." / "请列出现有备份：eport backup list。";
    BACKUP_POINT = 8004, 409, 4, false,
        "The point in time is not in the backup" / "备份中没有该时间点",
        "The position or time asked for lies after the end of the backup, or belongs to another epoch." / "所请求的位置或时间在备份末尾之后，或属于其他纪元。",
        "Choose a point that backup list shows, or a newer backup." / "请选择 backup list 所示范围内的时间点，或更新的备份。";
    BACKUP_OF_ANOTHER = 8005, 409, 7, false,
        "The folder holds backups of another federation" / "该目录是另一联邦的备份",
        "Its lineage is not that of the federation asked; nothing was written." / "其谱系与所连联邦不同；未写入任何内容。",
        "Use a folder of its own for each federation." / "请为每个联邦使用单独的目录。";
    BACKUP_LATE = 8006, 409, 4, true,
        "A scheduled backup is late" / "定期备份已逾期",
        "A node should have made a backup by [backup] schedule and has not: more than half a period has passed since it was due." / "节点应按 [backup] schedule 完成备份但尚未完成：逾期已超过半个周期。",
        "Look at eport backup status and the log of the node that is named; start it if it is down." / "请查看 eport backup status 与所列节点的日志；若节点已停止，请启动它。";
    BACKUP_FAILED = 8007, 500, 10, true,
        "A scheduled backup failed" / "定期备份失败",
        "The node could not make its backup; the text names the cause. It tries again with growing pauses, and the former backups stay." / "节点未能完成备份，文本中说明了原因。节点会以递增的间隔重试，先前的备份保持不变。",
        "Remove the cause: space or rights at the target, a missing recovery key (eport backup key), a mount that is gone." / "请消除原因：目标的空间或权限、缺少恢复密钥（eport backup key）、挂载丢失等。";
    RESTORE_TEST_FAILED = 8008, 500, 11, true,
        "The restore test of a scheduled backup failed or is late" / "定期备份的恢复测试失败或逾期",
        "The newest backup could not be restored into a scratch folder and found equal, or no test has passed for too long. Nothing is thinned out while the last test failed." / "最新备份未能恢复到临时目录并核对一致，或长时间没有通过的测试。最近一次测试失败期间不会清理任何备份。",
        "Run eport backup verify --dir TARGET/NODE: it names the damaged file. The next backup is a full one and is tested again." / "请运行 eport backup verify --dir 目标/节点，它会指出损坏的文件。下一次备份为全量备份，并会再次测试。";
    BACKUP_TARGET = 8009, 503, 10, true,
        "The target of backups cannot be used" / "备份目标不可用",
        "It cannot be reached or written, or it is empty although this node has made backups there, as an empty mount point is." / "目标无法访问或写入，或目标为空而本节点曾在此做过备份（例如空的挂载点）。",
        "Mount or repair it. If the backups were taken away on purpose, remove backups/diary.json in the node's data directory and restart the node." / "请挂载或修复目标。若确已有意移走备份，请删除节点数据目录中的 backups/diary.json 并重启节点。";
    BACKUP_INCOMPLETE = 8010, 409, 4, true,
        "A scheduled backup lacks something" / "定期备份不完整",
        "The backup was made, but a platform that the configuration names is not kept on the node, or a data key is not wrapped for the recovery key yet." / "备份已完成，但配置所列平台不在本节点，或某数据密钥尚未为恢复密钥封装。",
        "Correct [backup] platforms, or let the platform's primary run until platform keys R shows the recovery key among the holders." / "请修正 [backup] platforms，或让平台主节点运行，直至 platform keys R 的持有者中出现恢复密钥。";
    BACKUP_BUSY = 8011, 409, 4, true,
        "Another backup is being written there" / "该处正在写入另一备份",
        "One backup at a time is written into a folder." / "同一目录同一时间只能写入一个备份。",
        "Wait until it is done; name a folder of its own for backups by hand." / "请等待其完成；手工备份请使用单独的目录。";
    RESTORE_SPACE = 8012, 507, 10, true,
        "Too little space for a backup or a restore" / "备份或恢复所需空间不足",
        "The file system that would be written has too little free space, what must stay free included." / "将写入的文件系统剩余空间不足（含必须保留的空间）。",
        "Make room, or restore into a folder on another disk; for a node see [backup] scratch and reserve_mib." / "请腾出空间，或恢复到其他磁盘上的目录；节点请参见 [backup] scratch 与 reserve_mib。";
} }
