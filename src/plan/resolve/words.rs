//! Words as a shell makes them of a line.

#![forbid(unsafe_code)]

/// The words of a command, without the quotes.
pub(super) fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = vec![Vec::new()];
    let mut quote: Option<u8> = None;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let byte = match (*byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(*byte);
                continue;
            }
            (end, Some(begin)) if end == begin => {
                quote = None;
                continue;
            }
            (b' ' | b'\t' | b'\n' | b';' | b'|' | b'&', None) => {
                words.push(Vec::new());
                continue;
            }
            (b'\\', None | Some(b'"')) => *bytes.next().unwrap_or(byte),
            (byte, _) => byte,
        };
        if let Some(last) = words.last_mut() {
            last.push(byte);
        }
    }
    words
}
