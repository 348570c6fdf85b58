//! The same endpoints as a server of their own: how it is asked, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{Place, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the server answers to a text that is sent as it is.
async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn answers_until_it_is_told_to_stop_and_finishes_what_it_began() {
    let place = Place::new().await;
    place
        .client
        .batch_execute("CREATE TABLE s.one AS SELECT 1 AS x")
        .await
        .unwrap();
    let slow = "SELECT count(*) AS n FROM s.one, generate_series(1, 3000000) AS a";
    place.route("one", "/one", "SELECT x FROM s.one", "").await;
    place.route("slow", "/slow", slow, "").await;
    let server = start(&place).await;
    let address = server.address;

    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    let answer = get(address, "/one").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#"{"x":1}"#));

    let under_way = tokio::spawn(async move { get(address, "/slow").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let answer = under_way.await.unwrap();
    assert!(answer.contains(r#"{"n":3000000}"#), "{answer}");
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_is_no_request_is_refused_without_a_word_too_much() {
    let place = Place::new().await;
    let server = start(&place).await;
    let address = server.address;
    let long = "a".repeat(100 * 1024);
    for (request, status) in [
        // Two lengths, and a length beside chunks: how requests are smuggled past a proxy.
        (
            "POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            "400",
        ),
        ("GET /x HTTP/1.1\r\nhost: x\r\nx-api-key : k\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        (&format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), "4"),
        (
            &format!("GET /x HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
            "431",
        ),
        (
            &format!(
                "POST /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                2 * 1024 * 1024
            ),
            "4",
        ),
    ] {
        let began = Instant::now();
        let answer = send_and_close(address, request).await;
        // Who goes on sending when the answer is there already may find the connection cut, and no answer.
        let cut = answer.is_empty() && request.len() > 64 * 1024;
        assert!(
            cut || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{}…: {answer}",
            &request[..request.len().min(60)]
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    // A length beside chunks: the chunks count, and nothing behind them is taken for a request.
    let hidden = "0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for order in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked",
            hidden.len()
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}",
            hidden.len()
        ),
    ] {
        let request = format!("POST /x HTTP/1.1\r\nhost: x\r\n{order}\r\n\r\n{hidden}");
        let answer = send_and_close(address, &request).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    for (encoding, status) in [
        ("identity", "400"),
        ("chunked, identity", "400"),
        ("\u{b}chunked", "400"),
    ] {
        let request =
            format!("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {encoding}\r\n\r\n{hidden}");
        let answer = send_and_close(address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{encoding}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    let many = (0..200).map(|n| format!("x-{n}: y\r\n"));
    let many = many.collect::<Vec<_>>().concat();
    let request = format!("GET /x HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let answer = send_and_close(address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

/// Like `send`, for requests whose sender is cut off: the answer may break off, and counts as far as it came.
async fn send_and_close(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.ok();
    stream.shutdown().await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}
