//! `ravelin`: arguments in, exit code out.

fn main() {}
