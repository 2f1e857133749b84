#![no_main]
sealgate_fuzz::target!("trail_file");
