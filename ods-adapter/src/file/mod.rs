//! Sealed files (docs/spec/files.md): a reader of any size is sealed into parts by [`seal_file`],
//! read by range through [`SealedFile`], checked whole by [`verify_file`]. A requester opens a part
//! with its key alone, by [`open_part`].

mod buffer;
mod content;
mod manifest;
mod parts;
mod read;
mod verify;
mod write;

pub use content::FileContent;
pub(crate) use manifest::FileManifest;
pub(crate) use manifest::file_objects;
pub use parts::{CHUNK_BYTES, PART_BYTES, PART_CHUNKS, check_parts, open_part, parts_of};
pub use read::SealedFile;
pub use verify::{VerifyFile, verify_file};
pub use write::{FileRequest, FileVersion, SealFileError, seal_file};

#[cfg(test)]
mod tests;
