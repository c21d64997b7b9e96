//! What texts hosts may have: what can be a label, and how much of a version is kept. For the fleet and whoever lets hosts in.

use cmdr_protocol::hosts::Labels;
use cmdr_protocol::{CallError, selector};

/// Whether these can be labels.
pub fn check_labels(labels: &Labels) -> Result<(), CallError> {
    for (key, value) in labels {
        selector::check_key(key).and_then(|()| selector::check_value(value)).map_err(|e| {
            CallError::malformed(format!(
                "label '{}': {e}",
                cmdr_protocol::display::clean_to_width(key, 64)
            ))
        })?;
    }
    Ok(())
}

/// As much of what an agent says of its version as is kept.
pub(crate) fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}
