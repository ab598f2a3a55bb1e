//! Ravelin's own tasks.

fn main() {}
