//! The compiled `millrace` command in one process: the main job, its repetition, its death, and what a newcomer does.

mod correct;
mod endpoints;
mod faults;
mod faulty;
mod five_minutes;
mod killed;
mod looked_up;
mod models;
mod personal;
mod published;
mod quality;
mod refused;
mod store;
mod support;
mod tools;
mod united;
