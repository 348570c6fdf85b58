//! The compiled `millrace` command in one process: the main job, its repetition, its death, and what a newcomer does.

mod correct;
mod faults;
mod faulty;
mod five_minutes;
mod killed;
mod refused;
mod support;
