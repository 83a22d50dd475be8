//! stub: the map follows
pub mod buffer;
pub mod channel;
pub mod cli;
pub mod command;
pub mod connect;
pub mod exit;
pub mod frame;
pub mod identity;
pub mod link;
pub mod notice;
pub mod outbox;
pub mod peers;
pub mod run;
pub mod safe;
pub mod session;
pub mod transfer;
pub mod ui;
mod why;
