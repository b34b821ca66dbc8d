//! Routes and addresses of loopback by rtnetlink(7), without `ip`.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

/// The index of loopback: the first interface of every network namespace.
const LOOPBACK: u32 = 1;

/// struct nlmsghdr: length, type, flags, sequence, port.
pub(super) const HEADER: usize = 16;

/// A family of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// `ip route add local default dev lo table local`: from now on every address of the family is this namespace's own.
/// Needs CAP_NET_ADMIN in the namespace.
///
/// # Errors
/// What the kernel answered. EAFNOSUPPORT, EOPNOTSUPP or ENODEV where there is no IPv6.
pub fn everything_is_local(family: Family) -> Result<(), Errno> {
    // family, bits of destination and source, tos, table, protocol, scope, type; then 32 bits of flags.
    let route = [
        family.number(),
        0,
        0,
        0,
        libc::RT_TABLE_LOCAL,
        libc::RTPROT_BOOT,
        libc::RT_SCOPE_HOST,
        libc::RTN_LOCAL,
        0,
        0,
        0,
        0,
    ];
    let through = (libc::RTA_OIF, &LOOPBACK.to_ne_bytes()[..]);
    ask(&message(libc::RTM_NEWROUTE, &route, through))
}

/// `ip address add ADDRESS dev lo`, as the only one of its network. Needs CAP_NET_ADMIN in the namespace.
///
/// # Errors
/// As for [`everything_is_local`].
pub fn add_address(address: IpAddr) -> Result<(), Errno> {
    let (family, bytes, bits) = match address {
        IpAddr::V4(v4) => (Family::V4, v4.octets().to_vec(), 32),
        IpAddr::V6(v6) => (Family::V6, v6.octets().to_vec(), 128),
    };
    // family, prefix, flags, scope (0 is the world); then the index of the interface.
    let mut body = vec![family.number(), bits, 0, 0];
    body.extend(LOOPBACK.to_ne_bytes());
    ask(&message(
        libc::RTM_NEWADDR,
        &body,
        (libc::IFA_LOCAL, &bytes),
    ))
}

/// Sends one message to the kernel and hears its verdict.
fn ask(message: &[u8]) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkRoute,
    )?;
    // Without an address the message goes to the kernel.
    send(socket.as_raw_fd(), message, MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    verdict(answer.get(..length).unwrap_or_default())
}

impl Family {
    fn number(self) -> u8 {
        let number = match self {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        };
        // Both are below 11.
        u8::try_from(number).unwrap_or_default()
    }
}

/// A message: struct nlmsghdr, the struct of its kind, one attribute. All three are multiples of four bytes.
fn message(kind: u16, body: &[u8], (attribute, value): (u16, &[u8])) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let whole = HEADER + body.len() + 4 + value.len();
    let mut out = Vec::with_capacity(whole);
    out.extend(length(whole).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    out.extend([0; 8]);
    out.extend(body);
    let short = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend(short.to_ne_bytes());
    out.extend(attribute.to_ne_bytes());
    out.extend(value);
    out
}

/// An NLMSG_ERROR carries the errno, negative; 0 is the acknowledgement.
pub(super) fn verdict(answer: &[u8]) -> Result<(), Errno> {
    let code = answer
        .get(HEADER..HEADER + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg())),
        None => Err(Errno::EPROTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_long_as_it_says() {
        let route = message(libc::RTM_NEWROUTE, &[0; 12], (libc::RTA_OIF, &[1; 4]));
        assert_eq!(route.len(), 36);
        let address = message(libc::RTM_NEWADDR, &[0; 8], (libc::IFA_LOCAL, &[1; 16]));
        assert_eq!(address.len(), 44);
        for message in [route, address] {
            let length = u32::try_from(message.len()).unwrap_or(0);
            assert_eq!(message[..4], length.to_ne_bytes());
        }
    }

    #[test]
    fn answers() {
        let answer = |code: i32| [vec![0; HEADER], code.to_ne_bytes().to_vec()].concat();
        assert_eq!(verdict(&answer(0)), Ok(()));
        assert_eq!(verdict(&answer(-1)), Err(Errno::EPERM));
        assert_eq!(verdict(&[0; 7]), Err(Errno::EPROTO));
    }

    #[test]
    fn without_the_capability_the_kernel_refuses() {
        // Nothing is changed when it does; a root caller's namespace is not to be touched.
        if nix::unistd::geteuid().is_root() {
            return;
        }
        assert_eq!(everything_is_local(Family::V4), Err(Errno::EPERM));
    }
}
