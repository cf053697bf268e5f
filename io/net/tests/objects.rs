//! Objects from a directory, from a web server, and from nowhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod raw;

use lockstep_io::{ByteRange, NetError, ObjectError, ObjectMeta, Objects};
use lockstep_io_net::{FileObjects, HttpConfig, NoObjects, open_objects};
use raw::{RawServer, answer};

async fn read(
    objects: &dyn Objects,
    path: &str,
    range: Option<(u64, u64)>,
) -> Result<Vec<u8>, ObjectError> {
    let range = range.map(|(start, end)| ByteRange { start, end });
    let mut body = objects.get(path, range).await?;
    let mut whole = Vec::new();
    while let Some(chunk) = body.next().await {
        whole.extend_from_slice(&chunk.unwrap());
    }
    Ok(whole)
}

fn directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("a/deep")).unwrap();
    for (path, body) in [("a/deep/x", "12345"), ("a/y", ""), ("a.z", "1"), ("b", "0123456789")] {
        std::fs::write(root.path().join(path), body).unwrap();
    }
    root
}

#[tokio::test]
async fn files_are_listed_in_order_of_path_and_by_prefix() {
    let root = directory();
    let objects = FileObjects::new(root.path()).unwrap();
    let meta = |path: &str, bytes| ObjectMeta { path: path.to_owned(), bytes };
    let all = [meta("a.z", 1), meta("a/deep/x", 5), meta("a/y", 0), meta("b", 10)];
    assert_eq!(objects.list("").await.unwrap(), all);
    assert_eq!(objects.list("a").await.unwrap(), all[..3]);
    assert_eq!(objects.list("a/").await.unwrap(), all[1..3]);
    assert_eq!(objects.list("a/de").await.unwrap(), all[1..2]);
    assert_eq!(objects.list("c").await.unwrap(), []);
}

#[tokio::test]
async fn a_file_is_read_whole_or_in_part() {
    let root = directory();
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(root.path().join("large"), &large).unwrap();
    let url = format!("file://{}", root.path().display());
    let objects = open_objects(Some(&url), HttpConfig::default()).unwrap();
    assert_eq!(read(&*objects, "a/deep/x", None).await.unwrap(), b"12345");
    assert_eq!(read(&*objects, "a/y", None).await.unwrap(), b"");
    assert_eq!(read(&*objects, "b", Some((3, 6))).await.unwrap(), b"345");
    assert_eq!(read(&*objects, "b", Some((10, 10))).await.unwrap(), b"");
    assert_eq!(read(&*objects, "large", None).await.unwrap(), large);
    let part = read(&*objects, "large", Some((700_001, 3_999_999))).await.unwrap();
    assert_eq!(part, large[700_001..3_999_999]);
}

#[tokio::test]
async fn what_a_directory_does_not_have_is_missing_and_what_lies_outside_is_refused() {
    let root = directory();
    let objects = FileObjects::new(root.path()).unwrap();
    for path in ["none", "a", "b/c"] {
        let error = read(&objects, path, None).await.unwrap_err();
        assert_eq!(error, ObjectError::Missing(path.to_owned()));
    }
    for path in ["", "/etc/passwd", "../x", "a/../../x", "a//y", "a/./y", "a\\y", "a\0"] {
        let error = read(&objects, path, None).await.unwrap_err();
        assert!(matches!(error, ObjectError::Failed(_)), "{path:?}: {error}");
    }
    for range in [(9, 11), (11, 12), (5, 4)] {
        let error = read(&objects, "b", Some(range)).await.unwrap_err();
        assert!(matches!(error, ObjectError::Failed(_)), "{range:?}: {error}");
    }
}

#[tokio::test]
async fn without_a_source_there_is_none() {
    let none = open_objects(None, HttpConfig::default()).unwrap();
    assert_eq!(none.list("").await, Err(ObjectError::NoSource));
    assert_eq!(read(&NoObjects, "x", None).await, Err(ObjectError::NoSource));
}

#[test]
fn a_source_that_cannot_be_read_is_refused() {
    for (url, expected) in [
        ("gs://bucket/KEY", "gs://bucket must be"),
        ("file:///no/such/directory", "/no/such/directory is not usable"),
        ("http://", "endpoint 0"),
    ] {
        let error = open_objects(Some(url), HttpConfig::default()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("KEY"), "{error}");
    }
}

async fn from_web(server: &RawServer) -> std::sync::Arc<dyn Objects> {
    let url = format!("{}/base?KEY", server.url());
    open_objects(Some(&url), HttpConfig::default()).unwrap()
}

#[tokio::test]
async fn a_web_server_is_asked_for_the_part_only() {
    let headers = "content-range: bytes 3-5/10\r\n";
    let server = RawServer::saying(answer("206 Partial Content", headers, b"345")).await;
    let objects = from_web(&server).await;
    assert_eq!(read(&*objects, "dir/a b", Some((3, 6))).await.unwrap(), b"345");
    let request = server.only_request();
    assert!(request.starts_with("GET /base/dir/a%20b?KEY HTTP/1.1\r\n"), "{request}");
    let request = request.to_ascii_lowercase();
    assert!(request.contains("range: bytes=3-5\r\n"), "{request}");
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
}

#[tokio::test]
async fn a_web_server_that_ignores_the_range_gives_the_part_all_the_same() {
    let server = RawServer::saying(answer("200 OK", "", b"0123456789")).await;
    let objects = from_web(&server).await;
    assert_eq!(read(&*objects, "b", Some((3, 6))).await.unwrap(), b"345");
    assert_eq!(read(&*objects, "b", Some((0, 10))).await.unwrap(), b"0123456789");
    assert_eq!(read(&*objects, "b", None).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn a_part_that_is_another_or_too_short_is_an_error() {
    let headers = "content-range: bytes 0-2/10\r\n";
    let other = RawServer::saying(answer("206 Partial Content", headers, b"012")).await;
    let error = read(&*from_web(&other).await, "b", Some((3, 6))).await.unwrap_err();
    assert!(matches!(error, ObjectError::Failed(_)), "{error}");

    let short = RawServer::saying(answer("200 OK", "", b"01234")).await;
    let objects = from_web(&short).await;
    let mut body = objects.get("b", Some(ByteRange { start: 3, end: 6 })).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "34");
    assert!(matches!(body.next().await, Some(Err(NetError::Reset(_)))));
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_web_server_says_what_is_missing_and_what_failed() {
    for (status, missing) in [
        ("404 Not Found", true),
        ("410 Gone", true),
        ("416 Range Not Satisfiable", false),
        ("403 Forbidden", false),
        ("302 Found", false),
        ("500 Oops", false),
    ] {
        let server = RawServer::saying(answer(status, "", b"")).await;
        let error = read(&*from_web(&server).await, "b", Some((0, 5))).await.unwrap_err();
        assert_eq!(matches!(error, ObjectError::Missing(_)), missing, "{status}: {error}");
        assert!(!error.to_string().contains("KEY"), "{error}");
    }
    let server = RawServer::saying("").await;
    let error = from_web(&server).await.list("").await.unwrap_err();
    assert!(matches!(error, ObjectError::Failed(_)), "{error}");
}
