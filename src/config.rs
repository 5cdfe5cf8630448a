//! Every setting, once: `SET`, `SHOW`, `--set`, help and completion read [`SETTINGS`].

mod machine;

use crate::error::{Error, Result};

/// The settings of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Worker threads.
    pub threads: usize,
    /// Bytes that operators may hold.
    pub memory_limit: usize,
    /// `None`: half of what operators share.
    pub broadcast_limit: Option<usize>,
    /// Whether joins are merge joins where they can be.
    pub prefer_merge_join: bool,
    /// Rows per batch.
    pub batch_size: usize,
    /// Folder for spill files; empty means the system's temporary folder.
    pub spill_dir: String,
    /// Bytes that spill files may take on disk.
    pub max_spill: usize,
    /// Whether optimizer rules that are not needed for correctness run.
    pub optimizer: bool,
    /// All hash values are this one when not negative: for tests of collisions.
    pub debug_hash: i64,
    /// Blocking operators spill whenever they can: for tests.
    pub debug_force_spill: bool,
    /// `athena`, `spark` or `hive`.
    pub dialect: String,
    /// Rows per row group of written Parquet files.
    pub row_group_rows: usize,
    /// Bytes of a part when a file is uploaded in parts.
    pub upload_part_size: usize,
    /// What INSERT OVERWRITE of a partitioned table replaces: `dynamic` or `static`.
    pub partition_overwrite: String,
    /// Bytes of an encoded row group about which it is ended.
    pub row_group_bytes: usize,
    /// Bytes at which a written file is ended and another one begun; 0 for never.
    pub target_file_size: usize,
    /// Compression of written Parquet files: snappy, zstd, lz4, gzip or none.
    pub compression: String,
    /// Repetitions of a WITH RECURSIVE after which a statement fails.
    pub max_recursion_depth: usize,
    /// What is done about rows of text that cannot be read: fail, null, skip or quarantine.
    pub bad_rows: String,
    /// Bad rows of a table after which a statement fails all the same.
    pub max_bad_rows: u64,
    /// The folder for quarantined rows; empty means none.
    pub quarantine_location: String,
    /// How object stores are reached.
    pub stores: StoreSettings,
    /// What is refused.
    pub guards: Guards,
}

/// What is refused, so that a script or a stranger's query does no harm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guards {
    /// No statement writes files or the catalog.
    pub read_only: bool,
    /// Locations inside which files may be read and written; when empty, everywhere.
    pub allow: Vec<String>,
    /// Bytes that one statement may read.
    pub max_bytes: Option<u64>,
    /// A scan of a table in partitions needs a condition on one of its keys.
    pub require_partition_filter: bool,
}

impl Guards {
    /// # Errors
    /// `Refused` when these let through what `floor` does not: a statement cannot take away what the command line set.
    /// `is_inside` tells whether a location is in another.
    pub fn check_at_least(&self, floor: &Guards, is_inside: impl Fn(&str, &str) -> Result<bool>) -> Result<()> {
        let refused = |name: &str| {
            Err(Error::refused(format!(
                "{name} was set when the session began and can only become stricter"
            )))
        };
        if floor.read_only && !self.read_only {
            return refused("read_only");
        }
        if floor.require_partition_filter && !self.require_partition_filter {
            return refused("require_partition_filter");
        }
        if floor
            .max_bytes
            .is_some_and(|floor| self.max_bytes.is_none_or(|now| now > floor))
        {
            return refused("max_bytes");
        }
        if floor.allow.is_empty() {
            return Ok(());
        }
        for location in &self.allow {
            if !floor
                .allow
                .iter()
                .map(|f| is_inside(location, f))
                .collect::<Result<Vec<_>>>()?
                .contains(&true)
            {
                return refused("allow");
            }
        }
        match self.allow.is_empty() {
            true => refused("allow"),
            false => Ok(()),
        }
    }
}

/// How object stores are reached. A process has one of these: the one that a session set last.
///
/// Keys and tokens are no settings, so that they are neither shown nor kept in histories: they come from the environment
/// and from the files of each cloud's own tools.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreSettings {
    /// Where S3 is, when it is not Amazon's.
    pub s3_endpoint: Option<String>,
    /// `None`: found by asking for the bucket's.
    pub s3_region: Option<String>,
    /// A profile of `~/.aws/config` or `~/.aws/credentials`.
    pub s3_profile: Option<String>,
    pub s3_anonymous: bool,
    pub s3_requester_pays: bool,
    pub gcs_endpoint: Option<String>,
    /// The file of a service account.
    pub gcs_service_account: Option<String>,
    pub gcs_anonymous: bool,
    pub azure_account: Option<String>,
    pub azure_anonymous: bool,
    /// Whether requests and credentials may go over HTTP without TLS.
    pub allow_http: bool,
    /// Whether `http(s)://` locations may be on this machine or in its network.
    pub allow_private_hosts: bool,
    /// How often a request is repeated that failed by no fault of its own.
    pub request_retries: usize,
    /// A folder for the footers of remote files.
    pub metadata_cache_dir: Option<String>,
    /// A folder for the bytes of remote files, and how many it may have.
    pub data_cache_dir: Option<String>,
    pub data_cache_size: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            s3_endpoint: None,
            s3_region: None,
            s3_profile: None,
            s3_anonymous: false,
            s3_requester_pays: false,
            gcs_endpoint: None,
            gcs_service_account: None,
            gcs_anonymous: false,
            azure_account: None,
            azure_anonymous: false,
            allow_http: false,
            allow_private_hosts: false,
            request_retries: 8,
            metadata_cache_dir: None,
            data_cache_dir: None,
            data_cache_size: 10 << 30,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self {
            threads,
            memory_limit: default_memory_limit(),
            broadcast_limit: None,
            prefer_merge_join: false,
            batch_size: 8192,
            spill_dir: String::new(),
            max_spill: 1 << 40,
            optimizer: true,
            debug_hash: -1,
            debug_force_spill: false,
            dialect: "athena".into(),
            upload_part_size: 8 << 20,
            partition_overwrite: "dynamic".into(),
            row_group_rows: 1 << 20,
            row_group_bytes: 128 << 20,
            target_file_size: 512 << 20,
            compression: "snappy".into(),
            stores: StoreSettings::default(),
            max_recursion_depth: 100,
            bad_rows: "fail".into(),
            max_bad_rows: u64::MAX,
            quarantine_location: String::new(),
            guards: Guards::default(),
        }
    }
}

impl Config {
    /// Bytes of a build side up to which a join is a broadcast join, when no hint says otherwise.
    pub fn broadcast_limit(&self) -> usize {
        self.broadcast_limit.unwrap_or(self.operator_memory() / 2)
    }

    /// Bytes of `memory_limit` that operators share. Left are what the program itself takes, and of the rest a fifth to what
    /// no operator books: read and decode buffers, encoders, and what the allocator keeps between uses.
    pub fn operator_memory(&self) -> usize {
        let program = (16 << 20).min(self.memory_limit / 16);
        (self.memory_limit - program) / 5 * 4
    }
}

/// 60 % of the machine's memory or of the control group's limit, whichever is less.
fn default_memory_limit() -> usize {
    machine::memory() / 10 * 6
}

/// One row of the settings table.
pub struct Setting {
    pub name: &'static str,
    pub doc: &'static str,
    pub get: fn(&Config) -> String,
    pub set: fn(&mut Config, &str) -> Result<()>,
}

/// All settings, in the order in which help shows them.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "memory_limit",
        doc: "memory that a query may hold, e.g. 2GB; the default is 60 % of the machine's, or of its container's limit",
        get: |c| format_bytes(c.memory_limit),
        set: |c, v| parse_bytes(v).map(|b| c.memory_limit = b),
    },
    Setting {
        name: "threads",
        doc: "worker threads; the default is one per core",
        get: |c| c.threads.to_string(),
        set: |c, v| number(v, 1, 1024).map(|n| c.threads = n),
    },
    Setting {
        name: "broadcast_limit",
        doc: "bytes of a join's smaller side up to which it is kept in memory as a whole; auto is half of the memory",
        get: |c| c.broadcast_limit.map_or_else(|| "auto".into(), format_bytes),
        set: |c, v| match v {
            "auto" => Ok(c.broadcast_limit = None),
            v => parse_bytes(v).map(|b| c.broadcast_limit = Some(b)),
        },
    },
    Setting {
        name: "prefer_merge_join",
        doc: "join by sorting both sides and merging them, wherever a join has an equality and no hint says otherwise",
        get: |c| c.prefer_merge_join.to_string(),
        set: |c, v| boolean(v).map(|b| c.prefer_merge_join = b),
    },
    Setting {
        name: "batch_size",
        doc: "rows per batch",
        get: |c| c.batch_size.to_string(),
        set: |c, v| number(v, 1, 1 << 20).map(|n| c.batch_size = n),
    },
    Setting {
        name: "spill_dir",
        doc: "folder for spill files; empty means the system's temporary folder",
        get: |c| c.spill_dir.clone(),
        set: |c, v| {
            c.spill_dir = v.into();
            Ok(())
        },
    },
    Setting {
        name: "max_spill",
        doc: "bytes that spill files may take on disk",
        get: |c| format_bytes(c.max_spill),
        set: |c, v| parse_bytes(v).map(|b| c.max_spill = b),
    },
    Setting {
        name: "max_recursion_depth",
        doc: "repetitions of a WITH RECURSIVE after which a statement fails; at most 10000",
        get: |c| c.max_recursion_depth.to_string(),
        set: |c, v| match v.parse() {
            Ok(depth @ 1..=10_000) => {
                c.max_recursion_depth = depth;
                Ok(())
            }
            _ => Err(Error::plan(format!(
                "max_recursion_depth is a number from 1 to 10000, found \"{v}\""
            ))),
        },
    },
    Setting {
        name: "optimizer",
        doc: "run the optimizer rules that are not needed for correctness",
        get: |c| c.optimizer.to_string(),
        set: |c, v| boolean(v).map(|b| c.optimizer = b),
    },
    Setting {
        name: "dialect",
        doc: "athena, spark or hive: whose answer a query gets where they differ",
        get: |c| c.dialect.clone(),
        set: |c, v| match v.to_lowercase().as_str() {
            "athena" => {
                c.dialect = "athena".into();
                Ok(())
            }
            "spark" | "hive" => Err(Error::unsupported(format!("dialect {v}"))),
            _ => Err(Error::plan(format!(
                "dialect must be athena, spark or hive, found \"{v}\""
            ))),
        },
    },
    Setting {
        name: "upload_part_size",
        doc: "files of this size and more are uploaded to a bucket in parts of this size; most stores want 5MB at least",
        get: |c| format_bytes(c.upload_part_size),
        set: |c, v| parse_bytes(v).map(|b| c.upload_part_size = b.max(1 << 10)),
    },
    Setting {
        name: "partition_overwrite",
        doc: "partitions that INSERT OVERWRITE replaces when it leaves keys open: dynamic, those it has rows for, or static, all",
        get: |c| c.partition_overwrite.clone(),
        set: |c, v| match v.to_lowercase().as_str() {
            known @ ("dynamic" | "static") => {
                c.partition_overwrite = known.into();
                Ok(())
            }
            _ => Err(Error::plan(format!(
                "partition_overwrite must be dynamic or static, found \"{v}\""
            ))),
        },
    },
    Setting {
        name: "row_group_rows",
        doc: "rows per row group of written Parquet files",
        get: |c| c.row_group_rows.to_string(),
        set: |c, v| number(v, 1, 1 << 30).map(|n| c.row_group_rows = n),
    },
    Setting {
        name: "row_group_bytes",
        doc: "bytes of a row group about which it is ended, however few rows it has",
        get: |c| format_bytes(c.row_group_bytes),
        set: |c, v| parse_bytes(v).map(|b| c.row_group_bytes = b.max(1)),
    },
    Setting {
        name: "target_file_size",
        doc: "bytes at which a written file is ended and another one begun; 0 for never",
        get: |c| format_bytes(c.target_file_size),
        set: |c, v| parse_bytes(v).map(|b| c.target_file_size = b),
    },
    Setting {
        name: "compression",
        doc: "compression of written Parquet files: snappy, zstd, lz4, gzip or none",
        get: |c| c.compression.clone(),
        set: |c, v| match v.to_lowercase().as_str() {
            known @ ("snappy" | "zstd" | "lz4" | "gzip" | "none") => {
                c.compression = known.into();
                Ok(())
            }
            _ => Err(Error::plan(format!(
                "compression must be snappy, zstd, lz4, gzip or none, found \"{v}\""
            ))),
        },
    },
    Setting {
        name: "read_only",
        doc: "refuse statements that write files or the catalog",
        get: |c| c.guards.read_only.to_string(),
        set: |c, v| boolean(v).map(|b| c.guards.read_only = b),
    },
    Setting {
        name: "allow",
        doc: "locations, separated by commas, outside of which nothing is read or written; empty means everywhere",
        get: |c| c.guards.allow.join(","),
        set: |c, v| {
            let all = v.split(',').map(str::trim).filter(|t| !t.is_empty());
            Ok(c.guards.allow = all.map(str::to_string).collect())
        },
    },
    Setting {
        name: "max_bytes",
        doc: "bytes of files that one statement may read; unlimited is the default",
        get: |c| {
            c.guards
                .max_bytes
                .map_or_else(|| "unlimited".into(), |b| format_bytes(b as usize))
        },
        set: |c, v| match v.to_lowercase().as_str() {
            "unlimited" => Ok(c.guards.max_bytes = None),
            v => parse_bytes(v).map(|b| c.guards.max_bytes = Some(b as u64)),
        },
    },
    Setting {
        name: "require_partition_filter",
        doc: "refuse scans of tables in partitions without a condition on one of the keys",
        get: |c| c.guards.require_partition_filter.to_string(),
        set: |c, v| boolean(v).map(|b| c.guards.require_partition_filter = b),
    },
    Setting {
        name: "s3_endpoint",
        doc: "URL of an S3 service that is not Amazon's; empty means AWS_ENDPOINT_URL, or Amazon",
        get: |c| c.stores.s3_endpoint.clone().unwrap_or_default(),
        set: |c, v| endpoint(v).map(|u| c.stores.s3_endpoint = u),
    },
    Setting {
        name: "s3_region",
        doc: "region of S3 buckets; empty means that it is found",
        get: |c| c.stores.s3_region.clone().unwrap_or_default(),
        set: |c, v| Ok(c.stores.s3_region = text(v)),
    },
    Setting {
        name: "s3_profile",
        doc: "profile of ~/.aws/config to use for S3; empty means AWS_PROFILE, or default",
        get: |c| c.stores.s3_profile.clone().unwrap_or_default(),
        set: |c, v| Ok(c.stores.s3_profile = text(v)),
    },
    Setting {
        name: "s3_anonymous",
        doc: "do not sign requests to S3: for public buckets",
        get: |c| c.stores.s3_anonymous.to_string(),
        set: |c, v| boolean(v).map(|b| c.stores.s3_anonymous = b),
    },
    Setting {
        name: "s3_requester_pays",
        doc: "pay for requests to buckets whose owner asks for it",
        get: |c| c.stores.s3_requester_pays.to_string(),
        set: |c, v| boolean(v).map(|b| c.stores.s3_requester_pays = b),
    },
    Setting {
        name: "gcs_endpoint",
        doc: "URL of a service that speaks like Google Cloud Storage; empty means Google",
        get: |c| c.stores.gcs_endpoint.clone().unwrap_or_default(),
        set: |c, v| endpoint(v).map(|u| c.stores.gcs_endpoint = u),
    },
    Setting {
        name: "gcs_service_account",
        doc: "file of a Google service account; empty means application default credentials",
        get: |c| c.stores.gcs_service_account.clone().unwrap_or_default(),
        set: |c, v| Ok(c.stores.gcs_service_account = text(v)),
    },
    Setting {
        name: "gcs_anonymous",
        doc: "do not sign requests to Google Cloud Storage: for public buckets",
        get: |c| c.stores.gcs_anonymous.to_string(),
        set: |c, v| boolean(v).map(|b| c.stores.gcs_anonymous = b),
    },
    Setting {
        name: "azure_account",
        doc: "Azure storage account of az:// locations; empty means AZURE_STORAGE_ACCOUNT_NAME",
        get: |c| c.stores.azure_account.clone().unwrap_or_default(),
        set: |c, v| Ok(c.stores.azure_account = text(v)),
    },
    Setting {
        name: "azure_anonymous",
        doc: "do not sign requests to Azure: for public containers",
        get: |c| c.stores.azure_anonymous.to_string(),
        set: |c, v| boolean(v).map(|b| c.stores.azure_anonymous = b),
    },
    Setting {
        name: "allow_http",
        doc: "allow stores to be reached over HTTP without TLS",
        get: |c| c.stores.allow_http.to_string(),
        set: |c, v| boolean(v).map(|b| c.stores.allow_http = b),
    },
    Setting {
        name: "allow_private_hosts",
        doc: "allow http:// and https:// locations on this machine and in its network",
        get: |c| c.stores.allow_private_hosts.to_string(),
        set: |c, v| boolean(v).map(|b| c.stores.allow_private_hosts = b),
    },
    Setting {
        name: "request_retries",
        doc: "how often a request to a store is repeated that failed by no fault of its own",
        get: |c| c.stores.request_retries.to_string(),
        set: |c, v| number(v, 0, 1000).map(|n| c.stores.request_retries = n),
    },
    Setting {
        name: "metadata_cache_dir",
        doc: "folder in which the footers of remote files are kept for the next time; empty means nowhere",
        get: |c| c.stores.metadata_cache_dir.clone().unwrap_or_default(),
        set: |c, v| {
            c.stores.metadata_cache_dir = (!v.is_empty()).then(|| v.to_string());
            Ok(())
        },
    },
    Setting {
        name: "data_cache_dir",
        doc: "folder in which what was read of remote files is kept for the next time, for this user alone; empty means nowhere",
        get: |c| c.stores.data_cache_dir.clone().unwrap_or_default(),
        set: |c, v| {
            c.stores.data_cache_dir = (!v.is_empty()).then(|| v.to_string());
            Ok(())
        },
    },
    Setting {
        name: "data_cache_size",
        doc: "how much data_cache_dir may hold; what was not used for the longest time goes first",
        get: |c| format_bytes(c.stores.data_cache_size as usize),
        set: |c, v| parse_bytes(v).map(|b| c.stores.data_cache_size = b as u64),
    },
    Setting {
        name: "bad_rows",
        doc: "rows of text that cannot be read: fail, or read them as null, skip them, or quarantine them in files",
        get: |c| c.bad_rows.clone(),
        set: |c, v| match v.to_lowercase().as_str() {
            known @ ("fail" | "null" | "skip" | "quarantine") => {
                c.bad_rows = known.into();
                Ok(())
            }
            _ => Err(Error::plan(format!(
                "bad_rows must be fail, null, skip or quarantine, found \"{v}\""
            ))),
        },
    },
    Setting {
        name: "max_bad_rows",
        doc: "bad rows of a table after which a statement fails all the same, or unlimited",
        get: |c| match c.max_bad_rows {
            u64::MAX => "unlimited".into(),
            n => n.to_string(),
        },
        set: |c, v| match v {
            "unlimited" => Ok(c.max_bad_rows = u64::MAX),
            v => number(v, 0, usize::MAX).map(|n| c.max_bad_rows = n as u64),
        },
    },
    Setting {
        name: "quarantine_location",
        doc: "the folder where bad_rows = quarantine puts rows, as JSON lines with file, line and reason",
        get: |c| c.quarantine_location.clone(),
        set: |c, v| {
            c.quarantine_location = v.into();
            Ok(())
        },
    },
    Setting {
        name: "debug_hash",
        doc: "for tests: the hash of every key, or -1",
        get: |c| c.debug_hash.to_string(),
        set: |c, v| {
            c.debug_hash = v
                .trim()
                .parse()
                .map_err(|_| Error::plan(format!("expected a number, found \"{v}\"")))?;
            Ok(())
        },
    },
    Setting {
        name: "debug_force_spill",
        doc: "for tests: operators spill whenever they can",
        get: |c| c.debug_force_spill.to_string(),
        set: |c, v| boolean(v).map(|b| c.debug_force_spill = b),
    },
];

impl Config {
    /// Sets one setting from text.
    ///
    /// # Errors
    /// When there is no such setting, with the nearest name, or the value does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = find(name)?;
        (setting.set)(self, value.trim()).map_err(|e| e.context(setting.name))
    }

    /// The value of one setting as text.
    pub fn get(&self, name: &str) -> Result<String> {
        Ok((find(name)?.get)(self))
    }
}

fn find(name: &str) -> Result<&'static Setting> {
    SETTINGS
        .iter()
        .find(|s| s.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            Error::plan(format!("there is no setting \"{name}\"")).with_nearest(name, SETTINGS.iter().map(|s| s.name))
        })
}

fn number(text: &str, min: usize, max: usize) -> Result<usize> {
    match text.parse::<usize>() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(Error::plan(format!(
            "expected a number from {min} to {max}, found \"{text}\""
        ))),
    }
}

/// A text, of which the empty one means that nothing is set.
fn text(text: &str) -> Option<String> {
    Some(text.to_string()).filter(|t| !t.is_empty())
}

/// The URL of a service, without the slash at its end.
fn endpoint(value: &str) -> Result<Option<String>> {
    let Some(value) = text(value.trim_end_matches('/')) else {
        return Ok(None);
    };
    let url = url::Url::parse(&value)
        .ok()
        .filter(|u| ["http", "https"].contains(&u.scheme()));
    let url = url.ok_or_else(|| Error::plan("expected a URL such as https://storage.example.com"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(Error::plan("expected a URL without user, password and parameters"));
    }
    Ok(Some(value))
}

fn boolean(text: &str) -> Result<bool> {
    match text.to_lowercase().as_str() {
        "true" | "on" | "1" | "yes" => Ok(true),
        "false" | "off" | "0" | "no" => Ok(false),
        _ => Err(Error::plan(format!("expected true or false, found \"{text}\""))),
    }
}

/// Reads `512`, `64KB`, `1.5 GB`, `2GiB`. `KB`, `MB`, `GB`, `TB` are powers of 1024, as in DuckDB's and Spark's settings files.
pub fn parse_bytes(text: &str) -> Result<usize> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => {
            return Err(Error::plan(format!(
                "expected a size such as 512MB or 2GB, found \"{text}\""
            )));
        }
    };
    match number.parse::<f64>() {
        Ok(n) if n.is_finite() && n >= 0.0 && n * 2f64.powi(shift) < 9e18 => Ok((n * 2f64.powi(shift)) as usize),
        _ => Err(Error::plan(format!(
            "expected a size such as 512MB or 2GB, found \"{text}\""
        ))),
    }
}

/// `1.5GB`: what [`parse_bytes`] reads back.
pub fn format_bytes(bytes: usize) -> String {
    for (unit, shift) in [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)] {
        if bytes >= 1 << shift {
            let n = bytes as f64 / (1u64 << shift) as f64;
            return if n.fract() == 0.0 {
                format!("{n}{unit}")
            } else {
                format!("{n:.1}{unit}")
            };
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_bytes("1.5 GB").unwrap(), 3 << 29);
        assert_eq!(parse_bytes("256MB").unwrap(), 256 << 20);
        assert!(parse_bytes("many").is_err());
    }

    #[test]
    fn every_setting_reads_back_what_it_shows() {
        let config = Config::default();
        for setting in SETTINGS {
            let mut other = config.clone();
            (setting.set)(&mut other, &(setting.get)(&config)).unwrap();
        }
        assert!(
            config
                .get("memory_limt")
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("memory_limit")
        );
    }
}
