#![doc = include_str!("protocol/PROTOCOL.md")]

mod codec;
pub mod frame;

#[cfg(test)]
mod tests;
