//! Frames: what goes over a connection between two nodes (docs/spec/network.md#connections).

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::ids::ChainId;

/// First bytes in each direction: protocol and version; the ledger's id follows.
const MAGIC: &[u8; 16] = b"sealgate nodes 1";
/// Bytes before a payload: its length (4), channel (1), epoch (8), big-endian.
const HEADER: usize = 13;
/// Most bytes of a payload of the agreement's channels.
const AGREEMENT_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a payload of transactions.
const GOSSIP_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a payload of the ledger's own channel: a block and its checkpoint.
pub(crate) const MESSAGE_BYTES_MAX: usize = 9 * 1024 * 1024;

/// What a payload is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Channel {
    /// Votes of the agreement.
    Votes,
    /// Its certificates.
    Certificates,
    /// Requests for certificates.
    Resolver,
    /// The ledger's own messages: batches, signatures, blocks.
    Ledger,
    /// Transactions that wait to be ordered: a flood of them holds up nothing else.
    Gossip,
}

impl Channel {
    fn code(self) -> u8 {
        match self {
            Channel::Votes => 0,
            Channel::Certificates => 1,
            Channel::Resolver => 2,
            Channel::Ledger => 3,
            Channel::Gossip => 4,
        }
    }

    fn read(code: u8) -> Option<Channel> {
        [Channel::Votes, Channel::Certificates, Channel::Resolver, Channel::Ledger, Channel::Gossip]
            .into_iter()
            .find(|channel| channel.code() == code)
    }

    pub(crate) fn bytes_max(self) -> usize {
        match self {
            Channel::Ledger => MESSAGE_BYTES_MAX,
            Channel::Gossip => GOSSIP_BYTES_MAX,
            _ => AGREEMENT_BYTES_MAX,
        }
    }
}

/// A payload and where it belongs. The epoch is that of the agreement; 0 on the ledger's channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) channel: Channel,
    pub(crate) epoch: u64,
    pub(crate) payload: Vec<u8>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the peer speaks another protocol or version, or has another ledger")]
    Hello,
    #[error("the peer sent a frame of channel {channel} and {length} bytes")]
    Header { channel: u8, length: u64 },
}

/// Tells the peer protocol and ledger, and reads the same from it.
///
/// # Errors
/// [`FrameError::Hello`], [`FrameError::Io`].
pub(crate) async fn greet<S>(stream: &mut S, chain: &ChainId) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ours = [&MAGIC[..], chain.as_bytes()].concat();
    stream.write_all(&ours).await?;
    stream.flush().await?;
    let mut theirs = vec![0; ours.len()];
    stream.read_exact(&mut theirs).await?;
    if theirs == ours { Ok(()) } else { Err(FrameError::Hello) }
}

/// Writes one frame; the caller flushes.
///
/// # Errors
/// [`FrameError::Io`].
pub(crate) async fn write<W: AsyncWrite + Unpin>(writer: &mut W, frame: &Frame) -> Result<(), FrameError> {
    let length = u32::try_from(frame.payload.len()).map_err(|_| std::io::Error::other("the frame is too long"))?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&length.to_be_bytes());
    header.push(frame.channel.code());
    header.extend_from_slice(&frame.epoch.to_be_bytes());
    writer.write_all(&header).await?;
    writer.write_all(&frame.payload).await?;
    Ok(())
}

/// Reads one frame. Memory is taken as bytes arrive, not as the header promises.
///
/// # Errors
/// [`FrameError`].
pub(crate) async fn read<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Frame, FrameError> {
    let (length, code) = (reader.read_u32().await?, reader.read_u8().await?);
    let epoch = reader.read_u64().await?;
    let refused = FrameError::Header { channel: code, length: u64::from(length) };
    let Some(channel) = Channel::read(code) else { return Err(refused) };
    if usize::try_from(length).map_or(true, |length| length > channel.bytes_max()) {
        return Err(refused);
    }
    let mut payload = Vec::new();
    let found = reader.take(u64::from(length)).read_to_end(&mut payload).await?;
    if u64::try_from(found).ok() != Some(u64::from(length)) {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Frame { channel, epoch, payload })
}
