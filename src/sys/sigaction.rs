//! Reading the disposition of a signal (sigaction(2)).

#![allow(unsafe_code)]

use nix::sys::signal::Signal;

/// True if this process ignores the signal, for example because nohup(1) started it so.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    // SAFETY: `sigaction` is a plain C struct for which all zeroes is a valid value (SIG_DFL, empty mask).
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null `act` only reads; `old` is a live, writable sigaction of the right size for the whole call.
    let done = unsafe { libc::sigaction(signal as libc::c_int, std::ptr::null(), &raw mut old) };
    done == 0 && old.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispositions_are_told_apart() {
        // The Rust runtime ignores SIGPIPE and leaves SIGWINCH alone.
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGWINCH));
    }
}
