//! Packets over any byte stream: framing, sequence numbers, packets of 16 MiB and more, big read buffers.

use super::protocol;
use std::io::{Read, Write};
use xdb_core::{Error, ErrorKind, Result};

/// The largest payload of one packet; a payload of exactly this length is continued in the next packet.
const MAX_PAYLOAD: usize = 0xFF_FFFF;
/// One `read` from the socket takes up to this much. Packets that lie whole inside are parsed in place.
const READ_BUFFER: usize = 256 * 1024;
/// No server sends more than `max_allowed_packet`, which is at most 1 GiB.
const MAX_MESSAGE: usize = (1 << 30) + (1 << 20);

/// One side of a connection. Reading hands out slices of its own buffer: nothing is copied or allocated for a packet
/// that fits in it.
pub(crate) struct Channel<T> {
    io: T,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    sequence: u8,
    /// Only for messages of several packets.
    joined: Vec<u8>,
    /// Bytes received since the channel was made.
    received: u64,
}

impl<T: Read + Write> Channel<T> {
    pub(crate) fn new(io: T) -> Self {
        Self { io, buf: vec![0; READ_BUFFER], start: 0, end: 0, sequence: 0, joined: Vec::new(), received: 0 }
    }
    /// Put another layer (TLS) over the stream, as agreed in the handshake.
    pub(crate) fn upgrade<U: Read + Write>(self, f: impl FnOnce(T) -> Result<U>) -> Result<Channel<U>> {
        if self.start != self.end {
            return Err(protocol("data came before TLS was set up"));
        }
        let io = f(self.io)?;
        Ok(Channel { io, buf: self.buf, start: 0, end: 0, sequence: self.sequence, joined: self.joined, received: 0 })
    }
    pub(crate) fn io(&self) -> &T {
        &self.io
    }
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
    /// Is there input that nobody asked for?
    pub(crate) fn has_leftover(&self) -> bool {
        self.start != self.end
    }

    /// Make at least `need` bytes lie in the buffer from `start`.
    #[inline]
    fn fill(&mut self, need: usize) -> Result<()> {
        if self.end - self.start >= need { Ok(()) } else { self.fill_slow(need) }
    }
    #[cold]
    fn fill_slow(&mut self, need: usize) -> Result<()> {
        if self.start + need > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if need > self.buf.len() {
                // `need` is at most 16 MiB and a header, whatever the other side claims.
                self.buf.resize(need.next_multiple_of(READ_BUFFER), 0);
            }
        }
        while self.end - self.start < need {
            let n = match self.io.read(&mut self.buf[self.end..]) {
                Ok(0) => {
                    return Err(Error::new(ErrorKind::Connect, "the server closed the connection"));
                }
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(broken(e)),
            };
            self.end += n;
            self.received += n as u64;
        }
        Ok(())
    }

    /// The header of the next packet, checked: its payload's length.
    #[inline]
    fn header(&mut self) -> Result<usize> {
        self.fill(4)?;
        let h = &self.buf[self.start..self.start + 4];
        let len = usize::from(h[0]) | usize::from(h[1]) << 8 | usize::from(h[2]) << 16;
        if h[3] != self.sequence {
            return Err(protocol(format_args!("packet {} came where {} was due", h[3], self.sequence)));
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(len)
    }

    /// The next message's payload.
    #[inline]
    pub(crate) fn read(&mut self) -> Result<&[u8]> {
        let len = self.header()?;
        self.fill(4 + len)?;
        let at = self.start + 4;
        self.start = at + len;
        if len < MAX_PAYLOAD {
            return Ok(&self.buf[at..at + len]);
        }
        self.joined.clear();
        self.joined.extend_from_slice(&self.buf[at..at + len]);
        self.read_joined()
    }
    #[cold]
    fn read_joined(&mut self) -> Result<&[u8]> {
        loop {
            let len = self.header()?;
            self.fill(4 + len)?;
            let at = self.start + 4;
            self.start = at + len;
            if self.joined.len() + len > MAX_MESSAGE {
                return Err(protocol("a message of more than 1 GiB"));
            }
            self.joined.extend_from_slice(&self.buf[at..at + len]);
            if len < MAX_PAYLOAD {
                return Ok(&self.joined);
            }
        }
    }

    /// Start a new command: sequence numbers begin again.
    pub(crate) fn start_command(&mut self) {
        self.sequence = 0;
    }
    /// Send one message, in as many packets as it needs.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let n = rest.len().min(MAX_PAYLOAD);
            let (now, later) = rest.split_at(n);
            let header = self.next_header(n);
            if n < 64 * 1024 {
                let mut one = Vec::with_capacity(n + 4);
                one.extend_from_slice(&header);
                one.extend_from_slice(now);
                self.io.write_all(&one).map_err(broken)?;
            } else {
                self.io.write_all(&header).map_err(broken)?;
                self.io.write_all(now).map_err(broken)?;
            }
            rest = later;
            if n < MAX_PAYLOAD {
                break;
            }
        }
        self.io.flush().map_err(broken)
    }
    /// Send one packet whose first four bytes are kept free for the header. For bulk data; at most 16 MiB.
    pub(crate) fn write_reserved(&mut self, packet: &mut [u8]) -> Result<()> {
        let n = packet.len().saturating_sub(4);
        if packet.len() < 4 || n >= MAX_PAYLOAD {
            return Err(Error::internal(format!("a data packet of {n} bytes")));
        }
        let header = self.next_header(n);
        packet[..4].copy_from_slice(&header);
        self.io.write_all(packet).map_err(broken)
    }
    fn next_header(&mut self, len: usize) -> [u8; 4] {
        let [a, b, c, _] = (len as u32).to_le_bytes();
        let s = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        [a, b, c, s]
    }
}

fn broken(e: std::io::Error) -> Error {
    use std::io::ErrorKind as K;
    match e.kind() {
        K::WouldBlock | K::TimedOut => Error::new(ErrorKind::Timeout, "the server did not answer in time"),
        _ => Error::new(ErrorKind::Connect, "the connection to the server broke").cause(e),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A peer made of bytes: reads give `input` in pieces of `step`, writes are kept.
    pub(crate) struct Fake {
        pub(crate) input: Vec<u8>,
        pub(crate) at: usize,
        pub(crate) step: usize,
        pub(crate) output: Vec<u8>,
    }
    impl Fake {
        pub(crate) fn new(input: Vec<u8>, step: usize) -> Self {
            Self { input, at: 0, step, output: vec![] }
        }
    }
    impl Read for Fake {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = self.step.min(buf.len()).min(self.input.len() - self.at);
            buf[..n].copy_from_slice(&self.input[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }
    impl Write for Fake {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.output.extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    pub(crate) fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut c = Channel::new(Fake::new(vec![], 1));
        for m in messages {
            c.write(m).unwrap();
        }
        c.io.output
    }

    proptest! {
        #[test]
        fn messages_come_back_whatever_the_pieces(
            sizes in proptest::collection::vec(0usize..5000, 0..40), step in 1usize..9000,
        ) {
            let messages: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(i, n)| (0..*n).map(|j| (i * 31 + j) as u8).collect()).collect();
            let mut c = Channel::new(Fake::new(framed(&messages), step));
            for m in &messages {
                prop_assert_eq!(c.read().unwrap(), &m[..]);
            }
            prop_assert!(c.read().is_err());
        }
    }

    #[test]
    fn messages_of_16_mib_and_more() {
        for n in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD + 7] {
            let message: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
            let mut c = Channel::new(Fake::new(framed(&[message.clone(), vec![9]]), 1 << 20));
            assert!(c.read().unwrap() == message, "{n}");
            assert_eq!(c.read().unwrap(), [9]);
        }
    }

    #[test]
    fn a_claimed_length_does_not_allocate_more_than_one_packet() {
        let mut c = Channel::new(Fake::new(vec![0xFF, 0xFF, 0xFF, 0, 1, 2, 3], 7));
        assert_eq!(c.read().unwrap_err().kind(), ErrorKind::Connect);
        assert!(c.buf.len() <= MAX_PAYLOAD + READ_BUFFER + 4);
    }
    #[test]
    fn a_wrong_sequence_number_is_an_error() {
        let mut c = Channel::new(Fake::new(vec![1, 0, 0, 5, 0], 7));
        assert_eq!(c.read().unwrap_err().kind(), ErrorKind::Protocol);
    }
}
