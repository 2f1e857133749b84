//! Fuzz targets for everything that reads bytes from outside: the same ways in as in
//! `tests/tests/decoders.rs`, each a target of its own.

#[path = "../../tests/decoding/mod.rs"]
pub mod decoding;

pub use libfuzzer_sys;

/// The way in with this name.
pub fn probe(name: &str) -> decoding::Probe {
    decoding::PROBES.iter().find(|(known, ..)| *known == name).unwrap_or_else(|| panic!("no way in is called {name}")).2
}

/// A target that feeds one way in.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            static PROBE: std::sync::LazyLock<$crate::decoding::Probe> =
                std::sync::LazyLock::new(|| $crate::probe($name));
            PROBE(bytes);
        });
    };
}
