//! Plain data into text. Pure: what is returned here is written by `cli`.

#![forbid(unsafe_code)]

pub mod banner;
pub mod check;
pub mod demo;
pub mod events;
pub mod fix;
pub mod found;
mod happened;
pub mod layers;
mod names;
pub mod network;
pub mod own;
pub mod plan;
pub mod profiles;
pub mod rungs;
pub mod sessions;
mod stops;
pub mod switches;
pub mod why;
pub mod wishes;

use crate::paint;
use std::fmt::{Display, Write as _};

/// Where reports break their lines, in columns: two windows stand side by side on most screens.
const WIDTH: usize = 110;

/// Words after a title, broken before column [`WIDTH`]; later lines start at column `indent`. Nothing without words.
fn wrapped<T: Display>(
    out: &mut String,
    title: &str,
    indent: usize,
    words: impl IntoIterator<Item = T>,
) {
    let mut line = title.to_owned();
    let mut empty = true;
    for word in words {
        let word = word.to_string();
        if !empty && paint::width(&line) + paint::width(&word) > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(indent);
        }
        line.push_str(&word);
        line.push(' ');
        empty = false;
    }
    if !empty {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Left-aligned columns, two spaces between; the last one is not padded.
#[must_use]
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = paint::width(cell).max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let pad = width.saturating_sub(paint::width(cell)) + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
