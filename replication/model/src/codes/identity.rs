//! Codes of the area: identity and TLS.

use super::codes;

codes! { IDENTITY_CODES {
    CERT_REFUSED = 1201, 403, 6, false,
        "The certificate was refused" / "证书被拒绝",
        "The peer's certificate is expired, revoked, of another federation, or not allowed here." / "对方证书已过期、已吊销、属于其他联邦，或在此不被允许。",
        "Read the detail; renew the certificate or use one of this federation." / "查看详情；更新证书或使用本联邦的证书。";
    CERT_MISSING = 1202, 401, 6, false,
        "A client certificate is needed" / "需要客户端证书",
        "This address answers only to callers with a certificate of the federation." / "该地址只应答持有本联邦证书的调用者。",
        "Give --cert and --key, a context, or EPORT_DIR." / "请提供 --cert 与 --key、上下文或 EPORT_DIR。";
    KEY_UNREADABLE = 1203, 500, 1, false,
        "A key or certificate file cannot be used" / "密钥或证书文件无法使用",
        "The file is missing, not PEM, of the wrong kind, or the key does not match the certificate." / "文件缺失、不是 PEM、类型不符，或密钥与证书不匹配。",
        "Check the path named in the detail." / "请检查详情中的路径。";
    KEY_EXPOSED = 1204, 500, 1, false,
        "A private key can be read by others" / "私钥可被他人读取",
        "The key file grants rights to group or others; it is used only with mode 0600." / "密钥文件向组或其他用户授予了权限；仅在权限为 0600 时使用。",
        "Run chmod 600 on the file, and renew the key if others could have copied it." / "对该文件执行 chmod 600；若可能已被复制，请更换密钥。";
    CERT_EXPIRED = 1205, 403, 6, false,
        "The certificate is outside its time of validity" / "证书不在有效期内",
        "The certificate has expired or is not valid yet, or the clock of this node is wrong." / "证书已过期或尚未生效，或本节点时钟有误。",
        "Check the clocks of both sides first. A node asks for its next certificate by itself, up to 90 days after the end: its log says why it was not given one. People renew with eport cert renew before the end, or ask an administrator for a new one." / "请先检查双方时钟。节点会自行申请新证书（到期后 90 天内有效）：未获签发的原因见其日志。人员请在到期前执行 eport cert renew，或请管理员重新签发。";
    CERT_REVOKED = 1206, 403, 6, false,
        "The certificate is revoked" / "证书已吊销",
        "The serial number stands in the federation's set of revoked certificates." / "该序列号在联邦的吊销集合中。",
        "Ask the issuing CA for a new certificate." / "请向签发 CA 申请新证书。";
    ISSUE_REFUSED = 1207, 409, 4, false,
        "A certificate cannot be issued" / "无法签发证书",
        "The request, the profile or the state of the issuing CA does not allow the certificate." / "申请、证书模板或签发 CA 的状态不允许签发该证书。",
        "Read the detail; make a new request with a P-256 key." / "查看详情；使用 P-256 密钥重新申请。";
    DATA_KEY_UNUSABLE = 1208, 500, 7, false,
        "A data key cannot be opened here" / "本节点无法打开数据密钥",
        "The key was wrapped for another holder, platform or key number, or the node key or its secret is the wrong one." / "该密钥是为其他持有者、平台或密钥号封装的，或节点密钥及其口令文件不正确。",
        "Put the node's own key file and secret back; the platform's primary wraps the key again for a new node key." / "请放回本节点自己的密钥文件与口令文件；更换节点密钥后，平台主节点会重新封装。";
    DATA_KEY_MISSING = 1209, 503, 5, true,
        "The platform's data key is not here yet" / "平台数据密钥尚未到达",
        "The registry names no data key of this platform that this node can open, so nothing can be encrypted or read here." / "注册中心没有本节点可打开的该平台数据密钥，因此无法加密或读取。",
        "Wait a moment; if it stays, see the warnings of status for holders whose key is not wrapped." / "请稍候；如持续出现，请查看 status 警告中尚未封装密钥的持有者。";
    SIGNATURE_MISSING = 1210, 401, 6, false,
        "The command needs an operator's signature" / "该命令需要操作员签名",
        "This federation takes commands of operators only with a signature made by the operator's own key." / "本联邦只接受由操作员本人密钥签名的命令。",
        "Use eport with the operator's certificate and key: it signs by itself." / "请使用 eport 并提供操作员证书与密钥：它会自动签名。";
    SIGNATURE_MISMATCH = 1211, 403, 6, false,
        "The signature does not match the command" / "签名与命令不符",
        "The command that arrived is not the one that was signed, or another key signed it." / "收到的命令与被签名的命令不一致，或由其他密钥签名。",
        "Give the command again; if it happens again, ask another node and look at what changed it on the way." / "请重新发出命令；若再次出现，请改用其他节点并查明途中被更改的原因。";
    SIGNATURE_STALE = 1212, 403, 6, false,
        "The signature is too old or lies in the future" / "签名时间过旧或在将来",
        "The time in the signature is too far from the time at which the command was entered." / "签名中的时间与命令录入时间相差过大。",
        "Check the clock of this machine, then give the command again." / "请检查本机时钟，然后重新发出命令。";
    SIGNER_REFUSED = 1213, 403, 6, false,
        "The signer's certificate is not accepted" / "签名者证书不被接受",
        "No issuer of this federation stands above it, it cannot sign commands, or it is another subject's." / "没有本联邦的签发者为其背书，或不能用于签署命令，或属于其他主体。",
        "Use an operator's certificate of this federation with a P-256 key." / "请使用本联邦操作员的 P-256 证书。";
    OPERATOR_ROLE = 1214, 403, 6, false,
        "The operator lacks the role" / "操作员缺少相应角色",
        "The registry does not list the operator, has suspended it, gives it other roles, or its issuer speaks for another platform." / "注册中心未登记该操作员、已将其停用、未授予该角色，或其签发者只代表其他平台。",
        "Ask an administrator to list the operator with the needed role: eport user add." / "请管理员用 eport user add 为该操作员登记所需角色。";
} }
