//! Answers made smaller on their way, by gzip (RFC 9110, 8.4). Behind API Gateway, the gateway does it.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, VARY,
};
use http::{Response, StatusCode};
use std::io::Write as _;

/// What is smaller fits into a packet or two as it is.
const SMALLEST: usize = 1024;

/// Whether a caller takes gzip: it names it, or anything, with another weight than zero.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for coding in value.to_str().unwrap_or_default().split(',') {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            let wanted = weight.is_none_or(|weight| weight > 0.0);
            if name.eq_ignore_ascii_case("gzip") {
                return wanted;
            }
            any |= name == "*" && wanted;
        }
    }
    any
}

/// The answer, packed where the caller takes that and it is worth it.
pub fn pack(mut response: Response<Bytes>, packs: bool) -> Response<Bytes> {
    if response.body().len() < SMALLEST || response.status() != StatusCode::OK {
        return response;
    }
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("accept-encoding"));
    if !packs {
        return response;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder
        .write_all(response.body())
        .and_then(|()| encoder.finish());
    let Ok(packed) = packed else {
        return response;
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(CONTENT_LENGTH);
    *response.body_mut() = packed.into();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_takes_it_gets_it_packed() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("*"));
        assert!(!accepts("br") && !accepts("gzip;q=0") && !accepts("*, gzip;q=0.0"));
        assert!(!accepts_gzip(&HeaderMap::new()));
        let packed = pack(Response::new(vec![b'x'; 5000].into()), true);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert!(packed.body().len() < 100);
        let small = pack(Response::new(Bytes::from_static(b"x")), true);
        assert!(small.headers().get(CONTENT_ENCODING).is_none());
    }
}
