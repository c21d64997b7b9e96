//! How what the hub posts is signed: `Cmdr-Timestamp` holds seconds since 1970, `Cmdr-Signature` holds `v1=` and
//! the HMAC-SHA256 of the timestamp, a full stop and the body, in hexadecimal.

use cmdr_link::clock;
use data_encoding::HEXLOWER;
use ring::hmac;

/// The headers that sign a body now.
pub(super) fn headers(key: &[u8], body: &[u8]) -> Vec<(&'static str, String)> {
    at(key, body, clock::now_ms() / 1000)
}

fn at(key: &[u8], body: &[u8], seconds: u64) -> Vec<(&'static str, String)> {
    let timestamp = seconds.to_string();
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    signing.update(timestamp.as_bytes());
    signing.update(b".");
    signing.update(body);
    let signature = format!("v1={}", HEXLOWER.encode(signing.sign().as_ref()));
    vec![("Cmdr-Timestamp", timestamp), ("Cmdr-Signature", signature)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_body_are_signed_as_the_documentation_says() {
        // printf '7.{}' | openssl dgst -sha256 -hmac key
        let headers = at(b"key", b"{}", 7);
        assert_eq!(headers[0], ("Cmdr-Timestamp", "7".to_owned()));
        assert_eq!(headers[1].1, SIGNATURE);
        assert_ne!(at(b"key", b"{}", 8)[1], headers[1]);
        assert_ne!(at(b"key", b"{ }", 7)[1], headers[1]);
    }

    const SIGNATURE: &str = "v1=77bc83bd1f40422311e47918b203449aecf84b02c1568bb1b570ac2a474cc2d8";
}
