//! The beginning of a file, whole in memory: for what is compared or shown, and bounded by who asks for it.

use crate::client::FeedStream;
use cmdr_protocol::CallError;
use cmdr_protocol::files::{FilePath, Read};

/// The question for so many bytes of a file.
pub fn beginning(path: FilePath, most: u64) -> Read {
    Read { path, length: Some(most), ..Read::default() }
}

/// What comes as answer to it: no more than that and one piece, whatever the host sends.
pub async fn gathered(mut feed: FeedStream<Read>, most: u64) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = feed.next().await {
        bytes.extend_from_slice(&chunk?.data);
        if bytes.len() as u64 > most {
            break;
        }
    }
    Ok(bytes)
}
