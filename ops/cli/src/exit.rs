//! Exit codes of `eport` (interfaces §1). Every expected error maps to one; `docs/reference/cli.md` lists them.

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// The command line is not valid.
pub const USAGE: u8 = 2;
/// Not found.
pub const NOT_FOUND: u8 = 3;
/// Conflict or precondition failed.
pub const CONFLICT: u8 = 4;
/// Unavailable or timed out.
pub const UNAVAILABLE: u8 = 5;
/// Not authorized.
pub const NOT_AUTHORIZED: u8 = 6;
/// Refused by a safety check.
pub const REFUSED: u8 = 7;
/// The verdict of a drill is "failed".
pub const DRILL_FAILED: u8 = 10;
/// Verification found a difference.
pub const DIFFERENCE: u8 = 11;

/// Each code with its meaning, for the reference page.
pub const TABLE: &[(u8, &str, &str)] = &[
    (DONE, "done", "完成"),
    (FAILED, "failed", "失败"),
    (USAGE, "usage", "用法错误"),
    (NOT_FOUND, "not found", "未找到"),
    (CONFLICT, "conflict or precondition failed", "冲突或前提不成立"),
    (UNAVAILABLE, "unavailable or timed out", "不可用或超时"),
    (NOT_AUTHORIZED, "not authorized", "未授权"),
    (REFUSED, "refused by a safety check (the plan shows why)", "被安全检查拒绝（原因见计划）"),
    (DRILL_FAILED, "drill verdict failed", "演练结论为失败"),
    (DIFFERENCE, "verification found a difference", "核验发现差异"),
];
