//! How many files and sockets this process may have open at a time.

/// What is assumed where the system does not tell: the usual limit of a service.
const ASSUMED: usize = 1024;

/// The process's soft limit of open descriptors.
pub(crate) fn limit() -> usize {
    std::fs::read_to_string("/proc/self/limits").ok().and_then(|limits| parse(&limits)).unwrap_or(ASSUMED)
}

fn parse(limits: &str) -> Option<usize> {
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(usize::MAX) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_open_files_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             63432                63432                processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(parse(limits), Some(1024));
        assert_eq!(
            parse("Max open files            unlimited            unlimited            files\n"),
            Some(usize::MAX)
        );
        assert_eq!(parse("Max processes 1 2"), None);
        assert!(limit() > 0);
    }
}
