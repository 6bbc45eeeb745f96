//! Entry point of the `nopal` command.

fn main() {}
