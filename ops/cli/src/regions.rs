//! Names of the regions that the commands offer as defaults: Guangdong and its cities (GB/T 2260).

use eport_model::RegionCode;

const NAMES: [(u32, &str, &str); 22] = [
    (440_000, "广东省", "Guangdong"),
    (440_100, "广州市", "Guangzhou"),
    (440_200, "韶关市", "Shaoguan"),
    (440_300, "深圳市", "Shenzhen"),
    (440_400, "珠海市", "Zhuhai"),
    (440_500, "汕头市", "Shantou"),
    (440_600, "佛山市", "Foshan"),
    (440_700, "江门市", "Jiangmen"),
    (440_800, "湛江市", "Zhanjiang"),
    (440_900, "茂名市", "Maoming"),
    (441_200, "肇庆市", "Zhaoqing"),
    (441_300, "惠州市", "Huizhou"),
    (441_400, "梅州市", "Meizhou"),
    (441_500, "汕尾市", "Shanwei"),
    (441_600, "河源市", "Heyuan"),
    (441_700, "阳江市", "Yangjiang"),
    (441_800, "清远市", "Qingyuan"),
    (441_900, "东莞市", "Dongguan"),
    (442_000, "中山市", "Zhongshan"),
    (445_100, "潮州市", "Chaozhou"),
    (445_200, "揭阳市", "Jieyang"),
    (445_300, "云浮市", "Yunfu"),
];

/// Chinese and English name of a region; its code where no name is known.
pub fn names(region: RegionCode) -> (String, String) {
    let known = NAMES.iter().find(|n| n.0 == region.as_u32());
    known.map_or_else(|| (region.to_string(), region.to_string()), |n| (n.1.to_owned(), n.2.to_owned()))
}
