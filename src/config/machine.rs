//! How much memory the process may have: the machine's, or that of the control groups (containers, services) around it.

use std::path::Path;

/// Where Linux shows control groups.
const GROUPS: &str = "/sys/fs/cgroup";
/// Of a machine that does not tell.
const UNKNOWN: usize = 8 << 30;

/// Bytes.
pub(super) fn memory() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let total = total(&read("/proc/meminfo")).unwrap_or(UNKNOWN);
    group_limit(&read("/proc/self/cgroup"), Path::new(GROUPS)).map_or(total, |limit| limit.min(total))
}

/// What `/proc/meminfo` gives in kB.
fn total(text: &str) -> Option<usize> {
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<usize>()
        .ok()?
        .checked_mul(1 << 10)
}

/// The least limit of the groups that `/proc/self/cgroup` names and of all around them, in either version of control groups
/// (kernel documentation, cgroup-v2 and cgroup-v1/memory). Inside of a container the names may be those of the host, and the
/// container's own group is the root.
fn group_limit(text: &str, root: &Path) -> Option<usize> {
    let limits = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        match controllers {
            "" => [
                least(root, group, "memory.max"),
                least(&root.join("unified"), group, "memory.max"),
            ]
            .into_iter()
            .flatten()
            .min(),
            _ if controllers.split(',').any(|c| c == "memory") => {
                least(&root.join("memory"), group, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

/// The least number in the files of this name in a group's folder and in those above it, up to `root`. No limit is no number
/// in one version, and a huge one in the other.
fn least(root: &Path, group: &str, file: &str) -> Option<usize> {
    let folders = Path::new(group.trim_start_matches('/')).ancestors();
    let limit = |folder| {
        std::fs::read_to_string(root.join(folder).join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    folders.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let limit = |text: &str| group_limit(text, root.path());
        put("memory.max", "900\n");
        put("jobs.slice/memory.max", "700\n");
        put("jobs.slice/nightly.service/memory.max", "max\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("memory/batch/memory.limit_in_bytes", "500\n");
        assert_eq!(limit("0::/"), Some(900));
        assert_eq!(limit("0::/jobs.slice/nightly.service\n"), Some(700));
        assert_eq!(limit("0::/of/the/host"), Some(900));
        assert_eq!(limit("5:cpu,cpuacct:/batch\n4:memory:/batch/deep:er\n0::/"), Some(500));
        assert_eq!(limit("4:memory:/elsewhere"), Some(9223372036854771712));
        assert_eq!(limit("3:cpuset:/\n"), None);
        assert_eq!(limit("nonsense"), None);
    }

    #[test]
    fn the_machine_tells_its_memory() {
        assert_eq!(
            total("MemFree: 1 kB\nMemTotal:       24684150 kB\n"),
            Some(24684150 << 10)
        );
        assert_eq!(total(""), None);
        assert!(memory() > 1 << 20);
    }
}
