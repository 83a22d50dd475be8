//! What this machine's system tells about its ports. Where it tells nothing, there is no answer.

#[cfg(target_os = "linux")]
pub(super) use linux::listener_of;

#[cfg(not(target_os = "linux"))]
pub(super) fn listener_of(_: u16) -> Option<String> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    /// The program that listens on a port, as `NAME (PID)`; of another user's program nothing is known.
    pub(in super::super) fn listener_of(port: u16) -> Option<String> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| listening_inode(line, port))?;
        let socket = format!("socket:[{inode}]");
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let owner = processes.filter(|process| {
            let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            descriptors
                .map(|fd| fs::read_link(fd.path()))
                .any(|link| link.is_ok_and(|link| link.as_os_str() == &*socket))
        });
        let owner = owner.map(|process| process.path()).next()?;
        let name = fs::read_to_string(owner.join("comm")).unwrap_or_default();
        Some(format!("{} ({})", name.trim(), owner.file_name()?.to_string_lossy()))
    }

    /// Number, local address, remote address, state (0A listens), …, inode in column 9.
    fn listening_inode(line: &str, port: u16) -> Option<&str> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let (_, local) = local.rsplit_once(':')?;
        (*state == "0A" && u16::from_str_radix(local, 16) == Ok(port)).then_some(inode)
    }
}
