#![no_main]
sealgate_fuzz::target!("account_file");
