#![no_main]
sealgate_fuzz::target!("signed_tx");
