#![no_main]
sealgate_fuzz::target!("key_files");
