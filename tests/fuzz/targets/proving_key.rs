#![no_main]
sealgate_fuzz::target!("proving_key");
