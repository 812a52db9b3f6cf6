//! The byte layer of catch-up and of proofs: a length-prefixed request and response, each with a hard limit that is
//! checked before anything is allocated.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response::Codec};

/// Reads and writes opaque messages; the core encodes and decodes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncCodec {
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, limit: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        let error = format!("a sync message of {length} bytes exceeds the limit of {limit}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    // Grows with what arrives, not with what is announced.
    let mut bytes = Vec::new();
    io.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.flush().await
}

impl Codec for SyncCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.max_request).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.max_response).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::{executor::block_on, io::Cursor};

    use super::*;

    #[test]
    fn a_message_survives_the_round_trip_and_a_longer_one_is_refused_unread() {
        let mut bytes = Vec::new();
        block_on(write(&mut bytes, b"blocks")).unwrap();
        assert_eq!(block_on(read(&mut Cursor::new(&bytes), 6)).unwrap(), b"blocks");
        let error = block_on(read(&mut Cursor::new(&bytes), 5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let huge = u32::MAX.to_be_bytes();
        assert_eq!(block_on(read(&mut Cursor::new(huge), 100)).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let short = [&100u32.to_be_bytes()[..], b"few"].concat();
        assert_eq!(block_on(read(&mut Cursor::new(short), 100)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
