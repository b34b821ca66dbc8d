//! getrandom(2).

#![allow(unsafe_code)]

use std::io;

/// Random bytes of the kernel's generator. For names that must not collide, not for keys: before the generator is seeded
/// (early boot) it answers EAGAIN instead of blocking the start of a session.
///
/// # Errors
/// The errno of getrandom(2).
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut buffer = [0u8; N];
    let mut done = 0;
    while done < N {
        let rest = buffer.get_mut(done..).unwrap_or_default();
        // SAFETY: `rest` is an exclusive borrow of `rest.len()` writable bytes that lives across the call; the kernel
        // writes at most that many.
        let n =
            unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), libc::GRND_NONBLOCK) };
        match usize::try_from(n) {
            Ok(n) => done += n,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn two_calls_differ() {
        assert_ne!(super::bytes::<16>().unwrap(), super::bytes::<16>().unwrap());
    }
}
