//! `[backup]` of the configuration file.

use eport_backup::{S3Options, bucket};
use eport_model::RegionCode;
use eport_retention::{Period, Plan, Retention, Schedule};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Backups that the node makes by schedule. Explained in `docs/reference/backups.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSection {
    /// Folder, or `s3://BUCKET/PREFIX` in a build with the feature `s3`. Backups of this node lie in TARGET/NODE.
    pub target: String,
    /// `6h`, `30m`, … after the one before, or `daily HH:MM` in Asia/Shanghai. Default `daily 02:30`.
    pub schedule: Schedule,
    /// How often a backup needs no former one: `7d`, `weekly`, … Default `7d`.
    pub full_every: Period,
    /// How often the newest one is restored for a test: `weekly`, `1d`, …, or `never`. Default `weekly`.
    pub restore_test: String,
    /// What stays.
    pub keep: Retention,
    /// Platforms; all that the node is primary or backup of without any.
    pub platforms: Vec<RegionCode>,
    /// Bytes move no faster than this, in KiB a second; 0 for no limit. Default 32768.
    pub rate_kib: u64,
    /// Folder for pieces under way and for restore tests. Default `backups/scratch` in the data directory.
    pub scratch: Option<PathBuf>,
    /// MiB that a backup and a restore test leave free where they write. Default 512.
    pub reserve_mib: u64,
    /// Address of the S3 store, `https://HOST[:PORT]`.
    pub s3_endpoint: Option<String>,
    /// Region name that its signatures carry.
    pub s3_region: Option<String>,
    /// File with its credentials, mode 0600; without it `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub s3_credentials: Option<PathBuf>,
}

impl Default for BackupSection {
    fn default() -> Self {
        Self {
            target: String::new(),
            schedule: Schedule::Daily { minute: 150 },
            full_every: Period::from_millis(7 * 86_400_000),
            restore_test: "weekly".into(),
            keep: Retention::default(),
            platforms: Vec::new(),
            rate_kib: 32_768,
            scratch: None,
            reserve_mib: 512,
            s3_endpoint: None,
            s3_region: None,
            s3_credentials: None,
        }
    }
}

impl BackupSection {
    /// Bounds of the values.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.target.is_empty() {
            return Err("backup.target: a folder or s3://BUCKET/PREFIX is needed".into());
        }
        if bucket(&self.target).is_some_and(|(bucket, _)| bucket.is_empty()) {
            return Err(format!("backup.target: {:?} names no bucket", self.target));
        }
        self.test_period().map_err(|e| format!("backup.restore_test: {e}, or never"))?;
        for (name, value, most) in [
            ("keep.last", u64::from(self.keep.last), 10_000),
            ("keep.days", u64::from(self.keep.days), 10_000),
            ("keep.weeks", u64::from(self.keep.weeks), 10_000),
            ("platforms", self.platforms.len() as u64, 1_000),
            ("rate_kib", self.rate_kib, 1 << 30),
            ("reserve_mib", self.reserve_mib, 1 << 30),
        ] {
            if value > most {
                return Err(format!("backup.{name}: {value} is above {most}"));
            }
        }
        Ok(())
    }

    fn test_period(&self) -> Result<Option<Period>, eport_retention::ScheduleError> {
        match self.restore_test.as_str() {
            "never" => Ok(None),
            text => text.parse().map(Some),
        }
    }

    /// Relative paths are relative to the folder of the configuration file.
    pub(crate) fn resolve(&mut self, base: &Path) {
        if bucket(&self.target).is_none() {
            self.target = base.join(&self.target).to_string_lossy().into_owned();
        }
        for path in [&mut self.scratch, &mut self.s3_credentials].into_iter().flatten() {
            *path = base.join(&*path);
        }
    }

    /// What the core is to decide by.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            schedule: self.schedule,
            full_every: self.full_every,
            restore_test: self.test_period().unwrap_or_default(),
            retention: self.keep,
        }
    }

    pub(crate) fn s3(&self) -> S3Options {
        S3Options {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            credentials: self.s3_credentials.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_needs_a_target_and_names_what_is_wrong() {
        let read = |text: &str| -> Result<BackupSection, String> {
            let section: BackupSection = toml::from_str(text).map_err(|e| e.to_string())?;
            section.check().map(|()| section)
        };
        let section = read("target = \"b\"\nschedule = \"6h\"\nkeep = { last = 3, weeks = 2 }").unwrap();
        assert_eq!((section.keep.last, section.keep.days, section.keep.weeks), (3, 14, 2));
        assert_eq!(section.plan().restore_test.map(|p| p.to_string()), Some("7d".into()));
        assert_eq!(read("target = \"b\"\nrestore_test = \"never\"").unwrap().plan().restore_test, None);
        for (text, word) in [
            ("schedule = \"6h\"", "backup.target"),
            ("target = \"s3://\"", "bucket"),
            ("target = \"b\"\nschedule = \"daily 25:00\"", "daily HH:MM"),
            ("target = \"b\"\nrestore_test = \"sometimes\"", "restore_test"),
            ("target = \"b\"\nkeep = { lasst = 3 }", "lasst"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_relative_target_lies_beside_the_configuration_and_a_bucket_stays_what_it_is() {
        let mut section = BackupSection { target: "b".into(), ..BackupSection::default() };
        section.resolve(Path::new("/etc/eport"));
        assert_eq!(section.target, "/etc/eport/b");
        section.target = "s3://x/y".into();
        section.resolve(Path::new("/etc/eport"));
        assert_eq!(section.target, "s3://x/y");
    }
}
