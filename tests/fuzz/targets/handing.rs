#![no_main]
sealgate_fuzz::target!("handing");
