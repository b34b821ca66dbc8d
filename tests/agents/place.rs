//! Where the tests run: on a host, or in a container (scripts/engines says in which, by variables).

use std::net::Ipv4Addr;

/// The rung of the ladder that the place allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rung {
    Full,
    ContainerProc,
    Landlock,
}

impl Rung {
    /// `AGENTBOX_AGENTS_RUNG`; a host if it is not set.
    pub(crate) fn get() -> Rung {
        match std::env::var("AGENTBOX_AGENTS_RUNG").as_deref() {
            Err(_) => Rung::Full,
            Ok("container-proc") => Rung::ContainerProc,
            Ok("landlock") => Rung::Landlock,
            Ok(other) => panic!("AGENTBOX_AGENTS_RUNG={other}"),
        }
    }

    /// The options of `run` that accept it. Without namespaces no port of the loopback can be given in, and the model is reached
    /// by an address of the place.
    pub(crate) fn options(self, port: u16) -> Vec<String> {
        let (word, reach) = match self {
            Rung::Full => return Vec::new(),
            Rung::ContainerProc => ("container-proc", None),
            Rung::Landlock => ("landlock", Some(format!("{}:{port}", address()))),
        };
        let mut options = vec!["--rung".to_owned(), word.to_owned()];
        options.extend(reach.into_iter().flat_map(|to| ["--allow".to_owned(), to]));
        options
    }

    /// What a path outside the box says.
    pub(crate) fn outside(self) -> &'static str {
        match self {
            Rung::Full | Rung::ContainerProc => "No such file or directory",
            Rung::Landlock => "Permission denied",
        }
    }

    /// What init's own files in /proc say: where the procfs is the container's, PID 1 is not the box's, and covered.
    pub(crate) fn init(self) -> &'static str {
        match self {
            Rung::Full | Rung::Landlock => "Permission denied",
            Rung::ContainerProc => "No such file or directory",
        }
    }

    /// What a file says that may only be read.
    pub(crate) fn read_only(self) -> &'static str {
        match self {
            Rung::Full | Rung::ContainerProc => "Read-only file system",
            Rung::Landlock => "Permission denied",
        }
    }
}

/// The address of the model: loopback, unless `AGENTBOX_AGENTS_ADDRESS` names another one.
pub(crate) fn address() -> Ipv4Addr {
    std::env::var("AGENTBOX_AGENTS_ADDRESS").map_or(Ipv4Addr::LOCALHOST, |text| {
        text.parse().expect("AGENTBOX_AGENTS_ADDRESS")
    })
}
