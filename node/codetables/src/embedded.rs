//! The starter set as it is built into the binaries, so that a new federation starts from them alone.
//!
//! The files are those of `node/tables`; a test holds this list against the manifest.

/// The manifest.
pub const MANIFEST: &str = include_str!("../../tables/starter.toml");

/// The bytes of a file that the manifest names.
pub fn file(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// Name and bytes of every file.
pub const FILES: &[(&str, &[u8])] = &[
    ("container_types.csv", include_bytes!("../../tables/container_types.csv")),
    ("countries.csv", include_bytes!("../../tables/countries.csv")),
    ("currencies.csv", include_bytes!("../../tables/currencies.csv")),
    ("customs_offices.csv", include_bytes!("../../tables/customs_offices.csv")),
    ("divisions_198012.csv", include_bytes!("../../tables/divisions_198012.csv")),
    ("divisions_198812.csv", include_bytes!("../../tables/divisions_198812.csv")),
    ("divisions_199112.csv", include_bytes!("../../tables/divisions_199112.csv")),
    ("divisions_199412.csv", include_bytes!("../../tables/divisions_199412.csv")),
    ("divisions_200306.csv", include_bytes!("../../tables/divisions_200306.csv")),
    ("divisions_200612.csv", include_bytes!("../../tables/divisions_200612.csv")),
    ("divisions_201110.csv", include_bytes!("../../tables/divisions_201110.csv")),
    ("divisions_201412.csv", include_bytes!("../../tables/divisions_201412.csv")),
    ("divisions_201801.csv", include_bytes!("../../tables/divisions_201801.csv")),
    ("divisions_201904.csv", include_bytes!("../../tables/divisions_201904.csv")),
    ("document_names.csv", include_bytes!("../../tables/document_names.csv")),
    ("document_statuses.csv", include_bytes!("../../tables/document_statuses.csv")),
    ("government_actions.csv", include_bytes!("../../tables/government_actions.csv")),
    ("hs_codes.csv", include_bytes!("../../tables/hs_codes.csv")),
    ("packages.csv", include_bytes!("../../tables/packages.csv")),
    ("places.csv", include_bytes!("../../tables/places.csv")),
    ("ports.csv", include_bytes!("../../tables/ports.csv")),
    ("ships.csv", include_bytes!("../../tables/ships.csv")),
    ("status_codes.csv", include_bytes!("../../tables/status_codes.csv")),
    ("trade_modes.csv", include_bytes!("../../tables/trade_modes.csv")),
    ("transaction_modes.csv", include_bytes!("../../tables/transaction_modes.csv")),
    ("transport_means.csv", include_bytes!("../../tables/transport_means.csv")),
    ("transport_modes.csv", include_bytes!("../../tables/transport_modes.csv")),
    ("units.csv", include_bytes!("../../tables/units.csv")),
];
