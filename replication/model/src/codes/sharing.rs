//! Codes of the area: sharing of documents.

use super::codes;

codes! { SHARING_CODES {
    PURPOSE_NEEDED = 4180, 403, 6, false,
        "A purpose must be stated" / "须说明用途",
        "Rules of sharing show this to the caller for a purpose, and the request states none." / "共享规则仅按用途向调用者展示该内容，而请求未说明用途。",
        "State it: --purpose on the command line, the header Eport-Purpose or purpose= in a request; the access log keeps it." / "请说明用途：命令行用 --purpose，请求用 Eport-Purpose 头或 purpose= 参数；访问日志会予以记录。";
    PURPOSE_REFUSED = 4181, 403, 6, false,
        "Not shared for this purpose" / "不按此用途共享",
        "A rule of sharing or a consent shows it to the caller for another purpose, or less of it than the request needs." / "共享规则或授权允许的用途与此不同，或允许展示的内容少于请求所需。",
        "State the purpose that it is really for; ask whose data it is for consent (eport consent grant)." / "请说明真实用途；或请数据所有者授权（eport consent grant）。";
    CONSENTS_FULL = 4182, 409, 4, false,
        "No more consents are kept" / "授权数量已满",
        "A party has as many consents in force on the platform as it may." / "该企业在本平台生效的授权已达上限。",
        "Withdraw those that are not needed any more: eport consent list, eport consent withdraw." / "请撤回不再需要的授权：eport consent list、eport consent withdraw。";
} }
