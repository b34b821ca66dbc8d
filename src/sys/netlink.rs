//! Two routes by rtnetlink(7), without `ip`: every address is local.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::os::fd::AsRawFd as _;

/// The index of loopback: the first interface of every network namespace.
const LOOPBACK: u32 = 1;

/// struct nlmsghdr: length, type, flags, sequence, port.
const HEADER: usize = 16;

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
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkRoute,
    )?;
    // Without an address the message goes to the kernel.
    send(socket.as_raw_fd(), &request(family), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    verdict(answer.get(..length).unwrap_or_default())
}

/// The message: header, struct rtmsg, one attribute RTA_OIF.
fn request(family: Family) -> Vec<u8> {
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let byte = |value: i32| value.to_ne_bytes();
    let low = |value: i32| {
        if cfg!(target_endian = "big") {
            byte(value)[3]
        } else {
            byte(value)[0]
        }
    };
    // family, bits of destination and source, tos, table, protocol, scope, type; then 32 bits of flags.
    let route = [
        low(family),
        0,
        0,
        0,
        libc::RT_TABLE_LOCAL,
        libc::RTPROT_BOOT,
        libc::RT_SCOPE_HOST,
        libc::RTN_LOCAL,
    ];
    let mut message = Vec::with_capacity(36);
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    message.extend(36u32.to_ne_bytes());
    message.extend(libc::RTM_NEWROUTE.to_ne_bytes());
    message.extend(
        byte(flags)
            .get(if cfg!(target_endian = "big") {
                2..4
            } else {
                0..2
            })
            .unwrap_or_default(),
    );
    message.extend([0; 8]);
    message.extend(route);
    message.extend([0; 4]);
    message.extend(8u16.to_ne_bytes());
    message.extend(libc::RTA_OIF.to_ne_bytes());
    message.extend(LOOPBACK.to_ne_bytes());
    message
}

/// An NLMSG_ERROR carries the errno, negative; 0 is the acknowledgement.
fn verdict(answer: &[u8]) -> Result<(), Errno> {
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
        for family in [Family::V4, Family::V6] {
            let message = request(family);
            assert_eq!(message.len(), 36, "{family:?}");
            assert_eq!(message[..4], 36u32.to_ne_bytes());
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
