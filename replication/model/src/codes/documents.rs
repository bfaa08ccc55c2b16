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
    PACK_REFUSED = 5020, 422, 1, false,
        "The pack is refused" / "标准包被拒绝",
        "The pack contradicts itself, names something that is not there, or its examples are not judged as they say; every problem is listed with file, line and column." / "标准包自相矛盾、引用不存在的内容，或其示例判定结果与声明不符；全部问题均注明文件、行、列。",
        "Correct the places named and validate again." / "请更正所指位置后重新校验。";
} }
