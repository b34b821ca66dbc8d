//! What a run's descriptors 0 to 2 become, and the pipes that the supervisor relays.

#![forbid(unsafe_code)]

use super::CliError;
use crate::launch::command::Descriptor;
use crate::launch::stdio;
use crate::supervise::relay::{Direction, RelayPipe};
use crate::sys::process;
use std::os::fd::{OwnedFd, RawFd};

/// What each descriptor of the command becomes; for a relayed one a pipe is made, and the supervisor gets its other end.
pub(super) fn descriptors(
    stdio: &[stdio::Stdio; 3],
    pipes: &mut Vec<RelayPipe>,
) -> Result<[Descriptor; 3], CliError> {
    let mut out = [const { Descriptor::Inherit }; 3];
    for (number, found) in (0u8..).zip(stdio) {
        let becomes = match found {
            stdio::Stdio::Pty => Descriptor::Pty,
            stdio::Stdio::Inherit => Descriptor::Inherit,
            stdio::Stdio::Null => Descriptor::Null,
            // stdout and stderr that are one file share one pipe, so that their order is kept.
            stdio::Stdio::Relay { first } => match out.get(usize::from(*first)) {
                Some(Descriptor::Pipe(shared)) if *first != number => {
                    Descriptor::Pipe(shared.try_clone().map_err(CliError::io("dup"))?)
                }
                _ => relayed(number, pipes)?,
            },
        };
        if let Some(slot) = out.get_mut(usize::from(number)) {
            *slot = becomes;
        }
    }
    Ok(out)
}

/// A pipe in the place of the caller's descriptor.
fn relayed(number: u8, pipes: &mut Vec<RelayPipe>) -> Result<Descriptor, CliError> {
    let direction = if number == 0 {
        Direction::In
    } else {
        Direction::Out
    };
    let own = duplicate(number)?;
    let (relay, theirs) =
        RelayPipe::new(direction, own).map_err(|e| CliError::Call(e.call, e.errno))?;
    pipes.push(relay);
    Ok(Descriptor::Pipe(theirs))
}

/// A duplicate of the caller's descriptor.
pub(super) fn duplicate(number: u8) -> Result<OwnedFd, CliError> {
    process::duplicate(RawFd::from(number)).map_err(|errno| CliError::Call("dup", errno))
}
