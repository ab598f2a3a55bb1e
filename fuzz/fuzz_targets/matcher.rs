//! A pattern and lines: the fast matcher and the regex engine give the same answer.
//!
//! An input is a recipe for a simple pattern, then the lines; or, behind a byte 255, the pattern itself, up to the
//! first line's end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin::rules::FuzzedPattern;

/// What literals are made of, and what the lower bytes of a line stand for: few, so that everything overlaps with
/// everything.
const ALPHABET: &[u8; 16] = b"ab :.1[]=\"'\nx7%\x80";

/// Groups in groups.
const DEEPEST: u32 = 4;

/// Reads a recipe.
struct Recipe<'b> {
    bytes: &'b [u8],
    groups: u32,
}

impl Recipe<'_> {
    fn take(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    fn sequence(&mut self, depth: u32, pattern: &mut String) {
        for _ in 0..=self.take() % 5 {
            self.piece(depth, pattern);
        }
    }

    fn piece(&mut self, depth: u32, pattern: &mut String) {
        let choice = self.take();
        match choice % 20 {
            0..=5 => {
                for _ in 0..=choice % 3 {
                    let byte = ALPHABET[usize::from(self.take() % 16)];
                    match byte {
                        b'\n' => pattern.push_str(r"\n"),
                        byte if byte.is_ascii_alphanumeric() => pattern.push(byte.into()),
                        byte if byte.is_ascii_punctuation() => pattern.extend(['\\', byte.into()]),
                        byte => pattern.push_str(&format!(r"\x{byte:02x}")),
                    }
                }
            }
            6 => pattern.push_str(".*"),
            7 => pattern.push_str(".+"),
            8 => pattern.push('.'),
            9 => pattern.push_str("[^ ]+"),
            10 => pattern.push_str("[^ ]*"),
            11 => pattern.push_str("[ab]*"),
            12 => pattern.push_str("[a 1]{1,3}"),
            13 => pattern.push_str("a?"),
            14 => pattern.push_str("{port}"),
            15 => pattern.push_str("{ip}"),
            16 | 17 if depth < DEEPEST => {
                pattern.push_str("(?:");
                for way in 0..=choice / 20 % 3 {
                    if way > 0 {
                        pattern.push('|');
                    }
                    self.sequence(depth + 1, pattern);
                }
                pattern.push_str(if choice % 20 == 17 { ")?" } else { ")" });
            }
            _ if depth < DEEPEST => {
                self.groups += 1;
                pattern.push_str(&format!("(?<g{}>", self.groups));
                self.sequence(depth + 1, pattern);
                pattern.push(')');
            }
            _ => pattern.push('b'),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (text, lines) = match bytes.strip_prefix(&[255]) {
        Some(bytes) => {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
            let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return };
            (text.to_owned(), &bytes[end..])
        }
        None => {
            let mut recipe = Recipe { bytes, groups: 0 };
            let mut text = "^".to_owned();
            let end = recipe.take() % 2 == 0;
            recipe.sequence(0, &mut text);
            if end {
                text.push('$');
            }
            (text, recipe.bytes)
        }
    };
    let Ok(pattern) = FuzzedPattern::new(&text) else { return };
    // A byte of its own ends a line: the line's end is something to match here.
    for line in lines.split(|byte| *byte == 254) {
        let of_alphabet = |&byte: &u8| ALPHABET.get(usize::from(byte)).copied().unwrap_or(byte);
        let line: Vec<u8> = line.iter().map(of_alphabet).collect();
        if let Err(how) = pattern.agreed(&line) {
            panic!("{text}: {how}");
        }
    }
});
