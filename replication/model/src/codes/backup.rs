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
} }
