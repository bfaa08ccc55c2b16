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
} }
