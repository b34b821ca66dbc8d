//! [`Way`]: how one gets out of this host, as HTTPS_PROXY and NO_PROXY of the caller say it.

#![forbid(unsafe_code)]

use crate::gate::HostProxies;
use crate::gate::address;
use crate::gate::message::Config;
use crate::gate::upstream::{Proxies, Proxy};
use crate::plan::remote::Host;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;

/// The caller's variables, as they are: with the proxy's password. Part of no plan and no record.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Way {
    /// HTTPS_PROXY, or ALL_PROXY.
    https_proxy: Option<String>,
    /// NO_PROXY.
    no_proxy: String,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.https_proxy.is_some() {
            "by a proxy"
        } else {
            "directly"
        };
        write!(f, "Way({kind})")
    }
}

impl Way {
    /// Reads the usual variables.
    pub fn of(var: impl Fn(&str) -> Option<String>) -> Way {
        let HostProxies { https, none, .. } = HostProxies::of(var);
        Way {
            https_proxy: https,
            no_proxy: none,
        }
    }

    /// The same of an environment.
    #[must_use]
    pub fn of_env(env: &[(OsString, OsString)]) -> Way {
        Way::of(|name| {
            let found = env.iter().find(|(known, _)| known == name);
            found.and_then(|(_, value)| value.to_str().map(str::to_owned))
        })
    }

    /// The proxy that leads to that host. None does to this machine itself, whatever the variables say: a proxy's loopback is
    /// another one.
    ///
    /// # Errors
    /// The proxy cannot be used. Without its URL, which may hold a password.
    pub fn to(&self, host: &Host) -> Result<Option<Proxy>, String> {
        if self.https_proxy.is_none() || host.is_loopback() {
            return Ok(None);
        }
        let config = Config {
            https_proxy: self.https_proxy.clone(),
            no_proxy: self.no_proxy.clone(),
            ..Config::default()
        };
        let proxies = Proxies::of(&config)?;
        let target = address::host(&host.name).map_err(|_| format!("{} is no name", host.name))?;
        Ok(proxies
            .https
            .clone()
            .filter(|_| !proxies.is_direct(&target, host.port)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::remote::Wire;

    #[test]
    fn the_proxy_of_the_caller_but_for_whom_it_excepts() {
        let way = Way::of(|name| match name {
            "HTTPS_PROXY" => Some("http://u:p@proxy.corp:3128".to_owned()),
            "NO_PROXY" => Some(".inside,10.0.0.0/8".to_owned()),
            _ => None,
        });
        let to = |name: &str| way.to(&Host::parse(name, Wire::Tls, 443).unwrap()).unwrap();
        assert_eq!(to("flags.example").unwrap().port, 3128);
        for direct in ["a.inside", "10.1.2.3", "localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(to(direct), None, "{direct}");
        }
        assert!(!format!("{way:?}").contains("u:p"));
        let host = Host::parse("flags.example", Wire::Tls, 443).unwrap();
        assert_eq!(Way::default().to(&host), Ok(None));
        let bad = Way::of(|name| (name == "https_proxy").then(|| "socks5://u:p@x".to_owned()));
        let why = bad.to(&host).unwrap_err();
        assert!(why.contains("HTTPS_PROXY") && !why.contains("u:p"), "{why}");
    }
}
