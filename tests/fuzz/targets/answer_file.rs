#![no_main]
sealgate_fuzz::target!("answer_file");
