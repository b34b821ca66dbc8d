//! Commands that join a box that stands (`agentbox exec`): children of init beside the command, so that everything that
//! confines init confines them, and the same limits count them.

#![forbid(unsafe_code)]

use crate::plan::OsText;
use serde::{Deserialize, Serialize};

/// The size of a window, in characters and pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Size {
    /// Rows of text.
    pub rows: u16,
    /// Columns of text.
    pub cols: u16,
    /// Pixels across.
    pub xpixel: u16,
    /// Pixels down.
    pub ypixel: u16,
}

/// A command that joins a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Join {
    /// argv; the program is looked for on the box's PATH.
    pub argv: Vec<OsText>,
    /// Its directory in the box; the session's own if nothing is said.
    pub cwd: Option<OsText>,
    /// A pseudo-terminal of its own.
    pub terminal: Option<Settings>,
    /// What its descriptors 0 to 2 become.
    pub stdio: [Stdio; 3],
}

/// One of the descriptors 0 to 2 of a command that joins a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdio {
    /// Its pseudo-terminal.
    Terminal,
    /// /dev/null of the box.
    Null,
    /// The next descriptor of the message.
    Given,
}

/// The settings of a terminal (termios(3)) as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// c_iflag.
    pub input: u32,
    /// c_oflag.
    pub output: u32,
    /// c_cflag.
    pub control: u32,
    /// c_lflag.
    pub local: u32,
    /// c_cc.
    pub keys: Vec<u8>,
    /// The size of the window.
    pub size: Size,
}

