//! Codes of the area: documents.

use super::codes;

codes! { DOCUMENTS_CODES {
    DOCUMENT_REFUSED = 5001, 422, 1, false,
        "The document was refused" / "单证被拒绝",
        "The document breaks at least one rule; failures lists all of them." / "单证违反至少一项规则；failures 列出全部。",
        "Correct every failure and submit again; the key was not consumed." / "更正全部问题后重新提交；该键未被占用。";
    DOCUMENT_DUPLICATE = 5002, 409, 4, false,
        "The key was used for another document" / "该键已用于另一单证",
        "A different document was accepted earlier under the same lodger, type, reference and version." / "同一申报人、类型、编号与版本下已受理过不同内容的单证。",
        "Use a new client_ref, or doc_version + 1 to change the accepted document." / "请使用新的 client_ref，或以 doc_version + 1 修改已受理单证。";
    DOCUMENT_TYPE_UNKNOWN = 5003, 422, 1, false,
        "No pack defines this document type" / "没有标准包定义该单证类型",
        "doc_type names no document of a pack in force." / "doc_type 不对应任何现行标准包中的单证。",
        "Check doc_type; list packs." / "请核对 doc_type，并查看标准包列表。";
    DOCUMENT_MALFORMED = 5004, 400, 1, false,
        "The document is not readable" / "单证无法读取",
        "The body is not a JSON document of the envelope's shape, or it exceeds a size limit." / "正文不是符合信封结构的 JSON，或超出大小限制。",
        "Correct the JSON at the place named in the detail." / "请更正详情所指位置的 JSON。";
    NUMBERS_EXHAUSTED = 5005, 503, 5, true,
        "No document numbers are left" / "单证编号已用尽",
        "The number block of this epoch is used up and the registry could not be asked for another." / "本纪元的号段已用完，且无法向注册中心申请新号段。",
        "Restore the link to the registry." / "请恢复与注册中心的链路。";
    AGENCY_UNKNOWN = 5010, 403, 6, false,
        "The agency is not attached here" / "机构未接入此平台",
        "The certificate is not one of this agency, or no operator has attached the agency to this platform." / "证书不属于该机构，或尚无操作员将该机构接入此平台。",
        "Use a certificate of the agency at a platform it is attached to; attach it with eport agency register." / "请以该机构证书访问其接入的平台；用 eport agency register 接入。";
    MESSAGE_UNKNOWN = 5011, 404, 3, false,
        "Nothing of this kind was sent to the agency" / "该机构没有收到此报文",
        "No message with this id, or for this version of this document, was sent to this agency at this platform." / "本平台未向该机构发送过此编号或此单证版本的报文。",
        "Look at the inbox; a receipt names the message or the document and version that the agency was given." / "请查看收件箱；回执须指明该机构收到的报文或单证及版本。";
    RECEIPT_DIFFERENT = 5012, 409, 4, false,
        "The receipt number was used for another receipt" / "该回执编号已用于另一回执",
        "The agency sent another receipt under the same number; the first one counts." / "该机构曾以同一编号发送不同回执；以首次为准。",
        "Send the new receipt under a new number." / "请以新编号发送新回执。";
    RECEIPT_REFUSED = 5013, 422, 1, false,
        "The receipt was refused" / "回执被拒绝",
        "A field of the receipt is missing, too long or not of its kind; failures lists all of them." / "回执有字段缺失、过长或类型不符；failures 列出全部。",
        "Correct the fields named and send the receipt again under the same number." / "请更正所指字段后以同一编号重新发送。";
    EXCHANGE_DEAD = 5014, 409, 4, false,
        "A message between platforms cannot take effect" / "平台间报文无法生效",
        "The receiver refuses the message for the reason named; it stands among the dead letters and holds up nothing." / "接收方因所述原因拒绝该报文；报文列入死信，不阻塞其他报文。",
        "See eport exchange dead-letters; remove the cause, then eport exchange resend." / "请查看 eport exchange dead-letters，消除原因后执行 eport exchange resend。";
    MESSAGE_CHANGED = 5015, 409, 4, false,
        "The message is not the one that was read" / "报文已非所读内容",
        "Another content stands under this id, or the message is void, since the inbox was read; nothing was acknowledged." / "读取收件箱之后，此编号下的内容已更换或报文已作废；未作任何确认。",
        "Read the inbox again and acknowledge what it shows now." / "请重新读取收件箱，并确认其现在显示的内容。";
    STATISTICS_TOO_LARGE = 5016, 413, 1, false,
        "More consignments than one answer may rest on" / "统计所涉票数超出单次答复上限",
        "The statistics of the question would take more memory than they may; nothing was left out silently." / "所问统计需占用的内存超出上限；未对数据作任何静默截取。",
        "Ask for a shorter period, or platform by platform." / "请缩短统计期间，或按平台分别查询。";
    PACK_REFUSED = 5020, 422, 1, false,
        "The pack is refused" / "标准包被拒绝",
        "The pack contradicts itself, names something that is not there, or its examples are not judged as they say; every problem is listed with file, line and column." / "标准包自相矛盾、引用不存在的内容，或其示例判定结果与声明不符；全部问题均注明文件、行、列。",
        "Correct the places named and validate again." / "请更正所指位置后重新校验。";
} }
