//! Short hashes that are the same on every machine and in every version: FNV-1a.

use std::fmt::{self, Write};

/// Hashes the text that is written to it.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.0
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

/// Hashes the text that is written to it to 128 bits, which are mixed so that sums of hashes tell texts apart.
#[derive(Clone)]
pub(crate) struct Fnv128(u128);

impl Fnv128 {
    pub(crate) const fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// FNV-1a leaves the ends of a text in few bits; each round of the mixing spreads every bit over those above and
    /// below it. The multipliers are odd, so that no two states become one.
    pub(crate) const fn hash(&self) -> u128 {
        let mut bits = self.0;
        bits ^= bits >> 67;
        bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        bits ^= bits >> 61;
        bits = bits.wrapping_mul(0xc2b2_ae3d_27d4_eb4f_1656_67b1_9e37_79f9);
        bits ^ (bits >> 64)
    }
}

impl Write for Fnv128 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
        Ok(())
    }
}

/// The hash of a text.
pub(crate) fn fnv(text: &str) -> u64 {
    let mut hasher = Fnv::new();
    // The hasher takes every text, so writing to it cannot fail.
    let _ = hasher.write_str(text);
    hasher.hash()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_of_the_long_hash_come_out_before_mixing() {
        let mut hasher = Fnv128::new();
        hasher.write_str("a").unwrap();
        assert_eq!(hasher.0, 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn the_published_values_of_the_hash_come_out() {
        assert_eq!(fnv(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv("foobar"), 0x8594_4171_f739_67e8);
    }
}
