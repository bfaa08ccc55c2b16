//! Arrival reports of 2 KiB: valid, every one different, the same for the same number; both the node and the yardstick
//! get exactly these bytes. They are made in front of the measurement except for their numbers: client and yardstick share
//! the processors with the node.

use eport_cli::load::documents::Generator;
use serde_json::Value;

/// Length of a document in bytes.
pub const DOCUMENT_LEN: usize = 2_048;
/// Documents that lend their fields; only numbers and containers differ beyond them.
const TEMPLATES: u64 = 64;
/// Container numbers to draw from, so many that neighbours share few.
const CONTAINERS: usize = 4_093;

/// Documents that are made once: what comes later has their containers and other numbers.
const MADE: u64 = 8_192;
/// Digits of a number inside a document.
const DIGITS: usize = 10;

/// Makes the documents of one run.
pub struct Arrivals {
    prefix: String,
    heads: Vec<String>,
    containers: Vec<String>,
    made: Vec<Vec<u8>>,
    /// Where in a made document its number stands.
    places: Vec<[usize; 2]>,
}

impl Arrivals {
    /// Documents whose references start with this prefix.
    pub fn new(prefix: &str) -> Self {
        let generator = Generator::new(prefix);
        let mut containers = Vec::with_capacity(CONTAINERS);
        let mut seen = std::collections::BTreeSet::new();
        let mut n = 1;
        while containers.len() < CONTAINERS {
            for c in generator.document(n)["body"]["containers"].as_array().into_iter().flatten() {
                if seen.insert(c.to_string()) {
                    containers.push(c.to_string());
                }
            }
            n += 1;
        }
        let heads = (1..=TEMPLATES).map(|n| head(&generator.document(n)["body"])).collect();
        let mut arrivals =
            Self { prefix: prefix.to_owned(), heads, containers, made: Vec::new(), places: Vec::new() };
        arrivals.made = (0..MADE).map(|n| arrivals.make(n)).collect();
        arrivals.places = arrivals.made.iter().map(|text| places(text, prefix)).collect();
        arrivals
    }

    /// Document number `n`: `DOCUMENT_LEN` bytes of JSON on one line.
    pub fn document(&self, n: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(DOCUMENT_LEN);
        self.push(n, &mut out);
        out
    }

    fn push(&self, n: u64, out: &mut Vec<u8>) {
        let (from, of) = (out.len(), (n % MADE) as usize);
        out.extend_from_slice(&self.made[of]);
        for place in self.places[of] {
            let mut rest = n;
            for digit in out[from + place..][..DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }

    fn make(&self, n: u64) -> Vec<u8> {
        let mut out = format!(
            r#"{{"doc_type":"arrival_report","doc_version":1,"client_ref":"{}-{n:010}","function_code":"2","body":{{{}"bill_no":"COSU{:010}","containers":["#,
            self.prefix,
            self.heads[(n % TEMPLATES) as usize],
            n % 10_000_000_000,
        )
        .into_bytes();
        let end = b"]}}";
        // A prime number of containers and a stride below it: no container comes twice in one document.
        let (start, stride) =
            (n as usize % CONTAINERS, 1 + (n / CONTAINERS as u64) as usize % (CONTAINERS - 1));
        for i in 0.. {
            let container = &self.containers[(start + i * stride) % CONTAINERS];
            if out.len() + 1 + container.len() + end.len() > DOCUMENT_LEN {
                break;
            }
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(container.as_bytes());
        }
        out.resize(DOCUMENT_LEN - end.len(), b' ');
        out.extend_from_slice(end);
        out
    }

    /// Documents `from..from + count`, one a line.
    pub fn lines(&self, from: u64, count: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity((DOCUMENT_LEN + 1) * count as usize);
        for n in from..from + count {
            self.push(n, &mut out);
            out.push(b'\n');
        }
        out
    }
}

/// Where the number stands in a document: in the client reference and in the bill.
fn places(text: &[u8], prefix: &str) -> [usize; 2] {
    let behind = |mark: &str| {
        let at = text.windows(mark.len()).position(|w| w == mark.as_bytes());
        at.map_or(0, |at| at + mark.len())
    };
    [behind(&format!("\"client_ref\":\"{prefix}-")), behind("\"bill_no\":\"COSU")]
}

/// The fields that come from a template, as the begin of a JSON object.
fn head(body: &Value) -> String {
    let kept =
        ["customs_office", "ship_id", "voyage_no", "port", "arrived_at", "packages", "gross_weight_kg"];
    kept.iter().map(|name| format!("{:?}:{},", name, body[*name])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_two_kibibytes_of_json_without_a_container_twice() {
        let arrivals = Arrivals::new("T");
        for n in [0, 1, 4_092, 4_093, 999_999, 123_456_789] {
            let text = arrivals.document(n);
            assert_eq!(text.len(), DOCUMENT_LEN);
            let value: Value = serde_json::from_slice(&text).unwrap();
            let list = value["body"]["containers"].as_array().unwrap();
            let unique: std::collections::BTreeSet<_> = list.iter().map(|c| c.as_str().unwrap()).collect();
            assert!(
                list.len() > 100 && unique.len() == list.len(),
                "{n}: {} of {}",
                unique.len(),
                list.len()
            );
            assert_eq!(text, Arrivals::new("T").document(n));
            assert_eq!(value["client_ref"], format!("T-{n:010}"));
            assert_eq!(value["body"]["bill_no"], format!("COSU{n:010}"));
        }
        assert_ne!(arrivals.document(1), arrivals.document(2));
    }
}
