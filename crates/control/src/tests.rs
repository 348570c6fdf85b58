//! What the control promises, tried with a conductor in memory and with a lake that breaks at every write.

mod api;
mod crash;
mod ground;
mod once;
mod steps;
