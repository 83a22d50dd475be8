#![doc = include_str!("protocol/PROTOCOL.md")]

mod codec;
pub mod error;
pub mod frame;

#[cfg(test)]
mod tests;
