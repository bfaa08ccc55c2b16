//! The configuration file with every key and a comment, as it is delivered. A test holds it to the structs of `config`.

/// The text of the file.
pub const EXAMPLE: &str = include_str!("../eportd.example.toml");

#[cfg(test)]
mod tests {
    use super::EXAMPLE;
    use crate::config::Config;
    use std::collections::BTreeSet;
    use toml::Table;

    /// The file with every optional key and section switched on: a mark directly before a key or a section is taken away.
    fn whole() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => rest.to_owned(),
            _ => line.to_owned(),
        };
        EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
    }

    /// The keys that a section has, from the struct itself: what it says it expected instead of a key that nothing has.
    fn expected(section: &str) -> BTreeSet<String> {
        let text = match section {
            "" => format!("zzz = true\n{}", whole()),
            name => whole().replacen(&format!("[{name}]"), &format!("[{name}]\nzzz = true"), 1),
        };
        let error = Config::parse(&text).unwrap_err();
        assert!(error.contains("unknown field `zzz`"), "{section}: {error}");
        let named = error.split("expected").nth(1).unwrap().lines().next().unwrap();
        named.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_example_names_every_key_of_every_section_and_no_other() {
        Config::parse(EXAMPLE).unwrap();
        let text = whole();
        Config::parse(&text).unwrap();
        let table: Table = toml::from_str(&text).unwrap();
        let sections: BTreeSet<String> = table.keys().cloned().collect();
        assert_eq!(sections, expected(""), "sections");
        for (name, section) in &table {
            let keys: BTreeSet<String> = section.as_table().unwrap().keys().cloned().collect();
            assert_eq!(keys, expected(name), "[{name}]");
        }
    }

    #[test]
    fn every_key_and_section_has_a_comment_and_optional_ones_show_their_default() {
        let mut commented = true;
        for line in EXAMPLE.lines() {
            let plain = line.strip_prefix('#').unwrap_or(line);
            let is_key = plain.starts_with('[') || (plain.contains(" = ") && !plain.starts_with(' '));
            // Several keys may stand under one comment.
            assert!(!is_key || commented, "no comment before {line:?}");
            commented = !line.is_empty();
        }
        // Without its optional keys the file means the same as with those that have a default.
        let (short, full) = (Config::parse(EXAMPLE).unwrap(), Config::parse(&whole()).unwrap());
        for (name, short, full) in [
            ("limits", toml::to_string(&short.limits), toml::to_string(&full.limits)),
            ("verify", toml::to_string(&short.verify), toml::to_string(&full.verify)),
            ("shipping", toml::to_string(&short.shipping), toml::to_string(&full.shipping)),
            ("registry", toml::to_string(&short.registry), toml::to_string(&full.registry)),
            ("transport", toml::to_string(&short.transport), toml::to_string(&full.transport)),
            ("log", toml::to_string(&short.log), toml::to_string(&full.log)),
        ] {
            assert_eq!(short.unwrap(), full.unwrap(), "[{name}]: a default has changed");
        }
        let (backup, archive) = (full.backup.unwrap(), full.archive.unwrap());
        let plain = crate::config::BackupSection {
            target: backup.target.clone(),
            scratch: backup.scratch.clone(),
            s3_endpoint: backup.s3_endpoint.clone(),
            s3_region: backup.s3_region.clone(),
            s3_credentials: backup.s3_credentials.clone(),
            ..Default::default()
        };
        assert_eq!(toml::to_string(&backup).unwrap(), toml::to_string(&plain).unwrap(), "[backup]");
        let plain = crate::config::ArchiveSection { dir: archive.dir.clone(), ..Default::default() };
        assert_eq!(toml::to_string(&archive).unwrap(), toml::to_string(&plain).unwrap(), "[archive]");
    }
}
