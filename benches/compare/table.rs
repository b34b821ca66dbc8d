//! The one place that writes to stdout.

use std::io::Write;

/// One line.
pub(crate) fn line(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("stdout");
}

/// A table: the first column to the left, the others to the right.
pub(crate) fn print(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|word| word.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line("");
    line(title);
    let write = |cells: Vec<&str>| {
        let mut text = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            if column == 0 {
                text.push_str(&format!("  {cell:<width$}"));
            } else {
                text.push_str(&format!("  {cell:>width$}"));
            }
        }
        line(text.trim_end());
    };
    write(head.to_vec());
    for row in rows {
        write(row.iter().map(String::as_str).collect());
    }
}
