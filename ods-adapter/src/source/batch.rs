//! How many rows are asked for at once: few at first, more while they are small, so that memory follows the
//! rows that are there and not the number of columns that a table might have.

/// Rows of the first batch.
const ROWS_FIRST: usize = 16;
/// Bytes of a batch that are aimed at. Rows that differ from those before them by a factor make one batch
/// larger by as much.
const BYTES: usize = 8 << 20;

/// The size of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchSize {
    rows: usize,
    rows_max: usize,
}

impl BatchSize {
    /// At most so many rows.
    pub(super) fn up_to(rows_max: usize) -> Self {
        Self { rows: ROWS_FIRST.min(rows_max), rows_max }
    }

    /// Rows of the next batch.
    pub(super) fn rows(self) -> usize {
        self.rows
    }

    /// Takes note that a batch of so many rows had so many bytes.
    pub(super) fn had(&mut self, rows: usize, bytes: usize) {
        let fitting = (BYTES / (bytes / rows.max(1)).max(1)).max(1);
        self.rows = fitting.min(self.rows.saturating_mul(2)).min(self.rows_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_with_small_rows_and_shrink_with_large_ones() {
        let mut size = BatchSize::up_to(256);
        let mut sizes = Vec::new();
        for bytes_a_row in [10, 10, 10, 10, 10, 1 << 20, 100 << 20, 100 << 20, 1 << 10, 0, 0] {
            sizes.push(size.rows());
            size.had(size.rows(), size.rows() * bytes_a_row);
        }
        assert_eq!(sizes, [16, 32, 64, 128, 256, 256, 8, 1, 1, 2, 4]);
        assert_eq!(BatchSize::up_to(3).rows(), 3);
    }
}
