//! Arrival reports for load and demo: valid by construction, every one different, the same for the same number.

use crate::starter;
use serde_json::{Value, json};

/// Makes arrival reports whose references start with a prefix.
#[derive(Clone, Debug)]
pub struct Generator {
    prefix: String,
    ports: Vec<String>,
    offices: Vec<String>,
    ships: Vec<String>,
}

impl Generator {
    /// A generator that draws ports, offices and ships from the starter tables.
    pub fn new(prefix: &str) -> Self {
        let or = |found: Vec<String>, default: &str| {
            if found.is_empty() { vec![default.to_owned()] } else { found }
        };
        let ports =
            starter::column("ports.csv", "code").into_iter().filter(|p| p.starts_with("CN")).collect();
        let offices = starter::column("customs_offices.csv", "code");
        let ships =
            starter::column("ships.csv", "ship_id").into_iter().filter(|s| s.starts_with("UN")).collect();
        Self {
            prefix: prefix.to_owned(),
            ports: or(ports, "CNCAN"),
            offices: or(offices, "5101"),
            ships: or(ships, "UN9074729"),
        }
    }

    /// Document number `n`, from 1.
    pub fn document(&self, n: u64) -> Value {
        let pick = |list: &[String], salt: u64| list[(mix(n ^ salt) % list.len() as u64) as usize].clone();
        let boxes: Vec<String> =
            (0..1 + mix(n) % 3).map(|i| container(mix(n ^ (i << 32)) % 1_000_000)).collect();
        let (day, hour, minute) = (1 + mix(n ^ 5) % 28, mix(n ^ 6) % 24, mix(n ^ 7) % 60);
        json!({
            "doc_type": "arrival_report", "doc_version": 1, "client_ref": self.client_ref(n), "function_code": "2",
            "body": {
                "customs_office": pick(&self.offices, 1), "ship_id": pick(&self.ships, 2),
                "voyage_no": format!("{:03}E", n % 1_000), "bill_no": format!("COSU{:010}", mix(n) % 10_000_000_000),
                "port": pick(&self.ports, 3),
                "arrived_at": format!("2018-01-{day:02}T{hour:02}:{minute:02}:00+08:00"),
                "containers": boxes, "packages": 1 + mix(n ^ 8) % 900,
                "gross_weight_kg": format!("{}.{}", 100 + mix(n ^ 9) % 30_000, mix(n ^ 10) % 10),
            }
        })
    }

    /// The reference of document number `n`.
    pub fn client_ref(&self, n: u64) -> String {
        format!("{}-{n:07}", self.prefix)
    }
}

/// A number that looks random and is the same everywhere (the finisher of splitmix64).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A container number of owner CSQ with its check digit (ID-07). Serials whose remainder is 10 only warn, but the demo
/// should not, so they move on by one.
fn container(serial: u64) -> String {
    let mut serial = serial;
    loop {
        let body = format!("CSQU{:06}", serial % 1_000_000);
        let remainder = check_remainder(&body);
        if remainder < 10 {
            return format!("{body}{remainder}");
        }
        serial += 1;
    }
}

/// Σ value·2^position mod 11; letters count 10 to 38 without multiples of 11.
fn check_remainder(body: &str) -> u64 {
    let value = |c: char| match c.to_digit(10) {
        Some(d) => u64::from(d),
        None => {
            let n = u64::from(u32::from(c) - u32::from('A')) + 10;
            n + (n - 1) / 10
        }
    };
    body.chars().enumerate().map(|(i, c)| value(c) << i).sum::<u64>() % 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_numbers_carry_the_check_digit_of_iso_6346() {
        assert_eq!(check_remainder("CSQU305438"), 3, "the published example CSQU3054383");
        assert_eq!(check_remainder("TGHU100005"), 10, "the example that warns");
        assert_eq!(check_remainder("CMAU123456"), 4);
    }

    #[test]
    fn a_document_is_the_same_for_its_number_and_different_for_another() {
        let g = Generator::new("T");
        assert_eq!(g.document(7), Generator::new("T").document(7));
        assert_ne!(g.document(7)["body"], g.document(8)["body"]);
        assert_eq!(g.document(7)["client_ref"], "T-0000007");
        let mut boxes = std::collections::BTreeSet::new();
        for n in 1..200 {
            let d = g.document(n);
            assert!((1..=3).contains(&d["body"]["containers"].as_array().unwrap().len()));
            boxes.insert(d["body"]["bill_no"].to_string());
        }
        assert!(boxes.len() > 190);
    }
}
