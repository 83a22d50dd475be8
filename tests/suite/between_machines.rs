//! What only shows between machines: each is a network namespace. Most of these tests wait, and tests begin in the order of their names:
//! so these are the first, and others use the processors meanwhile.

mod examples;
mod firewalls;
mod lan;
mod networks;
mod port_map;
mod roaming;
