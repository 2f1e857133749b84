#![no_main]
sealgate_fuzz::target!("verifying_key");
