//! Reading the pieces of a packet. Every read checks the length: a short packet is an error, never a panic.

use super::protocol;
use xdb_core::Result;

/// A cursor over one packet's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parser<'a>(pub(crate) &'a [u8]);

impl<'a> Parser<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    #[inline]
    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(n) {
            Some((head, rest)) => {
                self.0 = rest;
                Ok(head)
            }
            None => Err(short()),
        }
    }
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                Ok(*head)
            }
            None => Err(short()),
        }
    }
    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    /// A length-encoded integer.
    #[inline]
    pub(crate) fn lenenc(&mut self) -> Result<u64> {
        match self.u8()? {
            n @ 0..=250 => Ok(u64::from(n)),
            0xFC => Ok(u64::from(self.u16()?)),
            0xFD => {
                let [a, b, c] = self.array()?;
                Ok(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xFE => self.u64(),
            other => Err(protocol(format_args!("a length that starts with {other:#04x}"))),
        }
    }
    /// A length-encoded string.
    #[inline]
    pub(crate) fn lenenc_bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.lenenc()?;
        self.bytes(usize::try_from(n).map_err(|_| short())?)
    }
    /// A length-encoded string of a text row, where `0xFB` is NULL.
    #[inline]
    pub(crate) fn text_value(&mut self) -> Result<Option<&'a [u8]>> {
        if self.0.first() == Some(&0xFB) {
            self.0 = &self.0[1..];
            return Ok(None);
        }
        self.lenenc_bytes().map(Some)
    }
    /// Up to a NUL, or to the end where there is none.
    pub(crate) fn nul_bytes(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        let out = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or(&[]);
        out
    }
}

#[cold]
fn short() -> xdb_core::Error {
    protocol("a packet ended early")
}

/// Append a length-encoded integer.
pub(crate) fn put_lenenc(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=250 => out.push(n as u8),
        251..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

/// Append a length-encoded string.
pub(crate) fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lenenc_round_trips(n in any::<u64>(), shift in 0u32..64) {
            let n = n >> shift;
            let mut out = vec![];
            put_lenenc(&mut out, n);
            let mut p = Parser(&out);
            prop_assert_eq!(p.lenenc().unwrap(), n);
            prop_assert!(p.is_empty());
            // Every shorter packet is an error.
            for cut in 0..out.len() {
                prop_assert!(Parser(&out[..cut]).lenenc().is_err());
            }
        }
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut p = Parser(&bytes);
            while !p.is_empty() {
                let before = p.0.len();
                let failed = p.text_value().is_err();
                if failed || p.0.len() == before { break; }
            }
        }
    }

    #[test]
    fn a_length_beyond_the_packet_is_an_error() {
        assert!(Parser(&[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]).lenenc_bytes().is_err());
        assert!(Parser(&[5, b'a']).lenenc_bytes().is_err());
        assert!(Parser(&[0xFF]).lenenc().is_err());
        assert_eq!(Parser(&[0xFB, 1, b'x']).text_value().unwrap(), None);
    }
}
