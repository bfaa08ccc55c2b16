//! Codes of the area: certificate authority.

use super::codes;

codes! { CA_CODES {
    CA_CUSTODY = 4101, 500, 1, false,
        "A CA's key cannot be opened" / "CA 密钥无法打开",
        "The sealed key, what it was sealed under, or the certificate it belongs to do not fit together." / "密封的密钥、密封口令或对应证书不匹配。",
        "Read the detail; use the files of one ceremony, unchanged." / "查看详情；请使用同一次密钥仪式的未改动文件。";
    CA_SHARES = 4102, 403, 6, false,
        "The shares do not open the root" / "份额不足以打开根密钥",
        "Too few shares are here, or a share is damaged, of an older division, or of another ceremony; the detail names the holders." / "份额数量不足，或某份额损坏、属于较早的分割或其他仪式；详情列出持有人。",
        "Bring another holder's share; replace the damaged one by opening with good ones and --divide." / "请换用其他持有人的份额；用完好份额打开并加 --divide 以替换损坏的份额。";
    CA_LINT = 4103, 400, 7, false,
        "A rule of certificates is broken" / "违反证书规则",
        "What was asked for breaks the rules in the detail; nothing was made." / "所请求的内容违反详情所列规则；未生成任何内容。",
        "Correct the paper or the request; rehearse with --dry-run." / "请修正配置或申请；先用 --dry-run 演练。";
    CA_TRANSCRIPT = 4104, 500, 11, false,
        "A ceremony is not proven by its transcript" / "密钥仪式与其记录不符",
        "A line or a file was altered, is missing, or is not sealed by the root." / "某行或某文件被改动、缺失或未由根密钥封存。",
        "Compare with another copy of the folder; do not open the root with this one." / "请与其他副本比对；不要用此副本打开根密钥。";
    CA_NOT_HERE = 4105, 503, 5, true,
        "The CA cannot sign here" / "本节点无法使用该 CA 签发",
        "This node holds no key of an issuing CA that speaks for the subject, or is not the platform's primary." / "本节点没有可代表该主体的签发 CA 密钥，或不是该平台的主节点。",
        "Ask the platform's primary; put certificate and key of its issuing CA into the folder of [ca] in its configuration." / "请向平台主节点申请；或将签发 CA 的证书与密钥放入其配置 [ca] 指定的目录。";
    CERT_UNKNOWN = 4106, 404, 3, false,
        "No such certificate" / "证书不存在",
        "No certificate with this serial was issued by a CA of this federation, as far as this node knows." / "据本节点所知，本联邦的 CA 未签发过该序列号的证书。",
        "Look it up with eport cert list; --unknown revokes a serial that nobody knows." / "请用 eport cert list 查询；--unknown 可吊销未知序列号。";
} }
