//! Codes of the area: HTTP API.

use super::codes;

codes! { API_CODES {
    BAD_REQUEST = 6001, 400, 2, false,
        "The request is not valid" / "请求无效",
        "A parameter or the body does not have the documented shape." / "参数或正文不符合文档规定的结构。",
        "Compare with /openapi.json." / "请对照 /openapi.json。";
    FORBIDDEN = 6002, 403, 6, false,
        "Not allowed" / "无权执行",
        "The certificate is valid, but its subject may not do this." / "证书有效，但其主体无权执行该操作。",
        "Use a certificate with the needed role." / "请使用具备相应角色的证书。";
    ROUTE_UNKNOWN = 6003, 404, 3, false,
        "No such address" / "地址不存在",
        "The path or method is not part of this API version." / "该路径或方法不属于本版本接口。",
        "Compare with /openapi.json." / "请对照 /openapi.json。";
    BODY_TOO_LARGE = 6004, 413, 2, false,
        "The request body is too large" / "请求正文过大",
        "The body exceeds the limit of this route." / "正文超过该路由的上限。",
        "Send smaller batches." / "请减小批量。";
    INTERNAL = 6005, 500, 1, true,
        "Internal error" / "内部错误",
        "The node met a state it did not expect; the request id finds it in the log." / "节点遇到意外状态；可凭请求编号在日志中查找。",
        "Report it with the request id and the log around it." / "请附请求编号与相关日志上报。";
} }
