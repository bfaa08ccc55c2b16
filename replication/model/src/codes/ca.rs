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
    TOKEN_REFUSED = 4107, 403, 6, false,
        "The enrolment token is not accepted" / "注册令牌未被接受",
        "It is unknown at this platform, has expired, was withdrawn, or is for another key, or too many wrong tokens came from this address." / "该令牌在本平台未知、已过期、已撤回或绑定其他密钥，或该地址提交了过多错误令牌。",
        "Ask an operator for a new token: eport cert token, or eport node token for a node." / "请向操作员索取新令牌：eport cert token；节点用 eport node token。";
    TOKEN_USED = 4108, 409, 4, false,
        "The enrolment token was used already" / "注册令牌已被使用",
        "A token is good for one key; another key has used this one." / "一个令牌只能用于一个密钥；该令牌已被其他密钥使用。",
        "If that was not you: revoke that certificate (eport cert list --subject), then ask for a new token." / "若非本人操作：请吊销该证书（eport cert list --subject），再索取新令牌。";
    ENROLMENT_WAITING = 4109, 503, 5, true,
        "The request waits for approval" / "申请等待批准",
        "The request is kept; an operator has not decided on it yet." / "申请已保存，操作员尚未决定。",
        "Ask again later with the same key; operators see it with eport cert requests." / "请稍后用同一密钥再次申请；操作员用 eport cert requests 查看。";
    ENROLMENT_DENIED = 4110, 403, 6, false,
        "The request was refused" / "申请被拒绝",
        "An operator refused the request; the detail says why." / "操作员拒绝了该申请；详情说明原因。",
        "Clear the reason up with the operator, then ask with a new key." / "请与操作员澄清原因，再用新密钥申请。";
    ROOT_UNEXPECTED = 4111, 403, 6, false,
        "The federation is not the one of the token" / "该联邦不是令牌所属的联邦",
        "None of the roots that the other side shows has the fingerprint in the token; nothing was sent to it." / "对方出示的根证书均不符合令牌中的指纹；未向其发送任何内容。",
        "Check the address; if it is right, somebody stands in between: tell the operator who gave you the token." / "请检查地址；若地址无误，可能有人居中：请告知发放令牌的操作员。";
    CERT_ENDS_SOON = 4112, 503, 5, false,
        "A certificate ends soon" / "证书即将到期",
        "A certificate or a CA is in the last part of its life and was not renewed." / "某证书或 CA 已进入有效期末段且未续期。",
        "Look at eport cert forecast; a node's renewal needs the primary of its CA's platform, a CA's a ceremony." / "请查看 eport cert forecast；节点续期需要其 CA 所属平台的主节点，CA 续期需要密钥仪式。";
    RENEWAL_REFUSED = 4113, 403, 6, false,
        "The certificate cannot be renewed this way" / "该证书无法以此方式续期",
        "The old certificate or the signature of its key does not prove who asks, or it ended too long ago." / "旧证书或其密钥签名无法证明申请者身份，或证书过期太久。",
        "Enrol again with a token from an operator." / "请用操作员发放的令牌重新注册。";
    ENROLMENT_FULL = 4114, 503, 5, true,
        "No more requests are kept" / "申请数量已满",
        "The platform keeps as many tokens or requests as it may." / "该平台保存的令牌或申请已达上限。",
        "Decide on the waiting requests; old ones leave after 30 days." / "请处理等待中的申请；旧申请 30 天后清除。";
    REQUEST_DECIDED = 4115, 409, 4, false,
        "The request is decided already" / "该申请已有决定",
        "Another operator was first, or the certificate is issued." / "其他操作员已先处理，或证书已签发。",
        "Look at it with eport cert requests." / "请用 eport cert requests 查看。";
    TRUST_UNACKNOWLEDGED = 4120, 409, 7, false,
        "Members do not verify by the newest trust bundle yet" / "有成员尚未采用最新信任包",
        "The members in the detail have not acknowledged the bundle that holds the new root or CA." / "详情中的成员尚未确认包含新根或新 CA 的信任包。",
        "Wait until they are up and have it (eport ca status), or leave them behind knowingly: --without NODE for each." / "等待其上线并采用（eport ca status），或逐个用 --without NODE 明确舍下。";
    ROTATION_PHASE = 4121, 409, 4, false,
        "The rotation is not at this step" / "轮换未处于该步骤",
        "The steps are prepare, publish, cross (roots only), activate, retire; abort until activate." / "步骤依次为 prepare、publish、cross（仅根）、activate、retire；activate 之前可 abort。",
        "Look at eport ca rotate status and go on from there." / "请查看 eport ca rotate status 后继续。";
    DRAIN_NOT_OVER = 4122, 409, 7, false,
        "Certificates under the old CA may still live" / "旧 CA 下的证书可能仍在有效期",
        "Until the longest certificate has ended, and a day more, the old CA stays trusted." / "在最长证书到期再加一天之前，旧 CA 保持受信。",
        "Wait; if nothing under it is needed any more: retire --force --reason TEXT." / "请等待；若确已不再需要：retire --force --reason 说明。";
    TRUST_MATERIAL = 4123, 400, 7, false,
        "The certificates of the rotation do not fit" / "轮换所用证书不符合要求",
        "A root, cross certificate, issuing CA or list breaks the rule in the detail; nothing was changed." / "根证书、交叉证书、签发 CA 或吊销列表违反详情所列规则；未作任何更改。",
        "Make them again with eport ca ceremony rotate (or open), from the bundle that is in force." / "请依据现行信任包用 eport ca ceremony rotate（或 open）重新生成。";
    TRUST_UNPROVEN = 4124, 403, 6, false,
        "A trust bundle is not proven" / "信任包未能证明",
        "It brings in a root that no root known here has signed, or takes away every root that is known." / "其中的新根未由本地已知的根签署，或移除了全部已知的根。",
        "If the roots really changed while this node was away for long, give it the new bundle by hand ([tls] trust) and remove trust.pem from its data directory." / "若根确已更换且本节点离线过久，请手工提供新信任包（[tls] trust）并删除数据目录中的 trust.pem。";
    OUTSIDE_CA = 4125, 400, 7, false,
        "A CA outside the federation cannot be registered" / "外部 CA 无法登记",
        "The proof that its key is held, its certificate or its scope breaks the rule in the detail; nothing was changed." / "密钥持有证明、证书或授权范围违反详情所列规则；未作任何更改。",
        "Make a new challenge with eport ca outside challenge, have it signed by the CA's own key (P-256), and give both to eport ca add --outside." / "请用 eport ca outside challenge 重新生成质询，由该 CA 自己的密钥（P-256）签名，再交给 eport ca add --outside。";
    OUTSIDE_SCOPE = 4126, 403, 6, false,
        "The certificate of an outside CA does not count for this" / "外部 CA 的证书在此不被认可",
        "The CA is registered for some platforms only, and what it vouches for asks no certificates, no delegations and nothing of another platform." / "该 CA 仅为部分平台登记；由其背书者不得申请证书、作出委托或访问其他平台。",
        "Use a certificate of this federation's own CA, or have the outside CA registered for the platform: eport trust show says for which it is." / "请使用本联邦 CA 签发的证书，或为该平台登记此外部 CA：eport trust show 可查看其登记范围。";
    CA_LOCKED = 4140, 503, 5, false,
        "The CA's key is locked on this node" / "本节点上的 CA 密钥处于锁定状态",
        "The key lies here sealed or wrapped, and nobody has opened it: a node that took the platform over cannot sign alone." / "密钥以密封或包裹形式存于本节点，尚未打开：接管平台的节点无法单独签发。",
        "Bring the shares of enough holders: eport ca unlock --platform R --share FILE --share FILE; a sealed file opens with --passphrase-file." / "请汇集足够持有人的份额：eport ca unlock --platform R --share FILE --share FILE；密封文件可用 --passphrase-file 打开。";
    CA_KEY_PLAIN = 4141, 500, 1, false,
        "A CA's key lies in the clear" / "CA 密钥以明文存放",
        "A key in the folder of [ca] is not sealed, and no passphrase is configured under which it could be." / "[ca] 目录中的密钥未密封，且未配置可用于密封的口令。",
        "Name a passphrase_file in [ca], or seal the key: eport ca seal --file FILE --passphrase-file FILE." / "请在 [ca] 中配置 passphrase_file，或密封该密钥：eport ca seal --file FILE --passphrase-file FILE。";
    CA_CUSTODY_UNKNOWN = 4142, 409, 4, false,
        "These shares belong to no wrapped key in force" / "这些份额不属于现行的包裹密钥",
        "The platform keeps no wrapped key with this id, or the registry names another one: the key was divided anew, or the command that said so still waits." / "平台未保存该编号的包裹密钥，或注册表记录的是另一个：密钥已重新分割，或相应命令仍待批准。",
        "Look at eport ca keys; use the shares of the division in force, or have the waiting command approved." / "请查看 eport ca keys；使用现行分割的份额，或先批准等待中的命令。";
    CA_KEY_OTHER = 4143, 500, 11, false,
        "The opened key is not the CA's" / "打开的密钥不属于该 CA",
        "What the shares opened does not belong to the certificate that the registry lists for the CA; it was wiped." / "份额打开的密钥与注册表中该 CA 的证书不符，已清除。",
        "Divide the right key: eport ca export on the node that holds it." / "请在持有正确密钥的节点上重新分割：eport ca export。";
    REVOCATIONS_STALE = 4144, 503, 5, true,
        "No fresh news of revocations" / "吊销信息不够新",
        "This node has had no news from the registry for longer than this operation allows: somebody in the chain may be revoked already." / "本节点与注册表失去联系的时间超过该操作允许的上限：链上证书可能已被吊销。",
        "Bring the link to the registry back; what a cut-off site may do all the same is listed under Revocation in docs/reference/certificates.md." / "请恢复与注册表的连接；断网站点仍可执行的操作见 docs/reference/certificates.md 的吊销一节。";
} }
