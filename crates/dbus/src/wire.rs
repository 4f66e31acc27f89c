//! D-Bus messages as bytes: the little of the wire format (D-Bus Specification, "Message Protocol") that calls of systemd
//! need. Little-endian, as this side chooses for its own messages; systemd and the message bus answer in the machine's
//! order, and every machine that run-wasm is made for is little-endian.

use anyhow::{Context, Result, ensure};

/// The types of messages, the second byte of each.
const METHOD_CALL: u8 = 1;
pub const METHOD_RETURN: u8 = 2;
pub const ERROR: u8 = 3;
pub const SIGNAL: u8 = 4;

/// The fixed part of a header: up to and including the length of the header fields.
pub const FIXED: usize = 16;

/// What is believed of a message's length, in bytes: nothing that is asked here has long answers.
const LONGEST: usize = 1 << 20;

/// A method and where it lives.
#[derive(Debug, Clone, Copy)]
pub struct Method<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
}

/// Bytes with D-Bus' alignment: every value starts at a multiple of its size.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    /// Bytes as they are: the elements of an array of bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// A string or an object path. Longer ones than 4 GiB do not occur.
    pub fn string(&mut self, value: &str) {
        self.u32(value.len() as u32);
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    pub fn signature(&mut self, value: &str) {
        self.0.push(value.len() as u8);
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    /// An array; `items` writes its elements, which start at a multiple of `alignment`.
    pub fn array(&mut self, alignment: usize, items: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        items(self);
        let length = (self.0.len() - start) as u32;
        if let Some(place) = self.0.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// A structure or an entry of a dictionary.
    pub fn structure(&mut self, fields: impl FnOnce(&mut Writer)) {
        self.align(8);
        fields(self);
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The bytes of a method call. `signature` is that of the body; empty for none.
pub fn call(serial: u32, method: &Method<'_>, signature: &str, body: Writer) -> Vec<u8> {
    let body = body.bytes();
    let mut message = Writer::default();
    message.0.extend([b'l', METHOD_CALL, 0, 1]);
    message.u32(body.len() as u32);
    message.u32(serial);
    let strings = [
        (1, "o", method.path),
        (2, "s", method.interface),
        (3, "s", method.member),
        (6, "s", method.destination),
    ];
    message.array(8, |fields| {
        for (code, kind, value) in strings {
            fields.structure(|field| {
                field.0.push(code);
                field.signature(kind);
                field.string(value);
            });
        }
        if !signature.is_empty() {
            fields.structure(|field| {
                field.0.push(8);
                field.signature("g");
                field.signature(signature);
            });
        }
    });
    message.align(8);
    message.0.extend(body);
    message.bytes()
}

/// What is looked at of a message that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    /// The serial of the call that this answers.
    pub reply_to: Option<u32>,
    /// A signal's name.
    pub member: String,
    /// An error's name.
    pub error: String,
    body: Vec<u8>,
}

/// How many bytes follow the fixed part of a message.
pub fn length_of_rest(fixed: &[u8; FIXED]) -> Result<usize> {
    let mut reader = Reader { bytes: fixed, at: 4 };
    ensure!(fixed.first() == Some(&b'l'), "it answers in another byte order");
    let (body, _serial, fields) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let length = (fields as usize).next_multiple_of(8).saturating_add(body as usize);
    ensure!(length <= LONGEST, "it sends a message of {length} bytes");
    Ok(length)
}

impl Message {
    /// Reads a whole message.
    pub fn read(bytes: &[u8]) -> Result<Message> {
        let mut reader = Reader { bytes, at: 0 };
        let mut message = Message { kind: *bytes.get(1).context("an empty message")?, ..Message::default() };
        reader.at = 12;
        let end = FIXED + reader.u32()? as usize;
        while reader.at < end {
            reader.align(8);
            let code = reader.take(1)?.first().copied();
            let kind = reader.signature()?;
            match (code, kind.as_str()) {
                (Some(3), "s") => message.member = reader.string()?,
                (Some(4), "s") => message.error = reader.string()?,
                (Some(5), "u") => message.reply_to = Some(reader.u32()?),
                (_, "s" | "o") => drop(reader.string()?),
                (_, "g") => drop(reader.signature()?),
                (_, "u") => drop(reader.u32()?),
                (_, kind) => anyhow::bail!("a header field of the unknown type {kind:?}"),
            }
        }
        reader.align(8);
        message.body = bytes.get(reader.at..).unwrap_or_default().to_vec();
        Ok(message)
    }

    /// A reader of the body.
    pub fn body(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// Reads values, aligned as [`Writer`] writes them.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).context("a message ends too early")?;
        self.at = end;
        Ok(taken)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.align(4);
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }

    /// A string or an object path.
    pub fn string(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        let text = String::from_utf8(self.take(length)?.to_vec())?;
        self.take(1)?;
        Ok(text)
    }

    /// A structure: what follows are its fields.
    pub fn structure(&mut self) -> &mut Self {
        self.align(8);
        self
    }

    /// The type of a variant, whose value follows.
    pub fn signature(&mut self) -> Result<String> {
        let length = self.take(1)?.first().copied().unwrap_or(0);
        let text = String::from_utf8(self.take(length.into())?.to_vec())?;
        self.take(1)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Method<'_> = Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
    };

    #[test]
    fn a_call_is_what_the_bus_expects_byte_by_byte() {
        let mut expected = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0".to_vec();
        expected.extend(b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0");
        expected.extend(b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        expected.extend(b"\x03\x01s\0\x05\0\0\0Hello\0\0\0");
        expected.extend(b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        let message = call(1, &HELLO, "", Writer::default());
        // The padding after the last field is not part of the fields' length.
        assert_eq!(message, expected);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut body = Writer::default();
        body.string("first");
        body.u32(7);
        let bytes = call(3, &HELLO, "su", body);
        let fixed: [u8; FIXED] = bytes.get(..FIXED).unwrap().try_into().unwrap();
        assert_eq!(length_of_rest(&fixed).unwrap(), bytes.len() - FIXED);
        let message = Message::read(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (METHOD_CALL, "Hello"));
        let mut body = message.body();
        assert_eq!((body.string().unwrap(), body.u32().unwrap()), ("first".into(), 7));
        assert!(body.u32().is_err());
    }

    #[test]
    fn a_message_that_is_cut_or_too_long_is_an_error() {
        let bytes = call(1, &HELLO, "", Writer::default());
        for length in 0..bytes.len() - 8 {
            assert!(Message::read(&bytes[..length]).is_err(), "{length}");
        }
        let mut fixed: [u8; FIXED] = bytes[..FIXED].try_into().unwrap();
        fixed[7] = 0x7f;
        assert!(length_of_rest(&fixed).is_err());
    }
}
